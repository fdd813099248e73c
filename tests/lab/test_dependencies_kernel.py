"""The dependencies that the plan knows are the running kernel's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from offloadbench.definitions import catalog
from offloadbench.definitions.plan import effective_state
from offloadbench.kernel.netdev import features
from offloadbench.model import CaseDefinition
from tests.lab.asking import change

NAMESPACE = f"offloadbench-dependencies-{os.getpid()}"


def _states() -> dict[str, list[bool]]:
    return {name: [f.active, f.wanted, f.fixed] for name, f in features.read("veth0", NAMESPACE).items()}


@pytest.fixture
def veth() -> Iterator[str]:
    """The name of a veth in a namespace of its own."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        pair = ["link", "add", "veth0", "type", "veth", "peer", "name", "veth1"]
        subprocess.run(["ip", "-n", NAMESPACE, *pair], check=True)
        yield "veth0"
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


@pytest.mark.parametrize("case", catalog.all_cases(), ids=lambda case: str(case.name))
def test_the_kernel_ends_where_the_plan_says(veth: str, case: CaseDefinition) -> None:
    expected = effective_state(case, _states())
    came = change(veth, case.features, NAMESPACE)
    assert {name: feature.active for name, feature in came.after.items()} == expected
    assert came.refused == set()


def test_cases_that_follow_each_other_do_not_remember(veth: str) -> None:
    masked = next(case for case in catalog.all_cases() if case.name == "sg-off")
    change(veth, masked.features, NAMESPACE)
    whole = next(case for case in catalog.all_cases() if case.name == "all-on")
    expected = effective_state(whole, _states())
    came = change(veth, whole.features, NAMESPACE)
    assert {name: feature.active for name, feature in came.after.items()} == expected
    assert came.after["tx-tcp-segmentation"].active
