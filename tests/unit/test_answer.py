"""The answer in one sentence says what the verdict says, and no more."""

from __future__ import annotations

import pytest

from offloadbench.analysis.findings import findings
from offloadbench.analysis.findings.answer import answer
from offloadbench.analysis.tables.results import gather
from offloadbench.model import Profile, Run
from tests.unit.repeats import noise, of_costs


def _told(run: Run, profile: Profile) -> tuple[str, str]:
    results = gather([run], profile)
    (found,) = findings.headlines(findings.find(results))
    told = answer(found, results.answers[found.nic].seen)
    return told.text, told.detail


@pytest.mark.parametrize(
    ("repeats", "ratio", "begins"),
    [
        (1, 3.0, "An indication from one trial a side, no verdict: with "),
        (2, 3.0, "Too few repeats for a verdict, which needs "),
        (8, 3.0, "With TSO, GSO and checksum offload, 6"),
        (8, 1.0, "No change of CPU use shown with "),
    ],
)
def test_it_begins_with_its_verdict(
    sample_run: Run, linux_profile: Profile, repeats: int, ratio: float, begins: str
) -> None:
    costs = {
        name: [level * one for one in noise(repeats, 0.02, seed)]
        for seed, (name, level) in enumerate((("tso", 1.0), ("none", ratio)))
    }
    text, detail = _told(of_costs(sample_run, costs), linux_profile)
    assert text.startswith(begins)
    assert " cores at " in text and " of goodput" in text
    assert "layer-2 throughput" in detail
    assert (" % interval" in detail) == (repeats > 1 or "scatter inside the two trials" in detail)
