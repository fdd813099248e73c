"""Is our load as fast as others'? FTP clients against iperf3 and vsftpd on lab-veth, case tso, in turn.

    python -m tests.benchmarks.load [ROUNDS]

Same CPUs and congestion control for all (see contest.py). iperf3's receiver copies what it receives, ours lets the
kernel drop it, so the load with `discard=copy` is stated too; vsftpd serves the same files to the same clients.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offloadbench.bed.testbed import Bed
from offloadbench.definitions import catalog
from offloadbench.engine.options import RunOptions
from offloadbench.engine.standing_bed import open_site
from offloadbench.roles.messages import FtpClientsReady, OpenFtpClients
from offloadbench.traffic import files
from offloadbench.traffic.ftp.ftp_kind import FtpTraffic
from tests.benchmarks.contest import contest, iperf3, started, stopped, workload

PORT = 2121
OURS, COPYING = "ftp-get", "ftp-get, discard=copy"
FEW, MANY, VSFTPD = "iperf3 -Z -P 8", "iperf3 -Z -P 32", "vsftpd, our clients"


@contextmanager
def vsftpd(bed: Bed) -> Iterator[None]:
    """vsftpd, with our files and our clients."""
    kind = FtpTraffic(catalog.workload("ftp-get"))
    folder, names = files.provide(kind.file_count, kind.file_bytes, print)
    lines = {
        "listen": "YES",
        "listen_address": bed.dut.address,
        "listen_port": PORT,
        "anonymous_enable": "YES",
        "anon_root": folder,
        "use_sendfile": "YES",
        "seccomp_sandbox": "NO",
        "isolate_network": "NO",
        "pasv_min_port": kind.passive_ports[0],
        "pasv_max_port": kind.passive_ports[1],
        "background": "NO",
    }
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
        settings.writelines(f"{name}={value}\n" for name, value in lines.items())
        settings.flush()
        server = started(bed.dut, ["vsftpd", settings.name])
        try:
            time.sleep(0.5)
            clients = bed.peer.launch("offloadbench.traffic.ftp.ftp_clients", "the FTP clients")
            try:
                order = OpenFtpClients(
                    address=bed.dut.address,
                    port=PORT,
                    user="anonymous",
                    password="-",
                    clients=kind.clients,
                    files=tuple(names),
                    file_bytes=kind.file_bytes,
                    window_bytes=0,
                    wake_at_bytes=kind.wake_at_bytes,
                    discard=kind.discard,
                )
                clients.request(order, FtpClientsReady)
                yield
            finally:
                clients.close()
        finally:
            stopped(server)


CONTENDERS = {
    OURS: workload("ftp-get"),
    FEW: iperf3("-Z", "-P", "8"),
    MANY: iperf3("-Z", "-P", "32"),
    VSFTPD: vsftpd,
    COPYING: workload("ftp-get", "discard=copy"),
}
RATIOS = [(OURS, FEW), (OURS, MANY), (OURS, VSFTPD), (COPYING, FEW), (COPYING, MANY)]


if __name__ == "__main__":
    subprocess.run(["iperf3", "--version"], check=True, stdout=subprocess.DEVNULL)
    options = RunOptions(nic="lab-veth", cases="tso", workloads=["ftp-get"], output=Path())
    with open_site(options, print) as site:
        contest(site.bed, CONTENDERS, RATIOS, int(sys.argv[1]) if len(sys.argv) > 1 else 5)
