"""A sysctl of a namespace that outlives the run."""

from __future__ import annotations

from offloadbench.base.errors import RestoreError
from offloadbench.changes.change import NamespacedChange, SettingSeen, SysctlName, SysctlText, Tell, quoted
from offloadbench.kernel.system import sysctl


class SysctlValue(NamespacedChange, frozen=True, kw_only=True, tag="sysctl"):
    """The value as found, None where this kernel has no such sysctl; as asked for, None in journals without it."""

    name: SysctlName
    value: SysctlText | None
    asked: SysctlText | None = None

    @classmethod
    def of(cls, name: str, asked: str, namespace: str | None) -> SysctlValue:
        """What is asked for, with what is found there."""
        return cls(name=name, namespace=namespace, value=sysctl.read(name, namespace), asked=sysctl.normal(asked))

    def apply(self) -> None:
        assert self.asked is not None
        sysctl.write(self.name, self.asked, self.namespace)

    def undo(self, tell: Tell) -> None:
        if not self.reachable():
            tell(f"namespace {self.namespace} is gone, and its {self.name} with it")
            return
        if self.value is None or sysctl.read(self.name, self.namespace) == self.value:
            return
        sysctl.write(self.name, self.value, self.namespace)
        if sysctl.read(self.name, self.namespace) != self.value:
            raise RestoreError(f"{self.name} did not go back to {self.value}")
        tell(f"{self.name} put back to {self.value}")

    @property
    def command(self) -> str:
        return self.typed(f"sysctl -w {self.name}={quoted(self.value or '')}")

    def settings(self) -> list[SettingSeen]:
        if self.asked is None:
            return []
        now = sysctl.read(self.name, self.namespace)
        return [SettingSeen("", self.namespace, self.name, self.value, sysctl.normal(self.asked), now)]
