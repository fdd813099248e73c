"""The waterfall: its steps lead from one total to the other, whatever is named and whatever is not."""

from __future__ import annotations

import pandas as pd
import pytest

from offloadbench.analysis.findings.savings import Fall, fall
from offloadbench.report.plots import style
from offloadbench.report.plots.waterfall_plot import signed, waterfall


def costs(**by_case: dict[str, float]) -> pd.DataFrame:
    rows = [
        {"case": case, "module": module, "quantity": "instructions", "value_per_byte": value}
        for case, modules in by_case.items()
        for module, value in modules.items()
    ]
    return pd.DataFrame(rows)


def found(table: pd.DataFrame) -> Fall:
    steps = fall(table, "tso", "none")
    assert steps is not None
    return steps


def test_leads_from_the_dearer_total_to_the_cheaper_one() -> None:
    steps = found(costs(tso={"tcp": 1.0, "driver": 0.5}, none={"tcp": 3.0, "driver": 0.2, "gso": 1.0}))
    assert (steps.dearer, steps.cheaper, steps.start, steps.end) == ("none", "tso", 4.2, 1.5)
    assert [(step.module, round(step.change, 3)) for step in steps.steps] == [
        ("tcp", -2.0),
        ("gso", -1.0),
        ("driver", 0.3),
    ]


def test_starts_at_the_offload_where_that_costs() -> None:
    steps = found(costs(tso={"tcp": 3.0}, none={"tcp": 1.0}))
    assert (steps.dearer, steps.cheaper) == ("tso", "none")


def test_small_movers_are_one_step_and_nothing_is_lost() -> None:
    many = {f"m{number}": 1.0 + number for number in range(12)}
    steps = found(costs(none=many, tso={name: value / 2 for name, value in many.items()}))
    assert len(steps.steps) == 9
    assert steps.steps[-1].module == ""
    assert steps.start + sum(step.change for step in steps.steps) == pytest.approx(steps.end)


@pytest.mark.parametrize(
    "table",
    [
        costs(none={"tcp": 3.0}),
        costs(none={"tcp": 3.0}, tso={"tcp": 2.97}),
        costs(none={"tcp": 0.0}, tso={"tcp": 0.0}),
    ],
)
def test_no_difference_is_no_waterfall(table: pd.DataFrame) -> None:
    assert fall(table, "tso", "none") is None


@pytest.mark.parametrize("narrow", [False, True])
def test_every_bar_begins_where_the_last_one_ended(narrow: bool) -> None:
    steps = found(costs(tso={"tcp": 1.0, "driver": 0.5}, none={"tcp": 3.0, "driver": 0.2}))
    with style.drawing():
        (axes,) = waterfall(steps, narrow=narrow).axes
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]  # type: ignore[attr-defined]
    # shares of what the dearer case took
    spans = [(0, 3.2), (3.2, 1.2), (1.2, 1.5), (0, 1.5)]
    assert bars == [pytest.approx((one / 3.2, other / 3.2)) for one, other in spans]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["case none", "TCP", "NIC driver", "case tso"]


def test_signs_are_written() -> None:
    assert (signed(-0.4163), signed(0.02)) == ("\N{MINUS SIGN}42 %", "+2.0 %")
