"""What a 2.6.18 server sends before the first ACK, and which mechanism decided it.

Whether the route's initcwnd is used at all is decided in tcp_init_metrics (net/ipv4/tcp_input.c): unless the route
caches an RTT, and timestamps are on or that RTT is at least 3 s, it leaves by its `reset` exit *before* the line that
applies initcwnd, and cwnd stays at the 2 of a new socket. Upstream 86bcebafc5e7 (2.6.30) moved that line.
"""

from __future__ import annotations

from dataclasses import dataclass

from offloadbench.analysis.initcwnd import scenario as scenarios
from offloadbench.analysis.initcwnd.scenario import Scenario
from offloadbench.analysis.initcwnd.send_path import DEFERRAL, NAGLE, WINDOW, Restart, SendPath, half_window_bytes

NEW_SOCKET_CWND = 2
_TIMEOUT_INIT_MS = 3000
_RTO_MIN_MS = 200

METRICS_RESET, TSO_DEFERRAL, IDLE_RESTART, SEND_BUFFER, PEER_WINDOW = "M0", "M1", "M2", "M3", "M4"
FIN_BEYOND_CWND = "FIN"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The first flight of one scenario.

    Attributes:
        snd_cwnd_segments: at the end of the flight.
        skb_segments: segments of each skb handed down, in order.
        wmem_queued_bytes: truesize of what is queued, sent or not; for x86_64 without netfilter.
        marks: mechanisms that decided, M0 to M4, and FIN where it sent more than cwnd; empty when cwnd was filled.
        explanation: the same in sentences.
    """

    kernel: str
    label: str
    skb_segments: list[int]
    first_flight_segments: int
    first_flight_bytes: int
    snd_cwnd_segments: int
    wmem_queued_bytes: int
    unsent_bytes: int
    marks: list[str]
    explanation: list[str]


def default_initial_segments(mss_bytes: int) -> int:
    """RFC 3390 as tcp_init_cwnd rounds it: 2 to 4 segments."""
    if mss_bytes > 1460:
        return 2
    return 3 if mss_bytes > 1095 else 4


def _metrics_rtt_ms(given: Scenario) -> float:
    """The RTT that a new connection finds: of an earlier one, if those save it, or else the route's own."""
    saved_ms = 0 if given.tcp_no_metrics_save else given.cached_rtt_ms
    return saved_ms or given.route_rtt_ms


def _uses_initcwnd(given: Scenario) -> bool:
    rtt_ms = _metrics_rtt_ms(given)
    return rtt_ms > 0 and (given.timestamps or rtt_ms >= _TIMEOUT_INIT_MS)


def _rto_ms(given: Scenario) -> int:
    """Of a connection that measured the cached RTT: one RTT, and a variance of twice that but at least 200 ms."""
    rtt_ms = given.cached_rtt_ms or given.route_rtt_ms
    return round(rtt_ms + max(_RTO_MIN_MS, 2 * rtt_ms))


def _socket(given: Scenario) -> SendPath:
    mss_bytes = half_window_bytes(given.mss_bytes, given.rwnd_bytes, timestamps=given.timestamps)
    initial = given.initcwnd or default_initial_segments(mss_bytes)
    fresh = given.idle_restart is None
    restart = None
    if given.idle_restart is not None:
        cwnd = given.idle_restart.cwnd_before
        restart = Restart(round(given.idle_restart.idle_s * 1000), _rto_ms(given), initial)
    else:
        cwnd = initial if _uses_initcwnd(given) else NEW_SOCKET_CWND
    return SendPath(
        kernel=scenarios.kernel(given.kernel),
        tso=given.tso,
        nodelay=given.nodelay,
        timestamps=given.timestamps,
        mss_bytes=mss_bytes,
        window_bytes=given.rwnd_bytes,
        sndbuf_bytes=given.sndbuf_bytes,
        cwnd_segments=cwnd,
        initial_segments=initial,
        restart=restart,
        unvalidated=fresh and not _uses_initcwnd(given),
        tso_win_divisor=given.tcp_tso_win_divisor,
    )


def predict(given: Scenario) -> Prediction:
    """Run the scenario's writes through the model.

    Raises:
        UsageError: the kernel is not modelled.
    """
    socket = _socket(given)
    for size_bytes in given.writes_bytes:
        socket.write(size_bytes)
    if given.fin:
        socket.close()
    marks = _marks(given, socket)
    return Prediction(
        kernel=given.kernel,
        label=given.label,
        skb_segments=socket.sent_segments,
        first_flight_segments=socket.flight_segments,
        first_flight_bytes=socket.sent_bytes,
        snd_cwnd_segments=socket.cwnd_segments,
        wmem_queued_bytes=socket.wmem_queued_bytes,
        unsent_bytes=socket.unsent_bytes,
        marks=marks,
        explanation=_explain(given, socket, marks),
    )


def _marks(given: Scenario, socket: SendPath) -> list[str]:
    marks = []
    if given.idle_restart is None and not _uses_initcwnd(given):
        marks.append(METRICS_RESET)
    if socket.flight_segments - socket.fin_segments > socket.cwnd_segments:
        marks.append(IDLE_RESTART)
    if socket.fin_segments:
        marks.append(FIN_BEYOND_CWND)
    elif socket.flight_segments < socket.cwnd_segments:
        if socket.unsent_bytes and socket.refusal == DEFERRAL:
            marks.append(TSO_DEFERRAL)
        elif socket.unsent_bytes and socket.refusal == WINDOW:
            marks.append(PEER_WINDOW)
        elif socket.blocked and not socket.unsent_bytes:
            marks.append(SEND_BUFFER)
    return marks


def _why_reset(given: Scenario) -> str:
    if _metrics_rtt_ms(given):
        return "without timestamps a cached RTT below 3 s is refused"
    if given.cached_rtt_ms:
        return "with tcp_no_metrics_save connections leave no RTT"
    return "no RTT is cached"


def _too_little_room(given: Scenario, segments: int) -> str:
    if given.tcp_tso_win_divisor:
        part = f"cwnd / tcp_tso_win_divisor ({given.tcp_tso_win_divisor})"
    else:
        part = "four segments (tcp_tso_win_divisor is 0)"
    return f"the {segments} places left are less than {part}"


def _explain(given: Scenario, socket: SendPath, marks: list[str]) -> list[str]:
    sent, cwnd = socket.flight_segments, socket.cwnd_segments
    wanted = f"initcwnd {given.initcwnd}" if given.initcwnd else "the RFC 3390 default"
    told = []
    if given.idle_restart is not None:
        idle = given.idle_restart
        told.append(
            f"idle restart: cwnd was {idle.cwnd_before}, and {idle.idle_s:g} s of silence against an RTO of "
            f"{_rto_ms(given)} ms leave {cwnd}"
        )
    elif METRICS_RESET in marks:
        told.append(
            f"M0, metrics reset: {_why_reset(given)}, so {wanted} is never applied; cwnd starts at {NEW_SOCKET_CWND}"
        )
    else:
        source = "has an RTT of its own" if _metrics_rtt_ms(given) == given.route_rtt_ms else "caches an RTT"
        told.append(f"the route {source}, so {wanted} is applied: cwnd {cwnd}")
    if IDLE_RESTART in marks:
        told.append(
            f"M2, idle restart: the first TSO skb took its quota before the restart, so {sent} segments left "
            f"although cwnd is now {cwnd}"
        )
    elif TSO_DEFERRAL in marks:
        told.append(
            f"M1, TSO deferral: {sent} sent, {socket.unsent_bytes} bytes wait: {_too_little_room(given, cwnd - sent)}, "
            "and only an ACK or a FIN ends the wait"
        )
    elif PEER_WINDOW in marks:
        told.append(f"M4, peer's window: {given.rwnd_bytes} bytes hold {sent} segments; cwnd would allow {cwnd}")
    elif SEND_BUFFER in marks:
        told.append(
            f"M3, send buffer: {socket.wmem_queued_bytes} bytes of memory are queued against {given.sndbuf_bytes}; "
            f"the write sleeps after {sent} segments although cwnd allows {cwnd}"
        )
    elif FIN_BEYOND_CWND in marks:
        told.append(
            f"FIN: the application closed, and of {sent} segments {socket.fin_segments} left beyond cwnd {cwnd}: an "
            "skb with FIN waits for neither cwnd nor deferral"
        )
    elif socket.refusal == NAGLE and socket.unsent_bytes:
        told.append(f"Nagle: a partial segment of {socket.unsent_bytes} bytes waits for the ACK of an earlier one")
    elif sent < cwnd:
        told.append(f"all data left: {sent} segments, {socket.sent_bytes} bytes")
    else:
        told.append(f"cwnd is filled: {sent} segments, {socket.sent_bytes} bytes")
    told.append(f"handed down as skbs of {', '.join(map(str, socket.sent_segments)) or 'nothing'} segments")
    return told
