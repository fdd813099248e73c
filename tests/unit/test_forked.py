"""Work in forked processes."""

from __future__ import annotations

import os
from functools import partial

import pytest

from offloadbench import forked
from offloadbench.errors import UsageError


def _numbered(number: int) -> tuple[int, int]:
    return number, os.getpid()


def _fails() -> int:
    raise UsageError("names: damaged", "build it again")


def test_results_come_in_order_and_from_other_processes() -> None:
    found = list(forked.each([partial(_numbered, number) for number in range(20)], 2))
    assert [number for number, _ in found] == list(range(20))
    assert os.getpid() not in {pid for _, pid in found}


@pytest.mark.parametrize("cpus", [1, 2])
def test_work_beside_is_done_once(cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "cpus", lambda: cpus)
    with forked.beside(lambda: (os.getpid(), object())) as result:
        pid, made = result()
        assert result() == (pid, made)
    assert (pid == os.getpid()) == (cpus == 1)


@pytest.mark.parametrize("cpus", [1, 2])
def test_an_error_of_the_work_reaches_who_asks_for_the_result(cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "cpus", lambda: cpus)
    with forked.beside(_fails) as result, pytest.raises(UsageError, match="names: damaged") as caught:
        result()
    assert caught.value.hint == "build it again"
    with pytest.raises(UsageError, match="names: damaged"):
        list(forked.each([os.getpid, _fails], 2))
