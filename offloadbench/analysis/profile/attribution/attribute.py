"""Every sample of a profile with its leaf, the method that put it there, and whom it worked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from offloadbench.analysis.profile.attribution.bound_driver import BoundDriver, bound_to
from offloadbench.analysis.profile.attribution.contexts import foreign_rows, own_processes
from offloadbench.analysis.profile.attribution.event_skid import skidding
from offloadbench.analysis.profile.attribution.rules import GUEST, IDLE, OTHER, SHADOW, USER, Rules
from offloadbench.analysis.profile.attribution.symbols import SymbolTable
from offloadbench.analysis.profile.attribution.verdicts import FUNCTION, SymbolVerdict, Verdicts
from offloadbench.definitions import catalog
from offloadbench.files.packed_columns import Columns, unpack_chains, unpack_profile, unpack_text
from offloadbench.model import Profile, ProfileCounts, Run

# in the place of an index of a symbol: letters of `perfdata.MODE_LETTERS`, leaf and symbol
_NO_KERNEL = {-2: ((b"U", b"u"), USER, ""), -3: ((b"G", b"g"), GUEST, GUEST)}
_LOWEST = min(_NO_KERNEL)
Indexes = npt.NDArray[np.intp]
# what interrupts a function or guards it says nothing about whose work a shadowed sample was
_NO_CALLER = frozenset({"lock", "irq", SHADOW})


def verdicts_for(run: Run, profile: Profile) -> Verdicts:
    """The verdicts on the symbols of the kernel that a run was made on, by one profile."""
    kallsyms = run.kallsyms
    ko_paths = tuple(sorted(kallsyms.ko_paths.items()))
    return _verdicts(kallsyms.text, kallsyms.sources, ko_paths, _frozen(profile), bound_to(run.nic))


def _frozen(profile: Profile) -> bytes:
    return msgspec.json.encode(profile)


@lru_cache(maxsize=8)
def _verdicts(
    text: str, sources: str, ko_paths: tuple[tuple[str, str], ...], profile_json: bytes, bound: BoundDriver
) -> Verdicts:
    profile = msgspec.json.decode(profile_json, type=Profile)
    names = catalog.name_table(profile)
    modules = catalog.module_names(profile)
    symbols = SymbolTable(unpack_text(text) if text else "", names, unpack_text(sources) if sources else "", modules)
    return Verdicts(symbols, Rules(profile), names, dict(ko_paths), bound)


class _Judge:
    """Leaf, method, module and caller for every (symbol, chain, skid) that occurs, each judged once."""

    def __init__(self, verdicts: Verdicts, chains: list[Indexes]) -> None:
        self._verdicts = verdicts
        self._chains = chains
        self._generic = frozenset(verdicts.rules.profile.generic)

    def judge(self, index: int, chain: int, *, skids: bool) -> tuple[SymbolVerdict, SymbolVerdict]:
        """The verdict on a sample, and that on whom its work is charged to in the second view."""
        callers = self._chains[chain] if chain >= 0 else ()
        verdict = self._verdicts.of(index)
        if skids and self._verdicts.shadowed(index):
            found = self._first(callers, _NO_CALLER)
            leaf, share = (found.leaf, found.share) if found else (SHADOW, "")
            verdict = SymbolVerdict(leaf, SHADOW, verdict.module, share)
        elif skids and self._verdicts.ends_interrupt(index):
            # what the interrupt came upon is no caller of its handler
            return replace(verdict, method=FUNCTION), verdict
        if verdict.leaf not in self._generic:
            return verdict, verdict
        caller = self._first(callers, self._generic | _NO_CALLER)
        # work done from the idle loop is still work
        return verdict, caller if caller and caller.leaf != IDLE else verdict

    def _first(self, callers: Indexes | tuple[()], beyond: frozenset[str]) -> SymbolVerdict | None:
        """The verdict on the first caller that is in none of these leaves; None for none."""
        for index in callers:
            verdict = self._verdicts.of(int(index))
            if verdict.leaf not in beyond and not self._verdicts.shadowed(int(index)):
                return verdict
        return None


class _Stacked:
    """The columns of profiles, one profile below the other.

    Attributes:
        trial: the place of each row's profile.
    """

    def __init__(self, profiles: Sequence[ProfileCounts]) -> None:
        self._unpacked = [_with_chain(unpack_profile(counts), counts.rows) for counts in profiles]
        self.trial = np.repeat(np.arange(len(profiles)), [counts.rows for counts in profiles])

    def raw(self, name: str) -> npt.NDArray[np.generic]:
        return np.concatenate([columns[name] for columns in self._unpacked])

    def column(self, name: str) -> npt.NDArray[np.int64]:
        return self.raw(name).astype(np.int64)

    def foreign(self, profiles: Sequence[ProfileCounts], verdicts: Verdicts) -> npt.NDArray[np.bool_]:
        """Which rows are the work of others."""
        found = [foreign_rows(counts, verdicts, one) for counts, one in zip(profiles, self._unpacked, strict=True)]
        return np.concatenate([np.zeros(0, dtype=bool), *found])

    def numbered(self, name: str, lengths: list[int]) -> npt.NDArray[np.int64]:
        """An index into a list of each profile, as one into these lists, which have these lengths, put together."""
        firsts: npt.NDArray[np.int64] = np.cumsum([0, *lengths[:-1]])
        return self.column(name) + firsts[self.trial]


def _with_chain(columns: Columns, rows: int) -> Columns:
    return {"chain": np.full(rows, -1, dtype=np.int64)} | columns


def attribute(profiles: Sequence[ProfileCounts], verdicts: Verdicts) -> pd.DataFrame:
    """Every row of the profiles with its leaf; together they take a fraction of the time of one by one.

    Returns:
        One row per row of each of `profiles`, in their order. Columns: trial (the place among `profiles`), event,
        quantity, cpu, second, comm, mode, symbol (as the kernel names it), ko, leaf, floor, module (the leaf, or the
        profile's group or share of it), method, caller (the leaf that generic work is charged to; the leaf itself
        without call chains), caller_module (as `module`, of the caller), chain (index into the chains of its own
        profile, -1 without), own (its process is the benchmark's, or a kernel thread that works for it), foreign (it is
        the work of others), samples, weight (in the event's unit).
    """
    stacked = _Stacked(profiles)
    trial = stacked.trial
    table = verdicts.symbols
    chains = [unpack_chains(counts) for counts in profiles]
    firsts = np.cumsum([0, *(len(one) for one in chains)])
    judge = _Judge(verdicts, [table.lookup(frames) for one in chains for frames in one])
    listed = [event for counts in profiles for event in counts.events]
    events = stacked.numbered("event", [len(counts.events) for counts in profiles])
    chain, mode = stacked.column("chain"), stacked.raw("mode")
    # addresses of user mode and of guests name no symbol of this kernel: all samples of each are one kind
    index = np.where(mode == b"H", -1, table.lookup(stacked.raw("address").astype(np.uint64)))
    for number, (letters, *_) in _NO_KERNEL.items():
        index = np.where(np.isin(mode, letters), number, index)
    elsewhere = index < -1
    skids = skidding([event.quantity for event in listed], events, index, stacked.column("count"), verdicts)
    # one number for every (symbol, chain, skid): sorting numbers is ten times as fast as sorting rows
    chains_and_none = int(firsts[-1]) + 1
    of = np.where(elsewhere | (chain < 0), 0, chain + firsts[trial] + 1)
    keys = ((index - _LOWEST) * chains_and_none + of) * 2 + skids[events]
    distinct, kind = np.unique(keys, return_inverse=True)
    kinds = zip(
        (distinct // 2 // chains_and_none + _LOWEST).tolist(),
        (distinct // 2 % chains_and_none - 1).tolist(),
        (distinct % 2 == 1).tolist(),
        strict=True,
    )
    fixed = {
        at: (SymbolVerdict(leaf, leaf), SymbolVerdict(leaf, leaf), symbol)
        for at, (_, leaf, symbol) in _NO_KERNEL.items()
    }
    judged = [
        fixed[at] if at in fixed else (*judge.judge(at, of, skids=skid), _name(table, at)) for at, of, skid in kinds
    ]
    process = stacked.numbered("process", [len(counts.comms) for counts in profiles])
    own = [flag for counts in profiles for flag in own_processes(counts)]
    floors = verdicts.rules.floors

    def spread(values: list[str]) -> pd.Categorical[str]:
        return _named(values, kind)

    return pd.DataFrame(
        {
            "trial": trial,
            "event": _named([event.name for event in listed], events),
            "quantity": _named([event.quantity for event in listed], events),
            "cpu": stacked.column("cpu"),
            "second": stacked.column("second"),
            "comm": _named([comm for counts in profiles for comm in counts.comms], process),
            "mode": mode.astype(str),
            "symbol": spread([name for _, _, name in judged]),
            "ko": spread([verdict.module for verdict, _, _ in judged]),
            "leaf": spread([verdict.leaf for verdict, _, _ in judged]),
            "floor": spread([floors.get(verdict.leaf, OTHER) for verdict, _, _ in judged]),
            "module": spread([verdicts.shown(verdict) for verdict, _, _ in judged]),
            "method": spread([verdict.method for verdict, _, _ in judged]),
            "caller": spread([caller.leaf for _, caller, _ in judged]),
            "caller_module": spread([verdicts.shown(caller) for _, caller, _ in judged]),
            "chain": chain,
            "own": np.array(own, dtype=bool)[process],
            "foreign": stacked.foreign(profiles, verdicts),
            "samples": stacked.column("count"),
            "weight": stacked.column("weight"),
        }
    )


def _name(table: SymbolTable, index: int) -> str:
    return table.raw_names[index] if index >= 0 else ""


def _named(values: list[str], codes: npt.NDArray[np.integer[Any]]) -> pd.Categorical[str]:
    """The values that the codes mean; as a category, its levels in alphabetical order."""
    levels = sorted(set(values))
    places = {value: place for place, value in enumerate(levels)}
    ranks = np.array([places[value] for value in values], dtype=np.int64)
    return pd.Categorical.from_codes(ranks[codes] if values else ranks, categories=pd.Index(levels, dtype=str))


__all__ = ["IDLE", "SHADOW", "USER", "attribute", "verdicts_for"]
