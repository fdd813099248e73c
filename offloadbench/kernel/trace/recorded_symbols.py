"""Kernel symbols made to fit a recording: moved to where the kernel lay when it was made, within the ranges it tells.

The kernel is loaded at another address at each boot (KASLR), and so is every module. perf records where `_text` or
`_stext` was, and where each module lay. The symbols of the kernel itself move by one distance; the functions of modules
cannot be placed again, so that an address in one then names the module alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from offloadbench.base.errors import ProfilerError
from offloadbench.kernel.trace.perfdata import KernelMapping, Recording
from offloadbench.kernel.trace.perfdata.mappings import KERNEL_NAME

_PAGE_BYTES = 4096
_ADDRESSES = 1 << 64
# symbols at which perf lets the kernel's range end, if /proc/kallsyms shows them
_ENDS = ("_edata", "_etext")
# a range that perf had to guess reaches to the first module, or over everything
_IMAGE_MAX_BYTES = 1 << 30
_MODULE_LINE = re.compile(r"^[ \t]*([0-9a-fA-F]+) (\S) (\S+)[ \t]+\[([^\]\s]+)\][ \t]*$", re.MULTILINE)
_ANOTHER_BOOT = "give the /proc/kallsyms of the boot that was recorded, read as root: --kallsyms FILE"


@dataclass(frozen=True, slots=True)
class Fitted:
    """Symbols that fit a recording.

    Attributes:
        text: lines as of /proc/kallsyms. A line without a name begins what belongs to nobody.
        notes: what was done to them, or could not be checked, in sentences.
    """

    text: str
    notes: tuple[str, ...] = ()


def fit(text: str, recording: Recording, source: str) -> Fitted:
    """The symbols `text` (as of /proc/kallsyms, or a System.map) for the addresses of a recording.

    Args:
        source: what the symbols are of, for messages.

    Raises:
        ProfilerError: they are of another kernel, or of another boot and cannot be moved.
    """
    kernel = [mapping for mapping in recording.kernel_mappings if mapping.name == KERNEL_NAME and mapping.size_bytes]
    modules = [mapping for mapping in recording.kernel_mappings if mapping.name != KERNEL_NAME and mapping.size_bytes]
    notes: list[str] = []
    distance = _distance(text, kernel, source, notes)
    _check_end(text, kernel, modules, distance or 0, source)
    placed = _placed_modules(text)
    told = {mapping.name.strip("[]"): mapping for mapping in modules}
    if distance:
        notes.append(f"the symbols of {source} are of another boot; they are moved by {distance:+#x}")
        text = _moved(text, distance)
        dropped = set(placed)
    else:
        dropped = _contradicting(placed, told, source, notes)
    if dropped:
        text = _without_modules(text, dropped)
        placed = {name: addresses for name, addresses in placed.items() if name not in dropped}
    return Fitted(_bounds(recording, kernel, modules, placed) + text, tuple(notes))


def _distance(text: str, kernel: Sequence[KernelMapping], source: str, notes: list[str]) -> int | None:
    """How far the recorded kernel lies above the symbols; None where nothing tells."""
    for mapping in kernel:
        name = mapping.path.rpartition("]")[2]
        if not name or not mapping.page_offset:
            continue
        address = _address_of(text, name)
        if address is None:
            continue
        distance = mapping.page_offset - address
        if distance % _PAGE_BYTES:
            raise ProfilerError(
                f"{source} is of another kernel: {name} is at {address:#x} there, and was at"
                f" {mapping.page_offset:#x} when this was recorded",
                _ANOTHER_BOOT,
            )
        return distance
    notes.append(f"nothing tells whether the symbols of {source} are of the boot that was recorded")
    return None


def _address_of(text: str, name: str) -> int | None:
    line = re.compile(rf"[ \t]*([0-9a-fA-F]+) \S {re.escape(name)}[ \t]*")
    # a quarter of a million lines: where the name stands is found first
    for at in _places(text, f" {name}"):
        found = line.fullmatch(_line_at(text, at))
        if found:
            return int(found[1], 16)
    return None


def _places(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def _line_at(text: str, at: int) -> str:
    end = text.find("\n", at)
    return text[text.rfind("\n", 0, at) + 1 : end if end >= 0 else len(text)]


def _check_end(
    text: str, kernel: Sequence[KernelMapping], modules: Sequence[KernelMapping], distance: int, source: str
) -> None:
    """Refuse symbols whose kernel ends elsewhere than the recorded one, which perf takes from its last symbols."""
    ends = {name: address + distance for name in _ENDS if (address := _address_of(text, name)) is not None}
    starts = {mapping.start for mapping in modules}
    for mapping in kernel:
        end = mapping.start + mapping.size_bytes
        if not ends or mapping.size_bytes > _IMAGE_MAX_BYTES or end in starts or end in ends.values():
            continue
        # a snapshot of text symbols alone has no _edata
        if "_edata" in ends or end < min(ends.values()):
            raise ProfilerError(
                f"{source} is of another kernel: it ends at {min(ends.values()):#x} there, and ended at {end:#x}"
                " when this was recorded",
                _ANOTHER_BOOT,
            )


def _placed_modules(text: str) -> dict[str, list[int]]:
    """Module -> ascending addresses of its symbols."""
    placed: dict[str, list[int]] = defaultdict(list)
    # the kernel's own symbols, most of a text and the first of it, name no module
    first = text.find("[")
    if first >= 0:
        for found in _MODULE_LINE.finditer(text, text.rfind("\n", 0, first) + 1):
            placed[found[4]].append(int(found[1], 16))
    return {name: sorted(addresses) for name, addresses in placed.items()}


def _contradicting(
    placed: dict[str, list[int]], told: dict[str, KernelMapping], source: str, notes: list[str]
) -> set[str]:
    """Modules whose symbols lie outside of where they were recorded.

    Raises:
        ProfilerError: all do.
    """
    common = sorted(placed.keys() & told.keys())
    wrong = [name for name in common if not _any_inside(placed[name], told[name])]
    if wrong and len(wrong) == len(common):
        name = wrong[0]
        raise ProfilerError(
            f"{source} is of another boot: module {name} is at {placed[name][0]:#x} there, and was at"
            f" {told[name].start:#x} when this was recorded",
            _ANOTHER_BOOT,
        )
    if wrong:
        notes.append(f"loaded again since: {', '.join(wrong)}; addresses there name the module alone")
    # another module may lie by now where one was recorded
    hidden = [
        name for name in placed.keys() - told.keys() if any(_any_inside(placed[name], at) for at in told.values())
    ]
    return {*wrong, *hidden}


def _any_inside(addresses: Sequence[int], mapping: KernelMapping) -> bool:
    at = bisect_left(addresses, mapping.start)
    return at < len(addresses) and addresses[at] < mapping.start + mapping.size_bytes


def _moved(text: str, distance: int) -> str:
    """The lines with their addresses moved; absolute ones, which are no code, are left out."""
    lines = []
    for line in text.splitlines():
        address, _, rest = line.strip().partition(" ")
        if rest[:1] not in "aA":
            lines.append(f"{(int(address, 16) + distance) % _ADDRESSES:016x} {rest}\n")
    return "".join(lines)


def _without_modules(text: str, names: set[str]) -> str:
    lines = (line for line in text.splitlines(keepends=True) if "[" not in line or _module_of(line) not in names)
    return "".join(lines)


def _module_of(line: str) -> str:
    return line.rpartition("[")[2].strip().rstrip("]")


def _bounds(
    recording: Recording,
    kernel: Iterable[KernelMapping],
    modules: Sequence[KernelMapping],
    placed: dict[str, list[int]],
) -> str:
    """Lines that begin each module and each function made at run time, and lines that end them and the kernel.

    They come before the other lines: of several symbols at one address the last counts.
    """
    begins = [(mapping.start, mapping.name.strip("[]"), mapping.name.strip("[]")) for mapping in modules]
    ends = [mapping.start + mapping.size_bytes for mapping in modules]
    for symbol in recording.kernel_symbols:
        begins.append((symbol.start, symbol.name, symbol.owner))
        ends.append(symbol.start + symbol.size_bytes)
    inside = sorted((mapping.start, mapping.start + mapping.size_bytes) for mapping in modules)
    for mapping in kernel:
        end = mapping.start + mapping.size_bytes
        within = bisect_left(inside, (end + 1,)) - 1
        if within < 0 or end >= inside[within][1]:
            ends.append(end)
    lines = [f"{end:016x} t \n" for end in ends if end < _ADDRESSES]
    return "".join(
        lines + [f"{start:016x} t {name}" + (f"\t[{owner}]\n" if owner else "\n") for start, name, owner in begins]
    )
