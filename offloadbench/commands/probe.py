"""Find out what a TCP sender does: `probe initcwnd` for its first flight.

Sources: a live server (--nic), a capture (--pcap), the model of 2.6.18 (--model, --vectors); --explain tells how TSO
and initcwnd interact.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offloadbench.base.errors import OK, UsageError
from offloadbench.base.setting import PROBE
from offloadbench.base.settings import of_command
from offloadbench.commands import endings, probe_live
from offloadbench.commands.typed import refuse_others

if TYPE_CHECKING:
    from offloadbench.analysis.initcwnd.scoring import FlowScore

_LIVE = (
    "server", "repeats", "output", "overwrite", "congestion_control", "cases", "patterns", "metrics", "response",
    *(setting.name for setting in of_command(PROBE)),
)  # fmt: skip
_SOCKET = (
    "tso", "mss", "timestamps", "cached_rtt", "writes", "nodelay", "cwnd_before", "idle", "fin", "route_rtt",
    "tso_win_divisor", "no_metrics_save",
)  # fmt: skip
# source -> what may be said beside it
_OPTIONS = {
    "nic": {"format", "initcwnd", "window", "sndbuf", *_LIVE},
    "pcap": {"format", "initcwnd"},
    "vectors": {"format"},
    "model": {"format", "initcwnd", "window", "sndbuf", *_SOCKET},
    "explain": {"output"},
}
_PAGES = (".html", ".htm")
_MODEL_WINDOW_BYTES, _MODEL_SNDBUF_BYTES = 65535, 16384


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subject so far."""
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    summary = "does a server honour its route's initial congestion window?"
    initcwnd = subjects.add_parser(
        "initcwnd",
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]} Live, in captures, and in a model of kernels 2.6.18 and "
        "2.6.18-el5.",
    )
    source = initcwnd.add_mutually_exclusive_group(required=True)
    source.add_argument("--nic", metavar="NIC", help="probe live (root): lab, lab-veth, or a NIC with --server")
    source.add_argument(
        "--pcap", metavar="FILE", help="judge every connection of a pcap or pcapng capture; - reads stdin"
    )
    source.add_argument("--vectors", metavar="FILE", type=Path, help="predict every vector of a JSON file, a line each")
    source.add_argument("--model", metavar="KERNEL", help="predict one flight: 2.6.18, 2.6.18-el5 or 2.6.18-274.el5")
    source.add_argument(
        "--explain",
        action="store_true",
        help="how TSO and initcwnd interact, and what real kernels did; with --output FILE.html as a page",
    )
    initcwnd.add_argument("--format", choices=("text", "json"), default="text", help="json: an object a line")
    initcwnd.add_argument(
        "--initcwnd",
        metavar="N",
        type=_numbers,
        default=[],
        help="--nic lab: the route's, or a comma list (default: 10). --pcap, --server: the window to compare with; "
        "without it nothing is judged (today's default is 10, RFC 6928). "
        "--model: the route's initcwnd; without it the route sets none",
    )
    model = initcwnd.add_argument_group("--model", "the socket and what its application writes")
    model.add_argument("--tso", choices=("on", "off"), default="on", help="default: on")
    model.add_argument("--mss", metavar="BYTES", type=_positive, default=1448, help="after options; default: 1448")
    model.add_argument("--timestamps", choices=("on", "off"), default="on", help="default: on")
    model.add_argument(
        "--cached-rtt", metavar="MS", type=float, default=0.0, help="in the route's metrics; default: none"
    )
    model.add_argument(
        "--window",
        metavar="BYTES",
        type=_positive,
        help="the client's; default: 65535, live twice what is expected, if that is more",
    )
    model.add_argument(
        "--sndbuf", metavar="BYTES", type=_positive, help="default: 16384; live: the kernel's own, else SO_SNDBUF"
    )
    model.add_argument(
        "--writes", metavar="LIST", type=_sizes, default=[100_000], help="100000 (default), or 2x7240,500"
    )
    model.add_argument("--nodelay", action="store_true", help="TCP_NODELAY")
    model.add_argument("--fin", action="store_true", help="the application closes after the last write")
    model.add_argument("--route-rtt", metavar="MS", type=float, default=0.0, help="rtt of the route; default: none")
    model.add_argument("--no-metrics-save", action="store_true", help="tcp_no_metrics_save 1: connections leave no RTT")
    model.add_argument("--tso-win-divisor", metavar="N", type=_count, default=3, help="tcp_tso_win_divisor; default: 3")
    model.add_argument("--cwnd-before", metavar="N", type=_positive, help="an old connection with this cwnd ...")
    model.add_argument("--idle", metavar="S", type=float, help="... that was silent for so long")
    probe_live.add_arguments(initcwnd)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _numbers(text: str) -> list[int]:
    return list(dict.fromkeys(_positive(part) for part in text.split(",")))


def _sizes(text: str) -> list[int]:
    sizes = []
    for part in text.split(","):
        times, _, size = part.rpartition("x")
        sizes += [_positive(size)] * (_positive(times) if times else 1)
    return sizes


def main(arguments: argparse.Namespace) -> int:
    source = next(name for name in _OPTIONS if getattr(arguments, name) not in (None, False))
    refuse_others(arguments, _OPTIONS[source] | {source}, f"it has nothing to do with --{source}")
    if arguments.vectors and arguments.typed & {"format"} and arguments.format == "text":
        raise UsageError("--format text: --vectors prints JSON, an object a line", "leave --format out")
    if arguments.nic is not None:
        return probe_live.main(arguments, arguments.initcwnd)
    if arguments.explain:
        _explain(arguments.output)
    elif arguments.pcap is not None:
        _capture(arguments)
    elif arguments.vectors is not None:
        _vectors(arguments.vectors)
    else:
        _model(arguments)
    return OK


def _explain(output: Path | None) -> None:
    """As text, or as a page with its plot; what stood there is overwritten, as it can always be made again."""
    if output is None:
        from offloadbench.analysis.initcwnd.story import explanation

        print(explanation(), end="")
        return
    endings.check(output, _PAGES)
    from offloadbench.report.formats import story_page

    try:
        output.write_text(story_page.page(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}", "choose another place") from error
    print(output)


def _window(arguments: argparse.Namespace) -> int | None:
    """--initcwnd where there can be only one."""
    if len(arguments.initcwnd) > 1:
        raise UsageError("--initcwnd: a list is for --nic lab", "give one number")
    return arguments.initcwnd[0] if arguments.initcwnd else None


def _line(data: dict[str, Any]) -> None:
    print(json.dumps(data))


def _vectors(path: Path) -> None:
    from offloadbench.analysis.initcwnd.prediction import predict
    from offloadbench.analysis.initcwnd.vectors import scenarios

    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    for given in scenarios(text):
        prediction = asdict(predict(given))
        del prediction["explanation"]
        _line(prediction)


def _model(arguments: argparse.Namespace) -> None:
    from offloadbench.analysis.initcwnd.prediction import predict
    from offloadbench.analysis.initcwnd.scenario import IdleRestart, Scenario

    if (arguments.cwnd_before is None) != (arguments.idle is None):
        raise UsageError("--cwnd-before and --idle belong together", "give both, or none for a new connection")
    if min(arguments.cached_rtt, arguments.route_rtt, arguments.idle or 0.0) < 0:
        raise UsageError("a time is negative")
    idle = None if arguments.idle is None else IdleRestart(cwnd_before=arguments.cwnd_before, idle_s=arguments.idle)
    prediction = predict(
        Scenario(
            kernel=arguments.model,
            tso=arguments.tso == "on",
            mss_bytes=arguments.mss,
            writes_bytes=arguments.writes,
            initcwnd=_window(arguments) or 0,
            cached_rtt_ms=arguments.cached_rtt,
            timestamps=arguments.timestamps == "on",
            rwnd_bytes=arguments.window or _MODEL_WINDOW_BYTES,
            sndbuf_bytes=arguments.sndbuf or _MODEL_SNDBUF_BYTES,
            nodelay=arguments.nodelay,
            fin=arguments.fin,
            route_rtt_ms=arguments.route_rtt,
            tcp_no_metrics_save=arguments.no_metrics_save,
            tcp_tso_win_divisor=arguments.tso_win_divisor,
            idle_restart=idle,
        )
    )
    if arguments.format == "json":
        _line(asdict(prediction))
        return
    print(f"first flight: {prediction.first_flight_segments} segments, {prediction.first_flight_bytes} bytes")
    for sentence in prediction.explanation:
        print(f"  {sentence}")


def _capture(arguments: argparse.Namespace) -> None:
    from offloadbench.analysis.capture.capture_file import CaptureFile
    from offloadbench.analysis.initcwnd.scoring import score_capture

    name = arguments.pcap
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as stream:
            capture = CaptureFile(stream)
            scored = score_capture(capture, _window(arguments))
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", error.hint) from error
    if capture.damage:
        sys.stderr.write(
            f"warning: {name} is damaged: {capture.damage}; the {capture.frames} frames before it are used\n"
        )
    for note in scored.notes:
        sys.stderr.write(f"note: {note}\n")
    if not scored.flows:
        sys.stderr.write("note: no TCP connection in the capture\n")
    for flow in scored.flows:
        if arguments.format == "json":
            _line(asdict(flow))
        else:
            print("\n".join(_flow_lines(flow)))


def _flow_lines(flow: FlowScore) -> list[str]:
    lines = [f"{flow.client} > {flow.server}: {flow.verdict}: {flow.reason}"]
    if flow.first_flight_segments is None:
        return lines
    frames = f"{flow.frames} frames, the largest {flow.max_frame_bytes} bytes"
    if flow.super_packets:
        frames += f" ({flow.super_packets} of several segments: their inner timing is unknown)"
    lines.append(
        f"  first flight: {flow.first_flight_segments} segments, {flow.first_flight_bytes} bytes in {frames}, "
        f"within {flow.spread_ms:.3f} ms"
    )
    if flow.rtt_ms is not None:
        lines.append(
            f"  capture side: {flow.side}; RTT {flow.rtt_ms:.3f} ms, MSS {flow.mss_bytes} bytes, "
            f"client's window {flow.window_bytes} bytes"
        )
    lines += [
        f"  after {burst.idle_s:.1f} s of silence: {burst.segments} segments in {burst.frames} frames: "
        f"{burst.verdict}: {burst.reason}"
        for burst in flow.bursts
    ]
    return lines
