"""The kernel's symbols by address, each with the source file that it most probably comes from.

/proc/kallsyms sorted by address follows the order in which object files were linked, so a function that no table knows
lies between functions of its own file. Where the nearest known functions on both sides come from one file, that file
is its own too. Kernels whose functions were reordered (LTO, propeller) break this: a leave-one-out test over the
known functions tells, and switches the method off.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import numpy as np
import numpy.typing as npt

from offloadbench.analysis.profile.attribution.kallsyms_lines import functions
from offloadbench.definitions.module_names import NONE, ModuleNames
from offloadbench.definitions.name_tables import NameTable, base_name, base_names, system_calls

DEBUGINFO, TABLE, NEIGHBOURS, NOT_FOUND = "debuginfo", "table", "neighbours", ""
# share of known functions whose neighbours must name their file, before unknown ones may be judged by theirs
TRUSTED_RATIO = 0.9
# how far a function may reach where nothing follows it: none is as long as the first; the second is for what lies
# scattered, or is the last of the kernel or of a module
_REACH_BYTES, _LAST_REACH_BYTES = 1 << 20, 1 << 16
_SCATTERED = frozenset({"bpf"})
# labels of the linker, at the address of the first function of a section or of the one behind it
_LABELS = ("text_start", "text_end", "_stext", "_etext", "_text")
# how many symbols on each side are asked for a function of a module that is linked in
_NEAR = 12
# more modules than these have the same function where it is an inline one
_FEW = 3
# functions that a module must have near a place to be linked in there: one alone may be a copy of an inline function
_WITNESSES = 3
# fewer known functions with neighbours that agree say nothing about the order
_ENOUGH = 200


@dataclass(frozen=True, slots=True)
class Symbol:
    """A kernel symbol.

    Attributes:
        name: without what compilers append.
        module: the loadable module that holds it; "" for the kernel.
        paths: source files in the kernel tree that it may come from; () where unknown.
        method: how they were found: debuginfo, table, neighbours, or "".
    """

    name: str
    module: str
    paths: tuple[str, ...]
    method: str


NO_SYMBOL = Symbol("", "", (), NOT_FOUND)


class SymbolTable:
    """Symbols from a /proc/kallsyms snapshot (lines of `address type name[\\t[module]]`).

    Args:
        kallsyms: the snapshot.
        names: table of known functions.
        sources: one source path per line of the snapshot, from this very kernel's debug information; "" without.
        modules: functions of loadable modules, which this kernel may have linked in.

    Raises:
        ValueError: a line is not of that form.
    """

    def __init__(self, kallsyms: str, names: NameTable, sources: str = "", modules: ModuleNames = NONE) -> None:
        found = functions(kallsyms)
        # of several symbols at one address the last is found: a function goes before the label of its section
        is_label = np.array([name.endswith(_LABELS) for name in found.names], dtype=bool)
        # nm lists marks of arm, arm64 and riscv too, which begin with a dollar
        is_mark = np.array([name.startswith("$") for name in found.names], dtype=bool)
        order = np.lexsort((~is_label, found.addresses))
        chosen = order[~is_mark[order]]
        self.addresses: npt.NDArray[np.uint64] = found.addresses[chosen]
        places = chosen.tolist()
        self.raw_names = [found.names[at] for at in places]
        self._modules = [found.modules[at] for at in places]
        exact = sources.split("\n") if sources else []
        # a list that is too short knows nothing of the rest
        paths = [exact[line] if line < len(exact) else "" for line in found.lines[chosen].tolist()] if exact else []
        self._exact = paths or [""] * len(places)
        self._ends = self._reach()
        self._base_names = base_names(self.raw_names)
        self._names = names
        self.modules = modules
        self._found: dict[int, Symbol] = {}
        self._paths_of: dict[str, tuple[str, ...]] = {}
        self._link_order()

    def __len__(self) -> int:
        return len(self.raw_names)

    def lookup(self, addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
        """Index of the symbol that covers each address; -1 for an address that is nobody's."""
        index = np.searchsorted(self.addresses, addresses, side="right") - 1
        if not len(self):
            return index
        found: npt.NDArray[np.intp] = np.where((index >= 0) & (addresses <= self._ends[index]), index, -1)
        return found

    def _reach(self) -> npt.NDArray[np.uint64]:
        """The last address that each symbol may cover, shape (symbols,)."""
        if not len(self):
            return self.addresses
        numbers = {module: number for number, module in enumerate(dict.fromkeys(self._modules))}
        owner = np.fromiter(map(numbers.__getitem__, self._modules), dtype=np.int64, count=len(self))
        scattered = [numbers[module] for module in _SCATTERED if module in numbers]
        same = np.append(owner[1:] == owner[:-1], False) & ~np.isin(owner, scattered)
        reach = np.where(same, np.uint64(_REACH_BYTES), np.uint64(_LAST_REACH_BYTES)) - np.uint64(1)
        last = np.uint64(2**64 - 1)
        ends: npt.NDArray[np.uint64] = self.addresses + np.minimum(reach, last - self.addresses)
        following = np.append(self.addresses[1:] - np.uint64(1), last)
        # several symbols at one address: the last of them is the one that is found
        np.minimum(ends, np.maximum(following, self.addresses), out=ends)
        return ends

    @cached_property
    def _hot(self) -> dict[str, int]:
        """Name of each function of the kernel itself -> index of its part that is not .cold."""
        columns = zip(range(len(self)), self._base_names, self._modules, self.raw_names, strict=True)
        return {
            base: index for index, base, module, raw in reversed(list(columns)) if not module and ".cold" not in raw
        }

    @cached_property
    def by_name(self) -> dict[str, int]:
        """Name, as the kernel has it or without what compilers append -> index; the first of several."""
        for_base = {name: index for index, name in reversed(list(enumerate(self._base_names)))}
        return for_base | {name: index for index, name in reversed(list(enumerate(self.raw_names)))}

    def _link_order(self) -> None:
        """The nearest known functions before and after each symbol, and whether their files can be trusted."""
        self._files, alone = self._names.of_one_file
        file_of = np.fromiter(map(alone.get, self._base_names, repeat(-1)), dtype=np.int64, count=len(self))
        # compilers move .cold parts away from their function
        elsewhere = [bool(module) or ".cold" in raw for module, raw in zip(self._modules, self.raw_names, strict=True)]
        file_of[np.array(elsewhere, dtype=bool)] = -1
        positions = np.arange(len(self))
        anchors = np.flatnonzero(file_of >= 0)
        self._before = _nearest_before(file_of, positions)
        self._after = len(self) - 1 - _nearest_before(file_of[::-1], positions)[::-1]
        self._file_of = file_of
        left, middle, right = (file_of[anchors[shift : len(anchors) - 2 + shift]] for shift in (0, 1, 2))
        agreeing = left == right
        self.neighbours_tested = int(agreeing.sum())
        self.neighbours_right_ratio = float((middle == left)[agreeing].mean()) if self.neighbours_tested else 0.0

    @property
    def known_ratio(self) -> float:
        """Share of the kernel's own functions, modules aside, whose name the table knows."""
        own = [name for name, module in zip(self._base_names, self._modules, strict=True) if not module]
        return sum(name in self._names.by_name for name in own) / len(own) if own else 0.0

    @property
    def neighbours_trusted(self) -> bool:
        """Whether this kernel's functions lie in the order of its files."""
        return self.neighbours_tested >= _ENOUGH and self.neighbours_right_ratio >= TRUSTED_RATIO

    def symbol(self, index: int) -> Symbol:
        """The symbol at an index, with its file."""
        found = self._found.get(index)
        if found is None:
            found = self._found[index] = self._find(index)
        return found

    def _find(self, index: int) -> Symbol:
        if index < 0:
            return NO_SYMBOL
        name, module = self._base_names[index], self._modules[index]
        if not name:
            # where a range ends
            return NO_SYMBOL
        if module:
            return Symbol(name, module, (), NOT_FOUND)
        if self._exact[index]:
            return Symbol(name, "", (self._exact[index],), DEBUGINFO)
        paths = self._paths(name)
        linked = any(not path.endswith(".ko") for path in paths)
        if len(paths) == 1 and linked:
            return Symbol(name, "", paths, TABLE)
        around = self._around(index)
        if paths:
            here = [path for path in around if path in paths]
            if not here and (len(around) == 1 or (around and not linked)):
                # an inline function that one more file has its own copy of, or no module's that is linked in here
                return Symbol(name, "", around, NEIGHBOURS)
            return Symbol(name, "", tuple(here[:1]) or paths, TABLE)
        return Symbol(name, "", around, NEIGHBOURS) if around else Symbol(name, "", (), NOT_FOUND)

    def unplaced(self, name: str, module: str = "") -> Symbol:
        """A symbol that is not among these: known by its name alone."""
        paths = () if module else self._paths(base_name(name))
        return Symbol(base_name(name), module, paths, TABLE if paths else NOT_FOUND)

    def _paths(self, name: str) -> tuple[str, ...]:
        """Source files that use a name, by the tables; of a system call, under whichever name it has there.

        The .ko files of modules only where nothing that is always linked in uses it.
        """
        found = self._paths_of.get(name)
        if found is None:
            known = self._names.by_name
            paths = known.get(name) or next((known[other] for other in system_calls(name) if other in known), ())
            linked = any(not path.endswith(".ko") for path in paths)
            found = self._paths_of[name] = paths if linked else self.module_paths(name)
        return found

    def module_paths(self, name: str) -> tuple[str, ...]:
        """The .ko files of loadable modules that have a function of this name."""
        listed = [path for path in self._names.by_name.get(name, ()) if path.endswith(".ko")]
        return tuple(dict.fromkeys([*listed, *self.modules.paths(name)]))

    def names_of(self, module: str) -> list[str]:
        """The functions of a loadable module, without what compilers append."""
        return [name for name, owner in zip(self._base_names, self._modules, strict=True) if owner == module]

    def _around(self, index: int) -> tuple[str, ...]:
        """Files of the nearest known functions before and after; () where the order says nothing."""
        if not self.neighbours_trusted:
            return ()
        if ".cold" in self.raw_names[index]:
            hot = self._hot.get(self._base_names[index], -1)
            return self._around(hot) if hot >= 0 else ()
        before, after = int(self._before[index]), int(self._after[index])
        if before < 0 or after >= len(self):
            return ()
        return tuple(dict.fromkeys((self._nearest(index, before, -1), self._nearest(index, after, 1))))

    def _nearest(self, index: int, known: int, step: int) -> str:
        """The file of a known function, or of a module that functions which lie nearer are from."""
        seen = Counter(self._paths(self._base_names[index]))
        for at in range(index + step, known, step)[:_NEAR]:
            if not self._modules[at] and ".cold" not in self.raw_names[at]:
                paths = self._paths(self._base_names[at])
                # an inline function is everybody's, and what is always linked in may well be here
                if len(paths) <= _FEW and all(path.endswith(".ko") for path in paths):
                    seen.update(paths)
                    again = next((path for path in paths if seen[path] >= _WITNESSES), "")
                    if again:
                        return again
        return self._files[int(self._file_of[known])]


def _nearest_before(file_of: npt.NDArray[np.int64], positions: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Index of the last known symbol strictly before each position; -1 where there is none."""
    last = np.maximum.accumulate(np.where(file_of >= 0, positions, -1))
    return np.concatenate(([-1], last[:-1]))
