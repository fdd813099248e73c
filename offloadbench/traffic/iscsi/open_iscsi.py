"""open-iscsi: the kernel's iSCSI initiator, driven by iscsid and iscsiadm through sh.

The kernel talks to iscsid by NETLINK_ISCSI, which exists in the first network namespace only
(drivers/scsi/scsi_transport_iscsi.c). iscsiadm takes a CHAP password on its command line only, where everybody could
see it: it is written into the node's record instead.

What is ours is told by the interface record that it was made with, which no other session has: the machine may be
logged in to the same target by itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import sh

from offloadbench.base.errors import HostError, TrafficError
from offloadbench.kernel.system import borrowed_sockets, processes

_SESSIONS = Path("/sys/class/iscsi_session")
# where iscsiadm keeps its records: Debian's folder, and upstream's since 2.1.10
_NODES = (Path("/etc/iscsi/nodes"), Path("/var/lib/iscsi/nodes"))
_OF_SESSION = {
    "initial_r2t": "initial_r2t",
    "immediate_data": "immediate_data",
    "first_burst_bytes": "first_burst_len",
    "max_burst_bytes": "max_burst_len",
}
_OF_CONNECTION = {
    "header_digest": "header_digest",
    "data_digest": "data_digest",
    "max_send_segment_bytes": "max_xmit_dlength",
    "max_receive_segment_bytes": "max_recv_dlength",
}
_TRUTHS = ("initial_r2t", "immediate_data", "header_digest", "data_digest")
_NETLINK_ISCSI = 8
_WAIT_S = 20.0
# iscsiadm's own: nothing to do, as no such session or record is there (include/iscsi_err.h)
_NOTHING_FOUND = 21


@dataclass(frozen=True, slots=True)
class LoginPortal:
    """Where a target is, its name, and the interface record of whoever logs in (`interface`)."""

    target_name: str
    address: str
    port: int
    interface: str

    @property
    def text(self) -> str:
        """As iscsiadm(8) takes it."""
        return f"{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}"


def require() -> None:
    """Raise HostError unless the kernel's initiator can be used here."""
    for tool in ("iscsid", "iscsiadm"):
        if shutil.which(tool) is None:
            raise HostError(f"{tool} is not installed", "apt-get install open-iscsi, or --set initiator=user")
    try:
        sh.modprobe("-a", "iscsi_tcp", "sd_mod")
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ISCSI).close()
    except (sh.ErrorReturnCode, sh.CommandNotFound, OSError) as error:
        raise HostError(
            "this kernel has no iSCSI initiator (iscsi_tcp), or this is not the first network namespace",
            "use --set initiator=user, the tool's own initiator",
        ) from error


class OpenIscsi:
    """The machine's iscsid, started unless it runs.

    One that we start is in the foreground, as our child, and is killed by the kernel when we die.

    Raises:
        TrafficError: it does not come up.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        running = processes.named("iscsid")
        if running:
            self.pids = running
            return
        Path("/run/lock/iscsi").mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="offloadbench-iscsid-")
        names = Path(self._folder.name) / "initiatorname.iscsi"
        # overridden in every record of ours, but iscsid does not start without one
        names.write_text("InitiatorName=iqn.2004-01.org.offloadbench:initiator\n")
        command = ["setpriv", "--pdeathsig", "KILL", "iscsid", "-f", "-i", str(names)]
        # without the run's marker: whoever ends the run's processes leaves it to us, who need it to log out
        environment = {name: value for name, value in os.environ.items() if name != processes.MARKER}
        # a session of its own: iscsid that is ended ends its whole process group with it
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=environment,
            start_new_session=True,
        )
        self.pids = [self._process.pid]
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(TrafficError):
                _admin("session")
                return
            time.sleep(0.1)
        self._log.seek(0)
        words = self._log.read().decode(errors="replace").strip().splitlines()
        self.close()
        raise TrafficError(f"iscsid does not answer: {words[-1] if words else 'it says nothing'}", "see iscsid(8)")

    def log_in(
        self, portal: LoginPortal, initiator_name: str, settings: Mapping[str, str], account: Mapping[str, str]
    ) -> None:
        """Make records of an interface and a node, set them, and log in.

        Args:
            initiator_name: for this session only; the machine's own stays what it is.
            settings: names and values as in iscsid.conf.
            account: settings that nobody may see.

        Raises:
            TrafficError: a value is refused, or the login.
        """
        _check_records(portal)
        _admin("iface", "-I", portal.interface, "-o", "new")
        _admin("iface", "-I", portal.interface, "-o", "update", "-n", "iface.initiatorname", "-v", initiator_name)
        node = ("-T", portal.target_name, "-p", portal.text, "-I", portal.interface)
        _admin("node", *node, "-o", "new")
        for name, value in {"node.startup": "manual", **settings}.items():
            _admin("node", *node, "-o", "update", "-n", name, "-v", value)
        if account:
            _write_into_record(portal, account)
        _admin("node", *node, "--login")

    def connections(self, portal: LoginPortal) -> list[socket.socket]:
        """Duplicates of the sockets to a portal, which iscsid keeps open for the kernel; the caller closes them."""
        return [one for pid in self.pids for one in borrowed_sockets.connected(pid, (portal.address, portal.port))]

    def close(self) -> None:
        """End the iscsid that was started here. Safe to call twice."""
        if self._process is not None:
            processes.end(self._process, 3.0)
            self._folder.cleanup()
            self._process = None
        self._log.close()


def _admin(mode: str, *arguments: str) -> str:
    """iscsiadm's answer; empty where it finds nothing to do.

    Raises:
        TrafficError: it refuses.
    """
    try:
        return str(sh.iscsiadm("-m", mode, *arguments, _timeout=90))
    except sh.ErrorReturnCode as error:
        if error.exit_code == _NOTHING_FOUND:
            return ""
        said = error.stderr.decode(errors="replace").strip().splitlines()
        # a node's arguments hold its password
        shown = " ".join(arguments[:-2] if "-v" in arguments else arguments)
        words = said[-1] if said else f"exit status {error.exit_code}"
        raise TrafficError(f"iscsiadm -m {mode} {shown}: {words}", "see iscsiadm(8)") from None
    except sh.TimeoutException as error:
        raise TrafficError("iscsid does not answer iscsiadm", "see its log") from error


def interface(name: str) -> str:
    """Name of the interface record of a session that we call so, or of all whose names begin so."""
    return f"offloadbench-{name.rpartition(':')[2]}"


def _records_of(portal: LoginPortal) -> list[Path]:
    """The file that iscsiadm makes for a portal whose group is not known (idbm_rec_write in its usr/idbm.c)."""
    return [folder / portal.target_name / f"{portal.address},{portal.port}" for folder in _NODES]


def _check_records(portal: LoginPortal) -> None:
    """Raise TrafficError where the machine has such a record itself, which iscsiadm would replace."""
    found = [path for path in _records_of(portal) if path.is_file()]
    if found:
        raise TrafficError(f"{found[0]} is a record of this machine's own", "--set initiator=user leaves it alone")


def _write_into_record(portal: LoginPortal, settings: Mapping[str, str]) -> None:
    """Add settings to our record of a portal: `name = value`, one a line (idbm_print in open-iscsi's usr/idbm.c)."""
    ours = f"iface.iscsi_ifacename = {portal.interface}"
    found = [path for path in _records_of(portal) if path.is_file() and ours in path.read_text().splitlines()]
    if len(found) != 1:
        raise TrafficError("the node's record is not where open-iscsi keeps it", f"see {_NODES[0]}")
    kept = [line for line in found[0].read_text().splitlines() if line.partition("=")[0].strip() not in settings]
    end = kept.index("# END RECORD") if "# END RECORD" in kept else len(kept)
    kept[end:end] = [f"{name} = {value}" for name, value in settings.items()]
    found[0].chmod(0o600)
    found[0].write_text("\n".join(kept) + "\n")


def others(target_name: str) -> list[str]:
    """Sessions of this machine with a target that are not ours, such as `session3`."""
    return [one for one in _sessions() if _of(one, "targetname") == target_name and not _is_ours(one, "")]


def disks(portal: LoginPortal, lun: int) -> list[Path]:
    """The disk of one LUN in each of our sessions with a target, as /dev/sdX, once the kernel has found it.

    Raises:
        TrafficError: none appears.
    """
    deadline = time.monotonic() + _WAIT_S
    own = [one for one in _sessions() if _is_ours(one, portal.interface)]
    for session in own:
        (host,) = (_SESSIONS / session / "device").resolve().parent.glob("scsi_host/host*")
        # channel and target of whatever number (Documentation/scsi/scsi_mid_low_api)
        (host / "scan").write_text(f"- - {lun}")
    while time.monotonic() < deadline:
        found = [
            Path("/dev") / block.name
            for session in own
            for block in (_SESSIONS / session / "device").glob(f"target*/*:{lun}/block/*")
        ]
        if len(found) == len(own) and all(disk.is_block_device() for disk in found):
            return sorted(found)
        time.sleep(0.05)
    raise TrafficError(f"no disk of {portal.target_name}, LUN {lun}, appears within {_WAIT_S:.0f} s", "see dmesg")


def size_bytes(disk: Path) -> int:
    """Size of a disk; the kernel counts in units of 512 bytes whatever its blocks are."""
    return int(Path(f"/sys/class/block/{disk.name}/size").read_text()) * 512


def product_data(disk: Path, page: str) -> bytes:
    """A page of vital product data that the kernel has read, as `vpd_pg80`; empty without."""
    try:
        return Path(f"/sys/class/block/{disk.name}/device/{page}").read_bytes()
    except OSError:
        return b""


def _sessions() -> list[str]:
    return [session.name for session in sorted(_SESSIONS.glob("session*"))]


def _of(session: str, attribute: str) -> str:
    try:
        return (_SESSIONS / session / attribute).read_text().strip()
    except OSError:
        return ""


def _is_ours(session: str, prefix: str) -> bool:
    """Whether a session was made with an interface record of ours whose name begins so."""
    return _of(session, "ifacename").startswith(prefix or interface(""))


def _records(prefix: str) -> list[tuple[str, str, str]]:
    """(target, portal, interface) of our node records, whose interfaces begin so.

    `iscsiadm -m node -P 1` prints a target, its portals, and the interfaces of each, indented.
    """
    found = []
    target = portal = ""
    for line in _admin("node", "-P", "1").splitlines():
        key, _, value = line.strip().partition(":")
        if key == "Target":
            target = value.strip()
        elif key == "LoginPortal":
            portal = value.strip().partition(",")[0]
        elif key == "Iface Name" and value.strip().startswith(prefix):
            found.append((target, portal, value.strip()))
    return found


def log_out(prefix: str) -> list[str]:
    """End every session of ours whose interface's name begins so, and forget its records.

    Returns:
        Names of the targets.

    Raises:
        TrafficError: something is still there.
    """
    records = _records(prefix)
    # by its number: after a restart of iscsid no record matches a session (2.1.8)
    for session in _sessions():
        if _is_ours(session, prefix):
            _admin("session", "-r", session.removeprefix("session"), "--logout")
    for target, portal, name in records:
        _admin("node", "-T", target, "-p", portal, "-I", name, "-o", "delete")
    for line in _admin("iface").splitlines():
        name = line.partition(" ")[0]
        if name.startswith(prefix):
            _admin("iface", "-I", name, "-o", "delete")
    left = [one for one in _sessions() if _is_ours(one, prefix)]
    if left:
        raise TrafficError(f"the kernel keeps {', '.join(left)}", "iscsiadm -m session -P 1; iscsiadm -m session -u")
    return sorted({target for target, _, _ in records})


def leave_behind_nothing(prefix: str) -> list[str]:
    """`log_out`, with an iscsid of our own where none runs; for what a killed process left.

    Args:
        prefix: of the sessions' names, as `interface` takes them.

    Returns:
        Names of the targets.
    """
    own = interface(prefix)
    if shutil.which("iscsiadm") is None or not (_records(own) or any(_is_ours(one, own) for one in _sessions())):
        return []
    initiator = OpenIscsi()
    try:
        return log_out(own)
    finally:
        initiator.close()


def negotiated(portal: LoginPortal) -> dict[str, int | bool]:
    """What our sessions with a target have agreed on, from the kernel's sysfs (scsi_transport_iscsi.c)."""
    found: dict[str, int | bool] = {}
    for session in (one for one in _sessions() if _is_ours(one, portal.interface)):
        for name, attribute in _OF_SESSION.items():
            found[name] = int((_SESSIONS / session / attribute).read_text())
        for connection in (_SESSIONS / session / "device").glob("connection*/iscsi_connection/connection*"):
            for name, attribute in _OF_CONNECTION.items():
                found[name] = int((connection / attribute).read_text())
    return {name: bool(value) if name in _TRUTHS else value for name, value in found.items()}


def send_whole(disk: Path, transfer_bytes: int) -> int:
    """Let the block layer send transfers in one command where the disk can; returns the largest command in bytes."""
    queue = Path(f"/sys/class/block/{disk.name}/queue")
    largest_kb = int((queue / "max_hw_sectors_kb").read_text())
    (queue / "max_sectors_kb").write_text(str(min(largest_kb, max(4, transfer_bytes // 1024))))
    return int((queue / "max_sectors_kb").read_text()) * 1024
