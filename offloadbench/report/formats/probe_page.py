"""The report of probe files: verdicts, the first flights as pictures, what lies behind each doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd
from markupsafe import Markup

from offloadbench.analysis.initcwnd import live, probe_tables, verdict
from offloadbench.analysis.initcwnd.probe_tables import CASE_TITLES, ProbeSetting, RepeatVerdicts
from offloadbench.model import Probe
from offloadbench.report import machine
from offloadbench.report.cells import Badge, Cell, Head, Table, number
from offloadbench.report.compare_text import escape_markdown
from offloadbench.report.plot import Plot
from offloadbench.report.plots import style
from offloadbench.report.plots.first_flight import Steps, first_flight
from offloadbench.report.templates import content_hash, environment, own, script

_KINDS = {verdict.HONOURED: "good", verdict.IGNORED: "bad", verdict.EXCEEDED: "bad"}
_NONE_ASKED = "The server was only looked at: without a window to compare with there is no verdict."


def headline(probes: Sequence[Probe]) -> str:
    """The finding in one sentence; bursts after silence are told apart, since not every algorithm restarts."""
    table = probe_tables.flights(probes)
    first = table[table["pattern"] != live.IDLE]
    first = table if first.empty else first
    asked = sorted(int(value) for value in first["initcwnd"].dropna().unique())
    if not asked:
        return _NONE_ASKED
    words = Counter(first["verdict"])
    windows = " and ".join(filter(None, (", ".join(map(str, asked[:-1])), str(asked[-1]))))
    total = len(first)
    if words[verdict.HONOURED] == total:
        states = set(first["case"]) - {""}
        where = ", with TSO on and off" if {"tso"} < states else ""
        return f"The initial window of {windows} segments leaves as it was asked for{where}: all {total} first flights."
    parts = ", ".join(f"{count} {word}" for word, count in words.most_common())
    return f"Initial window of {windows} segments: of {total} first flights {parts}."


def idle_sentence(probes: Sequence[Probe]) -> str:
    """What bursts after silence did, where they did not keep to the window; "" otherwise."""
    table = probe_tables.flights(probes)
    idle = table[table["pattern"] == live.IDLE]
    exceeding = idle[idle["verdict"] == verdict.EXCEEDED]
    if exceeding.empty:
        return ""
    algorithms = " and ".join(sorted(set(exceeding["congestion_control"])))
    return f"After silence {len(exceeding)} of {len(idle)} bursts exceeded it, all under {algorithms}."


def _verdict_cell(found: RepeatVerdicts | None) -> Cell:
    if found is None:
        return Cell("")
    total = len(found.trials)
    badges = tuple(Badge(f"{word} {count}/{total}", _KINDS.get(word, "plain")) for word, count in found.words)
    return Cell(f"{found.seen} segments", str(found.segments[0][0]), badges)


def verdict_tables(probe: Probe) -> list[Table]:
    """One table a window and algorithm: how the server wrote against the state of its offloads."""
    cases = list(dict.fromkeys(trial.case for trial in probe.trials))
    heads = [Head("How it wrote"), *(Head(CASE_TITLES.get(case, case)) for case in cases)]
    made: dict[str, Table] = {}
    for setting, found in probe_tables.verdicts(probe).items():
        caption = probe_tables.heading(probe, setting)
        table = made.setdefault(caption, Table(caption, heads, []))
        table.rows.append([Cell(setting.title), *(_verdict_cell(found.get(case)) for case in cases)])
    return list(made.values())


def doubts(probe: Probe) -> list[tuple[str, str, str]]:
    """(where, reason, evidence) of every verdict that is not `honoured`."""
    return [
        (f"{probe_tables.heading(probe, setting)}; {setting.title}; {CASE_TITLES.get(case, case)}", found.reason,
         found.evidence)
        for setting, cases in probe_tables.verdicts(probe).items()
        for case, found in cases.items()
        if found.words != [(verdict.HONOURED, len(found.trials))]
    ]  # fmt: skip


def plots(probes: Sequence[Probe]) -> list[Plot]:
    """One picture a probe, algorithm and way of writing; nothing remembered where both were measured."""
    made: list[Plot] = []
    for probe in probes:
        groups: dict[tuple[str, str], dict[str, list[Steps]]] = {}
        titles: dict[tuple[str, str], ProbeSetting] = {}
        memories = dict.fromkeys(trial.metrics for trial in probe.trials)
        for trial in probe.trials:
            if trial.metrics != next(iter(memories)) or not trial.frames.t_us:
                continue
            key = trial.congestion_control, trial.pattern
            steps = Steps(trial.initcwnd, live.count(trial).steps)
            groups.setdefault(key, {}).setdefault(trial.case, []).append(steps)
            titles.setdefault(key, ProbeSetting(None, trial.congestion_control, trial.metrics, trial.pattern))
        for key, cases in groups.items():
            shown = [(CASE_TITLES.get(case, case), flights) for case, flights in cases.items()]
            where = ", ".join(filter(None, (probe.server, key[0], titles[key].title)))
            seen = "; ".join(
                f"{title}: " + ", ".join(str(count) for count in sorted({one.steps[-1][1] for one in flights}))
                for title, flights in shown
            )
            made.append(
                Plot(
                    len(made) + 1,
                    partial(first_flight, shown),
                    f"Segments of the first flight over time, {where}. {seen} segments",
                    f"{where}: each line is a flight, each point a frame, dashed what was asked for. A step of several "
                    "segments is a super-packet that no NIC has cut.",
                )
            )
    return made


_COLUMNS = {
    "repeat": "Repeat",
    "initcwnd": "Asked for",
    "all_segments": "Seen",
    "frames": "Frames",
    "largest_segments": "Largest",
    "spread_us": "Within µs",
    "cwnd_before_segments": "cwnd before",
    "unsent_bytes": "Unsent bytes",
    "window_bytes": "Window bytes",
    "repeated_us": "Repeated after µs",
}


def _flights(table: pd.DataFrame) -> Table:
    """One row a flight: what was asked for and seen, in segments where nothing else is said."""
    heads = [Head("Offloads"), Head("Algorithm"), Head("How it wrote"), Head("Verdict")]
    heads += [Head(title, True) for title in _COLUMNS.values()]
    rows = []
    for row in table.to_dict("records"):
        judged = str(row["verdict"])
        cells = [
            Cell(CASE_TITLES.get(str(row["case"]), str(row["case"]))),
            Cell(str(row["congestion_control"])),
            Cell(ProbeSetting(None, "", str(row["metrics"]), str(row["pattern"])).title),
            Cell("", judged, (Badge(judged, _KINDS.get(judged, "plain")),)),
        ]
        for name in _COLUMNS:
            value = float("nan") if pd.isna(row[name]) else float(row[name])
            cells.append(number(value, f"{value:.0f}"))
        rows.append(cells)
    return Table("Every flight", heads, rows)


def page(probes: Sequence[Probe], names: Sequence[str]) -> str:
    """The whole report as an HTML document that needs nothing but itself."""
    css = own("report.css")
    values = {
        "css": Markup(css),  # noqa: S704 our own file
        "css_hash": content_hash(css),
        "scripts": [script("report.js")],
        "names": list(names),
        "probes": list(probes),
        "headline": headline(probes),
        "idle": idle_sentence(probes),
        "plots": plots(probes),
        "tables": [table for probe in probes for table in verdict_tables(probe)],
        "doubts": [doubt for probe in probes for doubt in doubts(probe)],
        "notes": list(dict.fromkeys(note for probe in probes for note in probe.notes)),
        "flights": _flights(probe_tables.flights(probes)),
        "machines": [machine.of_probe(probe) for probe in probes],
    }
    with style.drawing():
        return environment().get_template("probe.html.j2").render(values)


def markdown(probes: Sequence[Probe]) -> str:
    """Headline, verdicts and doubts, without the pictures."""
    return "\n".join(_markdown(probes)) + "\n"


def _markdown(probes: Sequence[Probe]) -> Iterator[str]:
    yield from (f"# {escape_markdown(headline(probes))}", "", escape_markdown(idle_sentence(probes)), "")
    for probe in probes:
        for heading, rows, _ in probe_tables.tables(probe):
            yield from (f"### {escape_markdown(heading)}", "")
            yield "| " + " | ".join(escape_markdown(cell) for cell in rows[0]) + " |"
            yield "|" + "---|" * len(rows[0])
            yield from ("| " + " | ".join(escape_markdown(cell) for cell in row) + " |" for row in rows[1:])
            yield ""
        for where, reason, evidence in doubts(probe):
            yield f"- {escape_markdown(where)}: {escape_markdown(reason)} ({escape_markdown(evidence)})"
        yield from (f"- {escape_markdown(note)}" for note in probe.notes)
        yield ""
