"""What hosted CI runs is what `.ci/run` runs: two stages, by commands that are there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB, GITLAB = ROOT / ".github" / "workflows" / "tests.yml", ROOT / ".gitlab-ci.yml"
BOOTSTRAP = (ROOT / "bootstrap").read_text()
# words of a GitLab file that are no job
_GITLAB_WORDS = {"image", "stages", "variables", "default", "include", "workflow"}


def _github() -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load(GITHUB.read_text())["jobs"]
    return jobs


def _commands(path: Path) -> dict[str, list[str]]:
    """Job -> its commands, a line each."""
    if path == GITHUB:
        scripts = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in _github().items()}
    else:
        jobs = yaml.safe_load(path.read_text())
        scripts = {name: job["script"] for name, job in jobs.items() if name not in _GITLAB_WORDS}
    return {name: [line for text in texts for line in text.splitlines()] for name, texts in scripts.items()}


@pytest.mark.parametrize("path", [GITHUB, GITLAB], ids=["GitHub", "GitLab"])
def test_each_stage_is_a_job_whose_command_exists(path: Path) -> None:
    stages = re.findall(r"\./bootstrap test \[(\w+) \| (\w+)\]", BOOTSTRAP)
    assert stages == [("code", "lab")]
    for name, commands in _commands(path).items():
        assert commands[-1] == f"./bootstrap test {name}"
    assert tuple(_commands(path)) == stages[0]
    assert os.access(ROOT / "bootstrap", os.X_OK)


def test_the_stages_run_every_folder_of_tests_and_each_lab_test_once() -> None:
    folders = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders == set(re.findall(r"tests/\w+", BOOTSTRAP))
    chosen = re.findall(r'-m ("not quiet"|quiet) tests/lab', BOOTSTRAP)
    assert sorted(chosen) == ['"not quiet"', "quiet"]


def test_the_lab_has_the_rights_that_it_needs_and_the_code_has_none() -> None:
    jobs = _github()
    assert jobs["lab"]["container"]["options"] == "--privileged"
    assert jobs["code"]["container"] == jobs["lab"]["container"]["image"] == "debian:12"
    assert yaml.safe_load(GITLAB.read_text())["lab"]["tags"] == ["privileged"]
