"""What every kind of change of the machine has: how it is made, how it is taken back, and its record in the journal.

A change is data: its fields are its record, so that another process can take it back after the one that made it was
killed. A kind is a class in a file of its own, tagged with the name that journals know it by; the file is all of it.
A record is read from a file that anybody may have written: its fields say by their types what they may hold, and
`distrust` what only the run of that journal can have made.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

import msgspec
from msgspec import Meta

from offloadbench.base.errors import HostError, OffloadbenchError
from offloadbench.kernel.netdev import link
from offloadbench.kernel.system import netns

Tell = Callable[[str], None]

# no control characters anywhere: these words are printed as commands for a person
# dev_valid_name of net/core/dev.c
NicName = Annotated[str, Meta(pattern=r"^(?!\.{1,2}\Z)[^\s/:\x00-\x1f\x7f-\x9f]{1,15}\Z")]
NamespaceName = Annotated[str, Meta(pattern=r"^(?!\.{1,2}\Z)[^-/\x00-\x1f\x7f-\x9f][^/\x00-\x1f\x7f-\x9f]{0,254}\Z")]
SysctlName = Annotated[str, Meta(pattern=r"^net(\.[A-Za-z0-9_-]+)+\Z", max_length=255)]
SysctlText = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z", max_length=4096)]
Ipv4 = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}\Z")]
InterfaceIndex = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Port = Annotated[int, Meta(ge=0, le=65535)]


@dataclass(frozen=True, slots=True)
class SettingSeen:
    """A value that taking a change back writes.

    Attributes:
        ifname: of the NIC that it belongs to; empty for none.
        was, asked, now: as found before the change, as the change set it, and at present.
    """

    ifname: str
    namespace: str | None
    name: str
    was: Any
    asked: Any
    now: Any


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """A kind of change.

    Attributes:
        survives_restart: whether it is still there after a restart of the machine.
    """

    survives_restart: ClassVar[bool] = False

    def apply(self) -> None:
        """Make it; what another process makes is only written down here.

        Raises:
            OffloadbenchError: refused.
        """

    def undo(self, tell: Tell) -> None:
        """Take it back, and say so; nothing is done or said where it is undone already.

        Raises:
            OffloadbenchError: it did not go back.
        """
        raise NotImplementedError

    @property
    def command(self) -> str:
        """What a person would type to take it back."""
        raise NotImplementedError

    def reachable(self) -> bool:
        """Whether what was changed is still there."""
        return True

    def located(self) -> Change:
        """The same, with how its device is found again that somebody renames meanwhile."""
        return self

    def at_present(self, tell: Tell) -> Change:
        """The same, for the name that its device has now."""
        del tell
        return self

    def settings(self) -> list[SettingSeen]:
        """The values that taking it back writes, as they are now; none where it removes what it made.

        Raises:
            OffloadbenchError: they cannot be read.
        """
        return []

    def distrust(self, run_id: str) -> str:
        """Why the run of the journal in which it was found cannot have made it; empty where it can."""
        del run_id
        return ""


class NamespacedChange(Change, frozen=True):
    """A change in a network namespace; None: the first one."""

    namespace: NamespaceName | None

    def reachable(self) -> bool:
        return self.namespace is None or netns.exists(self.namespace)

    def typed(self, command: str) -> str:
        """A command as it is typed for this namespace."""
        return f"ip netns exec {shlex.quote(self.namespace)} {command}" if self.namespace else command


class NicChange(NamespacedChange, frozen=True):
    """A change of a NIC.

    Attributes:
        index: of every device another one in its namespace; 0 where it is not known, as in older journals.
    """

    ifname: NicName
    index: InterfaceIndex = 0

    def located(self) -> Change:
        if self.index or not self.reachable():
            return self
        try:
            return msgspec.structs.replace(self, index=link.read(self.ifname, self.namespace).index)
        except OffloadbenchError:
            # a device that is still to come there
            return self

    def at_present(self, tell: Tell) -> Change:
        if not self.reachable():
            return self
        return msgspec.structs.replace(self, ifname=present_name(self.ifname, self.index, self.namespace, tell))

    def nic_is_gone(self, tell: Tell) -> bool:
        """Whether there is nothing to take back any more, which is told."""
        try:
            if self.reachable():
                link.read(self.ifname, self.namespace)
                return False
        except HostError:
            pass
        tell(f"{self.ifname} is gone, and its settings with it")
        return True

    def setting(self, name: str, was: Any, asked: Any, now: Any) -> SettingSeen:
        return SettingSeen(self.ifname, self.namespace, name, was, asked, now)


def present_name(ifname: str, index: int, namespace: str | None, tell: Tell) -> str:
    """What a device is called now, by its index; as before where it is not found."""
    name = link.name_of(index, namespace) if index else ""
    if name in ("", ifname):
        return ifname
    tell(f"{ifname} is called {name} now")
    return name


class ChangeLog(Protocol):
    """Who writes changes down before they are made, and takes them back at the end."""

    def add(self, change: Change) -> None:
        """Write a change down.

        Raises:
            HostError: it cannot be written, or could not be read back; it must not be made then.
        """

    def make(self, change: Change) -> None:
        """Write a change down, and make it.

        Raises:
            OffloadbenchError: as of `add`, or refused.
        """

    def forget(self, change: Change) -> None:
        """A change was undone already, and that was seen; one that is not known needs nothing."""


def quoted(text: str) -> str:
    """One word of a shell, whatever is in it."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def of_run(name: str, run_id: str) -> bool:
    """Whether a run gave this name to something of its own."""
    return name.startswith(f"offloadbench-{run_id}-")
