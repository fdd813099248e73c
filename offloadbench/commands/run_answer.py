"""How a run ends: the answer for each workload, how sure it is and what to do, and the page that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from offloadbench.base.errors import StatisticError

if TYPE_CHECKING:
    from offloadbench.analysis.findings.findings import Finding
    from offloadbench.model import Run
    from offloadbench.report.material import Material

_RUN_ENDINGS = (".gz", ".xz", ".json")


def material(run: Run, output: Path) -> Material:
    """What the answer and the page are made of, so that they cannot differ."""
    from offloadbench.definitions import catalog
    from offloadbench.report.contents import collect

    return collect([run], catalog.profile("linux"), [output.name])


def lines(found: Material) -> Iterator[str]:
    """The answer for each workload, how sure it is, and what to do."""
    from offloadbench.analysis.findings.answer import answer

    try:
        headlines = found.headlines
    except StatisticError as error:
        yield f"answer: none: {error.message}"
        return
    if not headlines:
        yield "answer: none: no two cases can be compared"
    for headline in headlines:
        told = answer(headline, found.results.answers[headline.nic].seen)
        yield f"{headline.workload}: {told.text}"
        yield f"  how sure: {' '.join(filter(None, (told.detail, f'{headline.basis}.')))}"
        yield f"  to do: {_to_do(headline)}"


def _to_do(headline: Finding) -> str:
    if headline.command:
        return "; ".join(headline.command.splitlines())
    from offloadbench.analysis.findings.advice import Kind

    keeps = headline.advice is not None and headline.advice.kind is Kind.KEEP
    return "nothing: the state as found is the best of those measured" if keeps else "nothing follows from this run"


def page_path(output: Path) -> Path:
    """Where the page of a run file lies: `x.json.gz` -> `x.html`."""
    name = output.name
    for ending in _RUN_ENDINGS:
        name = name.removesuffix(ending)
    return output.with_name(f"{name}.html")


def write_page(found: Material, output: Path, *, again: bool) -> str:
    """Write the page beside the run file; returns a line that says where it is, or why there is none.

    Args:
        again: a page of this run may lie there already, and is replaced.
    """
    from offloadbench.report.formats import html

    path = page_path(output)
    if path.exists() and not again:
        return f"report: {path} is there already and stays; write another: offloadbench report {output} --output FILE"
    try:
        path.write_text(html.page(found), encoding="utf-8")
    except OSError as error:
        return f"report: {path}: {error.strerror}; write it elsewhere: offloadbench report {output} --output FILE"
    return f"report: {path}"
