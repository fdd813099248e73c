"""What a command does not import: that is most of the time that it takes (how much: tests/benchmarks/reports.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_DRAWING = {"matplotlib", "seaborn", "jinja2"}
_CAPTURING = {"sh", "pyroute2", "psutil", "pyftpdlib", "distributed"}
_COUNTING = {"msgspec", "numpy", "pandas", "scipy"}


@pytest.mark.parametrize(
    ("words", "without"),
    [
        (["--help"], _COUNTING | _CAPTURING | _DRAWING),
        (["run", "--help"], _COUNTING | _CAPTURING | _DRAWING),
        (["compare", "{run}", "--within"], _CAPTURING | _DRAWING),
        (["report", "{run}", "--format", "md"], _CAPTURING | {"seaborn"}),
    ],
)
def test_a_command_imports_nothing_that_it_does_not_need(
    words: list[str], without: set[str], sample_path: Path
) -> None:
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "offloadbench", *(word.format(run=sample_path) for word in words)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    ).stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.splitlines()}
    assert {"argparse", "offloadbench"} <= imported
    assert not imported & without
