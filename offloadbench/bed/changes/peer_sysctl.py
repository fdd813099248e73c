"""A sysctl of a load host. A role there sets it, and puts it back as soon as its connection is gone."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from offloadbench.base.errors import RestoreError
from offloadbench.bed.remote import ssh
from offloadbench.changes.change import Change, SysctlName, SysctlText, Tell, quoted
from offloadbench.roles.messages import AskSysctl, SetSysctl, SysctlThere


class PeerSysctl(Change, frozen=True, kw_only=True, tag="host_sysctl"):
    """The value as that host had it, and as the run asks for it.

    Attributes:
        where: names the host as the user did.
    """

    where: Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z", max_length=1024)]
    name: SysctlName
    value: SysctlText
    set_to: SysctlText

    def undo(self, tell: Tell) -> None:
        where, name, value = self.where, self.name, self.value
        if not where.startswith(ssh.PREFIX):
            tell(f"{where}: {name} goes back to {value} when the line there ends; see `sysctl {name}` on that host")
            return
        connection = ssh.parse(where).connect()
        try:
            if connection.ask(AskSysctl(name), SysctlThere).value != value:
                if connection.ask(SetSysctl(name, value), SysctlThere).value != value:
                    raise RestoreError(f"{where}: {name} did not go back to {value}")
                tell(f"{where}: {name} put back to {value}")
        finally:
            connection.close()

    @property
    def command(self) -> str:
        return f"sysctl -w {self.name}={quoted(self.value)} on {self.where}"
