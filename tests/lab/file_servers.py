"""Web and FTP servers of others, as packages ship them: how to start each by itself on an address of the test link."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from offloadbench.kernel.system import netns

ADDRESS = "198.18.0.1"
FILE = "big"
# FTP servers conflict as packages: those that are not installed are unpacked beside the virtual environment's programs
_UNPACKED = Path(sys.prefix) / "unpacked" / "usr"
_PATH = f"{os.environ['PATH']}:/usr/sbin:{_UNPACKED / 'sbin'}:{_UNPACKED / 'bin'}"

_NGINX = """\
daemon off; master_process off; user root; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off; root {folder}; {option}
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen {address}:{port}; }}
}}
"""
_SMALL_BUFFER = _NGINX.replace("{port};", "{port} sndbuf=4k;")
_LIGHTTPD = """\
server.document-root = "{folder}"
server.bind = "{address}"
server.port = {port}
server.errorlog = "{folder}/error.log"
{option}
"""
_VSFTPD = """\
listen=YES
listen_address={address}
listen_port={port}
background=NO
anonymous_enable=YES
local_enable=NO
no_anon_password=YES
anon_root={folder}
secure_chroot_dir={folder}/empty
seccomp_sandbox=NO
{option}
"""
_PROFTPD = """\
ServerType standalone
DefaultServer on
DefaultAddress {address}
SocketBindTight on
Port {port}
User nobody
Group nogroup
UseIPv6 off
UseReverseDNS off
WtmpLog off
DelayEngine off
RequireValidShell off
TransferLog none
SystemLog {folder}/error.log
PidFile {folder}/proftpd.pid
ScoreboardFile {folder}/scoreboard
AuthOrder mod_auth_unix.c
<Anonymous {folder}>
  User ftp
  Group nogroup
  UserAlias anonymous ftp
  RequireValidShell off
</Anonymous>
{option}
"""


@dataclass(frozen=True)
class Server:
    """A program with one of its settings.

    Attributes:
        program: looked for on PATH and among the unpacked ones.
        configuration: a file's text; empty where there is none.
        arguments: after the program's name.
    """

    name: str
    scheme: str
    program: str
    configuration: str
    option: str
    arguments: tuple[str, ...]

    @property
    def path(self) -> str | None:
        return shutil.which(self.program, path=_PATH)


_FILE = "{folder}/configuration"
SERVERS = [
    Server("nginx sendfile+nopush", "http", "nginx", _NGINX, "sendfile on; tcp_nopush on;", ("-c", _FILE)),
    Server("nginx sendfile", "http", "nginx", _NGINX, "sendfile on; tcp_nopush off;", ("-c", _FILE)),
    Server("nginx read+write", "http", "nginx", _NGINX, "sendfile off;", ("-c", _FILE)),
    Server("nginx small send buffer", "http", "nginx", _SMALL_BUFFER, "sendfile off;", ("-c", _FILE)),
    Server("nginx slow writer", "http", "nginx", _NGINX, "sendfile on; limit_rate 4k;", ("-c", _FILE)),
    Server("lighttpd sendfile", "http", "lighttpd", _LIGHTTPD, 'server.network-backend = "sendfile"',
           ("-D", "-f", _FILE)),
    Server("lighttpd writev", "http", "lighttpd", _LIGHTTPD, 'server.network-backend = "writev"', ("-D", "-f", _FILE)),
    Server("vsftpd sendfile", "ftp", "vsftpd", _VSFTPD, "use_sendfile=YES", (_FILE,)),
    Server("vsftpd read+write", "ftp", "vsftpd", _VSFTPD, "use_sendfile=NO", (_FILE,)),
    Server("proftpd sendfile", "ftp", "proftpd", _PROFTPD, "UseSendfile on", ("-n", "-c", _FILE)),
    Server("proftpd read+write", "ftp", "proftpd", _PROFTPD, "UseSendfile off", ("-n", "-c", _FILE)),
    Server("pure-ftpd", "ftp", "pure-ftpd", "", "",
           ("-S", "{address},{port}", "-E", "-H", "-g", "{folder}/pure.pid", "-l", "puredb:{folder}/pure.pdb")),
]  # fmt: skip


def _pure_account(folder: Path) -> None:
    """An account of pure-ftpd's own, whose home is the folder."""
    program = shutil.which("pure-pw", path=_PATH)
    assert program is not None
    files = ["-f", str(folder / "accounts")]
    add = [program, "useradd", "somebody", *files, "-u", "65534", "-g", "65534", "-d", str(folder)]
    subprocess.run(add, input="opensesame\nopensesame\n", text=True, check=True, capture_output=True)
    make = [program, "mkdb", str(folder / "pure.pdb"), *files]
    subprocess.run(make, check=True, capture_output=True)


class Running:
    """A server that listens, in a namespace; its root holds a file of 256 KiB."""

    def __init__(self, server: Server, namespace: str | None, port: int, folder: Path) -> None:
        # an anonymous FTP user may read here, and must not be able to write
        folder.chmod(0o755)
        (folder / "empty").mkdir(exist_ok=True)
        (folder / FILE).write_bytes(os.urandom(256 << 10))
        (folder / FILE).chmod(0o644)
        values = {"folder": str(folder), "address": ADDRESS, "port": port, "option": server.option}
        (folder / "configuration").write_text(server.configuration.format(**values))
        account = ""
        if server.program == "pure-ftpd":
            account = "somebody:opensesame@"
            _pure_account(folder)
        self.url = f"{server.scheme}://{account}{ADDRESS}:{port}/{FILE}"
        self._log = (folder / "output").open("wb")
        assert server.path is not None
        with netns.entered(namespace):
            self._process = subprocess.Popen(
                [server.path, *(word.format(**values) for word in server.arguments)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 10
        while f"{ADDRESS}:{port}" not in self._listening(namespace):
            assert self._process.poll() is None, (folder / "output").read_text()
            assert time.monotonic() < deadline, (folder / "output").read_text()
            time.sleep(0.05)

    @staticmethod
    def _listening(namespace: str | None) -> str:
        with netns.entered(namespace):
            return subprocess.check_output(["ss", "-Hlnt"], text=True)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._log.close()
