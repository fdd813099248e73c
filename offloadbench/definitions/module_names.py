"""Functions of loadable modules, by name: for kernels that have these modules linked in.

A kernel has a few hundred thousand of them and a profile asks about a handful, so the table stays text and is searched
where it lies: names in order, each with the numbers of the .ko files that have a function of this name. A file is that
text, compressed by zstd: a first line with the format, a `#kernel` line per kernel it was built from, a line per .ko
path, an empty line, and a line `name<TAB>number,number` per name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from offloadbench.base.errors import UsageError
from offloadbench.definitions.name_tables import KernelOrigin, NameTable

FORMAT = "#offloadbench-module-names 1"
# far above the size of any table: a file that asks for more is none
_MAX_BYTES = 1 << 28
_LEVEL = 22
_HINT = "build it again: offloadbench profile build"


@dataclass(frozen=True, slots=True)
class _Text:
    """What a file holds: .ko paths by number, and the lines of names in byte order, each with its line feed."""

    kernels: tuple[KernelOrigin, ...]
    paths: tuple[str, ...]
    lines: bytes


_EMPTY = _Text((), (), b"")


class ModuleNames:
    """The tables in some files, read when they are first asked.

    Args:
        files: paths of tables; what several know of a name is joined.
    """

    def __init__(self, files: tuple[str, ...] = ()) -> None:
        self.files = files
        self._found: dict[str, tuple[str, ...]] = {}

    @cached_property
    def _texts(self) -> list[_Text]:
        return [_read(Path(file)) for file in self.files]

    def paths(self, name: str) -> tuple[str, ...]:
        """The .ko files inside the kernel tree that have a function of this name, in alphabetical order; () for none.

        Raises:
            UsageError: a table is missing or damaged.
        """
        known = self._found.get(name)
        if known is None:
            key = name.encode(errors="replace") + b"\t"
            found: set[str] = set()
            for text in self._texts:
                start = _at(text.lines, key)
                if text.lines.startswith(key, start):
                    found.update(_paths_of(text, start))
            known = self._found[name] = tuple(sorted(found))
        return known

    @cached_property
    def _modules(self) -> dict[str, str]:
        return {
            path.rpartition("/")[2].removesuffix(".ko").replace("-", "_"): path
            for text in self._texts
            for path in text.paths
        }

    def ko_path(self, module: str) -> str:
        """Where the .ko of a module lies inside the kernel tree; "" for one that no table knows.

        Raises:
            UsageError: a table is missing or damaged.
        """
        return self._modules.get(module, "")

    def beginning(self, prefix: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every name that begins so, with its .ko files.

        Raises:
            UsageError: a table is missing or damaged.
        """
        key = prefix.encode(errors="replace")
        for text in self._texts:
            at = _at(text.lines, key)
            while text.lines.startswith(key, at):
                name = text.lines[at : text.lines.index(b"\t", at)].decode(errors="replace")
                yield name, _paths_of(text, at)
                at = text.lines.index(b"\n", at) + 1


NONE = ModuleNames()


def _at(lines: bytes, key: bytes) -> int:
    """Where the first line begins that does not sort before `key`."""
    low, high = 0, len(lines)
    while low < high:
        start = lines.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = lines.index(b"\n", start) + 1
        if lines[start:end] < key:
            low = end
        else:
            high = start
    return low


def _paths_of(text: _Text, start: int) -> tuple[str, ...]:
    tab, end = text.lines.index(b"\t", start), text.lines.index(b"\n", start)
    try:
        return tuple(text.paths[int(number)] for number in text.lines[tab + 1 : end].split(b","))
    except (ValueError, IndexError) as error:
        line = text.lines[start:end].decode(errors="replace")
        raise UsageError(f"a table of the functions of modules is damaged: {line[:80]!r}", _HINT) from error


def _read(path: Path) -> _Text:
    """Read a table.

    Raises:
        UsageError: missing, damaged, or no table of modules.
    """
    import zstandard

    try:
        data = path.read_bytes()
        if zstandard.frame_content_size(data) not in range(_MAX_BYTES):
            raise UsageError(f"{path}: not a table of the functions of modules", _HINT)
        content = zstandard.ZstdDecompressor().decompress(data)
        head, _, lines = content.partition(b"\n\n")
        first, *rest = head.decode().split("\n")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "give the path of a table") from error
    except (zstandard.ZstdError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: damaged, or no table of the functions of modules: {error}", _HINT) from error
    if first != FORMAT:
        raise UsageError(f"{path}: not a table of the functions of modules, of this format", _HINT)
    words = [line.split(" ") for line in rest if line.startswith("#kernel ")]
    kernels = tuple(KernelOrigin(release, "".join(identity).strip("-")) for _, release, *identity in words)
    found = _Text(kernels, tuple(line for line in rest if not line.startswith("#")), lines)
    _verify(found, path)
    return found


def _verify(text: _Text, path: Path) -> None:
    """A search in lines of another form would find what is not there, or leave the table."""
    if text.lines and not text.lines.endswith(b"\n"):
        raise UsageError(f"{path}: it ends in the middle of a line", _HINT)
    if text.lines.count(b"\t") != text.lines.count(b"\n"):
        raise UsageError(f"{path}: not lines of name and numbers", _HINT)


def load(path: Path) -> NameTable:
    """A whole table, as names by path.

    Raises:
        UsageError: missing, damaged, or no table of modules.
    """
    text = _read(path)
    files: dict[str, set[str]] = {name: set() for name in text.paths}
    start = 0
    while start < len(text.lines):
        name = text.lines[start : text.lines.index(b"\t", start)].decode(errors="replace")
        for file in _paths_of(text, start):
            files[file].add(name)
        start = text.lines.index(b"\n", start) + 1
    return NameTable({name: frozenset(names) for name, names in files.items()}, text.kernels)


def save(table: NameTable, path: Path) -> None:
    """Write what a table knows of loadable modules; the same table always gives the same bytes.

    Raises:
        UsageError: it cannot be written.
    """
    import zstandard

    modules = sorted(file for file in table.files if file.endswith(".ko"))
    numbers: Mapping[str, list[int]] = _numbered(table, modules)
    head = [FORMAT, *(f"#kernel {kernel.release} {kernel.build_id or '-'}" for kernel in table.kernels), *modules, ""]
    lines = [f"{name}\t{','.join(map(str, numbers[name]))}" for name in sorted(numbers, key=str.encode)]
    content = "\n".join([*head, *lines]) + "\n"
    parameters = zstandard.ZstdCompressionParameters.from_level(_LEVEL, write_checksum=True)
    data = zstandard.ZstdCompressor(compression_params=parameters).compress(content.encode())
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "choose another --output") from error


def _numbered(table: NameTable, modules: list[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, file in enumerate(modules):
        for name in table.files[file]:
            found.setdefault(name, []).append(number)
    return found
