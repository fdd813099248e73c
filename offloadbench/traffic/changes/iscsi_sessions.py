"""Sessions of the kernel's initiator, with their records; the initiator's role makes them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from offloadbench.changes.change import Change, Tell


class IscsiSessions(Change, frozen=True, kw_only=True, tag="iscsi_sessions"):
    """All sessions of a run, by how the names of their targets begin."""

    # open-iscsi keeps its records on disk
    survives_restart = True

    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9.:-]{1,223}\Z")]

    def undo(self, tell: Tell) -> None:
        # that room makes these changes, so it imports this file
        from offloadbench.traffic.iscsi import open_iscsi

        for name in open_iscsi.leave_behind_nothing(self.prefix):
            tell(f"logged out of {name}")

    @property
    def command(self) -> str:
        return "iscsiadm -m session; iscsiadm -m node -T NAME --logout"

    def distrust(self, run_id: str) -> str:
        return "" if self.prefix.endswith(f"-{run_id}-") else f"sessions {self.prefix}* are not of run {run_id}"
