"""A report as GitHub-flavoured Markdown: all that the HTML page says and tabulates, without the pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from offloadbench.analysis.findings.findings import Finding
from offloadbench.report.cells import Cell, Table
from offloadbench.report.compare_text import escape_markdown
from offloadbench.report.contents import written
from offloadbench.report.machine import TermGroup
from offloadbench.report.material import Material
from offloadbench.report.section import (
    Block,
    Bullet,
    Bullets,
    CaseVerdict,
    Findings,
    NoFinding,
    Paragraph,
    ReportAnswer,
    RowsFrom,
    SenderLimits,
    Subheading,
    WrittenSection,
)
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
    """The table with its caption above; nothing without rows."""
    if not found.rows:
        return []
    heads = [escape_markdown(head.label) for head in found.heads]
    lines = [f"**{escape_markdown(found.caption)}**", "", f"| {' | '.join(heads)} |"]
    lines.append("|" + "|".join("--:" if head.numeric else "---" for head in found.heads) + "|")
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in found.rows]
    return [*lines, ""]


def _limit(verdict: CaseVerdict) -> str:
    first = verdict.first
    again = f" {verdict.again[0].upper()}{verdict.again[1:]}." if verdict.again else ""
    return f"{first.title}: {first.sentence} Evidence: {first.evidence}.{again}"


def _items(block: Bullets | SenderLimits) -> list[str]:
    if isinstance(block, SenderLimits):
        return [_limit(verdict) for verdict in block.found]
    about = f"{block.of}: " if block.of else ""
    return [about + _bullet(bullet) for bullet in block.bullets]


def _bullet(bullet: Bullet) -> str:
    return f"{bullet.name}: {bullet.text}" if bullet.name else bullet.text


def _rest(bullet: Bullet) -> list[str]:
    """What an answer rests on."""
    return [line for text in bullet.more for line in (_prose(text), "")]


def _terms(group: TermGroup) -> list[str]:
    """Terms and texts under their title."""
    if not group.items:
        return []
    lines = [f"- {escape_markdown(f'{term}: {text or chr(0x2013)}')}" for term, text in group.items]
    return [f"**{escape_markdown(group.title)}**", "", *lines, ""]


_BLOCKS: dict[type[Block], Callable[[Any], list[str]]] = {
    ReportAnswer: lambda block: [
        line for one in block.told for line in (f"**{_prose(_bullet(one))}**", "", *_rest(one))
    ],
    Paragraph: lambda block: [_prose(block.text), ""],
    Findings: lambda block: [line for one in block.found for line in _finding(one, several=block.several)],
    NoFinding: lambda block: [_prose(block.text), "", _prose(block.reason), ""],
    Subheading: lambda block: [f"### {escape_markdown(block.text)}", ""],
    RowsFrom: lambda block: [f"Rows: `{block.command}`", ""],
    Table: table,
    TermGroup: _terms,
}


def _section(found: WrittenSection) -> list[str]:
    """Nothing where it has pictures only."""
    lines: list[str] = []
    listing = False
    for block in found.blocks:
        if isinstance(block, Bullets | SenderLimits):
            lines += [f"- {_prose(text)}" for text in _items(block)]
            listing = True
            continue
        others = _BLOCKS[type(block)](block) if type(block) in _BLOCKS else []
        lines += ["", *others] if others and listing else others
        listing = listing and not others
    if not lines:
        return []
    names = ", ".join(f"`offloadbench export --table {name}`" for name in found.rows)
    rows = [f"Rows: {names}", ""] if names else []
    return [f"## {found.section.title}", "", *rows, *lines, *([""] if listing else [])]


def render(material: Material) -> str:
    """The whole report."""
    benches = ", ".join(dict.fromkeys(material.results.benches.values()))
    lines = [
        f"# offloadbench: {escape_markdown(benches)}",
        "",
        f"From {escape_markdown(', '.join(material.names))}.",
        "",
        *(line for one in written(material) for line in _section(one)),
    ]
    return "\n".join(printable(line) for line in lines).rstrip() + "\n"
