"""Work in forked processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from offloadbench.base import forked
from offloadbench.base.errors import UsageError


def _numbered(number: int) -> tuple[int, int]:
    return number, os.getpid()


def _fails() -> int:
    raise UsageError("names: damaged", "build it again")


def test_results_come_in_order_and_from_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "cpus", lambda: 2)
    with forked.beside([partial(_numbered, number) for number in range(20)]) as results:
        found = [result() for result in results]
    assert [number for number, _ in found] == list(range(20))
    assert os.getpid() not in {pid for _, pid in found}


@pytest.mark.parametrize("cpus", [1, 2])
def test_work_beside_is_done_once(cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "cpus", lambda: cpus)
    with forked.beside([lambda: (os.getpid(), object())]) as (result,):
        pid, made = result()
        assert result() == (pid, made)
    assert (pid == os.getpid()) == (cpus == 1)


@pytest.mark.parametrize("cpus", [1, 2])
def test_an_error_of_the_work_reaches_who_asks_for_the_result(cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "cpus", lambda: cpus)
    with (
        forked.beside([os.getpid, _fails]) as (well, badly),
        pytest.raises(UsageError, match="names: damaged") as caught,
    ):
        assert well()
        badly()
    assert caught.value.hint == "build it again"


def test_no_work_is_done_in_no_process() -> None:
    none: list[Callable[[], None]] = []
    with forked.beside(none) as results:
        assert results == []


@pytest.mark.parametrize("cpus", [1, 2])
def test_what_is_not_begun_when_the_caller_leaves_is_not_done(
    cpus: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(forked, "cpus", lambda: cpus)
    works = [partial(_slowly_written, tmp_path / str(number)) for number in range(30)]
    with pytest.raises(UsageError), forked.beside(works):
        _fails()
    assert len(list(tmp_path.iterdir())) < len(works)


def _slowly_written(path: Path) -> None:
    path.touch()
    time.sleep(0.05)


_SCRIPT = """
import os, time
from offloadbench.base import forked

def work():
    os.write(1, b"begun\\n")
    time.sleep(1.5)

try:
    with forked.beside([work] * 8) as results:
        for result in results:
            result()
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.fixture
def forking() -> Iterator[subprocess.Popen[str]]:
    """A process that has forked, once both forked ones have begun their work."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
    yield process
    process.kill()


@pytest.mark.skipif(forked.cpus() < 2, reason="one CPU forks nothing")
@pytest.mark.parametrize("interrupts", [1, 2])
def test_an_interrupt_of_all_processes_is_told_by_the_one_that_forked(
    interrupts: int, forking: subprocess.Popen[str]
) -> None:
    for _ in range(interrupts):
        os.killpg(forking.pid, signal.SIGINT)
        # the first works last longer: the second interrupt comes while the pool is ended
        time.sleep(0.1)
    # both pipes end when no process of the group is left
    said, complaints = forking.communicate(timeout=30)
    assert complaints == ""
    assert said.endswith("stopped\n")
    assert said.count("begun") < 8 - 2


@pytest.mark.skipif(forked.cpus() < 2, reason="one CPU forks nothing")
def test_forked_processes_end_with_the_one_that_forked(forking: subprocess.Popen[str]) -> None:
    forking.kill()
    said, _ = forking.communicate(timeout=30)
    assert said.count("begun") < 8 - 2
