"""Watch the TCP connections of any sender on this machine, and say what limits it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offloadbench.base.errors import INTERRUPTED, OK, UsageError
from offloadbench.base.units import format_rate, parse_duration_s, parse_rate_bits_per_s, parse_time_s
from offloadbench.commands import endings

if TYPE_CHECKING:
    from offloadbench.analysis.sender.diagnosis import Diagnosis
    from offloadbench.engine.sender.sender_watch import WatchResult
    from offloadbench.model import TcpTrace
    from offloadbench.roles.messages import TcpGlance

_PERIOD_MIN_US = 200
_SHOWN = 8
_SUFFIXES = (".json", ".csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Root is needed to enter a namespace, for real-time priority, and for --waits; not to watch."""
    parser.add_argument("--namespace", metavar="NS", help="network namespace of the sender (default: this one)")
    parser.add_argument("--local-port", metavar="P", type=int, default=0, help="only connections from this port")
    parser.add_argument("--remote", metavar="ADDR[:PORT]", help="only connections to this address")
    parser.add_argument("--period", metavar="TIME", default="1ms", help="time from reading to reading (default: 1ms)")
    parser.add_argument(
        "--duration",
        metavar="TIME",
        type=parse_duration_s,
        default=10.0,
        help="5, 30s, 1m (default: 10); Ctrl-C ends it",
    )
    parser.add_argument("--line-rate", metavar="RATE", help="of the link, so that a full link is known for certain")
    parser.add_argument("--waits", action="store_true", help="also record where the sender waits (perf, root)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="also write every reading: .json or .csv")


def main(arguments: argparse.Namespace) -> int:
    from offloadbench.analysis.sender.diagnosis import diagnose
    from offloadbench.analysis.sender.send_queue import queue
    from offloadbench.engine.sender import sender_watch as engine
    from offloadbench.engine.sender.monitor import Watched

    period_us = round(parse_time_s(arguments.period) * 1e6)
    if period_us < _PERIOD_MIN_US:
        raise UsageError(f"--period {arguments.period} is too short", f"use at least {_PERIOD_MIN_US}us")
    if not arguments.duration > 0:
        raise UsageError(f"--duration {arguments.duration:g} is too short", "use at least 1")
    endings.check(arguments.output, _SUFFIXES)
    address, port = _remote(arguments.remote or "")
    options = engine.WatchOptions(
        watched=Watched(local_port=arguments.local_port, remote_address=address, remote_port=port),
        namespace=arguments.namespace,
        period_us=period_us,
        duration_s=arguments.duration,
        waits=arguments.waits,
    )
    from offloadbench.commands import progress

    live = _LiveLine(sys.stderr.isatty())
    try:
        seen = engine.watch(options, live.show, lambda trace: queue(trace).change("sent_bytes"))
    finally:
        live.clear()
    facts = {"line_rate_bits_per_s": parse_rate_bits_per_s(arguments.line_rate)} if arguments.line_rate else {}
    verdict = diagnose(_sharing(seen.traces), facts, cpu_busy_ratio=seen.cpu_busy_ratio, waited=seen.waited)
    print("\n".join(progress.wrapped(_report(seen, verdict), sys.stdout)))
    if arguments.output:
        _write(arguments.output, seen, verdict)
        print(f"readings: {arguments.output}")
    return INTERRUPTED if seen.interrupted else OK


def _sharing(traces: Sequence[TcpTrace]) -> list[TcpTrace]:
    """The connection that sent most, and those that leave from the same address: they share its link."""
    address = _local_address(traces[0])
    return [trace for trace in traces if _local_address(trace) == address]


def _local_address(trace: TcpTrace) -> str:
    return trace.connection.partition(" > ")[0].rpartition(":")[0]


def _remote(text: str) -> tuple[str, int]:
    """`198.18.0.2`, `198.18.0.2:3260`, `[fd00::2]:3260`, `fd00::2` as (address, port); port 0 means any."""
    import ipaddress

    if not text:
        return "", 0
    address, colon, port = text.rpartition(":")
    if not colon or (":" in address and not text.startswith("[")) or text.endswith("]"):
        address, port = text, "0"
    try:
        return str(ipaddress.ip_address(address.strip("[]"))), int(port)
    except ValueError as error:
        raise UsageError(f"--remote {text}: {error}", "write an IP address: 198.18.0.2:3260, [fd00::2]:3260") from error


class _LiveLine:
    """One line that is written again every second, on a terminal only."""

    def __init__(self, on: bool) -> None:
        self._on = on
        self._before: dict[str, int] = {}
        self._before_s = 0.0

    def show(self, t_s: float, glances: Sequence[TcpGlance]) -> None:
        acked = {one.connection: one.values["acked_bytes"] for one in glances}
        rates = {name: value - self._before.get(name, value) for name, value in acked.items()}
        interval_s, self._before_s = t_s - self._before_s, t_s
        self._before = acked
        if not self._on or not glances:
            return
        from offloadbench.commands import progress

        name, busiest = max(((one.connection, one.values) for one in glances), key=lambda one: rates[one[0]])
        rate = format_rate(rates[name] * 8 / interval_s)
        parts = [
            f"{t_s:3.0f} s",
            name + (f" (+{len(glances) - 1})" if len(glances) > 1 else ""),
            rate,
            f"queue {busiest['wmem_queued_bytes'] / 1024:.0f} of {busiest['sndbuf_bytes'] / 1024:.0f} KiB",
            f"cwnd {busiest['snd_cwnd_segments']}",
            f"srtt {busiest['srtt_us'] / 1e3:.1f} ms",
            f"unsent {busiest['notsent_bytes'] / 1024:.0f} KiB",
        ]
        # no wider than the terminal, or the line would not be overwritten
        sys.stderr.write(f"\r\x1b[K{progress.fitting(parts, _columns() - 1)}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._on:
            sys.stderr.write("\r\x1b[K")


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _report(seen: WatchResult, verdict: Diagnosis) -> list[str]:
    from offloadbench.analysis.sender import missed_ticks
    from offloadbench.analysis.sender.send_queue import queue

    lines = []
    for trace in seen.traces[:_SHOWN]:
        one = queue(trace)
        lines.append(
            f"{trace.connection}  {trace.congestion_control}  {format_rate(one.goodput_bits_per_s)}  "
            f"{trace.ticks_taken} of {trace.ticks_due} readings"
        )
    others = len(seen.traces) - len(seen.traces[:_SHOWN])
    more = [f"{others} more that sent less"] if others else []
    more += [f"{seen.silent} that sent nothing"] if seen.silent else []
    lines += [f"and {', '.join(more)}"] if more else []
    lines += ["", verdict.sentence]
    lines += [f"  {line}" for line in verdict.evidence]
    if seen.waited:
        lines += ["", *_waits(seen)]
    cost = seen.traces[0].cpu_s / seen.traces[0].window_s
    notes = [*seen.problems, *missed_ticks.warnings(seen.traces)]
    lines += ["", f"watching took {cost:.1%} of a CPU", *(f"note: {note}" for note in notes)]
    return lines


def _waits(seen: WatchResult) -> list[str]:
    from offloadbench.analysis.sender import wait_tables

    assert seen.waited is not None
    threads = len(seen.waited.threads)
    return [
        f"waits of {threads} thread{'s' if threads > 1 else ''}:",
        *(
            f"  {wait.count:>6} x {wait.median_s * 1e3:.2f} ms (median), {wait.total_s:.2f} s in all: "
            f"{' > '.join(wait.chain)}"
            for wait in wait_tables.summary(seen.waited)[:_SHOWN]
        ),
    ]


def _write(path: Path, seen: WatchResult, verdict: Diagnosis) -> None:
    try:
        if path.suffix == ".csv":
            path.write_text(_csv(seen.traces))
        else:
            path.write_text(json.dumps(_document(seen, verdict), indent=1))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "choose another --output") from error


def _csv(traces: list[TcpTrace]) -> str:
    import pandas as pd

    from offloadbench.files.packed_columns import unpack_tcp

    tables = []
    for trace in traces:
        columns: Mapping[str, Any] = {"connection": trace.connection} | dict(unpack_tcp(trace))
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables).to_csv(index=False)


def _document(seen: WatchResult, verdict: Diagnosis) -> dict[str, Any]:
    import msgspec

    return {
        "format": "offloadbench-watch",
        "format_version": 1,
        "limit": verdict.limit,
        "sentence": verdict.sentence,
        "evidence": verdict.evidence,
        "tcp": msgspec.to_builtins(seen.traces),
        "waits": msgspec.to_builtins(seen.waited),
    }
