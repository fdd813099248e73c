"""A comparison for CI: JUnit (Jenkins, GitLab) and workflow commands (GitHub Actions)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from offloadbench.analysis.comparison.changes import Row
from offloadbench.analysis.comparison.gate import OPEN, REGRESSED
from offloadbench.base.words import module_label
from offloadbench.report import basis
from offloadbench.report.compare_text import (
    Sheet,
    gate_words,
    sides,
    words,
    worst_first,
)

# XML 1.0 cannot carry the others at all
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# GitHub shows this many of a step's annotations of a level, and drops the rest
_ANNOTATIONS_MAX = 10


def junit(sheet: Sheet) -> str:
    """A test per row: failed where a gate found a regression, skipped where the data do not decide.

    Names of tests hold no name of a file: CI follows them from run to run, and files are named by commit. What could
    not be compared is a skipped test of its own.
    """
    comparison = sheet.comparison
    suite = ET.Element("testsuite", name="offloadbench compare")
    properties = ET.SubElement(suite, "properties")
    for name, texts in (("differs", comparison.differences), ("basis", basis.sentences(comparison.rows))):
        for text in texts:
            ET.SubElement(properties, "property", name=name, value=_xml(text))
    counts = {"failure": 0, "skipped": 0}
    candidates = list(dict.fromkeys(row.question.b for row in comparison.rows if row.question.between_runs))
    for row in comparison.rows:
        question = row.question
        which = f"candidate-{candidates.index(question.b) + 1}." if len(candidates) > 1 else ""
        case = ET.SubElement(
            suite,
            "testcase",
            classname=_xml(f"{which}{question.workload}.{question.case}"),
            name=_xml(question.module or basis.title(question.metric)),
        )
        states = {outcome.state for outcome in sheet.of(row)}
        text = f"{sides(row)}, {words(row.judgement)}"
        kind = "failure" if REGRESSED in states else "skipped" if OPEN in states else ""
        if kind:
            counts[kind] += 1
            ET.SubElement(case, kind, message=_xml(f"{gate_words(sheet.of(row))}: {text}"))
        ET.SubElement(case, "system-out").text = _xml(f"{question.a} against {question.b}: {text}")
    for text in comparison.missing:
        counts["skipped"] += 1
        name, _, reason = text.partition(": ")
        case = ET.SubElement(suite, "testcase", classname="missing", name=_xml(name))
        ET.SubElement(case, "skipped", message=_xml(reason or name))
    suite.set("tests", str(len(comparison.rows) + len(comparison.missing)))
    suite.set("failures", str(counts["failure"]))
    suite.set("skipped", str(counts["skipped"]))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    return _NOT_XML.sub("?", text)


def github(sheet: Sheet) -> str:
    """Workflow commands, the worst first and ten at most: an error per regression, a warning for what is missing or
    undecided, a notice for other changes and for what the runs differ in.
    """
    rows = worst_first(sheet.comparison.rows)
    states = {id(row): {outcome.state for outcome in sheet.of(row)} for row in rows}
    regressed = [row for row in rows if REGRESSED in states[id(row)]]
    undecided = [row for row in rows if OPEN in states[id(row)] and row not in regressed]
    changed = [row for row in rows if row.worse is not None and row not in regressed and row not in undecided]
    lines = [_of_row(sheet, "error", row) for row in regressed]
    lines += [_command("warning", "missing", text) for text in sheet.comparison.missing]
    lines += [_of_row(sheet, "warning", row) for row in undecided]
    lines += [_of_row(sheet, "notice", row) for row in changed]
    lines += [_command("notice", "differs", text) for text in sheet.comparison.differences]
    lines += [_command("notice", "basis", text) for text in basis.sentences(sheet.comparison.rows)]
    if len(lines) > _ANNOTATIONS_MAX:
        left = len(lines) - _ANNOTATIONS_MAX + 1
        lines[_ANNOTATIONS_MAX - 1 :] = [_command("notice", "more", f"{left} more: see the whole comparison")]
    return "".join(f"{line}\n" for line in lines)


def _of_row(sheet: Sheet, level: str, row: Row) -> str:
    question = row.question
    what = module_label(question.module) if question.module else basis.title(question.metric)
    text = f"{sides(row)}, {words(row.judgement)} {gate_words(sheet.of(row))}".rstrip()
    return _command(level, f"{question.workload} {question.case} {what}", f"{text}; {question.b} against {question.a}")


def _command(level: str, title: str, text: str) -> str:
    """An annotation, escaped as actions/toolkit does (core/src/command.ts)."""

    def data(value: str) -> str:
        return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    safe_title = data(f"offloadbench: {title}").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={safe_title}::{data(text)}"
