"""Set the sysctls that a path needs, and put them back (`offloadbench tune --apply`, `--undo`).

What was found is kept in a journal of its own, `tune.tuned` (in a namespace NS, `tune-NS.tuned`): `restore` and `run`
take back every `*.journal` whose run is dead, and a tuned machine is meant to stay tuned.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import Any

from offloadbench.analysis.tcp_tuning import needs
from offloadbench.analysis.tcp_tuning.kernel_defaults import version
from offloadbench.analysis.tcp_tuning.needs import PathTarget
from offloadbench.base.errors import HostError, UsageError
from offloadbench.base.signals import uninterrupted
from offloadbench.changes.change import Tell
from offloadbench.changes.sysctl_value import SysctlValue
from offloadbench.engine import rights
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.putting_back.journal_file import journal_path
from offloadbench.engine.putting_back.left_behind import restore_kept
from offloadbench.engine.putting_back.nic_lock import NicLock
from offloadbench.kernel.system import netns, sysctl

_SUFFIX = "tuned"
_NAME = re.compile(r"[^/.][^/]*")


@dataclass(frozen=True, slots=True)
class TunedSysctl:
    """A sysctl that was set, and what was read back."""

    name: str
    before: str
    after: str


def target_here(namespace: str | None, **path: Any) -> PathTarget:
    """A path, seen from this machine's kernel.

    Args:
        path: the other fields of `PathTarget`.

    Raises:
        UsageError: no such namespace.
        HostError: it cannot be entered.
    """
    _check(namespace)
    adv_win_scale = sysctl.read(needs.ADV_WIN_SCALE, namespace)
    return PathTarget(
        kernel=version(platform.release())[:2],
        adv_win_scale=int(adv_win_scale) if adv_win_scale is not None else None,
        **path,
    )


def present(namespace: str | None) -> dict[str, str]:
    """Values of the sysctls that can be tuned here: net.core's buffers belong to the first namespace only."""
    values = {name: sysctl.read(name, namespace) for name in needs.TUNED if sysctl.writable(name, namespace)}
    return {name: value for name, value in values.items() if value is not None}


def apply(target: PathTarget, namespace: str | None) -> list[TunedSysctl]:
    """Raise what is too small, journal first. Nothing is lowered; whatever fails, everything set is taken back.

    Raises:
        UsageError: no such namespace, or an earlier --apply stands and more would have to be changed.
        HostError: a capability is missing, or the kernel took another value.
    """
    rights.for_sysctls("tune --apply", namespace)
    _check(namespace)
    owner = _owner(namespace)
    lock = NicLock(owner)
    try:
        before = present(namespace)
        wanted = needs.changes(needs.needs(target), before)
        if not wanted:
            return []
        if journal_path(owner, _SUFFIX).exists():
            raise UsageError("an earlier --apply stands", "offloadbench tune --undo, then --apply again")
        journal = Journal(owner, owner, _SUFFIX)
        try:
            changed = [set_value(journal, name, before[name], value, namespace) for name, value in wanted.items()]
        except BaseException:
            with uninterrupted():
                journal.close(lambda told: None)
            raise
        journal.keep()
        return changed
    finally:
        lock.release()


def undo_applied(namespace: str | None, tell: Tell) -> bool:
    """Put back what `apply` found; False when there is nothing to put back.

    Raises:
        HostError: a capability is missing.
        RestoreError: some could not be put back; the journal stays.
    """
    rights.for_sysctls("tune --undo", namespace)
    owner = _owner(namespace)
    lock = NicLock(owner)
    try:
        with uninterrupted():
            return restore_kept(journal_path(owner, _SUFFIX), tell)
    finally:
        lock.release()


def set_value(journal: Journal, name: str, before: str, value: str, namespace: str | None) -> TunedSysctl:
    """Set one sysctl, journal first, and read it back.

    Raises:
        HostError: refused, or the kernel took another value.
    """
    journal.make(SysctlValue(name=name, namespace=namespace, value=before, asked=value))
    after = sysctl.read(name, namespace) or ""
    if after != value:
        raise HostError(f"{name} is {after} after asking for {value}", "everything was put back")
    return TunedSysctl(name, before, after)


def _owner(namespace: str | None) -> str:
    """Name of journal and lock."""
    if namespace is not None and not _NAME.fullmatch(namespace):
        raise UsageError(f"{namespace!r} is no name of a namespace", "see `ip netns` for the names")
    return f"tune-{namespace}" if namespace else "tune"


def _check(namespace: str | None) -> None:
    _owner(namespace)
    if namespace is not None and not netns.exists(namespace):
        raise UsageError(f"no namespace named {namespace!r}", "see `ip netns` for the names")
    try:
        with netns.entered(namespace):
            pass
    except OSError as error:
        raise HostError(f"namespace {namespace}: {error.strerror}", "entering one needs CAP_SYS_ADMIN") from error
