"""The journal: what to put back is on disk (fsync) before anything is changed.

A step is data, so that another process can take it back after the one that wrote it was killed. Steps are taken
back in reverse order, each tried even when another fails; each can be repeated without harm. Files lie in
/var/lib/offloadbench (or $OFFLOADBENCH_STATE).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from offloadbench.errors import HostError, RestoreError, UsageError
from offloadbench.kernel import features, link, mounts, netns, processes, sysctl

Step = dict[str, Any]
Tell = Callable[[str], None]


def state_folder() -> Path:
    """Where journals and locks lie."""
    return Path(os.environ.get("OFFLOADBENCH_STATE", "/var/lib/offloadbench"))


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Putting back is not cut short by an impatient second Ctrl-C."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class NicLock:
    """One run a NIC. The kernel gives a flock(2) back when its holder dies, so a crash leaves no stale lock."""

    def __init__(self, nic_name: str) -> None:
        folder = state_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._stream = (folder / f"{nic_name.replace('/', '_')}.lock").open("a+")
        except OSError as error:
            raise HostError(f"{folder}: {error.strerror}", "run as root") from error
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


def journal_path(run_id: str, suffix: str = "journal") -> Path:
    """Where a run's journal lies; `restore_left_behind` looks at those that end in .journal only."""
    return state_folder() / f"{run_id}.{suffix}"


class Journal:
    """The steps of one run, in the order in which the machine was changed."""

    def __init__(self, run_id: str, nic_name: str, suffix: str = "journal") -> None:
        self.path = journal_path(run_id, suffix)
        self._steps: list[Step] = []
        try:
            self._stream = self.path.open("x")
        except OSError as error:
            raise HostError(f"{self.path}: {error.strerror}", "run as root; see the folder's free space") from error
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
        step = {"kind": kind, **values}
        self._append(step)
        self._steps.append(step)

    @property
    def mark(self) -> int:
        return len(self._steps)

    def undo_to(self, mark: int, tell: Tell) -> None:
        """Take back the steps since `mark`.

        Raises:
            RestoreError: some could not be taken back; they stay in the journal.
        """
        failed = _undo(self._steps[mark:], tell)
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


# ---------------------------------------------------------------- how each kind of step is taken back


def _undo_features(step: Step, tell: Tell) -> None:
    if _nic_is_gone(step, tell):
        return
    found = features.read(step["ifname"], step["namespace"])
    differing = {name: value for name, value in step["wanted"].items() if found[name].wanted != value}
    if differing:
        # wanted bits only: active ones are masked by dependencies
        features.write_wanted(step["ifname"], differing, step["namespace"])
        after = features.read(step["ifname"], step["namespace"])
        stuck = [name for name, value in differing.items() if after[name].wanted != value]
        if stuck:
            raise RestoreError(f"{step['ifname']}: {', '.join(stuck)} did not go back")
        tell(f"{step['ifname']}: features put back: {', '.join(sorted(differing))}")


def _undo_gso_max_segs(step: Step, tell: Tell) -> None:
    if _nic_is_gone(step, tell):
        return
    if link.read(step["ifname"], step["namespace"]).gso.max_segs != step["max_segs"]:
        link.set_gso_max_segs(step["ifname"], step["max_segs"], step["namespace"])
        tell(f"{step['ifname']}: gso_max_segs put back to {step['max_segs']}")


def _undo_namespace(step: Step, tell: Tell) -> None:
    if netns.exists(step["namespace"]):
        netns.remove(step["namespace"])
        tell(f"namespace {step['namespace']} removed, with its links")


def _undo_folder(step: Step, tell: Tell) -> None:
    if Path(step["path"]).exists():
        shutil.rmtree(step["path"])
        tell(f"{step['path']} removed")


def _undo_tracefs(step: Step, tell: Tell) -> None:
    del step
    if mounts.unmount_tracefs():
        tell("tracefs unmounted")


def _undo_sysctl(step: Step, tell: Tell) -> None:
    name, value, namespace = step["name"], step["value"], step["namespace"]
    if namespace is not None and not netns.exists(namespace):
        tell(f"namespace {namespace} is gone, and its {name} with it")
        return
    if sysctl.read(name, namespace) != value:
        sysctl.write(name, value, namespace)
        tell(f"{name} put back to {value}")


def _nic_is_gone(step: Step, tell: Tell) -> bool:
    namespace = step["namespace"]
    try:
        if namespace is None or netns.exists(namespace):
            link.read(step["ifname"], namespace)
            return False
    except HostError:
        pass
    tell(f"{step['ifname']} is gone, and its settings with it")
    return True


_UNDO: dict[str, Callable[[Step, Tell], None]] = {
    "features": _undo_features,
    "gso_max_segs": _undo_gso_max_segs,
    "namespace": _undo_namespace,
    "folder": _undo_folder,
    "tracefs": _undo_tracefs,
    "sysctl": _undo_sysctl,
}


def _command_for(step: Step) -> str:
    """What a person would type to take the step back."""
    prefix = f"ip netns exec {step['namespace']} " if step.get("namespace") else ""
    if step["kind"] == "features":
        bits = " ".join(f"{name} {'on' if value else 'off'}" for name, value in step["wanted"].items())
        return f"{prefix}ethtool -K {step['ifname']} {bits}"
    if step["kind"] == "gso_max_segs":
        return f"{prefix}ip link set dev {step['ifname']} gso_max_segs {step['max_segs']}"
    if step["kind"] == "namespace":
        return f"ip netns del {step['namespace']}"
    if step["kind"] == "folder":
        return f"rm -r {step['path']}"
    if step["kind"] == "sysctl":
        return f"{prefix}sysctl -w {step['name']}='{step['value']}'"
    return "umount /sys/kernel/tracing" if step["kind"] == "tracefs" else f"undo {json.dumps(step)}"


def _undo(steps: list[Step], tell: Tell) -> RestoreError | None:
    failures = []
    commands = []
    for step in reversed(steps):
        try:
            _UNDO[step["kind"]](step, tell)
        # whatever went wrong with one step, the others must be tried
        except Exception as error:
            failures.append(f"{step.get('kind')}: {error}")
            commands.append(_command_for(step))
    if not failures:
        return None
    return RestoreError(
        f"could not put back everything: {'; '.join(failures)}", f"still needed: {' ; '.join(commands)}"
    )


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
        raise HostError(f"{path}: {error.strerror}", "run as root") from error
    return False


def _take_back(path: Path, header: Step, steps: list[Step], tell: Tell) -> RestoreError | None:
    """Undo what a journal holds and remove it, unless something fails."""
    if header and header["boot_id"] != boot_id():
        tell(f"run {header['run_id']}: the machine was restarted since, and its settings with it")
        _undo([step for step in steps if step["kind"] == "folder"], tell)
    elif header:
        for ended in processes.end_of_run(header["run_id"]):
            tell(f"ended {ended}")
        failed = _undo(steps, tell)
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
    failed = _take_back(path, *_read(path), tell)
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
        failed = _take_back(path, header, steps, tell)
        if failed:
            failures.append(failed)
            continue
        done += 1
    if failures:
        raise failures[0]
    return done
