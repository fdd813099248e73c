"""A probe file: first flights of a TCP sender, as a client that acknowledges nothing has received them."""

from __future__ import annotations

from typing import Final, Literal

from offloadbench.model.frozen import Frozen
from offloadbench.model.measured_run import Host

PROBE_FORMAT: Final = "offloadbench-probe"
# 1: first version.
PROBE_FORMAT_VERSION = 1


class FlightFrames(Frozen, frozen=True, kw_only=True):
    """Data frames in the order of their arrival, in columns of equal length, the first repetition included.

    Attributes:
        t_us: since the request for this data left.
        offset_bytes: of the flight's stream: 0 is the first byte that answers the request.
        payload_bytes: of a frame, or of a super-packet that no NIC has cut.
        gso_bytes: payload of each segment of a super-packet but its last; 0: the frame is one segment.
    """

    t_us: list[int] = []
    offset_bytes: list[int] = []
    payload_bytes: list[int] = []
    gso_bytes: list[int] = []


class TcpState(Frozen, frozen=True, kw_only=True):
    """The server's socket (struct tcp_info, SO_SNDBUF)."""

    snd_cwnd_segments: int
    snd_mss_bytes: int
    snd_wnd_bytes: int
    unacked_segments: int
    notsent_bytes: int
    rto_us: int
    srtt_us: int
    pacing_rate_bytes_per_s: int
    sndbuf_bytes: int


class FlightTrial(Frozen, frozen=True, kw_only=True):
    """One connection and its flight.

    Attributes:
        case: the state of the offloads at the server (`tso`, `gso`, `csum`); "" as found.
        metrics: what TCP remembered of this client before: `cold` nothing, `warm` something, "" not known.
        remembered: that, as ip-tcp_metrics(8) prints it.
        pattern: one, two, five, exact, idle, given; for a foreign server "response".
        initcwnd: expected, in segments; None where there is nothing to compare with.
        writes_bytes: one write each; empty where the server is not ours.
        mss_bytes: after options. rtt_us: SYN to SYN-ACK.
        window_bytes: what the client offered.
        synacks: how often the SYN-ACK came.
        repeated: data came again, which ended the flight; otherwise the patience did, after `waited_us`.
        lost_frames: that the observer had no room for.
        released_bytes: new data after everything was acknowledged with a window of two segments.
        finished: the server's end of the stream came.
        idle_us: silence before the flight; 0: it is the first of its connection.
        before, after: the server's socket before the write, and once the flight had left.
        write_blocked: the write slept then.
        problem: why the trial does not count; a sentence.
    """

    repeat: int
    case: str
    congestion_control: str
    metrics: Literal["cold", "warm", ""]
    pattern: str
    initcwnd: int | None
    writes_bytes: list[int] = []
    remembered: str = ""
    mss_bytes: int = 0
    rtt_us: int = 0
    window_bytes: int = 0
    synacks: int = 0
    frames: FlightFrames = FlightFrames()
    repeated: bool = False
    waited_us: int = 0
    lost_frames: int = 0
    released_bytes: int = 0
    finished: bool = False
    idle_us: int = 0
    before: TcpState | None = None
    after: TcpState | None = None
    write_blocked: bool | None = None
    problem: str = ""


class Probe(Frozen, frozen=True, kw_only=True):
    """A probe file.

    Attributes:
        host: the machine that observed; in the lab the server's too.
        server: `address:port`, with the path that was asked for.
        driver: of the server's NIC in the lab, of the observer's otherwise.
        notes: what a reader must know of the whole, as sentences.
    """

    format: Literal["offloadbench-probe"]
    format_version: int
    probe_id: str
    created_utc: str
    tool_version: str
    command: list[str]
    host: Host
    nic: str
    driver: str
    line_rate_bits_per_s: int
    rtt_s: float
    server: str
    trials: list[FlightTrial]
    notes: list[str] = []
