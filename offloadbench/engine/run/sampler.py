"""One sample a second, on a monotonic schedule without drift, by a thread with real-time priority.

The n-th sample is due n seconds after the first reading, whatever happened before; each carries its own measured
interval and how late it was.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

from offloadbench.model import Samples

Reading = dict[str, float]
# above the wire's, so that a busy cable does not delay a sample
PRIORITY = 20


class Sampler(threading.Thread):
    """Takes `count` samples, one every `period_s`, from the moment `start` is called.

    Args:
        read: returns growing counters; called from the sampler's thread.
        each: told (end of interval, differences, interval) after every sample.
    """

    def __init__(
        self,
        read: Callable[[], Reading],
        count: int,
        each: Callable[[float, Reading, float], None],
        period_s: float = 1.0,
    ) -> None:
        super().__init__(name="sampler", daemon=True)
        self._read = read
        self._count = count
        self._each = each
        self._period_s = period_s
        self._stop_early = threading.Event()
        self._rows: list[tuple[float, float, float, Reading]] = []
        self.started_s = 0.0
        self.opened = threading.Event()
        self.problem: BaseException | None = None
        self.real_time = True

    def run(self) -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        except OSError:
            self.real_time = False
        try:
            self._sample()
        except BaseException as error:
            self.problem = error
        finally:
            self.opened.set()

    def _sample(self) -> None:
        before = self._read()
        self.started_s = last_s = time.monotonic()
        self.opened.set()
        for number in range(1, self._count + 1):
            due_s = self.started_s + number * self._period_s
            if self._stop_early.wait(max(0.0, due_s - time.monotonic())):
                return
            now = self._read()
            now_s = time.monotonic()
            difference = {name: value - before[name] for name, value in now.items()}
            interval_s = now_s - last_s
            self._rows.append((now_s - self.started_s, interval_s, now_s - due_s, difference))
            self._each(now_s - self.started_s, difference, interval_s)
            before, last_s = now, now_s

    def cancel(self) -> None:
        """End early; the samples taken so far stay."""
        self._stop_early.set()

    def result(self) -> Samples:
        """The samples; raises what stopped the thread."""
        if self.problem is not None:
            raise self.problem
        names = list(self._rows[0][3]) if self._rows else []
        return Samples(
            t_s=[round(row[0], 6) for row in self._rows],
            interval_s=[round(row[1], 6) for row in self._rows],
            late_s=[round(row[2], 6) for row in self._rows],
            counters={name: [round(row[3][name], 6) for row in self._rows] for name in names},
        )

    def __enter__(self) -> Sampler:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        with contextlib.suppress(RuntimeError):
            self.join()
