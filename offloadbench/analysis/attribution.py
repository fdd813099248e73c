"""From sampled addresses to modules: every sample in exactly one leaf, with the method that put it there.

Methods, in their order: user (the sample's mode), idle, ko (name of the loadable module), irq_shadow (clock samples
only), symbol (exact), contains, prefix (the longest), other.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from offloadbench.model import Profile, ProfileCounts
from offloadbench.runfile import unpack_profile

USER, IDLE, OTHER, SHADOW = "user", "idle", "other", "irq_shadow"
# what compilers append to a clone of a function
_SUFFIX = re.compile(r"(\.(isra|constprop|part|cold|llvm)(\.\d+)*|\.\d+|_noprof)+$")
_PREFIX = re.compile(r"^(__pfx_|__pi_)")


@dataclass(frozen=True, slots=True)
class Symbol:
    """A kernel symbol: its name without compiler suffixes, and the module that holds it ("" for the kernel)."""

    name: str
    ko: str


@dataclass(frozen=True, slots=True)
class Verdict:
    leaf: str
    method: str
    ko: str = ""


def strip_suffixes(name: str) -> str:
    """`tcp_ack.isra.0` -> `tcp_ack`; `__pi_memcpy` stays findable as `memcpy`."""
    return _PREFIX.sub("", _SUFFIX.sub("", name)) or name


class SymbolTable:
    """Symbols by address, from a /proc/kallsyms snapshot."""

    def __init__(self, kallsyms: str) -> None:
        rows: list[tuple[int, str, str]] = []
        for line in kallsyms.splitlines():
            address, _, rest = line.partition(" ")
            name, _, ko = rest[2:].partition("\t")
            rows.append((int(address, 16), name, ko.strip("[]")))
        rows.sort(key=lambda row: row[0])
        self._addresses = np.array([row[0] for row in rows], dtype=np.uint64)
        self._rows = rows

    def lookup(self, addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
        """Index of the symbol that covers each address; -1 below the first."""
        return np.searchsorted(self._addresses, addresses, side="right") - 1

    def symbol(self, index: int) -> Symbol:
        if index < 0:
            return Symbol("", "")
        _, name, ko = self._rows[index]
        return Symbol(strip_suffixes(name), ko)

    def __len__(self) -> int:
        return len(self._rows)


class Rules:
    """A profile made ready to judge symbols."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._shadow = frozenset(profile.irq_shadow)
        self._exact = {name: leaf.name for leaf in reversed(profile.leaves) for name in leaf.symbols}
        self._contains = [(part, leaf.name) for leaf in profile.leaves for part in leaf.contains]
        self._prefixes = sorted((prefix, leaf.name) for leaf in profile.leaves for prefix in leaf.prefixes)
        self._keys = [prefix for prefix, _ in self._prefixes]
        self._longest = max((len(key) for key in self._keys), default=0)
        self._ko = [(pattern, leaf.name) for leaf in profile.leaves for pattern in leaf.ko]
        self._judge = lru_cache(maxsize=None)(self._judge_kernel)

    @property
    def floors(self) -> dict[str, str]:
        """leaf -> floor, with the leaves that have no rules."""
        floors = {leaf.name: leaf.floor for leaf in self._profile.leaves}
        return {USER: OTHER, OTHER: OTHER, SHADOW: OTHER} | floors

    def judge(self, symbol: Symbol, *, clock: bool) -> Verdict:
        """The leaf of a kernel symbol.

        Args:
            clock: the sample was taken by a timer, not by a counter's overflow.
        """
        return self._judge(symbol, clock)

    def _judge_kernel(self, symbol: Symbol, clock: bool) -> Verdict:
        name, ko = symbol.name, symbol.ko
        if self._exact.get(name) == IDLE:
            return Verdict(IDLE, IDLE)
        if ko and ko != "bpf":
            for pattern, leaf in self._ko:
                if fnmatchcase(ko, pattern):
                    return Verdict(leaf, "ko", ko)
        if clock and name in self._shadow:
            return Verdict(SHADOW, SHADOW, ko)
        if name in self._exact:
            return Verdict(self._exact[name], "symbol", ko)
        for part, leaf in self._contains:
            if part in name:
                return Verdict(leaf, "contains", ko)
        leaf_by_prefix = self._by_prefix(name)
        return Verdict(leaf_by_prefix, "prefix", ko) if leaf_by_prefix else Verdict(OTHER, OTHER, ko)

    def _by_prefix(self, name: str) -> str:
        """The leaf of the longest prefix of `name` among the rules; "" for none."""
        for length in range(min(self._longest, len(name)), 0, -1):
            key = name[:length]
            index = bisect.bisect_left(self._keys, key)
            if index < len(self._keys) and self._keys[index] == key:
                return self._prefixes[index][1]
        return ""


def attribute(counts: ProfileCounts, table: SymbolTable, rules: Rules) -> pd.DataFrame:
    """Every row of a profile with its leaf.

    Returns:
        Columns: event, quantity, cpu, second, comm, mode, symbol, ko, leaf, floor, method, samples, weight (in the
        event's unit). One row per row of `counts`.
    """
    columns = unpack_profile(counts.columns, counts.rows)
    indexes = table.lookup(columns["address"].astype(np.uint64))
    events = columns["event"].astype(int)
    clock = np.array([event.quantity == "kernel_cpu_time_ns" for event in counts.events], dtype=bool)
    user = columns["mode"] == b"U"
    verdicts: dict[tuple[int, bool], tuple[Verdict, str]] = {}
    for index, timer in {(int(i), bool(clock[e])) for i, e in zip(indexes, events, strict=True)}:
        symbol = table.symbol(index)
        verdicts[index, timer] = (rules.judge(symbol, clock=timer), symbol.name)
    floors: Mapping[str, str] = rules.floors
    chosen = [
        (Verdict(USER, USER), "") if is_user else verdicts[int(index), bool(clock[event])]
        for is_user, index, event in zip(user, indexes, events, strict=True)
    ]
    return pd.DataFrame(
        {
            "event": [counts.events[event].name for event in events],
            "quantity": [counts.events[event].quantity for event in events],
            "cpu": columns["cpu"].astype(int),
            "second": columns["second"].astype(int),
            "comm": [counts.comms[process] for process in columns["process"].astype(int)],
            "mode": columns["mode"].astype(str),
            "symbol": [symbol for _, symbol in chosen],
            "ko": [verdict.ko for verdict, _ in chosen],
            "leaf": [verdict.leaf for verdict, _ in chosen],
            "floor": [floors[verdict.leaf] for verdict, _ in chosen],
            "method": [verdict.method for verdict, _ in chosen],
            "samples": columns["count"].astype(np.int64),
            "weight": columns["weight"].astype(np.int64),
        }
    )
