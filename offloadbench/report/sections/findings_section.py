"""What is advised for each bench and workload, and what each offload does."""

from __future__ import annotations

from collections.abc import Iterator

from offloadbench.analysis.comparison.change_words import whole
from offloadbench.base.sentence import COUNTED, Quantity, say
from offloadbench.report.material import Material
from offloadbench.report.section import Block, Findings, NoFinding, Section


def _write(material: Material) -> Iterator[Block]:
    if not material.headlines:
        yield _nothing(material)
    if material.headlines:
        yield Findings(material.headlines, material.several, headline=True)
    if material.explaining:
        yield Findings(material.explaining, material.several)


def _nothing(material: Material) -> NoFinding:
    outcomes = material.results.trials["outcome"]

    def count(*names: str) -> Quantity:
        chosen = outcomes[outcomes.isin(names)] if names else outcomes
        return Quantity(len(chosen), whole, COUNTED)

    if not count("ok").value:
        return NoFinding(
            say("No trial gave a result: there is nothing to compare."),
            say(
                "{failed} failed, {skipped} skipped; the reasons are below.",
                failed=count("failed"),
                skipped=count("skipped"),
            ),
        )
    return NoFinding(
        say("No two cases can be compared here."),
        say(
            "An offload is judged by two usable trials that differ in it. {ok} of {all} trials ended well; the caveats "
            "below say what was left out.",
            ok=count("ok"),
            all=count(),
        ),
    )


SECTION = Section("findings", "Findings", 10, _write, rows=("findings",), top=True)
