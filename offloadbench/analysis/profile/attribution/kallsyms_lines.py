"""Lines of /proc/kallsyms as columns: a kernel has a quarter of a million, and numpy reads what all have alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# types that are functions (nm(1)): local, global, weak
TEXT_TYPES = frozenset("tTwW")
_DIGITS = 16
_KIND_AT, _NAME_AT = _DIGITS + 1, _DIGITS + 3
_BLANK, _TAB, _LINE_FEED, _BAD = 0x20, 0x09, 0x0A, 0xFF
# before the name
_BLANKS = 2
Mask = npt.NDArray[np.bool_]
_NIBBLES = np.full(256, _BAD, dtype=np.uint8)
for _value, _letters in enumerate([*"0123456789", "aA", "bB", "cC", "dD", "eE", "fF"]):
    _NIBBLES[list(_letters.encode())] = _value


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions of a snapshot, in its order.

    Attributes:
        addresses: shape (functions,).
        names: as the kernel has them.
        modules: the loadable module that holds each; "" for the kernel.
        lines: number of the line of each, shape (functions,).
    """

    addresses: npt.NDArray[np.uint64]
    names: list[str]
    modules: list[str]
    lines: npt.NDArray[np.intp]


def functions(kallsyms: str) -> Functions:
    """The functions of a snapshot (lines of `address type name[\\t[module]]`); other symbols are left out.

    Raises:
        ValueError: a line is not of that form.
    """
    return _of_one_form(kallsyms) or _of_any_form(kallsyms)


def _of_one_form(kallsyms: str) -> Functions | None:
    """As every 64-bit kernel writes them; None where any line is of another form."""
    if not kallsyms.isascii():
        return None
    text = kallsyms if kallsyms.endswith("\n") else f"{kallsyms}\n"
    data = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    ends = np.flatnonzero(data == _LINE_FEED)
    starts = np.concatenate([np.zeros(1, dtype=np.intp), ends[:-1] + 1])
    # other ends of a line, for str.splitlines
    if (ends - starts < _NAME_AT).any() or ((data < _BLANK) & (data != _LINE_FEED) & (data != _TAB)).any():
        return None
    if (data[starts + _DIGITS] != _BLANK).any() or (data[starts + _KIND_AT + 1] != _BLANK).any():
        return None
    lines = np.flatnonzero(np.isin(data[starts + _KIND_AT], list(map(ord, TEXT_TYPES))))
    nibbles = _NIBBLES[data[starts[:, None] + np.arange(_DIGITS)]]
    if (nibbles == _BAD).any():
        return None
    addresses = (nibbles[lines, ::2] << 4 | nibbles[lines, 1::2]).view(">u8")[:, 0].astype(np.uint64)
    begins = (starts[lines] + _NAME_AT).tolist()
    names = [text[begin:end] for begin, end in zip(begins, ends[lines].tolist(), strict=True)]
    modules = [""] * len(names)
    # most are the kernel's own, and have nothing behind the name
    for at in np.flatnonzero(_longer(data, starts, lines)).tolist():
        names[at], modules[at] = _parted(names[at])
    return Functions(addresses, names, modules, lines)


def _longer(data: npt.NDArray[np.uint8], starts: npt.NDArray[np.intp], lines: npt.NDArray[np.intp]) -> Mask:
    """Which of these lines have a tab, or more blanks than the two before the name; shape (lines,)."""
    parts = np.searchsorted(starts, np.flatnonzero((data == _TAB) | (data == _BLANK)), side="right") - 1
    return np.asarray(np.bincount(parts, minlength=len(starts))[lines] > _BLANKS)


def _of_any_form(kallsyms: str) -> Functions:
    addresses, names, modules, lines = [], [], [], []
    for number, line in enumerate(kallsyms.splitlines()):
        address, kind, rest = line.split(" ", 2)
        if kind in TEXT_TYPES:
            name, module = _parted(rest)
            addresses.append(int(address, 16))
            names.append(name)
            modules.append(module)
            lines.append(number)
    return Functions(np.array(addresses, dtype=np.uint64), names, modules, np.array(lines, dtype=np.intp))


def _parted(rest: str) -> tuple[str, str]:
    """Name and module of what stands behind the type."""
    if "\t" not in rest and " " not in rest:
        return rest, ""
    # a copy from a terminal has blanks for the tab
    name, _, module = rest.partition("\t") if "\t" in rest else rest.partition(" ")
    return name, module.strip(" \t[]")
