"""`probe initcwnd --nic`: the live probe's options, and how its verdicts are printed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from offloadbench.base.errors import OK, UsageError
from offloadbench.base.setting import PROBE
from offloadbench.base.settings import chosen, of_command
from offloadbench.base.units import parse_size_bytes
from offloadbench.commands import endings
from offloadbench.commands.options import setting_options

if TYPE_CHECKING:
    from offloadbench.engine.probe.probe_lab import Matrix
    from offloadbench.engine.progress_events import Event
    from offloadbench.model import FlightTrial, Probe

_LABS = ("lab", "lab-veth")
_DEFAULT_INITCWND = 10
Word = TypeVar("Word", bound=str)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is varied in the lab, and what provokes each limit."""
    live = parser.add_argument_group("--nic", "a live probe: it acknowledges nothing until the server repeats itself")
    live.add_argument(
        "--server", metavar="HOST[:PORT]|URL", help="observe this HTTP or FTP server (http://..., ftp://USER:PW@...)"
    )
    live.add_argument("--repeats", metavar="N", type=int, default=5, help="default: 5")
    live.add_argument(
        "--output", metavar="FILE", type=Path, help="write a probe file, for report and export; with --explain a page"
    )
    live.add_argument("--overwrite", action="store_true", help="overwrite --output")
    setting_options.add_arguments(live, PROBE)
    live.add_argument("--congestion-control", metavar="LIST", help="of the lab's server (default: cubic)")
    live.add_argument("--cases", metavar="LIST", help="of tso, gso, csum (default: all): the server's offloads")
    live.add_argument(
        "--patterns",
        metavar="LIST",
        help="of one, two, five, exact, idle (default: all): how the server writes; at --initcwnd 10: 14 segments in "
        "one write, 2 x 7, 5 x 2, exactly 10, and a burst after silence",
    )
    live.add_argument("--metrics", metavar="LIST", help="of cold, warm (default: both): what TCP remembers of us")
    live.add_argument("--response", metavar="SIZE", help="one write of this size, instead of --patterns")


def main(arguments: argparse.Namespace, initcwnds: Sequence[int]) -> int:
    """Probe, print, and write the file."""
    from offloadbench.files import probe_file

    output = arguments.output
    if arguments.repeats < 1:
        raise UsageError(f"--repeats {arguments.repeats} is too small", "use at least 1")
    endings.check(output, endings.DOCUMENTS)
    if output is not None and output.exists() and not arguments.overwrite:
        raise UsageError(f"{output} exists", "choose another --output, or add --overwrite")
    if output is not None and not output.absolute().parent.is_dir():
        raise UsageError(f"{output.parent}: no such folder", "choose another --output")
    probe = _in_the_lab(arguments, initcwnds) if arguments.nic in _LABS else _from_outside(arguments, initcwnds)
    if arguments.format == "json":
        _print_json(probe)
    else:
        print("\n".join(lines(probe)))
    if output is not None:
        probe_file.save(probe, output)
        sys.stderr.write(f"result: {output}\nnext: offloadbench report {output} --output report.html\n")
    return OK


def _in_the_lab(arguments: argparse.Namespace, initcwnds: Sequence[int]) -> Probe:
    from offloadbench.engine.options import RunOptions
    from offloadbench.engine.probe import probe_session
    from offloadbench.model.emulated_link import with_link

    if arguments.server:
        raise UsageError("--server: the lab has a server of its own", "give --nic NIC for another")
    setting_options.refuse_lacking(arguments, PROBE, arguments.nic, "")
    options = RunOptions(
        nic=arguments.nic,
        cases="",
        workloads=[],
        output=Path(),
        profile=False,
        command=["offloadbench", *sys.argv[1:]],
        **with_link(chosen(vars(arguments), PROBE)),
    )
    return probe_session.in_the_lab(options, _matrix(arguments, initcwnds), _show, _note)


def _matrix(arguments: argparse.Namespace, initcwnds: Sequence[int]) -> Matrix:
    from offloadbench.engine.probe.probe_lab import CASES, PATTERNS, Matrix

    if arguments.response and arguments.patterns:
        raise UsageError("--response is a pattern of its own", "leave --patterns out")
    response_bytes = parse_size_bytes(arguments.response) if arguments.response else 0
    if arguments.response and not response_bytes:
        raise UsageError("--response 0: a server that says nothing shows nothing", "for example: --response 4000")
    # with a limit that is provoked, one write shows it
    provoked = arguments.window or arguments.sndbuf
    patterns = ("given",) if response_bytes else ("one",) if provoked else PATTERNS
    return Matrix(
        initcwnds=tuple(initcwnds or [_DEFAULT_INITCWND]),
        congestion_controls=tuple(_words(arguments.congestion_control or "cubic", "--congestion-control")),
        cases=_chosen(arguments.cases, "--cases", CASES) or CASES,
        patterns=_chosen(arguments.patterns, "--patterns", PATTERNS) or patterns,
        metrics=_chosen(arguments.metrics, "--metrics", ("cold", "warm")) or ("cold", "warm"),
        repeats=arguments.repeats,
        window_bytes=arguments.window or 0,
        response_bytes=response_bytes,
        sndbuf_bytes=arguments.sndbuf or 0,
    )


def _words(text: str, option: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UsageError(f"{option} names nothing", "see probe initcwnd --help")
    return list(dict.fromkeys(words))


def _chosen(text: str | None, option: str, known: tuple[Word, ...]) -> tuple[Word, ...]:
    if text is None:
        return ()
    words = _words(text, option)
    unknown = [word for word in words if word not in known]
    if unknown:
        raise UsageError(f"{option} {unknown[0]}: not one of {', '.join(known)}", f"{option} {','.join(known)}")
    return tuple(word for word in known if word in words)


def _from_outside(arguments: argparse.Namespace, initcwnds: Sequence[int]) -> Probe:
    from offloadbench.engine.probe import probe_session, remote

    lab_only = (
        *(setting.name for setting in of_command(PROBE)),
        "congestion_control",
        "cases",
        "patterns",
        "metrics",
        "response",
        "sndbuf",
    )
    given = [name for name in lab_only if getattr(arguments, name)]
    if given:
        raise UsageError(
            f"--{given[0].replace('_', '-')}: a server that is not ours is only observed",
            "use --nic lab, or leave it out",
        )
    if not arguments.server:
        raise UsageError(
            f"--nic {arguments.nic} needs a server to observe", "add --server HOST[:PORT], or use --nic lab"
        )
    if len(initcwnds) > 1:
        raise UsageError("--initcwnd: a foreign server has one window", "give one number, or none")
    expected = initcwnds[0] if initcwnds else None
    return probe_session.from_outside(
        arguments.nic,
        remote.target(arguments.server),
        initcwnd=expected,
        repeats=arguments.repeats,
        window_bytes=arguments.window or 0,
        seen=_show,
        emit=_note,
        command=["offloadbench", *sys.argv[1:]],
    )


def _note(event: Event) -> None:
    from offloadbench.engine.progress_events import Note

    if isinstance(event, Note):
        sys.stderr.write(f"{event.text}\n")


def _show(trial: FlightTrial, number: int, total: int) -> None:
    """One line a block of repeats; on a terminal one that counts."""
    if sys.stderr.isatty():
        end = "\n" if number == total else "\r"
        sys.stderr.write(f"flight {number} of {total}, repeat {trial.repeat}{end}")
        sys.stderr.flush()
    elif number == total or number % max(1, total // 5) == 0:
        sys.stderr.write(f"flight {number} of {total}\n")


def _print_json(probe: Probe) -> None:
    from offloadbench.analysis.initcwnd import probe_tables

    for row in json.loads(probe_tables.flights([probe]).to_json(orient="records")):
        print(json.dumps(row))


def lines(probe: Probe) -> list[str]:
    """Tables of verdicts, patterns against offloads, and the reason of every verdict that is not `honoured`."""
    from offloadbench.analysis.initcwnd import probe_tables

    told = [f"note: {note}" for note in probe.notes]
    reasons: list[str] = []
    for heading, table, doubts in probe_tables.tables(probe):
        told.append(heading)
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
        told += [
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        reasons += doubts
    return [*told, *reasons]
