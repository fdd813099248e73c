"""The Python API: the same tables as `export`, made when asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pandas as pd
import pytest

import offloadbench
from offloadbench.analysis import table_index
from offloadbench.base.errors import RunFileError, UsageError
from offloadbench.dataset import Dataset
from offloadbench.model import Profile, Run


@pytest.fixture
def dataset(sample_path: Path) -> Dataset:
    return offloadbench.load(sample_path)


@pytest.mark.parametrize("name", ["trials", "samples", "features", "modules", "effects", "effect_modules"])
def test_a_table_is_the_exported_one(dataset: Dataset, name: str, sample_run: Run, linux_profile: Profile) -> None:
    table = getattr(dataset, name)
    pd.testing.assert_frame_equal(table, table_index.TABLES[name]([sample_run], linux_profile))
    assert getattr(dataset, name) is table


def test_every_table_can_be_had_by_its_name(dataset: Dataset) -> None:
    assert all(isinstance(dataset.table(name), pd.DataFrame) for name in table_index.TABLES)
    with pytest.raises(UsageError, match="no table 'seconds'"):
        dataset.table("seconds")


def test_a_notebook_shows_one_line_or_a_row_a_run(dataset: Dataset, sample_run: Run) -> None:
    assert repr(dataset) == f"Dataset(1 run: {sample_run.nic.name}, {len(sample_run.trials)} trials)"
    nic = msgspec.structs.replace(sample_run.nic, driver="<b>x</b>")
    html = Dataset([msgspec.structs.replace(sample_run, nic=nic)], dataset.profile)._repr_html_()
    assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert html.count("<tr") == 2


def test_several_files_are_read_together(sample_path: Path, sample_run: Run) -> None:
    together = offloadbench.load(sample_path, str(sample_path))
    assert len(together.trials) == 2 * len(sample_run.trials)
    assert together.runs[0] == sample_run


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunFileError):
        offloadbench.load(tmp_path / "absent.json")
    with pytest.raises(UsageError):
        offloadbench.load()


def test_importing_the_package_loads_no_pandas() -> None:
    code = "import sys, offloadbench; sys.exit('pandas' in sys.modules or 'numpy' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=root).returncode == 0
