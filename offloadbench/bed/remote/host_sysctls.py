"""The engine's side of sysctls that are set on both ends of a link to another host (the other side: sysctls.py)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from offloadbench.base.errors import RefusedError, TrafficError
from offloadbench.bed.changes.peer_sysctl import PeerSysctl
from offloadbench.bed.local import set_sysctls
from offloadbench.changes.change import ChangeLog
from offloadbench.kernel.system import sysctl
from offloadbench.roles.ends import End, Role
from offloadbench.roles.messages import PutBackSysctls, SetSysctls, SysctlsBack, SysctlsSet

_ROLE = "offloadbench.bed.remote.sysctls"
_END_S = 5.0


class HostSysctls:
    """Values of both ends, for the length of a run.

    Args:
        where: names the load host as the user did, by which `restore` can reach it again.
        tell: says what of the load host could not be seen to go back.
    """

    def __init__(self, where: str, values: Mapping[str, str], changes: ChangeLog, tell: Callable[[str], None]) -> None:
        self.values = dict(values)
        self._where, self._changes, self._tell = where, changes, tell
        # as the load host had them before the run, whatever connection is the present one
        self._found: dict[str, str] = {}
        self._role: Role | None = None

    def set_here(self) -> None:
        """Set those of this machine.

        Raises:
            RefusedError: the kernel refuses a value.
        """
        set_sysctls(self.values, None, self._changes)

    def set_there(self, peer: End, read: Callable[[str], str | None]) -> None:
        """Set those of the load host, the first time or again, and look whether they are in force.

        Args:
            read: the value of a sysctl there; None where there is none such.

        Raises:
            RefusedError: it has no such sysctl, or not for this user, or does not take the value.
            TrafficError: it is gone.
        """
        if not self.values:
            return
        for name in self.values.keys() - self._found.keys():
            was = read(name)
            if was is None:
                raise RefusedError(f"{peer.name}: its kernel has no sysctl {name}", "leave it out")
            self._changes.add(self._change(name, was))
            self._found[name] = was
        if self._role is None or not self._role.running():
            self._role = peer.launch(_ROLE, f"sysctls of the {peer.name}")
        try:
            taken = self._role.request(SetSysctls(self.values, self._found), SysctlsSet).taken
        except TrafficError as error:
            if not self._role.running():
                raise
            raise RefusedError(error.message, error.hint) from error
        for name, value in self.values.items():
            if sysctl.normal(str(taken[name])) != sysctl.normal(value):
                raise RefusedError(
                    f"{peer.name}: {name} is {taken[name]} after asking for {value}", "ask for a value that it takes"
                )

    def _change(self, name: str, was: str) -> PeerSysctl:
        return PeerSysctl(where=self._where, name=name, value=was, set_to=sysctl.normal(self.values[name]))

    def put_back(self) -> None:
        """Put back those of the load host; what is not seen to go back is told, and stays in the journal."""
        problems = dict.fromkeys(self._found, "its connection is lost")
        if self._role is not None:
            with contextlib.suppress(TrafficError, OSError):
                problems = self._role.request(PutBackSysctls(), SysctlsBack, _END_S).problems
            self._role.close()
        for name, was in self._found.items():
            if name not in problems:
                self._changes.forget(self._change(name, was))
            else:
                self._tell(f"{self._where}: {name} was not seen to go back to {was}: {problems[name]}")
        self._found = {}
