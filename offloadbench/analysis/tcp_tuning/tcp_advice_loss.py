"""What it costs on a path that a machine's TCP does without SACK, timestamps, DSACK, RACK or tail loss probes."""

from __future__ import annotations

from collections.abc import Iterator

from offloadbench.analysis.tcp_tuning import needs
from offloadbench.analysis.tcp_tuning.kernel_defaults import version
from offloadbench.analysis.tcp_tuning.needs import PathTarget
from offloadbench.analysis.tcp_tuning.tcp_advice import (
    DSACK,
    EARLY_RETRANS,
    RECOVERY,
    SACK,
    TIMESTAMPS,
    Found,
    Judge,
    ParameterAdvice,
    set_line,
)
from offloadbench.analysis.trial.headers import TIMESTAMP_BYTES
from offloadbench.base.units import format_rate, format_seconds

_IP_SYSCTL = "Documentation/networking/ip-sysctl.rst"
# TCP_RTO_MIN of include/net/tcp.h: the variance in a retransmission timeout is at least that
_LEAST_RTO_S = 0.2
# RFC 9293's maximum segment lifetime, and half of the sequence space (RFC 7323, 5.1)
_LIFETIME_S, _HALF_SPACE_BYTES = 120.0, 2**31
_PAWS_BITS_PER_S = _HALF_SPACE_BYTES * 8 / _LIFETIME_S
# losses in one window, as an example: a full queue drops more
_LOST = 10
_RACK_SINCE, _RACK_ALWAYS = (4, 4, 0), (6, 17, 0)
_TCP_LOSS_DETECTION, _DEFAULT_EARLY_RETRANS = 1, "3"


def _sack(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    if SACK not in found.sysctls:
        return
    name, source = "selective acknowledgements", f"RFC 2018; RFC 6582; {_IP_SYSCTL}, tcp_sack"
    if found.sysctls[SACK] != "0":
        yield ParameterAdvice(name, "ok", "on (both ends must have them on)", source)
        return
    cost = f"one lost segment is repaired a round trip: {_LOST} lost from one window take {_LOST} RTT{_seconds(target)}"
    cost += " instead of 1 or 2, and DSACK, RACK and tail loss probes work no longer"
    yield ParameterAdvice(name, "note", "off", source, cost, set_line(SACK, 1))


def _seconds(target: PathTarget | None) -> str:
    return f" = {format_seconds(_LOST * target.rtt_s)}" if target else ""


def _timestamps(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    if TIMESTAMPS not in found.sysctls:
        return
    name, source = "timestamps", f"RFC 7323, 4 and 5; {_IP_SYSCTL}, tcp_timestamps"
    if found.sysctls[TIMESTAMPS] != "0":
        yield ParameterAdvice(name, "ok", "on (both ends must have them on)", source)
        return
    mss_bytes = target.mss_bytes if target else 1448
    text = f"off: {TIMESTAMP_BYTES} B a segment are saved, {TIMESTAMP_BYTES / (mss_bytes + TIMESTAMP_BYTES):.1%}"
    if target is not None and target.bandwidth_bits_per_s <= _PAWS_BITS_PER_S:
        text += f"; at {format_rate(target.bandwidth_bits_per_s)} no sequence number returns within {_LIFETIME_S:.0f} s"
        yield ParameterAdvice(name, "ok", text, source)
        return
    if target is None:
        cost = f"above {format_rate(_PAWS_BITS_PER_S)} a connection"
    else:
        wraps = format_seconds(2 * _HALF_SPACE_BYTES * 8 / target.bandwidth_bits_per_s)
        cost = f"sequence numbers return after {wraps} at {format_rate(target.bandwidth_bits_per_s)}, and"
    cost += " a segment that was delayed may be taken for new data (no PAWS)"
    yield ParameterAdvice(name, "note", text, source, cost, set_line(TIMESTAMPS, 1))


def _dsack(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    if DSACK not in found.sysctls:
        return
    name, source = "duplicate SACKs", f"RFC 2883; RFC 3708; {_IP_SYSCTL}, tcp_dsack"
    if found.sysctls[DSACK] != "0":
        yield ParameterAdvice(name, "ok", "on", source)
        return
    cost = "who sends to this host does not learn that it retransmitted needlessly (reordering, a late ACK)"
    if target is not None:
        segments = needs.needs(target).window_bytes / target.mss_bytes
        again_s = needs.cubic_recovery_s(segments, target.rtt_s)
        cost += f", and keeps its reduced window for {format_seconds(again_s)} (Cubic) instead of taking it back"
    else:
        cost += ", and keeps its reduced window"
    yield ParameterAdvice(name, "note", "off", source, cost, set_line(DSACK, 1))


def _rack(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    kernel = version(found.release)
    if RECOVERY not in found.sysctls or kernel < _RACK_SINCE:
        return
    name, source = "RACK", f"RFC 8985; {_IP_SYSCTL}, tcp_recovery; commit 1c120191dcec, 6.17"
    value = int(found.sysctls[RECOVERY])
    if value & _TCP_LOSS_DETECTION:
        yield ParameterAdvice(name, "ok", "on", source)
        return
    if kernel >= _RACK_ALWAYS:
        yield ParameterAdvice(
            name, "ok", f"tcp_recovery {value}: without effect, this kernel knows no other detection", source
        )
        return
    cost = (
        f"a retransmission that is lost too waits for the timeout, at least RTT + {_LEAST_RTO_S} s{_timeout(target)}, "
        "and starts again from one segment; segments reordered by three places count as lost"
    )
    yield ParameterAdvice(name, "note", "off", source, cost, set_line(RECOVERY, value | _TCP_LOSS_DETECTION))


def _tail_loss(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    if EARLY_RETRANS not in found.sysctls:
        return
    name, source = "tail loss probes", f"RFC 8985, 7; {_IP_SYSCTL}, tcp_early_retrans"
    if found.sysctls[EARLY_RETRANS] != "0":
        yield ParameterAdvice(name, "ok", "on", source)
        return
    cost = f"the last segments of a response, when lost, wait for the timeout: at least RTT + {_LEAST_RTO_S} s"
    cost += f"{_timeout(target)} instead of about 2 RTT"
    yield ParameterAdvice(name, "note", "off", source, cost, set_line(EARLY_RETRANS, _DEFAULT_EARLY_RETRANS))


def _timeout(target: PathTarget | None) -> str:
    return f" = {format_seconds(target.rtt_s + _LEAST_RTO_S)}" if target else ""


JUDGES: tuple[Judge, ...] = (_sack, _timestamps, _dsack, _rack, _tail_loss)
