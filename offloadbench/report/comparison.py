"""A comparison as text: for people (table, markdown), programs (json, csv) and CI (junit, github)."""

from __future__ import annotations

import csv
import io
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from offloadbench.analysis.compare import ALL_CASES, Comparison, Row
from offloadbench.analysis.family import CHANGED, INDICATION, TOO_FEW, Judgement, cells
from offloadbench.analysis.gate import OPEN, REGRESSED, Outcome
from offloadbench.units import format_change, format_rate

_TITLES = {
    "throughput_bits_per_s": "throughput",
    "goodput_bits_per_s": "goodput",
    "cpu_s_per_gb": "CPU s per GB",
    "cpu_busy_ratio": "CPU busy",
    "value_per_byte": "per byte",
}
_UNITS = {"kernel_cpu_time_ns": "ns", "instructions": "instructions", "cycles": "cycles"}
_TIMES_FROM = 3.0
# XML 1.0 cannot carry the others at all
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A comparison with its gates, and what is said of each side."""

    comparison: Comparison
    outcomes: list[Outcome] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    def of(self, row: Row) -> list[Outcome]:
        """The gates at a row."""
        return [outcome for outcome in self.outcomes if outcome.row is row]


def _figure(value: float, metric: str, quantity: str = "") -> str:
    if metric.endswith("_bits_per_s"):
        return format_rate(value)
    if metric.endswith("_ratio"):
        return f"{value:.1%}"
    return f"{value:.4f} {_UNITS.get(quantity, quantity)}" if quantity else f"{value:.3f}"


def _change(row: Row) -> str:
    ratio, _, _ = row.judgement.ratios()
    return "new" if math.isnan(ratio) else _ratio(ratio)


def _interval(row: Row) -> str:
    _, low, high = row.judgement.ratios()
    if math.isnan(row.judgement.estimate.standard_error):
        return "no interval"
    # a ratio below zero is none: what was taken without logarithms is told in its unit
    if math.isnan(low) or low < 0:
        _, low, high = row.judgement.differences()
        return f"{low:+.3g} to {high:+.3g} {_UNITS.get(row.question.quantity, row.question.quantity)}".rstrip()
    return f"{_ratio(low)} to {_ratio(high)}"


def _ratio(ratio: float) -> str:
    """In percent, or in times where that would be many hundreds."""
    return f"x{ratio:.3g}" if ratio >= _TIMES_FROM else f"{ratio - 1:+.1%}"


def words(judgement: Judgement) -> str:
    """The verdict as a person reads it."""
    if judgement.verdict == CHANGED:
        return f"changed, p {judgement.p_holm:.2g}"
    if judgement.verdict == INDICATION:
        return "indication from one trial a side, no verdict"
    if judgement.verdict == TOO_FEW:
        few = min(judgement.estimate.trials_a, judgement.estimate.trials_b)
        return f"too few: {few}, at least {judgement.trials_needed} repeats a side"
    return f"~ no change shown; would have shown {format_change(judgement.detectable_change)}"


def _gate_words(outcomes: Sequence[Outcome]) -> str:
    return "; ".join(f"{outcome.state}: {outcome.gate}" for outcome in outcomes)


def _label(row: Row) -> str:
    question = row.question
    return question.module or _TITLES.get(question.metric, question.metric)


def _legend(comparison: Comparison) -> str:
    methods = sorted({row.judgement.estimate.method for row in comparison.rows})
    families = [sum(r.question.workload == w for r in comparison.rows) for w in _workloads(comparison)]
    size = ", ".join(map(str, dict.fromkeys(families)))
    return (
        f"{'; '.join(methods)}; Holm over {size} tests a workload. An interval is taken at the confidence at which its "
        "test was made (95 % at least): it leaves out 0 exactly where the verdict is `changed`."
    )


def _workloads(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(row.question.workload for row in comparison.rows))


def _preamble(sheet: Sheet) -> list[str]:
    comparison = sheet.comparison
    lines = [f"differs: {text}" for text in comparison.differences]
    lines += [f"missing: {text}" for text in comparison.missing]
    return lines


def table(sheet: Sheet) -> str:
    """Aligned text, one paragraph a case."""
    lines = [*sheet.heads, *_preamble(sheet)]
    heading = ""
    several = len({row.question.b for row in sheet.comparison.rows}) > 1
    for row in sheet.comparison.rows:
        question = row.question
        cases = question.case in (question.b, ALL_CASES)
        sides = f" against {question.a}" if cases else f" ({question.b} against {question.a})" if several else ""
        head = f"{question.workload}, {question.case}{sides}"
        if head != heading:
            heading = head
            lines += ["", head]
        estimate = row.judgement.estimate
        values = [_figure(value, question.metric, question.quantity) for value in (estimate.a, estimate.b)]
        gates = sheet.of(row)
        lines.append(
            f"  {_label(row):<13} {values[0]:>12} -> {values[1]:<12} {_change(row):>8}  ({_interval(row)})  "
            f"{words(row.judgement)}{f'  [{_gate_words(gates)}]' if gates else ''}"
        )
    if sheet.comparison.rows:
        lines += ["", _legend(sheet.comparison)]
    if sheet.sentences:
        lines += ["", *sheet.sentences]
    return "\n".join(lines) + "\n"


def escape_markdown(text: str) -> str:
    """The text on one line, with nothing in it that GitHub would take for markup."""
    return re.sub(r"([\\|`*_<>\[\]])", r"\\\1", text).replace("\n", " ")


def markdown(sheet: Sheet) -> str:
    """GitHub-flavoured: what differs as a list, then one table."""
    lines = [f"## {escape_markdown(sheet.comparison.title)}", ""]
    lines += [f"- {escape_markdown(text)}" for text in (*sheet.heads, *_preamble(sheet))]
    lines += ["", "| workload | case | | before | after | change | interval | verdict |"]
    lines.append("|---|---|---|--:|--:|--:|---|---|")
    for row in sheet.comparison.rows:
        question, estimate = row.question, row.judgement.estimate
        cells = [
            question.workload,
            question.case,
            _label(row),
            _figure(estimate.a, question.metric, question.quantity),
            _figure(estimate.b, question.metric, question.quantity),
            _change(row),
            _interval(row),
            "; ".join(filter(None, (words(row.judgement), _gate_words(sheet.of(row))))),
        ]
        lines.append("| " + " | ".join(map(escape_markdown, cells)) + " |")
    lines += ["", _legend(sheet.comparison)] if sheet.comparison.rows else []
    lines += ["", *(f"- {escape_markdown(text)}" for text in sheet.sentences)] if sheet.sentences else []
    return "\n".join(lines) + "\n"


def _flat(sheet: Sheet, row: Row) -> dict[str, object]:
    """A row as plain fields; NaN as None."""
    question, judgement = row.question, row.judgement
    estimate = judgement.estimate
    fields: dict[str, object] = {
        "a": question.a,
        "b": question.b,
        "workload": question.workload,
        "case": question.case,
        "module": question.module,
        "quantity": question.quantity,
        "metric": question.metric,
        "value_a": estimate.a,
        "value_b": estimate.b,
        "trials_a": estimate.trials_a,
        "trials_b": estimate.trials_b,
        **cells(judgement),
        "gate": _gate_words(sheet.of(row)),
    }
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in fields.items()}


def json(sheet: Sheet) -> str:
    """One object: title, differences, missing, rows, effects (sentences)."""
    document = {
        "title": sheet.comparison.title,
        "differences": sheet.comparison.differences,
        "missing": sheet.comparison.missing,
        "rows": [_flat(sheet, row) for row in sheet.comparison.rows],
        "effects": sheet.sentences,
    }
    return msgspec.json.format(msgspec.json.encode(document)).decode() + "\n"


def comma_separated(sheet: Sheet) -> str:
    """One line a row; what differs is not in it."""
    rows = [_flat(sheet, row) for row in sheet.comparison.rows]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else ["a", "b"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def junit(sheet: Sheet) -> str:
    """A test per row: failed where a gate found a regression, skipped where the data do not decide."""
    comparison = sheet.comparison
    suite = ET.Element("testsuite", name=_xml("offloadbench compare"), tests=str(len(comparison.rows)))
    properties = ET.SubElement(suite, "properties")
    for text in (*comparison.differences, *comparison.missing):
        ET.SubElement(properties, "property", name="differs", value=_xml(text))
    counts = {"failure": 0, "skipped": 0}
    for row in comparison.rows:
        question = row.question
        several = f"{question.b}." if question.a != question.b else ""
        case = ET.SubElement(
            suite, "testcase", classname=_xml(f"{several}{question.workload}.{question.case}"), name=_xml(_label(row))
        )
        states = {outcome.state for outcome in sheet.of(row)}
        text = f"{_change(row)} ({_interval(row)}), {words(row.judgement)}"
        kind = "failure" if REGRESSED in states else "skipped" if OPEN in states else ""
        if kind:
            counts[kind] += 1
            ET.SubElement(case, kind, message=_xml(f"{_gate_words(sheet.of(row))}: {text}"))
        ET.SubElement(case, "system-out").text = _xml(text)
    suite.set("failures", str(counts["failure"]))
    suite.set("skipped", str(counts["skipped"]))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    return _NOT_XML.sub("?", text)


def github(sheet: Sheet) -> str:
    """Workflow commands: an error per regression, a warning per undecided gate, a notice per other change."""
    lines = [_command("notice", "differs", text) for text in sheet.comparison.differences]
    lines += [_command("warning", "missing", text) for text in sheet.comparison.missing]
    for row in sheet.comparison.rows:
        states = {outcome.state for outcome in sheet.of(row)}
        text = f"{_change(row)} ({_interval(row)}), {words(row.judgement)} {_gate_words(sheet.of(row))}".rstrip()
        if REGRESSED in states:
            lines.append(_command("error", str(row.question), text))
        elif OPEN in states:
            lines.append(_command("warning", str(row.question), text))
        elif row.judgement.verdict == CHANGED:
            lines.append(_command("notice", str(row.question), text))
    return "".join(f"{line}\n" for line in lines)


def _command(level: str, title: str, text: str) -> str:
    """An annotation, escaped as actions/toolkit does (core/src/command.ts)."""

    def data(value: str) -> str:
        return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    safe_title = data(f"offloadbench: {title}").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={safe_title}::{data(text)}"


FORMATS: dict[str, Callable[[Sheet], str]] = {
    "table": table,
    "markdown": markdown,
    "json": json,
    "csv": comma_separated,
    "junit": junit,
    "github": github,
}
