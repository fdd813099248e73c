"""The journal: what to put back is on disk (fsync) before anything is changed.

A step is data, so that another process can take it back after the one that wrote it was killed. Steps are taken
back in reverse order, each tried even when another fails; each can be repeated without harm. Files lie in
/var/lib/offloadbench (or $OFFLOADBENCH_STATE).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from offloadbench.base.errors import HostError, OffloadbenchError, RestoreError, UsageError
from offloadbench.engine.putting_back.undo_others import overwritten
from offloadbench.engine.putting_back.undo_steps import Step, Tell, take_back
from offloadbench.kernel.netdev import link
from offloadbench.kernel.system import netns, processes

_ELSEWHERE = "use sudo, or point OFFLOADBENCH_STATE at a folder of yours"


def state_folder() -> Path:
    """Where journals and locks lie."""
    return Path(os.environ.get("OFFLOADBENCH_STATE", "/var/lib/offloadbench"))


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class NicLock:
    """One run a NIC. The kernel gives a flock(2) back when its holder dies, so a crash leaves no stale lock."""

    def __init__(self, nic_name: str) -> None:
        folder = state_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._stream = (folder / f"{nic_name.replace('/', '_')}.lock").open("a+")
        except OSError as error:
            raise HostError(f"{folder}: {error.strerror}", _ELSEWHERE) from error
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._stream.seek(0)
            holder = self._stream.read().strip() or "unknown"
            raise UsageError(f"{nic_name} is in use by another run (pid {holder})", "wait for it, or end it") from error
        self._stream.truncate(0)
        self._stream.write(str(os.getpid()))
        self._stream.flush()

    def release(self) -> None:
        self._stream.close()


def _found_by(values: Mapping[str, Any]) -> dict[str, int]:
    """How a device is found again that somebody renames meanwhile."""
    ifname, namespace = values.get("ifname"), values.get("namespace")
    if ifname is None or not (namespace is None or netns.exists(namespace)):
        return {}
    try:
        return {"index": link.read(ifname, namespace).index}
    except OffloadbenchError:
        # a device that is still to come there
        return {}


def journal_path(run_id: str, suffix: str = "journal") -> Path:
    """Where a run's journal lies; `restore_left_behind` looks at those that end in .journal only."""
    return state_folder() / f"{run_id}.{suffix}"


class Journal:
    """The steps of one run, in the order in which the machine was changed."""

    def __init__(self, run_id: str, nic_name: str, suffix: str = "journal") -> None:
        self.run_id = run_id
        self.path = journal_path(run_id, suffix)
        self._steps: list[Step] = []
        try:
            self._stream = self.path.open("x")
        except OSError as error:
            raise HostError(f"{self.path}: {error.strerror}", f"{_ELSEWHERE}; see its free space") from error
        self._append({"run_id": run_id, "nic": nic_name, "boot_id": boot_id(), "pid": os.getpid()})

    def _append(self, line: Step) -> None:
        try:
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise HostError(f"{self.path}: cannot keep the journal: {error.strerror}", "free space there") from error

    def add(self, kind: str, **values: Any) -> None:
        """Write down how to undo a change, before it is made."""
        step = {"kind": kind, **_found_by(values), **values}
        self._append(step)
        self._steps.append(step)

    def forget(self, kind: str, **values: Any) -> None:
        """A change was undone already, and that was seen; one that is not remembered needs nothing."""
        step = {"kind": kind, **values}
        if step in self._steps:
            self._steps.remove(step)
            self._append({"done": step})

    @property
    def mark(self) -> int:
        return len(self._steps)

    def steps_since(self, mark: int) -> list[Step]:
        return self._steps[mark:]

    def undo_to(self, mark: int, tell: Tell) -> None:
        """Take back the steps since `mark`.

        Raises:
            RestoreError: some could not be taken back; they stay in the journal.
        """
        failed = take_back(self._steps[mark:], tell)
        if failed:
            raise failed
        del self._steps[mark:]
        self._append({"undone_to": mark})

    def close(self, tell: Tell) -> None:
        """Take back everything, and remove the journal."""
        self.undo_to(0, tell)
        self._stream.close()
        self.path.unlink(missing_ok=True)

    def keep(self) -> None:
        """Leave the changes standing, and the journal for `restore_kept`."""
        self._stream.close()


# ---------------------------------------------------------------- journals that a killed run left


def _read(path: Path) -> tuple[Step, list[Step]]:
    """Header and steps not yet undone. A last line cut short was never acted on: changes follow their fsync."""
    steps: list[Step] = []
    header: Step = {}
    for line in path.read_text().splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            break
        if "run_id" in entry:
            header = entry
        elif "done" in entry:
            steps.remove(entry["done"])
        elif "undone_to" in entry:
            del steps[entry["undone_to"] :]
        else:
            steps.append(entry)
    return header, steps


def journalled() -> list[tuple[Step, list[Step]]]:
    """Header and steps of every journal, of runs at work as well as of dead ones."""
    return [_read(path) for path in sorted(state_folder().glob("*.journal"))]


def _is_running(header: Step) -> bool:
    """Whether the run that wrote the journal still holds its lock."""
    path = state_folder() / f"{str(header['nic']).replace('/', '_')}.lock"
    try:
        with path.open("a+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}", _ELSEWHERE) from error
    return False


def _take_back_journal(path: Path, header: Step, steps: list[Step], tell: Tell) -> RestoreError | None:
    """Undo what a journal holds and remove it, unless something fails."""
    if header and header["boot_id"] != boot_id():
        tell(f"run {header['run_id']}: the machine was restarted since, and its settings with it")
        take_back([step for step in steps if step["kind"] == "folder"], tell)
    elif header:
        for ended in processes.end_of_run(header["run_id"]):
            tell(f"ended {ended}")
        for text in overwritten(steps):
            tell(text)
        failed = take_back(steps, tell)
        if failed:
            return failed
    path.unlink(missing_ok=True)
    return None


def restore_kept(path: Path, tell: Tell) -> bool:
    """Take back a journal that was meant to stand (`Journal.keep`), whose lock the caller holds.

    Returns:
        Whether there was one.

    Raises:
        RestoreError: something could not be put back; the journal stays.
    """
    if not path.exists():
        return False
    failed = _take_back_journal(path, *_read(path), tell)
    if failed:
        raise failed
    return True


def restore_left_behind(tell: Tell, nic_name: str | None = None) -> int:
    """Put the machine back after killed runs: end their processes, take back their steps, remove their journals.

    Args:
        nic_name: only journals of this NIC, whose lock the caller holds; None: all whose run is dead.

    Returns:
        Number of journals dealt with.

    Raises:
        RestoreError: something could not be put back; its journal stays.
    """
    failures: list[RestoreError] = []
    done = 0
    for path in sorted(state_folder().glob("*.journal")):
        header, steps = _read(path)
        if header and nic_name is not None and header["nic"] != nic_name:
            continue
        if header and nic_name is None and _is_running(header):
            tell(f"run {header['run_id']} on {header['nic']} is still at work: left alone")
            continue
        failed = _take_back_journal(path, header, steps, tell)
        if failed:
            failures.append(failed)
            continue
        done += 1
    if failures:
        raise failures[0]
    return done
