"""How sure the modules are: by which methods the samples found them, and whether the samples add up."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from offloadbench.analysis.findings import module_confidence
from offloadbench.analysis.tables.results import case_cells
from offloadbench.base.sentence import Quantity, join, say
from offloadbench.base.words import percent
from offloadbench.report.material import Material, benches
from offloadbench.report.plots.confidence_plot import confidence
from offloadbench.report.section import Block, Bullet, Bullets, Layer, Section


def _write(material: Material) -> Iterator[Block]:
    results = material.results
    sentences, cells = module_confidence.sentences(results.methods), case_cells(results.methods)
    for (nic, workload), rows in benches(module_confidence.by_class(results.methods)):
        cases = [case for case in results.cases if (nic, workload, case) in sentences]
        known = rows[rows["class"] == module_confidence.KNOWN].set_index("case")["share_ratio"]
        methods = module_confidence.methods_of(module_confidence.KNOWN)
        shares = [
            say(
                "{case} {known} known",
                case=case,
                known=Quantity(
                    float(known.get(case, 0.0)),
                    percent,
                    module_confidence.shares_of(cells[nic, workload, case], methods),
                ),
            )
            for case in cases
        ]
        names = {"nic": nic, "workload": workload}
        yield material.plot(
            partial(confidence, rows, results.cases),
            say(
                "Bars of how the samples found their modules, {nic}, {workload}: {shares}",
                shares=join(", ", shares),
                **names,
            ),
            say("{nic}, {workload}: busy weight by the method that found its module.", **names),
        )
        yield Bullets([Bullet(sentences[nic, workload, case], f"{workload}, {case}") for case in cases])
    counted = module_confidence.counted(results.runs)
    if counted:
        yield Bullets([Bullet(counted)], kind="basis")


SECTION = Section(
    "sure",
    "How sure is this picture",
    110,
    _write,
    nav="how sure",
    rows=("methods", "counts"),
    measured=True,
    layer=Layer.FOLDED,
)
