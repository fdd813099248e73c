"""A report as GitHub-flavoured Markdown: all that the HTML page says and tabulates, without the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from offloadbench.analysis.findings.findings import Finding
from offloadbench.report.compare_text import escape_markdown
from offloadbench.report.contents import ROWS, Contents, Material
from offloadbench.report.sections import machine, table_views
from offloadbench.report.sections.limit_views import CaseVerdict
from offloadbench.report.sections.machine import TermGroup
from offloadbench.report.sections.table_views import Cell, Table
from offloadbench.report.svg import printable


def _prose(text: str) -> str:
    """A sentence whose parts between backticks are code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape_markdown(text)
    return "".join(f"`{part}`" if at % 2 else escape_markdown(part) for at, part in enumerate(parts)).replace("\n", " ")


def _fence(text: str) -> list[str]:
    """A block of code; the lines are indented, which no text in them can end."""
    return ["", *(f"    {line}".rstrip() for line in text.splitlines()), ""]


def _finding(finding: Finding, *, several: bool) -> Iterator[str]:
    where = f"{finding.nic}, {finding.workload}: " if several else ""
    yield from (f"### {escape_markdown(where + finding.title)}", "", _prose(finding.sentence), "")
    yield _prose(f"{finding.sources} Basis: {finding.basis}.".lstrip())
    if finding.command:
        yield from _fence(finding.command)
        for recipe in finding.recipes:
            yield from (
                f"How to make it last with {escape_markdown(recipe.title)}:",
                *_fence(recipe.text),
                _prose(recipe.note),
            )
            yield ""
    else:
        yield ""


def _cell(cell: Cell) -> str:
    badges = " ".join(badge.text for badge in cell.badges)
    return escape_markdown(f"{cell.text} {badges}".strip())


def table(found: Table) -> list[str]:
    """The table with its caption above."""
    heads = [escape_markdown(head.label) for head in found.heads]
    lines = [f"**{escape_markdown(found.caption)}**", "", f"| {' | '.join(heads)} |"]
    lines.append("|" + "|".join("--:" if head.numeric else "---" for head in found.heads) + "|")
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in found.rows]
    return [*lines, ""]


def _rows(section: str) -> list[str]:
    return [f"Rows: {', '.join(f'`offloadbench export --table {name}`' for name in ROWS[section])}", ""]


def _section(title: str, sentences: Sequence[str], section: str = "") -> list[str]:
    """Nothing where there is nothing to say."""
    if not sentences:
        return []
    return [f"## {title}", "", *(_rows(section) if section else []), *(f"- {_prose(text)}" for text in sentences), ""]


def _tables(title: str, found: Sequence[Table], section: str, sentences: Sequence[str] = ()) -> list[str]:
    shown = [line for one in found if one.rows for line in table(one)]
    if not shown and not sentences:
        return []
    return [f"## {title}", "", *_rows(section), *(line for text in sentences for line in (_prose(text), "")), *shown]


def _groups(groups: Sequence[TermGroup]) -> Iterator[str]:
    """Terms and texts, each group under its title."""
    for group in groups:
        if group.items:
            yield from (f"**{escape_markdown(group.title)}**", "")
            yield from (f"- {escape_markdown(f'{term}: {text or chr(0x2013)}')}" for term, text in group.items)
            yield ""


def _methods(found: Contents) -> Iterator[str]:
    yield from ("## Methods and machine", "")
    for run in found.results.runs:
        where = f"{found.results.benches[run.run_id]}, run {run.run_id}, {run.created_utc}"
        yield from (f"### {escape_markdown(where)}", "")
        yield from _groups([machine.methods(run), *machine.machine(run)])


def _findings(found: Contents) -> Iterator[str]:
    yield from ("## Findings", "", *_rows("findings"))
    for finding in (*found.headlines, *found.others):
        yield from _finding(finding, several=found.several)
    if not found.headlines:
        yield from ("No two cases can be compared here.", "")


def _changes(found: Contents) -> list[str]:
    sentences = [f"{one.where}: {text}" for one in found.changes for text in one.sentences]
    return _section("What changed between the runs", [*found.remarks, *sentences])


def _limit(verdict: CaseVerdict) -> str:
    first = verdict.first
    again = f" {verdict.again[0].upper()}{verdict.again[1:]}." if verdict.again else ""
    return f"{first.title}: {first.sentence} Evidence: {first.evidence}.{again}"


def render(material: Material) -> str:
    """The whole report."""
    found = material.contents
    results = found.results
    benches = ", ".join(dict.fromkeys(results.benches.values()))
    effects = [text for one in found.effects for text in one.sentences]
    sure = [f"{case}: {sentence}" for _, told in found.plots.confidence for case, sentence in told]
    sure += [found.counted] if found.counted else []
    limits = [_limit(verdict) for verdict in found.limits]
    attributed = [f"Attributed by the profile `{found.profile.name}`: {found.profile.title}."] if found.modules else []
    work = [*found.foreign, *found.single_cpus]
    lines = [
        f"# offloadbench: {escape_markdown(benches)}",
        "",
        f"From {escape_markdown(', '.join(found.names))}.",
        "",
        *_findings(found),
        *_changes(found),
        *_section("What each offload does by itself", [*effects, *found.effect_problems], "effects"),
        *_section("How sure is this picture", sure, "sure"),
        *_section("Why the sender waits", limits, "limits"),
        *(table(found.theory) if found.theory.rows else []),
        *_tables("What was proven, and what not", [table_views.proofs(results), *found.features], "proven"),
        *_tables("Trials", [table_views.trials(results)], "trials"),
        *_tables("Modules", found.modules, "modules", attributed),
        *_tables("Processes and CPUs", [*found.processes, *found.cpus], "processes", work),
        *_section("Caveats", [caveat.text for caveat in found.caveats], "caveats"),
        *_methods(found),
    ]
    return "\n".join(printable(line) for line in lines).rstrip() + "\n"
