"""Processes of a run are ended, and no other that has come to one's number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from offloadbench.kernel.system import processes

SLEEP = [sys.executable, "-I", "-c", "import time; print(flush=True); time.sleep(60)"]


@pytest.fixture(params=["by a handle", "by its number"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "by its number":
        monkeypatch.delattr(os, "pidfd_open")
    return str(request.param)


def _started(run_id: str) -> subprocess.Popen[bytes]:
    one = subprocess.Popen(SLEEP, env={processes.MARKER: run_id}, stdout=subprocess.PIPE)
    assert one.stdout is not None
    one.stdout.readline()
    return one


@pytest.fixture
def others() -> Iterator[subprocess.Popen[bytes]]:
    one = _started("test-others")
    yield one
    one.kill()
    one.communicate()


def test_a_number_that_is_another_process_by_now_is_left_alone(
    way: str, others: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As seen when the run's own process ended, and its number was given to somebody else."""
    del way
    found = iter([[others.pid], []])
    monkeypatch.setattr(processes, "of_run", lambda run_id: next(found, []))
    assert processes.end_of_run("test-own", 1.0) == []
    assert others.poll() is None


def test_a_process_of_the_run_is_ended(way: str, others: subprocess.Popen[bytes]) -> None:
    del way
    own = _started("test-own")
    called = processes.name(own.pid)
    assert processes.end_of_run("test-own", 5.0) == [f"{called} (pid {own.pid})"]
    assert own.wait(5) == -signal.SIGTERM
    assert others.poll() is None
    own.communicate()
