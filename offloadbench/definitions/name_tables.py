"""Name tables: which source file of the kernel each function name comes from, over several kernels.

A table is text, compressed by xz: a first line with the format, one `#kernel` line per kernel it was built from, then
per source file one line `path<TAB>name name ...`. Functions of loadable modules stand under the path of their .ko.
Names are without what compilers append; a name that several files use stands under each of them.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from offloadbench.base.errors import UsageError

FORMAT = "#offloadbench-names 1"
# what compilers, linkers and the build append to the name of a function, alone or one behind the other: GCC's clones,
# Clang's CFI, LTO and ThinLTO, -funique-internal-linkage-names, Propeller, Android's hashes; and perf's `+0x1c/0x400`
_SUFFIX = re.compile(
    r"(\.(isra|constprop|part|clone|cold|hot|unlikely|split|llvm|cfi|cfi_jt|lto_priv|__uniq|localalias|warm|kcfi|"
    r"memprof|argprom|argelim|retelim)(\.\d+)*|\.\d+|\$[0-9a-zA-Z_.]*|_noprof)+$"
)
_OFFSET = re.compile(r"\+0x[0-9a-fA-F]+(/0x[0-9a-fA-F]+)?$")
_PREFIXES = ("__pfx_", "__pi_", "__cfi_")
# what a system call's entry was called before 4.17, and is called behind another architecture's or LTO's wrapper
_SYSTEM_CALL = re.compile(
    r"^(?:__(?:x64|ia32|x32|arm64|riscv|s390x?|powerpc|do|se)_(?:compat_)?sys_|SyS_|sys_)(?=[a-z])"
)
# labels that are no functions, mangled Rust (its hashes change with every build), names that every module has, and
# locks that are inlined everywhere: whichever file kept a copy says nothing
_NO_FUNCTION = re.compile(
    r"^(\$|__SCT_|__SCK_|__initcall_|__UNIQUE_|_R[INX]|init_module$|cleanup_module$|do_raw_(spin|read|write)_|"
    r"__raw_(spin|read|write)_(un|try)?lock(_|$)|arch_local_(irq|save)_|.*_text_(start|end)$)"
)


def base_name(name: str) -> str:
    """`tcp_ack.isra.0` and `tcp_ack+0x1c` -> `tcp_ack`; `__pi_memcpy` -> `memcpy`; `kmalloc_noprof` -> `kmalloc`."""
    base = name
    # most names of the 100,000 of a kernel have none of these, and a search is dearer than these questions
    if "+" in base:
        base = _OFFSET.sub("", base)
    if "." in base or "$" in base or base.endswith("_noprof"):
        # on 64-bit big-endian powerpc a dot begins the name of the code, and the plain name is a descriptor
        base = _SUFFIX.sub("", base.lstrip("."))
    for prefix in _PREFIXES:
        if base.startswith(prefix):
            base = base[len(prefix) :]
            break
    return base or name


def base_names(names: Iterable[str]) -> list[str]:
    """`base_name` of each of many."""
    return [
        base_name(name)
        if "." in name or "$" in name or "+" in name or name.endswith("_noprof") or name.startswith(_PREFIXES)
        else name
        for name in names
    ]


def system_calls(name: str) -> tuple[str, ...]:
    """Other names of the function that a system call begins in, by kernel and architecture; () for any other function.

    `sys_sendto`, `SyS_sendto` and `__se_sys_sendto` are `__x64_sys_sendto` and `__do_sys_sendto` in kernels of today.
    """
    call = _SYSTEM_CALL.sub("", name)
    if call == name:
        return ()
    return tuple(f"{prefix}{call}" for prefix in ("__x64_sys_", "__do_sys_", "__se_sys_", "__ia32_sys_", "sys_"))


@dataclass(frozen=True, slots=True)
class KernelOrigin:
    """A kernel that a table was built from."""

    release: str
    build_id: str


@dataclass(frozen=True)
class NameTable:
    """Function names by source path.

    Attributes:
        files: source path or .ko path inside the kernel tree -> names.
        kernels: what the table was built from.
    """

    files: Mapping[str, frozenset[str]]
    kernels: tuple[KernelOrigin, ...]

    @cached_property
    def by_name(self) -> dict[str, tuple[str, ...]]:
        """Name -> the paths that use it, in alphabetical order."""
        found: dict[str, tuple[str, ...]] = {}
        for path in sorted(self.files):
            names = self.files[path]
            several = [(name, (*found[name], path)) for name in names & found.keys()]
            found |= dict.fromkeys(names, (path,))
            found |= several
        return found

    @cached_property
    def of_one_file(self) -> tuple[list[str], dict[str, int]]:
        """All paths, and of each name that one of them alone uses, the place of that path among them."""
        paths = sorted(self.files)
        places = {path: place for place, path in enumerate(paths)}
        return paths, {name: places[used[0]] for name, used in self.by_name.items() if len(used) == 1}

    @cached_property
    def modules(self) -> dict[str, str]:
        """Name of a loadable module -> path of its .ko."""
        return {Path(path).stem.replace("-", "_"): path for path in self.files if path.endswith(".ko")}

    def __len__(self) -> int:
        return sum(len(names) for names in self.files.values())


EMPTY = NameTable({}, ())


def collect(rows: Iterable[tuple[str, str]], *kernels: KernelOrigin) -> NameTable:
    """A table from (name as the symbol has it, path) pairs of these kernels; rows without a path are left out."""
    files: dict[str, set[str]] = {}
    for name, path in rows:
        if path and not _NO_FUNCTION.match(name):
            files.setdefault(path, set()).add(base_name(name))
    return NameTable({path: frozenset(names) for path, names in files.items()}, kernels)


def merge(tables: Iterable[NameTable]) -> NameTable:
    """One table that knows what each of them knows."""
    files: dict[str, frozenset[str]] = {}
    kernels: dict[KernelOrigin, None] = {}
    for table in tables:
        kernels |= dict.fromkeys(table.kernels)
        for path, names in table.files.items():
            files[path] = files.get(path, frozenset()) | names
    return NameTable(files, tuple(sorted(kernels, key=lambda kernel: kernel.release)))


def load(path: Path) -> NameTable:
    """Read a table.

    Raises:
        UsageError: missing, damaged, or not a name table.
    """
    try:
        text = lzma.decompress(path.read_bytes()).decode()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "give the path of a name table") from error
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: damaged, or no name table: {error}", "build it again: profile build") from error
    head, *lines = text.splitlines()
    if head != FORMAT:
        raise UsageError(f"{path}: not a name table of this format", "build it again: offloadbench profile build")
    kernels = tuple(KernelOrigin(*line.split(" ")[1:3]) for line in lines if line.startswith("#kernel "))
    pairs = (line.partition("\t") for line in lines if not line.startswith("#"))
    return NameTable({path: frozenset(names.split(" ")) if names else frozenset() for path, _, names in pairs}, kernels)


def save(table: NameTable, path: Path) -> None:
    """Write a table; the same table always gives the same bytes.

    Raises:
        UsageError: it cannot be written.
    """
    lines = [FORMAT, *(f"#kernel {kernel.release} {kernel.build_id or '-'}" for kernel in table.kernels)]
    lines += [f"{file}\t{' '.join(sorted(names))}" for file, names in sorted(table.files.items())]
    data = lzma.compress("\n".join(lines).encode() + b"\n", preset=9 | lzma.PRESET_EXTREME)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "choose another --output") from error
