"""Code that the kernel made while it ran, as KSYMBOL records tell of it: JITed BPF, trampolines of ftrace and kprobes.

perf makes up such records for the BPF programs that were loaded before it began.
"""

from __future__ import annotations

from dataclasses import dataclass

from offloadbench.kernel.trace.perfdata.abi import KSYMBOL_UNREGISTERED, KernelSymbolKind

BPF_OWNER = "bpf"
"""As /proc/kallsyms names the module of such code."""
_OWNERS = {KernelSymbolKind.BPF: BPF_OWNER, KernelSymbolKind.OUT_OF_LINE: "__builtin__ftrace"}


@dataclass(frozen=True, slots=True)
class KernelSymbol:
    """A function made at run time.

    Attributes:
        owner: what stands in the place of a module's name in /proc/kallsyms; "" for a kind that is not known.
    """

    start: int
    size_bytes: int
    name: str
    owner: str


def kernel_symbol(address: int, size_bytes: int, kind: int, flags: int, name: str) -> KernelSymbol | None:
    """A symbol from the fields of its record; None for one that says that its code is gone."""
    if flags & KSYMBOL_UNREGISTERED:
        return None
    owner = _OWNERS[KernelSymbolKind(kind)] if kind in set(KernelSymbolKind) else ""
    return KernelSymbol(address, size_bytes, name, owner)
