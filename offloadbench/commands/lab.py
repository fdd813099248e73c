"""The lab link by hand, for other tools: build it, run commands on either end, take it down."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any

from offloadbench.base.errors import OK, OffloadbenchError, UsageError
from offloadbench.base.setting import BENCH
from offloadbench.base.settings import chosen, in_words
from offloadbench.base.units import format_bytes
from offloadbench.commands.options import setting_options

if TYPE_CHECKING:
    from offloadbench.engine.standing_lab.bench import Bench, BenchEnd
    from offloadbench.model import WireDirection

_DEFAULT_NAME = "default"
_DEFAULT_SEED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`lab up`, `lab exec`, `lab status`, `lab down`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    up = actions.add_parser("up", help="build a bench and leave it standing")
    setting_options.add_arguments(up, BENCH)
    up.add_argument("--seed", metavar="N", type=int, help=f"of the random losses (default: {_DEFAULT_SEED})")
    run = actions.add_parser("exec", help="run a command on one end, on that end's CPUs; its exit code is ours")
    status = actions.add_parser("status", help="say which benches stand, and what their cables carried and dropped")
    down = actions.add_parser("down", help="take a bench down, with all that still runs on it")
    for action in (up, run, down):
        action.add_argument("--name", default=_DEFAULT_NAME, help=f"of the bench (default: {_DEFAULT_NAME})")
    status.add_argument("--name", help="of one bench (default: all)")
    run.add_argument("end", choices=("dut", "peer"), help="device under test, or load side")
    run.add_argument("words", metavar="-- COMMAND", nargs=argparse.REMAINDER, help="the command and its arguments")


def main(arguments: argparse.Namespace) -> int:
    from offloadbench.engine.standing_lab import bench

    if arguments.action == "up":
        print("\n".join(_description(bench.up(arguments.name, _settings(arguments)))))
    elif arguments.action == "exec":
        _exec(arguments)
    elif arguments.action == "down":
        bench.down(arguments.name, print)
        print(f"bench {arguments.name} is down")
    else:
        return _status([arguments.name] if arguments.name else bench.names())
    return OK


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    from offloadbench.model.emulated_link import link_part, with_link

    found = with_link(chosen(vars(arguments), BENCH))
    if arguments.seed is not None and not found["link"].loses:
        raise UsageError("--seed draws which segments are lost, and none is", "add --loss, or leave --seed out")
    return {
        **found,
        "link": link_part(found["link"]),
        "seed": _DEFAULT_SEED if arguments.seed is None else arguments.seed,
    }


def _description(bench: Bench) -> list[str]:
    return [
        f"bench {bench.name}: {', '.join(in_words(bench))}",
        _line("dut", bench.dut),
        _line("peer", bench.peer),
        *bench.notes,
    ]


def _line(name: str, end: BenchEnd) -> str:
    cpus = ",".join(map(str, end.cpus))
    return f"  {name:<5}{end.address}  NIC {end.ifname}  namespace {end.namespace}  CPU {cpus}"


def _status(names: list[str]) -> int:
    from offloadbench.engine.standing_lab import bench

    if not names:
        print("no bench stands")
    code = OK
    for name in names:
        try:
            found, wire = bench.status(name)
        except OffloadbenchError as error:
            sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
            code = error.exit_code
            continue
        print("\n".join(_description(found)))
        if wire:
            behind = "netem" if wire.behind_s is None else f"fell behind by {wire.behind_s:.3f} s"
            print(f"  since {wire.interval_s:.0f} s; {behind}")
            print(f"  to peer {_account(wire.to_peer)}")
            print(f"  to dut  {_account(wire.to_dut)}")
    return code


def _account(direction: WireDirection) -> str:
    return (
        f"{direction.segments} segments, {format_bytes(direction.l2_bytes)}; lost {direction.lost_segments}, "
        f"queue full {direction.overflow_segments}, no room at the receiver {direction.dropped}"
    )


def _exec(arguments: argparse.Namespace) -> None:
    """Become the command. Returns only by raising."""
    from offloadbench.engine import rights
    from offloadbench.engine.standing_lab import bench
    from offloadbench.kernel.system import capabilities, processes

    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        raise UsageError("lab exec: no command", "for example: offloadbench lab exec dut -- ping -c 3 198.18.0.2")
    if shutil.which(words[0]) is None:
        raise UsageError(f"lab exec: no command named {words[0]!r}", "see PATH")
    capabilities.require("lab exec", rights.NAMESPACES)
    found, _ = bench.status(arguments.name)
    end = found.dut if arguments.end == "dut" else found.peer
    os.sched_setaffinity(0, end.cpus)
    # what Python ignores, and this program handles, is not for the command to inherit
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    # `down` ends what still runs on the bench by this mark
    os.environ[processes.MARKER] = found.run_id
    # ip(8) also gives the command a /sys of that namespace, which setns(2) alone does not
    os.execvp("ip", ["ip", "netns", "exec", end.namespace, *words])  # noqa: S606 - no shell is wanted
