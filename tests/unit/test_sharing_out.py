"""Which lab tests go to one process."""

from __future__ import annotations

import pytest

from tests.lab.sharing_out import scope


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/lab/test_fleet.py::test_a[x::y]", "tests/lab/test_fleet.py"),
        ("tests/lab/test_below.py::test_a[x]", "tests/lab/test_below.py::test_a[x]"),
    ],
)
def test_a_module_with_a_bed_stays_together_and_other_tests_go_by_themselves(nodeid: str, expected: str) -> None:
    assert scope(nodeid) == expected
