"""Work in forked processes: the fork lends them what they work on, and only results are sent back."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

_Result = TypeVar("_Result")
# what a forked process is to do; empty in the one that forks
_LENT: list[Callable[[], Any]] = []


def cpus() -> int:
    """How many processes have a CPU each."""
    return len(os.sched_getaffinity(0))


def each(works: Sequence[Callable[[], _Result]], processes: int) -> Iterator[_Result]:
    """The results in order, of works that know nothing of each other; errors are raised in their place."""
    with _pool(works, processes) as pool:
        yield from pool.map(_do, range(len(works)))


@contextmanager
def beside(work: Callable[[], _Result]) -> Iterator[Callable[[], _Result]]:
    """Do the work while the caller does something else.

    Yields:
        What waits for the result, or raises the work's error; it may be called again. With one CPU it does the work.
    """
    if cpus() < 2:
        yield cache(work)
        return
    with _pool([work], 1) as pool:
        yield pool.submit(_do, 0).result


def _pool(works: Sequence[Callable[[], _Result]], processes: int) -> futures.ProcessPoolExecutor:
    context = multiprocessing.get_context("fork")
    return futures.ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(works,))


def _begin(works: Sequence[Callable[[], Any]]) -> None:
    # Ctrl-C goes to all processes of a terminal: the one that forked takes back what is not begun, and speaks
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _LENT.extend(works)


def _do(number: int) -> Any:
    return _LENT[number]()
