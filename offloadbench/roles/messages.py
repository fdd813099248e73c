"""Every message between two processes of this program, as a frozen dataclass; codec.py makes lines of them.

An order goes to a role or to the agent of a load host, an answer comes back. Standard library of Python 3.7, as a load
host may have nothing else; that Python evaluates no `list[int]`, so types are written as `typing` names them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Dict, Optional, Tuple, Union

Scalar = Union[bool, int, float, str]


class Message:
    """Anything that is sent, or a part of it.

    It compares and prints for all its classes: to make these methods anew for each took a role 15 ms of its start.
    """

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = [one.name for one in fields(self) if one.repr]  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


class Order(Message):
    """What a process is to do; `doing` says it for messages, after 'it was to'."""

    doing = ""


class Answer(Message):
    """What a process says."""


@dataclass(frozen=True, eq=False, repr=False)
class Failed(Answer):
    """An order was not carried out, or what was under way has failed.

    Attributes:
        message, hint: one line each, of what and of what to do.
        parameter: the field of the order that this host refuses; empty where it is something else.
    """

    message: str
    hint: str = ""
    parameter: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class CountNow(Order):
    """Answered by what the role has counted so far."""

    doing = "count what has arrived"


# ---------------------------------------------------------------- a plain TCP stream


@dataclass(frozen=True, eq=False, repr=False)
class OpenSink(Order):
    """Accept so many connections, and count what they bring.

    Attributes:
        window_bytes: for SO_RCVBUFFORCE; 0 leaves it to the kernel.
        wake_at_bytes: for SO_RCVLOWAT.
    """

    doing = "listen"

    address: str
    connections: int
    window_bytes: int
    wake_at_bytes: int


@dataclass(frozen=True, eq=False, repr=False)
class SinkListening(Answer):
    port: int


@dataclass(frozen=True, eq=False, repr=False)
class SinkReady(Answer):
    """Every connection has brought payload."""


@dataclass(frozen=True, eq=False, repr=False)
class SinkCounted(Answer):
    """Attributes: t_ns: of the sink's monotonic clock; complete: connections that have ended."""

    t_ns: int
    payload_bytes: int
    complete: int
    cpu_s: float


@dataclass(frozen=True, eq=False, repr=False)
class SinkFinished(SinkCounted):
    """Every connection has ended."""


@dataclass(frozen=True, eq=False, repr=False)
class OpenSender(Order):
    """Connect, and send blocks on every connection until `DrainSender`."""

    doing = "connect and send"

    address: str
    port: int
    connections: int
    block_bytes: int
    congestion_control: str
    send_buffer_bytes: int


@dataclass(frozen=True, eq=False, repr=False)
class SenderReady(Answer):
    """Every connection stands."""


@dataclass(frozen=True, eq=False, repr=False)
class DrainSender(Order):
    """Send no further block, end the streams."""

    doing = "send what is left and end its streams"


@dataclass(frozen=True, eq=False, repr=False)
class SenderReport(Answer):
    """Attributes: send_buffers_bytes: SO_SNDBUF of each connection at the end."""

    bytes_sent: int
    send_buffers_bytes: Tuple[int, ...]
    cpu_s: float


# ---------------------------------------------------------------- FTP


@dataclass(frozen=True, eq=False, repr=False)
class OpenFtpServer(Order):
    """Serve these files of a folder to one user."""

    doing = "lock the files in memory and listen"

    address: str
    folder: str
    files: Tuple[str, ...]
    user: str
    congestion_control: str
    sendfile_block_bytes: int
    first_passive_port: int
    last_passive_port: int
    password: str = field(repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class FtpServerReady(Answer):
    """Attributes: unlocked: why the files could not be locked in memory; empty when they are."""

    port: int
    unlocked: str


@dataclass(frozen=True, eq=False, repr=False)
class ReportFtpServer(Order):
    doing = "report what it sent"


@dataclass(frozen=True, eq=False, repr=False)
class DrainFtpServer(Order):
    """Stop sending; what the sockets hold still goes out."""

    doing = "stop sending and close its data connections"


@dataclass(frozen=True, eq=False, repr=False)
class FtpServerReport(Answer):
    """Attributes: disk_read_bytes: None where the kernel does not count them."""

    bytes_sent: int
    complete: int
    cut: int
    cpu_s: float
    disk_read_bytes: Optional[int]


@dataclass(frozen=True, eq=False, repr=False)
class OpenFtpClients(Order):
    """Log in with so many clients, and repeat RETR over the files.

    Attributes:
        window_bytes: for SO_RCVBUF; 0 leaves it to the kernel.
        wake_at_bytes: for SO_RCVLOWAT.
        discard: `kernel` drops what has arrived (MSG_TRUNC), `copy` copies it first.
    """

    doing = "log in and receive on every connection"

    address: str
    port: int
    user: str
    clients: int
    files: Tuple[str, ...]
    file_bytes: int
    window_bytes: int
    wake_at_bytes: int
    discard: str
    password: str = field(repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class FtpClientsReady(Answer):
    """Every client receives."""


@dataclass(frozen=True, eq=False, repr=False)
class FtpClientsCounted(Answer):
    """Attributes: t_ns: of their monotonic clock; lost: workers of a fleet that were lost, as sentences."""

    t_ns: int
    payload_bytes: int
    complete: int
    cut: int
    cpu_s: float
    lost: Tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class FinishFtpClients(Order):
    """Begin no new transfer, read every data connection to its end, quit."""

    doing = "begin no new transfer and finish those under way"


@dataclass(frozen=True, eq=False, repr=False)
class FtpClientsSettled(Answer):
    """Only the ends of transfers can follow."""


@dataclass(frozen=True, eq=False, repr=False)
class FtpClientsFinished(FtpClientsCounted):
    """Every transfer has ended."""


# ---------------------------------------------------------------- iSCSI


@dataclass(frozen=True, eq=False, repr=False)
class OpenTarget(Order):
    """Start a target with one LUN for one initiator.

    Attributes:
        backing: `null`, `memory`, or a folder of the host on which this is served.
        receive_window_bytes: for SO_RCVBUFFORCE; 0 leaves it to the kernel.
        congestion_control: empty leaves it to the namespace.
        parameters: text keys of RFC 7143 as tgtadm names them.
    """

    doing = "start tgtd and listen"

    address: str
    target_name: str
    initiator_name: str
    user: str
    backing: str
    lun_bytes: int
    receive_window_bytes: int
    congestion_control: str
    parameters: Dict[str, str]
    password: str = field(repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class TargetReady(Answer):
    """Attributes: receive_buffer_bytes: that is in force; None where it is the kernel's choice."""

    port: int
    product: str
    receive_buffer_bytes: Optional[int]


@dataclass(frozen=True, eq=False, repr=False)
class CountTargetCpu(Order):
    doing = "read its CPU time"


@dataclass(frozen=True, eq=False, repr=False)
class TargetCpu(Answer):
    cpu_s: float


@dataclass(frozen=True, eq=False, repr=False)
class ReportTarget(Order):
    doing = "report the bytes that tgtd moved"


@dataclass(frozen=True, eq=False, repr=False)
class TargetMoved(Answer):
    """Of the sessions that are logged in, as tgtd counts them."""

    read_bytes: int
    written_bytes: int


@dataclass(frozen=True, eq=False, repr=False)
class AskTargetWords(Order):
    doing = "repeat what tgtd said last"


@dataclass(frozen=True, eq=False, repr=False)
class TargetWords(Answer):
    words: str


@dataclass(frozen=True, eq=False, repr=False)
class UnitLogin(Message):
    """Who logs in where, and how.

    Attributes:
        user, password: for CHAP; empty to log in without.
        offers: text keys of RFC 7143.
        send_buffer_bytes, receive_window_bytes: for SO_SNDBUFFORCE and SO_RCVBUFFORCE; 0 leaves them to the kernel.
        congestion_control: empty leaves it to the namespace.
        timeout_s: how long the target may be silent.
    """

    address: str
    port: int
    target_name: str
    initiator_name: str
    user: str
    lun: int
    offers: Dict[str, str]
    congestion_control: str
    send_buffer_bytes: int
    receive_window_bytes: int
    timeout_s: float
    password: str = field(repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class ExpectedUnit(Message):
    """The LUN that was looked at before."""

    serial: str
    size_bytes: int


@dataclass(frozen=True, eq=False, repr=False)
class OpenInitiator(Order):
    """Log in on every session, and keep a queue of commands on its way on each.

    Attributes:
        session_name: of the interface record that the kernel's initiator makes.
        operation: `write` or `read`.
        lun_bytes, start_bytes: the part of the LUN that is used.
    """

    doing = "log in and have a whole queue of commands completed on every session"

    login: UnitLogin
    session_name: str
    sessions: int
    operation: str
    transfer_bytes: int
    queue_depth: int
    fua: bool
    verify: bool
    lun_bytes: int
    start_bytes: int
    expected: Optional[ExpectedUnit] = None


@dataclass(frozen=True, eq=False, repr=False)
class InitiatorReady(Answer):
    """Every session has had a whole queue of commands completed.

    Attributes:
        negotiated: what the sessions have agreed on.
        target_product: None where the kernel logged in.
        largest_command_bytes: that the kernel's disk takes; None where the tool's own initiator logged in.
    """

    send_buffer_in_force_bytes: int
    congestion_control_in_force: str
    negotiated: Dict[str, Scalar]
    target_product: Optional[str] = None
    largest_command_bytes: Optional[int] = None


@dataclass(frozen=True, eq=False, repr=False)
class InitiatorCounted(Answer):
    """Attributes: complete: commands that ended with status GOOD; set_up_bytes: received before the load began."""

    t_ns: int
    payload_bytes: int
    complete: int
    sent_bytes: int
    received_bytes: int
    set_up_bytes: int


@dataclass(frozen=True, eq=False, repr=False)
class DrainInitiator(Order):
    """Begin no new command."""

    doing = "wait for the commands that are on their way"


@dataclass(frozen=True, eq=False, repr=False)
class InitiatorDrained(Answer):
    """The last command is through. Attributes: tcp: counters of all connections."""

    counted: InitiatorCounted
    tcp: Dict[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class FinishInitiator(Order):
    """Read back if that was asked for, and log out. Attributes: t_ns of the two counts around the window."""

    doing = "compare what was written, and log out"

    opened_ns: int
    closed_ns: int


@dataclass(frozen=True, eq=False, repr=False)
class InitiatorFinished(Answer):
    """Attributes: commands, latency_us, tcp: of the window."""

    verified_bytes: int
    commands: int
    latency_us: Dict[str, float]
    tcp: Dict[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class InspectUnit(Order):
    """Look at a LUN. Attributes: wait_s: how long it may take to appear."""

    doing = "log in and look at the LUN"

    login: UnitLogin
    wait_s: float


@dataclass(frozen=True, eq=False, repr=False)
class UnitInspected(Answer):
    """What `offloadbench.traffic.iscsi.consent.Device` has; `used` holds (kind, end in bytes where it is known)."""

    product: str
    serial: str
    size_bytes: int
    block_bytes: int
    longest_transfer_bytes: int
    used: Tuple[Tuple[str, Optional[int]], ...]
    free: Tuple[int, int]
    why_not: str
    blank: bool


# ---------------------------------------------------------------- the emulated link


@dataclass(frozen=True, eq=False, repr=False)
class OpenWire(Order):
    """Join two TAP devices, each a (namespace, name). Attributes: link: fields of `offloadbench.model.EmulatedLink`."""

    doing = "make two TAP devices and join them"

    taps: Tuple[Tuple[str, str], Tuple[str, str]]
    link: Dict[str, float]


@dataclass(frozen=True, eq=False, repr=False)
class WireReady(Answer):
    """Attributes: problem: what it could not set up, as a sentence."""

    problem: str


@dataclass(frozen=True, eq=False, repr=False)
class CountWire(Order):
    doing = "count what it carried"


@dataclass(frozen=True, eq=False, repr=False)
class DirectionTotals(Message):
    """What one direction has carried (`offloadbench.bed.cable.Direction`)."""

    frames: int
    segments: int
    l2_bytes: int
    dropped: int
    lost_segments: int
    overflow_segments: int


@dataclass(frozen=True, eq=False, repr=False)
class WireCounted(Answer):
    """Attributes: late_max_s, late_p99_s: of frames since the last count."""

    t_ns: int
    asleep_ns: int
    behind_ns: int
    late_max_s: float
    late_p99_s: float
    to_peer: DirectionTotals
    to_dut: DirectionTotals


# ---------------------------------------------------------------- the TCP monitor


@dataclass(frozen=True, eq=False, repr=False)
class OpenMonitor(Order):
    """What to watch; 0 and empty mean any.

    Attributes:
        priority: of SCHED_FIFO; 0 for none.
        side: `dut` or `peer`.
        rows_max: that are kept of a window.
    """

    doing = "get ready to read TCP connections"

    period_us: int
    local_port: int
    remote_address: str
    remote_port: int
    connections_max: int
    priority: int
    side: str
    rows_max: int


@dataclass(frozen=True, eq=False, repr=False)
class MonitorReady(Answer):
    """Attributes: problem: what it could not set up, as a sentence."""

    problem: str


@dataclass(frozen=True, eq=False, repr=False)
class OpenTcpWindow(Order):
    doing = "begin a window of readings"


@dataclass(frozen=True, eq=False, repr=False)
class TcpWindowOpened(Answer):
    t_ns: int
    watched: int


@dataclass(frozen=True, eq=False, repr=False)
class GlanceTcp(Order):
    doing = "tell the last reading of each connection"


@dataclass(frozen=True, eq=False, repr=False)
class TcpGlance(Message):
    """A connection, and the fields of `offloadbench.kernel.tcp.sock_diag.decode`."""

    connection: str
    values: Dict[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class TcpGlances(Answer):
    connections: Tuple[TcpGlance, ...]


@dataclass(frozen=True, eq=False, repr=False)
class CloseTcpWindow(Order):
    """End the readings; answered by their number, and then every trace in pieces."""

    doing = "end the window and pack its readings"


@dataclass(frozen=True, eq=False, repr=False)
class TcpWindowClosed(Answer):
    traces: int


@dataclass(frozen=True, eq=False, repr=False)
class TcpTracePiece(Answer):
    """A piece of an `offloadbench.model.TcpTrace` as JSON."""

    text: str
    last: bool


# ---------------------------------------------------------------- sysctls of a load host


@dataclass(frozen=True, eq=False, repr=False)
class SetSysctls(Order):
    """Attributes: values: to set; found: as they were before the run, where that is known."""

    doing = "set sysctls"

    values: Dict[str, str]
    found: Dict[str, str]


@dataclass(frozen=True, eq=False, repr=False)
class SysctlsSet(Answer):
    """Attributes: taken: what is in force now; None for one that is gone."""

    found: Dict[str, str]
    taken: Dict[str, Optional[str]]


@dataclass(frozen=True, eq=False, repr=False)
class PutBackSysctls(Order):
    doing = "put sysctls back"


@dataclass(frozen=True, eq=False, repr=False)
class SysctlsBack(Answer):
    """Attributes: problems: what did not go back, name -> why."""

    problems: Dict[str, str]


# ---------------------------------------------------------------- the probe's server


@dataclass(frozen=True, eq=False, repr=False)
class OpenProbeServer(Order):
    doing = "get ready"

    address: str


@dataclass(frozen=True, eq=False, repr=False)
class ProbeServerReady(Answer):
    pass


@dataclass(frozen=True, eq=False, repr=False)
class ServeFlight(Order):
    """Take one connection, and answer each request with the writes of its round."""

    doing = "listen for one connection"

    congestion_control: str
    sndbuf_bytes: int
    rounds: Tuple[Tuple[int, ...], ...]
    request_bytes: int


@dataclass(frozen=True, eq=False, repr=False)
class FlightListening(Answer):
    port: int


@dataclass(frozen=True, eq=False, repr=False)
class LookAtSocket(Order):
    doing = "read its socket"


@dataclass(frozen=True, eq=False, repr=False)
class SocketReading(Message):
    """Attributes: tcp_info: struct tcp_info as hexadecimal text."""

    tcp_info: str
    sndbuf_bytes: int


@dataclass(frozen=True, eq=False, repr=False)
class SocketSeen(Answer):
    """The socket before the last round's writes and now, and whether a write sleeps."""

    before: Optional[SocketReading]
    after: Optional[SocketReading]
    write_blocked: bool


@dataclass(frozen=True, eq=False, repr=False)
class EndFlight(Order):
    doing = "close its connection"


@dataclass(frozen=True, eq=False, repr=False)
class FlightEnded(Answer):
    """Attributes: problem: what the connection met, as a sentence."""

    problem: str


# ---------------------------------------------------------------- the agent of a load host


@dataclass(frozen=True, eq=False, repr=False)
class HostAbout(Answer):
    hostname: str
    kernel: str
    machine: str
    python: str
    cpus: Optional[int]
    root: bool


@dataclass(frozen=True, eq=False, repr=False)
class Hello(Answer):
    """The agent's first line; see `offloadbench.roles.codec.greeting`.

    Attributes:
        version: of offloadbench there.
        messages: `offloadbench.roles.codec.digest` there.
    """

    version: str
    messages: str
    host: HostAbout


@dataclass(frozen=True, eq=False, repr=False)
class LaunchRole(Order):
    """Start a role. Attributes: role: its number from now on; the rest as of `offloadbench.bed.remote.child.Child`."""

    doing = "start a process"

    role: int
    importer: str
    module: str
    sources: Dict[str, str]
    cpus: Tuple[int, ...]
    marker: str


@dataclass(frozen=True, eq=False, repr=False)
class RoleLaunched(Answer):
    pid: int


@dataclass(frozen=True, eq=False, repr=False)
class PassLine(Order):
    """An order to a role, as its line. Not answered."""

    role: int
    line: str


@dataclass(frozen=True, eq=False, repr=False)
class ShutRole(Order):
    """Close a role's input. Not answered."""

    role: int


@dataclass(frozen=True, eq=False, repr=False)
class SignalRole(Order):
    """Not answered."""

    role: int
    signal: int


@dataclass(frozen=True, eq=False, repr=False)
class RoleSaid(Answer):
    """An answer of a role, as its line."""

    role: int
    line: str


@dataclass(frozen=True, eq=False, repr=False)
class RoleGone(Answer):
    """A role has ended. Attributes: words: what it said last on standard error, or how it ended."""

    role: int
    words: str
    status: int


@dataclass(frozen=True, eq=False, repr=False)
class AskAbout(Order):
    doing = "describe itself"


@dataclass(frozen=True, eq=False, repr=False)
class AskMemory(Order):
    doing = "tell its free memory"


@dataclass(frozen=True, eq=False, repr=False)
class MemoryThere(Answer):
    available_bytes: int


@dataclass(frozen=True, eq=False, repr=False)
class AskClock(Order):
    doing = "tell its clock"


@dataclass(frozen=True, eq=False, repr=False)
class ClockThere(Answer):
    """The monotonic clock."""

    t_ns: int


@dataclass(frozen=True, eq=False, repr=False)
class AskCpu(Order):
    doing = "tell its CPU time"


@dataclass(frozen=True, eq=False, repr=False)
class CpuThere(Answer):
    """CPU seconds since boot, all CPUs. Attributes: busy_s: neither idle nor stolen."""

    t_ns: int
    busy_s: float
    stolen_s: float
    all_s: float
    cpus: int


@dataclass(frozen=True, eq=False, repr=False)
class AskAddresses(Order):
    doing = "list its addresses"


@dataclass(frozen=True, eq=False, repr=False)
class AddressesThere(Answer):
    """Attributes: pairs: NIC and IPv4 address."""

    pairs: Tuple[Tuple[str, str], ...]


@dataclass(frozen=True, eq=False, repr=False)
class AskNic(Order):
    doing = "describe a NIC"

    ifname: str


@dataclass(frozen=True, eq=False, repr=False)
class NicThere(Answer):
    """Attributes: speed_mbit_per_s: 0 where it is not known; features: None where ethtool is not installed."""

    driver: Optional[str]
    driver_version: Optional[str]
    firmware: Optional[str]
    mtu_bytes: int
    speed_mbit_per_s: int
    features: Optional[Dict[str, bool]]


@dataclass(frozen=True, eq=False, repr=False)
class AskState(Order):
    doing = "tell the state of a NIC"

    ifname: str
    sysctls: Tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False)
class StateThere(Answer):
    """What of a NIC decides what it sends, by names that can be shown."""

    values: Dict[str, Union[str, int]]


@dataclass(frozen=True, eq=False, repr=False)
class AskCounted(Order):
    """Attributes: ifname: empty for TCP alone."""

    doing = "tell what a NIC and TCP have counted"

    ifname: str


@dataclass(frozen=True, eq=False, repr=False)
class CountedThere(Answer):
    """Attributes: link: numbers of sysfs; tcp: texts of /proc/net/snmp and netstat; ethtool: what `ethtool -S` says."""

    driver: str
    link: Dict[str, int]
    tcp: Tuple[str, ...]
    ethtool: str


@dataclass(frozen=True, eq=False, repr=False)
class AskSysctl(Order):
    doing = "read a sysctl"

    name: str


@dataclass(frozen=True, eq=False, repr=False)
class SetSysctl(Order):
    doing = "set a sysctl"

    name: str
    value: str


@dataclass(frozen=True, eq=False, repr=False)
class SysctlThere(Answer):
    """Attributes: value: None where that kernel has no such sysctl."""

    value: Optional[str]


@dataclass(frozen=True, eq=False, repr=False)
class AskFolder(Order):
    doing = "look for a folder"

    path: str


@dataclass(frozen=True, eq=False, repr=False)
class FolderThere(Answer):
    there: bool


@dataclass(frozen=True, eq=False, repr=False)
class AskReach(Order):
    doing = "try to reach this host"

    address: str


@dataclass(frozen=True, eq=False, repr=False)
class ReachThere(Answer):
    """Attributes: problem: empty when the address answers."""

    problem: str


@dataclass(frozen=True, eq=False, repr=False)
class AskSource(Order):
    doing = "tell the address that it would send from"

    address: str


@dataclass(frozen=True, eq=False, repr=False)
class SourceThere(Answer):
    address: str


@dataclass(frozen=True, eq=False, repr=False)
class AskMissing(Order):
    doing = "look for programs"

    tools: Tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False)
class MissingThere(Answer):
    tools: Tuple[str, ...]


# ---------------------------------------------------------------- the supervisor of a lab link that stays


@dataclass(frozen=True, eq=False, repr=False)
class BuildBench(Order):
    """Attributes: settings: fields of `offloadbench.engine.options.RunOptions` that describe the link, as JSON.

    It and the orders to a lab link that stands are answered by `offloadbench.engine.standing_lab.bench.Reply`.
    """

    doing = "build the lab link"

    name: str
    settings: str


@dataclass(frozen=True, eq=False, repr=False)
class AskBench(Order):
    doing = "describe the lab link"


@dataclass(frozen=True, eq=False, repr=False)
class EndBench(Order):
    doing = "take the lab link down"
