"""Which source file each function of a kernel comes from: read from the debug information of its vmlinux.

ELF symbols give names and addresses; `.debug_aranges` and the name of each compilation unit give the source file
that an address was compiled from (DWARF 5, sections 6.1.2 and 3.1.1). Loadable modules are named by the path of
their .ko inside the kernel tree, which is what decides about their functions.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import os
import posixpath
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard
from elftools.common.exceptions import DWARFError, ELFError
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from offloadbench.base.errors import ProfilerError
from offloadbench.files.cache import cache_folder

_SHF_WRITE, _SHF_EXECINSTR = 0x1, 0x4
_STT_SECTION, _STT_FILE = 3, 4
_SHN_LORESERVE = 0xFF00
# the one file that every kernel is linked from: its path tells where the source tree begins
_ANCHOR = "init/main.c"
# a symbol that every kernel has at the beginning of its text
_START = "_stext"
# as a module's .modinfo says which kernel it was built for
_VERMAGIC = re.compile(rb"(?:^|\0)vermagic=(\S+)")
_BANNER = re.compile(rb"Linux version (\S+)")
# as distributions compress modules: ending of their names -> how to undo it
_UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".ko.xz": lzma.decompress,
    ".ko.gz": gzip.decompress,
    ".ko.zst": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}
# where distributions put the kernel with debug information (Debian, Fedora, a tree of one's own)
_PLACES = (
    "/usr/lib/debug/boot/vmlinux-{release}",
    "/usr/lib/debug/lib/modules/{release}/vmlinux",
    "/lib/modules/{release}/build/vmlinux",
    "/boot/vmlinux-{release}",
)


@dataclass(frozen=True, slots=True)
class Function:
    """A text symbol of a kernel.

    Attributes:
        path: source file inside the kernel tree, or of a module the .ko inside it; "" where nothing names it.
        module: name of the loadable module; "" for the kernel itself.
    """

    name: str
    path: str
    address: int
    section: str
    module: str = ""


def find_vmlinux(release: str) -> Path | None:
    """The vmlinux with debug information of this kernel release, if it is installed here."""
    for place in _PLACES:
        path = Path(place.format(release=release))
        if path.is_file():
            return path
    return None


def build_id(path: Path) -> str:
    """The GNU build id of an ELF file in hexadecimal digits; "" without one.

    Raises:
        ProfilerError: not an ELF file.
    """
    with _open(path) as elf:
        for section in elf.iter_sections():
            if isinstance(section, NoteSection):
                for note in section.iter_notes():
                    if note["n_name"] == "GNU" and note["n_type"] == "NT_GNU_BUILD_ID":
                        return str(note["n_desc"])
    return ""


def release(path: Path) -> str:
    """The release that a vmlinux says it is, from its banner ("Linux version 6.1.0 ..."); "" without one.

    Raises:
        ProfilerError: not an ELF file.
    """
    with _open(path) as elf:
        section = elf.get_section_by_name(".rodata")
        found = _BANNER.search(section.data()) if section else None
    return found[1].decode() if found else ""


def running_build_id() -> str:
    """The GNU build id of the running kernel (/sys/kernel/notes); "" where it shows none."""
    try:
        data = Path("/sys/kernel/notes").read_bytes()
    except OSError:
        return ""
    offset = 0
    while offset + 12 <= len(data):
        name_size, size, kind = np.frombuffer(data, "<u4", 3, offset).tolist()
        name_at = offset + 12
        desc_at = name_at + (name_size + 3 & ~3)
        if kind == 3 and data[name_at : name_at + name_size] == b"GNU\0":
            return data[desc_at : desc_at + size].hex()
        offset = desc_at + (size + 3 & ~3)
    return ""


def sources_of_running(snapshot: str, tell: Callable[[str], None]) -> str:
    """One source path per line of a kallsyms snapshot, from the running kernel's own debug information.

    Reading it takes about 20 s; what was read is cached by build id.

    Returns:
        The lines, empty where a function's source is unknown; "" where no vmlinux of this very build is installed.

    Raises:
        ProfilerError: it is installed and cannot be read.
    """
    vmlinux = find_vmlinux(os.uname().release)
    identity = running_build_id()
    if vmlinux is None or not identity:
        return ""
    try:
        if build_id(vmlinux) != identity:
            tell(f"{vmlinux} is not the build that runs: not used")
            return ""
    except ProfilerError:
        # /boot/vmlinux-* may be a compressed image
        return ""
    cached = cache_folder() / f"sources-{identity}.json"
    if not cached.is_file():
        tell(f"reading the debug information of this kernel: {vmlinux}")
        rows = [(one.name, one.address, one.path) for one in functions(vmlinux)]
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_suffix(f".{os.getpid()}.partial")
        partial.write_bytes(msgspec.json.encode(rows))
        partial.replace(cached)
    known = msgspec.json.decode(cached.read_bytes(), type=list[tuple[str, int, str]])
    return _aligned(snapshot, known)


def _aligned(snapshot: str, known: list[tuple[str, int, str]]) -> str:
    """The path of every line, by its address less what address space randomisation added."""
    built = {name: address for name, address, _ in reversed(known)}
    paths = {address: path for _, address, path in known}
    lines = [line.split(" ", 2) for line in snapshot.splitlines()]
    start = next((int(address, 16) for address, _, name in lines if name == _START), None)
    if start is None or _START not in built:
        return ""
    moved = start - built[_START]
    return "\n".join("" if "\t" in name else paths.get(int(address, 16) - moved, "") for address, _, name in lines)


def functions(vmlinux: Path) -> list[Function]:
    """Every text symbol of a vmlinux with its source file, in address order.

    Raises:
        ProfilerError: not an ELF file, or without debug information.
    """
    with _open(vmlinux) as elf:
        if not elf.has_dwarf_info():
            raise ProfilerError(
                f"{vmlinux}: has no debug information", "install the debug package of this kernel (linux-image-*-dbg)"
            )
        try:
            starts, ends, paths = _units(elf.get_dwarf_info(relocate_dwarf_sections=False))
        except (DWARFError, ELFError, KeyError, ValueError) as error:
            raise ProfilerError(f"{vmlinux}: its debug information cannot be read: {error}", "get it again") from error
        found = sorted(_text_symbols(elf), key=lambda row: (row[1], row[0]))
    addresses = np.array([address for _, address, _ in found], dtype=np.uint64)
    unit = np.searchsorted(starts, addresses, side="right") - 1
    inside = (unit >= 0) & (addresses < ends[unit])
    return [
        Function(name, paths[index] if covered else "", address, section)
        for (name, address, section), index, covered in zip(found, unit.tolist(), inside.tolist(), strict=True)
    ]


def module_functions(folder: Path) -> list[Function]:
    """Every text symbol of the modules below a folder (`/lib/modules/RELEASE` or its debug twin), by module.

    Raises:
        ProfilerError: the folder holds no module.
    """
    found = []
    for path in _modules_below(folder):
        stem = path.as_posix().removesuffix(path.suffix if path.suffix != ".ko" else "")
        inside = stem.rpartition("/kernel/")[2] if "/kernel/" in stem else Path(stem).name
        name = Path(stem).stem.replace("-", "_")
        with _open(path) as elf:
            rows = sorted(_text_symbols(elf), key=lambda row: (row[2], row[1], row[0]))
        found += [Function(symbol, inside, address, section, name) for symbol, address, section in rows]
    if not found:
        raise ProfilerError(f"{folder}: no module (*.ko) below it", "give the folder that holds kernel/*.ko")
    return found


def release_of_modules(folder: Path) -> str:
    """The release of the kernel that the modules below a folder were built for, by the first that tells; "" for none.

    Raises:
        ProfilerError: a module is no ELF file.
    """
    for path in _modules_below(folder):
        with _open(path) as elf:
            section = elf.get_section_by_name(".modinfo")
            found = _VERMAGIC.search(section.data()) if section else None
        if found:
            return found[1].decode()
    return ""


def _modules_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.ko*") if path.name.endswith((".ko", *_UNPACKERS)))


@contextlib.contextmanager
def _open(path: Path) -> Iterator[ELFFile]:
    """An ELF file for the length of a `with`, its errors in our words."""
    try:
        unpack = next((how for ending, how in _UNPACKERS.items() if path.name.endswith(ending)), None)
        stream = io.BytesIO(unpack(path.read_bytes())) if unpack else path.open("rb")
    except OSError as error:
        raise ProfilerError(f"{path}: {error.strerror}", "give the path of a vmlinux") from error
    except (lzma.LZMAError, zlib.error, EOFError, zstandard.ZstdError) as error:
        raise ProfilerError(f"{path}: damaged: {error}", "get it again") from error
    with stream:
        try:
            elf = ELFFile(stream)
        except ELFError as error:
            raise ProfilerError(f"{path}: not an ELF file: {error}", "give an unpacked vmlinux or .ko") from error
        yield elf


def _text_symbols(elf: ELFFile) -> Iterator[tuple[str, int, str]]:
    """(name, address, section) of the symbols that lie in executable sections."""
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return
    wide = elf.elfclass == 64
    order = "<" if elf.little_endian else ">"
    fields = [("name", "u4"), ("info", "u1"), ("other", "u1"), ("section", "u2"), ("value", "u8"), ("size", "u8")]
    if not wide:
        fields = [("name", "u4"), ("value", "u4"), ("size", "u4"), ("info", "u1"), ("other", "u1"), ("section", "u2")]
    symbols = np.frombuffer(table.data(), np.dtype([(name, order + code) for name, code in fields]))
    sections = [section.name for section in elf.iter_sections()]
    executable = np.zeros(1 << 16, dtype=bool)
    # some kernels link their data with all flags set
    executable[: len(sections)] = [
        section["sh_flags"] & (_SHF_EXECINSTR | _SHF_WRITE) == _SHF_EXECINSTR for section in elf.iter_sections()
    ]
    chosen = symbols[
        executable[symbols["section"]]
        & (symbols["section"] < _SHN_LORESERVE)
        & ~np.isin(symbols["info"] & 0xF, (_STT_SECTION, _STT_FILE))
    ]
    names = elf.get_section(table["sh_link"]).data()
    for offset, address, section in zip(
        chosen["name"].tolist(), chosen["value"].tolist(), chosen["section"].tolist(), strict=True
    ):
        name = names[offset : names.index(b"\0", offset)].decode(errors="replace")
        # `$x` and the like tell code from data (ELF for the Arm Architecture, mapping symbols)
        if name and name[0] not in ".$":
            yield name, address, sections[section]


def _units(dwarf: DWARFInfo) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], list[str]]:
    """Start and end addresses of all ranges, sorted, and the source file of each.

    Raises:
        ValueError: there are no ranges, or no unit is the anchor.
    """
    ranges = dwarf.get_aranges()
    if ranges is None:
        raise ValueError("no .debug_aranges (build the kernel with -gdwarf by gcc)")
    entries = sorted((entry.begin_addr, entry.length, entry.info_offset) for entry in ranges.entries if entry.length)
    names: dict[int, str] = {}
    for _, _, offset in entries:
        if offset not in names:
            names[offset] = _unit_path(dwarf, offset)
    roots = [name[: -len(_ANCHOR)] for name in names.values() if name.endswith("/" + _ANCHOR) or name == _ANCHOR]
    if not roots:
        raise ValueError(f"no compilation unit {_ANCHOR}")
    inside = {offset: name.removeprefix(roots[0]) for offset, name in names.items()}
    folders = {path.partition("/")[0] for path in inside.values() if not path.startswith("/")}
    paths = [_below(inside[offset], folders) for _, _, offset in entries]
    starts = np.array([start for start, _, _ in entries], dtype=np.uint64)
    return starts, starts + np.array([length for _, length, _ in entries], dtype=np.uint64), paths


def _below(path: str, folders: set[str]) -> str:
    """The path from the tree's own folder on: assembler units are named by their absolute path."""
    parts = path.split("/")
    start = next((i for i, part in enumerate(parts) if part in folders), 0)
    return "/".join(parts[start:])


def _unit_path(dwarf: DWARFInfo, offset: int) -> str:
    attributes = dwarf.get_CU_at(offset).get_top_DIE().attributes
    name: str = attributes["DW_AT_name"].value.decode(errors="replace")
    return posixpath.normpath(name)
