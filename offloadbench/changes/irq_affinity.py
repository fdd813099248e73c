"""The CPUs that serve an interrupt."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from offloadbench.changes.change import Change, Tell
from offloadbench.kernel.netdev import irq

# Documentation/admin-guide/kernel-parameters.rst, "CPU lists"
CpuList = Annotated[str, Meta(pattern=r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*\Z", max_length=4096)]


class IrqAffinity(Change, frozen=True, kw_only=True, tag="irq_affinity"):
    """The CPUs of an interrupt as found; as asked for, None in journals that do not say so."""

    irq: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    cpus: CpuList
    asked: CpuList | None = None

    @classmethod
    def of(cls, number: int, asked: str) -> IrqAffinity:
        """What is asked for, with what is found.

        Raises:
            HostError: no such interrupt.
        """
        return cls(irq=number, cpus=irq.affinity(number), asked=asked)

    def apply(self) -> None:
        assert self.asked is not None
        irq.set_affinity(self.irq, self.asked)

    def undo(self, tell: Tell) -> None:
        if not irq.exists(self.irq):
            tell(f"interrupt {self.irq} is gone, and its CPUs with it")
            return
        if irq.affinity(self.irq) != self.cpus:
            irq.set_affinity(self.irq, self.cpus)
            tell(f"interrupt {self.irq} back on CPU {self.cpus}")

    @property
    def command(self) -> str:
        return f"echo {self.cpus} > /proc/irq/{self.irq}/smp_affinity_list"
