"""Say what TCP needs to fill a path, and set it if asked to.

Without --apply nothing is changed. --apply raises limits that are too small, and keeps what it found for --undo.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from offloadbench.base.errors import OK, UsageError
from offloadbench.base.units import format_rate, parse_rate_bits_per_s, parse_size_bytes, parse_time_s
from offloadbench.commands.typed import refuse_others

if TYPE_CHECKING:
    from offloadbench.analysis.tcp_tuning.needs import PathTarget
    from offloadbench.engine.tcp_tuning.apply import Change

_LEAST_BITS_PER_S, _LEAST_PROVEN_BITS_PER_S = 10**3, 10**6
# of what is counted, as much as the kernel's own types hold: initcwnd and MSS are 32 and 16 bits wide
_NUMBERS = {"initcwnd": 2**31 - 1, "mss": 65_535, "streams": 65_535}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--bandwidth and --rtt describe the path; --undo needs neither."""
    parser.add_argument("--bandwidth", metavar="RATE", help="of the path's bottleneck, as in 10gbit; 1kbit to 100tbit")
    parser.add_argument("--rtt", metavar="TIME", help="round trip time of the path, as in 40ms")
    parser.add_argument("--initcwnd", metavar="N", type=int, default=10, help="initial window, segments (default: 10)")
    parser.add_argument("--mss", metavar="B", type=int, default=1448, help="payload of a segment (default: 1448)")
    parser.add_argument(
        "--streams", metavar="N", type=int, default=1, help="parallel connections that share the path (default: 1)"
    )
    parser.add_argument(
        "--size", metavar="SIZE", default="64KiB", help="transfer to count round trips of (default: 64KiB)"
    )
    parser.add_argument(
        "--namespace", metavar="NS", help="network namespace to look at and to tune (default: this one)"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--apply", action="store_true", help="set the sysctls (root); values that are larger stay")
    action.add_argument("--undo", action="store_true", help="put back what --apply found (root)")
    action.add_argument(
        "--prove", action="store_true", help="run a stream on a lab link of this path, before and after (root)"
    )
    parser.add_argument(
        "--sysctl", metavar="NAME=VALUE", action="append", default=[], help="--prove: what the lab link begins with"
    )


def main(arguments: argparse.Namespace) -> int:
    from offloadbench.engine.tcp_tuning import apply as engine

    if arguments.undo:
        refuse_others(arguments, {"undo", "namespace"}, "--undo puts back what --apply found")
        if not engine.undo_applied(arguments.namespace, print):
            print("nothing to undo")
        return OK
    acts = "apply" if arguments.apply else "prove" if arguments.prove else ""
    if acts:
        page_only = {"initcwnd", "size"} | ({"streams"} if arguments.prove else set())
        told = page_only & arguments.typed
        refuse_others(
            arguments, arguments.typed - told, f"it is for the page that tune prints, which --{acts} does not"
        )
    if arguments.prove and arguments.namespace:
        raise UsageError("--prove has namespaces of its own", "leave --namespace out")
    target = _target(arguments)
    if arguments.sysctl and not arguments.prove:
        raise UsageError("--sysctl is what the lab link of --prove begins with", "add --prove, or leave it out")
    if arguments.prove and target.bandwidth_bits_per_s < _LEAST_PROVEN_BITS_PER_S:
        raise UsageError("--prove: such a link carries too few segments to measure", "use --bandwidth 1mbit or more")
    if arguments.prove:
        return _prove(target, arguments)
    if arguments.apply:
        _print_changes(engine.apply(target, arguments.namespace), arguments.format)
        return OK
    _print(target, arguments)
    return OK


def path_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """--bandwidth and --rtt as fields of `PathTarget`."""
    rtt_s = parse_time_s(arguments.rtt)
    if not 0 < rtt_s <= 60:
        raise UsageError(f"--rtt {arguments.rtt}: more than 0 and at most 60s", "for example: --rtt 40ms")
    return {"bandwidth_bits_per_s": parse_rate_bits_per_s(arguments.bandwidth, _LEAST_BITS_PER_S), "rtt_s": rtt_s}


def _target(arguments: argparse.Namespace) -> PathTarget:
    from offloadbench.engine.tcp_tuning.apply import target_here

    if not arguments.bandwidth or not arguments.rtt:
        raise UsageError("tune needs a path", "for example: offloadbench tune --bandwidth 10gbit --rtt 40ms")
    for name, most in _NUMBERS.items():
        if not 1 <= getattr(arguments, name) <= most:
            raise UsageError(f"--{name} {getattr(arguments, name)} is out of range", f"use 1 to {most}")
    return target_here(
        arguments.namespace,
        **path_arguments(arguments),
        initcwnd=arguments.initcwnd,
        mss_bytes=arguments.mss,
        streams=arguments.streams,
        size_bytes=parse_size_bytes(arguments.size),
    )


def _print_changes(changes: list[Change], form: str) -> None:
    from dataclasses import asdict

    if form == "json":
        print(json.dumps([asdict(change) for change in changes], indent=1))
    elif not changes:
        print("nothing to change: every value is large enough")
    for change in changes if form == "text" else ():
        print(f"{change.name}: {change.before} -> {change.after}")


def _prove(target: PathTarget, arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from offloadbench.base.setting_values import parse_sysctls
    from offloadbench.engine.progress_events import Event, Note
    from offloadbench.engine.tcp_tuning import prove

    def note(event: Event) -> None:
        if isinstance(event, Note):
            sys.stderr.write(f"{event.text}\n")

    proof = prove.prove(target, parse_sysctls(arguments.sysctl), note)
    if arguments.format == "json":
        print(json.dumps(asdict(proof), indent=1))
        return OK
    for end, changes in proof.changes.items():
        words = "; ".join(f"{change.name}: {change.before} -> {change.after}" for change in changes)
        print(f"{end}: {words or 'nothing to change: every value is large enough'}")
    for title, one in (("before", proof.before), ("after", proof.after)):
        share = one.payload_bits_per_s / one.bound.bits_per_s
        print(
            f"{title}: {format_rate(one.payload_bits_per_s)}; theory allows {format_rate(one.bound.bits_per_s)} "
            f"({one.bound.name}: {one.bound.formula}), of which that is {share:.0%}"
        )
    return OK


def _print(target: PathTarget, arguments: argparse.Namespace) -> None:
    from dataclasses import asdict

    from offloadbench.analysis.tcp_tuning import needs, tcp_tuning_page
    from offloadbench.engine.tcp_tuning.apply import present

    needed = needs.needs(target)
    wanted = needs.changes(needed, present(arguments.namespace))
    if arguments.format == "text":
        print(tcp_tuning_page.page(target, needed, wanted), end="")
        return
    commands = [*tcp_tuning_page.sysctl_lines(wanted), *tcp_tuning_page.route_lines(target)]
    document = {"path": asdict(target), "needs": asdict(needed), "sysctls": wanted, "commands": commands}
    print(json.dumps(document, indent=1))
