"""The built wheel, in a clean environment, with its definitions inside."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    wheel = next(folder.glob("offloadbench-*.whl"))
    venv.create(folder / "clean", with_pip=True)
    python = folder / "clean" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", str(wheel)], check=True)
    return folder / "clean" / "bin"


def test_the_wheel_runs_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        return subprocess.check_output([installed / "offloadbench", *arguments], cwd=tmp_path, text=True)

    assert "tso: checksums and hardware TSO" in call("cases")
    sample = tmp_path / "run.json"
    shutil.copy(ROOT / "tests" / "data" / "run-v1.json", sample)
    assert call("export", str(sample), "--table", "modules").startswith("run,")
    call("report", str(sample), "--output", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page
    # what is known of the sample's driver came with the wheel
    assert "TX checksum and TSO act only as far as the program at the other end allows" in page


def test_the_wheel_brings_what_shells_read(installed: Path) -> None:
    share = installed.parent / "share"
    assert (share / "man" / "man1" / "offloadbench.1").read_text().startswith(".TH OFFLOADBENCH")
    assert "complete" in (share / "bash-completion" / "completions" / "offloadbench").read_text()
    assert (share / "zsh" / "site-functions" / "_offloadbench").read_text().startswith("#compdef offloadbench")
