"""A comparison as text: for people (table, markdown) and programs (json, csv)."""

from __future__ import annotations

import csv
import enum
import io
import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from offloadbench.analysis.comparison.change_words import hundredfold, interval, whole
from offloadbench.analysis.comparison.changes import Comparison, Row
from offloadbench.analysis.comparison.gate import OPEN, REGRESSED, Outcome
from offloadbench.analysis.comparison.pairs import ALL_CASES
from offloadbench.analysis.statistics.holm import CHANGED, CONTAMINATED, INDICATION, TOO_FEW, Judgement, cells
from offloadbench.base.sentence import Quantity, Sentence, Source, say
from offloadbench.base.units import format_change, format_rate, format_ratio
from offloadbench.base.words import module_label
from offloadbench.report import basis

_UNITS = {"kernel_cpu_time_ns": "ns", "instructions": "instructions", "cycles": "cycles"}
# what leaves a question open, each for a reason of its own
WITHOUT_VERDICT = (TOO_FEW, INDICATION, CONTAMINATED)
_COLUMNS, _VERDICT_INDENT, _LABEL_WIDTH = 100, " " * 16, 13


@dataclass(frozen=True, slots=True)
class Sheet:
    """A comparison with its gates, and what is said of each side.

    Attributes:
        to_decide: what would decide what is open: sentences and commands.
    """

    comparison: Comparison
    outcomes: list[Outcome] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    to_decide: list[str] = field(default_factory=list)

    def of(self, row: Row) -> list[Outcome]:
        """The gates at a row."""
        return [outcome for outcome in self.outcomes if outcome.row is row]


def figure(value: float, metric: str, quantity: str = "") -> str:
    if metric.endswith("_bits_per_s"):
        return format_rate(value)
    if metric.endswith("_ratio"):
        return f"{value:.1%}"
    return f"{value:.4f} {_UNITS.get(quantity, quantity)}" if quantity else f"{value:.3f}"


def change(row: Row) -> str:
    ratio, _, _ = row.judgement.ratios()
    return "new" if math.isnan(ratio) else format_ratio(ratio)


def traces(row: Row) -> dict[str, Source]:
    """The cells of the figures of a row, as `offloadbench compare --format csv` prints it."""
    question, estimate = row.question, row.judgement.estimate
    names = ("a", "b", "workload", "case", "module", "metric")
    where = {name: getattr(question, name) for name in names}
    fewer = "a" if estimate.units[0] <= estimate.units[1] else "b"
    columns = {
        "ratio": "ratio",
        "low": "ratio_low",
        "high": "ratio_high",
        "difference_low": "difference_low",
        "difference_high": "difference_high",
        "level": "level",
        "p": "p_holm",
        "needed": "trials_needed",
        "detectable": "detectable_change",
        "units": f"{'runs' if estimate.of_runs else 'trials'}_{fewer}",
        **{name: name for name in ("runs_a", "runs_b", "degrees", "run_sd")},
    }
    return {name: Source("compare", column, where) for name, column in columns.items()}


def interval_words(row: Row) -> Sentence:
    """The interval of a row with its confidence, as every format and the report print it."""
    judgement = row.judgement
    _, low, high = judgement.ratios()
    if math.isnan(judgement.estimate.standard_error):
        return say("no interval")
    ends = interval(judgement)
    # a ratio below zero is none: what was taken without logarithms is told in its unit
    if math.isnan(low) or low < 0:
        _, low, high = judgement.differences()
        unit = _UNITS.get(row.question.quantity, row.question.quantity)
        ends = say(
            "{difference_low} to {difference_high}{unit}",
            difference_low=Quantity(low, _signed),
            difference_high=Quantity(high, _signed),
            unit=say(" {unit}", unit=unit) if unit else "",
        )
    inside = judgement.verdict == INDICATION and row.question.between_runs
    return say(
        "{ends}, {level} % inside the runs" if inside else "{ends}, {level} % interval",
        ends=ends,
        level=Quantity(judgement.level, hundredfold),
    )


def _signed(value: float) -> str:
    return f"{value:+.3g}"


def _p(value: float) -> str:
    return f"{value:.2g}"


def words(judgement: Judgement) -> Sentence:
    """The verdict as a person reads it."""
    if judgement.verdict == CHANGED:
        return say("changed, adjusted p {p}", p=Quantity(judgement.p_holm, _p))
    if judgement.verdict == CONTAMINATED:
        return say("contaminated, no verdict: {reason}", reason=judgement.reason)
    if judgement.verdict == INDICATION:
        return say("indication, no verdict")
    if judgement.verdict == TOO_FEW:
        return say(
            "too few: {units}, at least {needed} {unit} a side",
            units=Quantity(min(judgement.estimate.units), whole),
            needed=Quantity(judgement.trials_needed, whole),
            unit="runs" if judgement.estimate.of_runs else "repeats",
        )
    would = Quantity(judgement.detectable_change, format_change)
    return say("~ no change shown; would have shown {detectable}", detectable=would)


def gate_words(outcomes: Sequence[Outcome]) -> str:
    return "; ".join(f"{outcome.state}: {outcome.gate}" for outcome in outcomes)


def _label(row: Row) -> str:
    """What was compared, in words for people."""
    question = row.question
    return module_label(question.module) if question.module else basis.title(question.metric)


def _legend(comparison: Comparison) -> str:
    methods = sorted({row.judgement.estimate.method for row in comparison.rows})
    if all(row.judgement.verdict == INDICATION for row in comparison.rows):
        return f"{'; '.join(methods)}; nothing was tested."
    return (
        f"{'; '.join(methods)}; {_families(comparison)}. An interval is at the confidence of its test (95 % at least): "
        "it leaves out 0 exactly where the test shows a change. `would have shown`: with 80 % power. p is adjusted."
    )


def _families(comparison: Comparison) -> str:
    if any(row.question.b == row.question.case and not row.question.module for row in comparison.rows):
        return (
            "Holm, at 1.5 % over CPU s per GB of every case against the state as found in all workloads, at 3.5 % over "
            "all other questions of a workload, the report's included"
        )
    families = [sum(r.question.workload == w for r in comparison.rows) for w in _workloads(comparison)]
    return f"Holm over {', '.join(map(str, dict.fromkeys(families)))} tests a workload"


def _workloads(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(row.question.workload for row in comparison.rows))


def _preamble(sheet: Sheet) -> list[str]:
    comparison = sheet.comparison
    lines = [f"differs: {text}" for text in comparison.differences]
    lines += [f"missing: {text}" for text in comparison.missing]
    return [*lines, *basis.sentences(comparison.rows)]


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, _COLUMNS, initial_indent=indent, subsequent_indent=indent or "  ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


class Tone(enum.Enum):
    """What a line of the table is, for a terminal that has colours."""

    PLAIN = enum.auto()
    WORSE = enum.auto()
    BETTER = enum.auto()
    OPEN = enum.auto()


Line = tuple[Tone, str]


def _plain(lines: Iterable[str]) -> list[Line]:
    return [(Tone.PLAIN, line) for line in lines]


def _tone(sheet: Sheet, row: Row) -> Tone:
    states = {outcome.state for outcome in sheet.of(row)}
    if not row.question.between_runs or row.worse is None:
        return Tone.OPEN if OPEN in states or row.judgement.verdict in WITHOUT_VERDICT else Tone.PLAIN
    return Tone.WORSE if row.worse else Tone.BETTER


def table_lines(sheet: Sheet) -> list[Line]:
    """Aligned text of 100 columns, one paragraph a case, the answer last; commands stay on one line."""
    lines = _plain([*sheet.heads, *(line for text in _preamble(sheet) for line in _wrapped(text))])
    heading = ""
    several = len({row.question.b for row in sheet.comparison.rows}) > 1
    width = max([_LABEL_WIDTH, *(len(_label(row)) for row in sheet.comparison.rows)])
    for row in sheet.comparison.rows:
        question = row.question
        cases = question.case in (question.b, ALL_CASES)
        sides = f" against {question.a}" if cases else f" ({question.b} against {question.a})" if several else ""
        head = f"{question.workload}, {question.case}{sides}"
        if head != heading:
            heading = head
            lines += _plain(["", head])
        estimate = row.judgement.estimate
        values = [figure(value, question.metric, question.quantity) for value in (estimate.a, estimate.b)]
        told = [
            f"  {_label(row):<{width}} {values[0]:>12} -> {values[1]:<12} {change(row):>7}  ({interval_words(row)})",
            *_wrapped("; ".join(filter(None, (words(row.judgement), gate_words(sheet.of(row))))), _VERDICT_INDENT),
        ]
        lines += [(_tone(sheet, row), line) for line in told]
    if sheet.comparison.rows:
        lines += _plain(["", *_wrapped(_legend(sheet.comparison))])
    if sheet.sentences:
        lines += _plain(["", *(line for text in sheet.sentences for line in _wrapped(text))])
    if sheet.to_decide:
        lines += _plain(["", "To decide:", *(f"  {text}" for text in sheet.to_decide)])
    found = answer(sheet)
    return [*lines, *_plain([""] if found else []), *found]


def table(sheet: Sheet) -> str:
    """The lines of `table_lines`, without colour."""
    return "".join(f"{line}\n" for _, line in table_lines(sheet))


def answer(sheet: Sheet) -> list[Line]:
    """What a comparison of runs comes to: every change for the worse, then how many rows say what.

    Nothing for the cases inside a run, whose answer is what the offloads save.
    """
    rows = [row for row in sheet.comparison.rows if row.question.between_runs]
    if not rows:
        return []
    lines: list[Line] = []
    for row in worst_first([row for row in rows if row.worse]):
        failed = [outcome for outcome in sheet.of(row) if outcome.state == REGRESSED]
        beyond = f", beyond {' and '.join(str(outcome.gate) for outcome in failed)}" if failed else ""
        lines += [(Tone.WORSE, line) for line in _wrapped(f"Worse: {_named(row)}: {sides(row)}{beyond}.")]
    better = [row for row in rows if row.worse is False]
    if better:
        names = ", ".join(f"{_named(row)} {change(row)}" for row in better)
        lines += [(Tone.BETTER, line) for line in _wrapped(f"Better: {names}.")]
    without = [row for row in rows if row.judgement.verdict in WITHOUT_VERDICT]
    unchanged = len(rows) - len(without) - len([row for row in rows if row.worse is not None])
    counts = [f"no change shown in {unchanged} of {len(rows)} rows"] if unchanged else []
    counts += [f"no verdict on {len(without)} of {len(rows)}"] if without else []
    if counts:
        text = "; ".join(counts)
        lines += [(Tone.OPEN if without else Tone.PLAIN, f"{text[0].upper()}{text[1:]}.")]
    return lines


def worst_first(rows: Sequence[Row]) -> list[Row]:
    """The largest change first."""
    return sorted(rows, key=lambda row: -abs(row.judgement.estimate.change))


def sides(row: Row) -> str:
    """Both values, the change and its interval: `0.400 -> 0.480, +20 % (+18 % to +22 %, 99.2 % interval)`."""
    question, estimate = row.question, row.judgement.estimate
    before, after = (figure(value, question.metric, question.quantity) for value in (estimate.a, estimate.b))
    return f"{before} -> {after}, {change(row)} ({interval_words(row)})"


def _named(row: Row) -> str:
    return f"{row.question.workload} {row.question.case} {_label(row)}"


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
            figure(estimate.a, question.metric, question.quantity),
            figure(estimate.b, question.metric, question.quantity),
            change(row),
            interval_words(row),
            "; ".join(filter(None, (words(row.judgement), gate_words(sheet.of(row))))),
        ]
        lines.append("| " + " | ".join(map(escape_markdown, cells)) + " |")
    lines += ["", _legend(sheet.comparison)] if sheet.comparison.rows else []
    lines += ["", *(f"- {escape_markdown(text)}" for text in sheet.sentences)] if sheet.sentences else []
    lines += ["", "To decide:", "", *(f"    {text}" for text in sheet.to_decide)] if sheet.to_decide else []
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
        "runs_a": estimate.runs_a,
        "runs_b": estimate.runs_b,
        "run_sd": estimate.run_sd,
        "degrees": estimate.degrees,
        **cells(judgement),
        "gate": gate_words(sheet.of(row)),
    }
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in fields.items()}


def json(sheet: Sheet) -> str:
    """One object: title, differences, missing, basis, rows, effects, to_decide; all but rows are sentences."""
    document = {
        "title": sheet.comparison.title,
        "differences": sheet.comparison.differences,
        "missing": sheet.comparison.missing,
        "basis": basis.sentences(sheet.comparison.rows),
        "rows": [_flat(sheet, row) for row in sheet.comparison.rows],
        "effects": sheet.sentences,
        "to_decide": sheet.to_decide,
    }
    return msgspec.json.format(msgspec.json.encode(document, enc_hook=str)).decode() + "\n"


def comma_separated(sheet: Sheet) -> str:
    """One line a row; what differs is not in it."""
    rows = [_flat(sheet, row) for row in sheet.comparison.rows]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else ["a", "b"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
