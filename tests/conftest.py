"""What all tests share: captured output, the sample run, a command line without a process of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from offloadbench import cli
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import Profile, Run

DATA = Path(__file__).parent / "data"
# the machine may be busy measuring, and a failure must come again when the test does
settings.register_profile("offloadbench", deadline=None, derandomize=True, database=None)
settings.load_profile("offloadbench")


def pytest_configure() -> None:
    # a shell has what it starts in the background ignore Ctrl-C, and so would every process that a test interrupts
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ran to its end."""

    code: int
    out: str
    err: str


CommandLine = Callable[..., Finished]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of captured output."""
    return DATA


@pytest.fixture(scope="session")
def sample_path() -> Path:
    """A released run file of format version 1."""
    return DATA / "run-v1.json"


@pytest.fixture(scope="session")
def sample_run(sample_path: Path) -> Run:
    return run_file.load(sample_path)


@pytest.fixture(scope="session")
def chains_path() -> Path:
    """A run file with call chains."""
    return DATA / "report-lab-chains.json"


@pytest.fixture(scope="session")
def chains_run(chains_path: Path) -> Run:
    return run_file.load(chains_path)


@pytest.fixture(scope="session")
def linux_profile() -> Profile:
    return catalog.profile("linux")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for journals and locks that is nobody else's."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("OFFLOADBENCH_STATE", str(folder))
    return folder


@pytest.fixture
def command_line(capsys: pytest.CaptureFixture[str]) -> Iterator[CommandLine]:
    """`offloadbench` called in this process; its signal handlers are taken back afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def call(*arguments: str) -> Finished:
        capsys.readouterr()
        try:
            code = cli.main(list(arguments))
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    yield call
    for number, handler in before.items():
        signal.signal(number, handler)
