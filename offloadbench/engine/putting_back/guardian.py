"""The dead-man timer: puts the machine back when nobody else is left to do it.

A NIC that carries this machine's default route or an ssh session may be tested by force only. What the trial does to it
may cut off who started the run; so a process of its own, in a session of its own, holds the way back. It waits for a
sign of life every few seconds, which the engine gives as long as the load side lives. When signs stay out it ends the
engine, which puts back what it changed; when that does not help, or the engine is dead, it does so from the journal.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from offloadbench.base.errors import OffloadbenchError, UsageError
from offloadbench.base.signals import ENDING
from offloadbench.bed.testbed import Bed
from offloadbench.engine.putting_back.left_behind import restore_left_behind
from offloadbench.engine.putting_back.nic_lock import NicLock
from offloadbench.kernel.system import processes
from offloadbench.roles.ends import python_role

SILENCE_S = 20.0
_SIGN_S = 2.0
# how long the engine may take to put things back by itself
_ORDER_S, _AGAIN_S = 30.0, 5.0
_LOCK_S = 10.0


class Guardian:
    """The engine's side: starts the process, and gives signs of life while the bed has both its ends."""

    def __init__(self, nic: str, journal: Path, bed: Bed, silence_s: float = SILENCE_S) -> None:
        self._bed = bed
        self._over = threading.Event()
        self._process = subprocess.Popen(
            [*python_role(__name__), nic, str(journal), str(silence_s)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            # what ends the run's processes must not end this one
            env={key: value for key, value in os.environ.items() if key != processes.MARKER},
        )
        self._thread = threading.Thread(target=self._live, name="signs of life", daemon=True)
        self._thread.start()

    def _live(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                with contextlib.suppress(OffloadbenchError):
                    self._bed.check()
                    self._process.stdin.write(b".")
                    self._process.stdin.flush()
                self._over.wait(_SIGN_S)

    def release(self) -> None:
        """The run is over. What is not in the journal any more needs no guardian. Safe to call twice."""
        self._over.set()
        self._thread.join()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ORDER_S)


def _wait_for_silence(silence_s: float) -> bool:
    """Whether the engine went (True), or it lives and gave no sign for that long (False)."""
    while select.select([0], [], [], silence_s)[0]:
        if not os.read(0, 4096):
            return True
    return False


def _end(engine: int, journal: Path) -> None:
    """End the engine, in order if it can."""
    # it does not hear a signal while it puts a trial's changes back, so it is told again
    requests = [(signal.SIGTERM, _AGAIN_S)] * round(_ORDER_S / _AGAIN_S)
    for number, grace_s in (*requests, (signal.SIGKILL, _LOCK_S)):
        # its number may be another's once it is no longer our parent
        if os.getppid() != engine:
            return
        if not journal.exists():
            return
        os.kill(engine, number)
        deadline_s = time.monotonic() + grace_s
        while journal.exists() and os.getppid() == engine and time.monotonic() < deadline_s:
            time.sleep(0.1)


def _restore(nic: str, say: Callable[[str], None]) -> int:
    deadline_s = time.monotonic() + _LOCK_S
    while True:
        try:
            lock = NicLock(nic)
            break
        except UsageError as error:
            if time.monotonic() > deadline_s:
                say(f"{error.message}: left alone")
                return error.exit_code
            time.sleep(0.1)
    try:
        restore_left_behind(say, nic)
    except OffloadbenchError as error:
        say(f"{error.message}; {error.hint}")
        return error.exit_code
    finally:
        lock.release()
    say("the machine is as it was")
    return 0


def main() -> int:
    nic, journal, silence_s = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    engine = os.getppid()
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    gone = _wait_for_silence(silence_s)
    if not journal.exists():
        return 0
    log = journal.with_suffix(".guardian.log")

    def say(text: str) -> None:
        with log.open("a") as stream:
            stream.write(f"{text}\n")
        # the terminal may be what was cut off
        with contextlib.suppress(OSError):
            sys.stderr.write(f"dead-man timer: {text}\n")
            sys.stderr.flush()

    why = "the run is dead" if gone else f"the load side of {nic} has been silent for {silence_s:.0f} s"
    say(f"{why}: putting back what it changed")
    if not gone:
        _end(engine, journal)
        if not journal.exists():
            say("the run has put it back")
            return 0
    return _restore(nic, say)


if __name__ == "__main__":
    sys.exit(main())
