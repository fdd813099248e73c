"""The examples of CONTRIBUTING.md: each does what the text around it says, and the tests that it names are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import msgspec
import pytest

from offloadbench import traffic
from offloadbench.definitions import catalog
from offloadbench.model import Driver
from tests.conftest import CommandLine

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
FILES = {
    Path(name).name: body for name, body in re.findall(r"^```toml\n# (\S+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
}


@pytest.fixture
def example(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / str(request.param)
    path.write_text(FILES[path.name])
    return path


def test_there_are_five_ways_each_ending_in_a_test() -> None:
    ways = re.split(r"^### ", TEXT.partition("## Five ways to extend")[2].partition("\n## ")[0], flags=re.MULTILINE)[1:]
    assert len(ways) == 5
    assert all("-m pytest" in way for way in ways)


def test_every_test_that_is_named_is_there() -> None:
    for line in re.findall(r"-m pytest (.*)$", TEXT, re.MULTILINE):
        paths = [word for word in shlex.split(line) if word.startswith("tests/")]
        assert paths
        assert all((ROOT / path).exists() for path in paths), line


@pytest.mark.parametrize("example", ["small-files.toml"], indirect=True)
def test_the_workload_loads_with_valid_parameters(example: Path) -> None:
    assert traffic.from_definition(catalog.workload(str(example))).settings()


@pytest.mark.parametrize("example", ["lro-on.toml"], indirect=True)
def test_the_case_loads_and_sets_what_defines_it(example: Path) -> None:
    (case,) = catalog.select_cases(str(example))
    assert set(case.defining) <= set(case.features)
    assert case.order not in {known.order for known in catalog.all_cases()}


@pytest.mark.parametrize("example", ["mydrv.toml"], indirect=True)
def test_the_driver_loads(example: Path) -> None:
    driver = msgspec.toml.decode(example.read_bytes(), type=Driver)
    assert driver.counters.tso == ["tx_tso_packets"]


@pytest.mark.parametrize("example", ["mydrv-profile.toml"], indirect=True)
def test_the_profile_extends_the_shipped_one(
    example: Path, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.StringIO("skb_segment\n"))
    finished = command_line("modules", "-", "--profile", str(example))
    assert finished.code == 0, finished.err
    assert finished.out.startswith("skb_segment\tgso\t")
    assert "mydrv_queues" in {leaf.name for leaf in catalog.profile(str(example)).leaves}
