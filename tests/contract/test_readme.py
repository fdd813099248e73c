"""Every command in the README is one that the command line takes."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.initcwnd import evidence
from offloadbench.cli import _parser
from offloadbench.commands import plan_file
from offloadbench.model.batch_plan import PlanFile

README = (Path(__file__).parents[2] / "README.md").read_text()


def _commands() -> list[str]:
    lines = re.findall(r"^    (offloadbench .*)$", README, re.MULTILINE)
    return [line for line in lines if "..." not in line and "[" not in line and "|" not in line and "SPEC" not in line]


def test_there_are_commands_to_check() -> None:
    assert len(_commands()) >= 4


@pytest.mark.parametrize("command", _commands())
def test_readme_command_parses(command: str) -> None:
    chosen = _parser().parse_args(shlex.split(command)[1:])
    assert callable(chosen.main)


def test_the_two_set_up_commands_come_first() -> None:
    assert re.findall(r"^    (\S.*)$", README, re.MULTILINE)[:2] == ["./bootstrap run", "./bootstrap test"]


def test_the_python_example_runs_and_prints_what_it_says(
    sample_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    (tmp_path / "before.json").write_bytes(sample_path.read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(example[1], "README.md", "exec"), {})
    assert "cpu_s_per_gb" in capsys.readouterr().out


def test_the_table_of_the_old_kernels_is_the_one_that_explain_prints() -> None:
    assert "\n".join(evidence.markdown()) in README


def test_the_pictures_are_there() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures
    assert all((Path(__file__).parents[2] / name).is_file() for name in pictures)


def test_the_plan_of_a_batch_is_one_that_it_reads_and_shows_every_key(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert example is not None
    path = tmp_path / "plan.toml"
    path.write_text(example[1])
    sweep, _ = plan_file.read(path)
    # iscsi-write knows sndbuf too: no workload has nothing new at a point
    assert len(sweep.points) == math.prod(len(values) for values in sweep.axes.values())
    for field in msgspec.structs.fields(PlanFile):
        assert re.search(rf"\b{field.name}\b", example[1]), field.name
