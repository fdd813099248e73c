"""A report as GitHub-flavoured Markdown: findings, what changed, effects, tables and caveats, without the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from offloadbench.analysis import caveats
from offloadbench.analysis.findings import Finding
from offloadbench.report import limit_views, views
from offloadbench.report.comparison import escape_markdown
from offloadbench.report.contents import Contents
from offloadbench.report.svg import printable
from offloadbench.report.views import Cell, Table


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
    yield from (f"### {escape_markdown(where + finding.title)}", "", escape_markdown(finding.sentence), "")
    yield escape_markdown(f"{finding.sources} Basis: {finding.basis}.".lstrip())
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


def _section(title: str, sentences: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {_prose(text)}" for text in sentences), ""] if sentences else []


def render(found: Contents) -> str:
    """The whole report."""
    results = found.results
    benches = ", ".join(dict.fromkeys(results.benches.values()))
    lines = [f"# offloadbench: {escape_markdown(benches)}", "", f"From {escape_markdown(', '.join(found.names))}.", ""]
    lines += ["## Findings", ""]
    for finding in (*found.headlines, *found.others):
        lines += _finding(finding, several=found.several)
    if not found.headlines:
        lines += ["No two cases can be compared here.", ""]
    changes = [f"{one.where}: {text}" for one in found.changes for text in one.sentences]
    lines += _section("What changed between the runs", [*found.remarks, *changes])
    effects = [text for one in found.effects for text in one.sentences]
    lines += _section("What each offload does by itself", [*effects, *found.effect_problems])
    limits = [f"{verdict.title}: {verdict.sentence}" for verdict in limit_views.verdicts(results)]
    lines += _section("Why the sender waits", limits)
    lines += ["## Tables", ""]
    proofs = views.proofs(results)
    for one in (
        views.trials(results),
        *([proofs] if proofs.rows else []),
        *views.modules(results, found.profile.floors),
    ):
        lines += table(one)
    lines += _section("Caveats", [caveat.text for caveat in caveats.collect(results)])
    return "\n".join(printable(line) for line in lines).rstrip() + "\n"
