"""FTP downloads: a pyftpdlib server at the device under test, virtual clients at the load side (E1)."""

from offloadbench.traffic.ftp.ftp_kind import FtpTraffic

TRAFFIC = FtpTraffic

__all__ = ["TRAFFIC", "FtpTraffic"]
