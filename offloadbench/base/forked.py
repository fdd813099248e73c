"""Work in forked processes: the fork lends them what they work on, and only results are sent back."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from offloadbench.base.signals import ENDING, uninterrupted

_Result = TypeVar("_Result")
# linux/prctl.h
_PR_SET_PDEATHSIG = 1
# what a forked process is to do; empty in the one that forks
_LENT: list[Callable[[], Any]] = []


def cpus() -> int:
    """How many processes have a CPU each."""
    return len(os.sched_getaffinity(0))


@contextmanager
def beside(works: Sequence[Callable[[], _Result]]) -> Iterator[list[Callable[[], _Result]]]:
    """Do works that know nothing of each other, in this order, while the caller does something else: a process a CPU.

    What is not begun when the caller leaves is not done.

    Yields:
        For each work what waits for its result, or raises its error; it may be called again. With one CPU it does the
        work.
    """
    if cpus() < 2 or not works:
        yield [cache(work) for work in works]
        return
    context = multiprocessing.get_context("fork")
    pool = futures.ProcessPoolExecutor(min(cpus(), len(works)), context, initializer=_begin, initargs=(works,))
    try:
        yield [pool.submit(_do, number).result for number in range(len(works))]
    finally:
        # a second Ctrl-C while processes are ended would leave them behind
        with uninterrupted():
            pool.shutdown(cancel_futures=True)


def _begin(works: Sequence[Callable[[], Any]]) -> None:
    # Ctrl-C goes to all processes of a terminal: the one that forked takes back what is not begun, and speaks
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    # whoever kills the one that forked leaves nobody who would end this one
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _LENT[:] = works


def _do(number: int) -> Any:
    return _LENT[number]()
