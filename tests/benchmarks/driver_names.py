"""How many functions of drivers land in `driver`, for a kernel that the tables need not know.

    python -m tests.benchmarks.driver_names FOLDER [--vmlinux-symbols TSV] [--names TABLE] [--modules-table TABLE]

FOLDER holds the modules of a kernel (`/lib/modules/RELEASE`). Each module of network drivers is judged whole: loaded,
its .ko in the kernel tree, in updates/dkms and in extra, and under another name in extra; then built in, its functions
behind one another as the linker puts them, and by their names alone. Given the functions of the kernel itself (lines
of symbol, source, address and section, gzipped), it also tells how many of those that are no driver's become one.
"""

from __future__ import annotations

import argparse
import gzip
from collections import Counter, defaultdict
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from offloadbench.analysis.profile.attribution import Rules, SymbolTable, Verdicts
from offloadbench.definitions import catalog
from offloadbench.definitions.name_tables import base_name
from offloadbench.kernel.trace import debuginfo
from offloadbench.model import Profile

DRIVER = "driver"
# what `driver` is made of beside the folders of NICs' drivers
_SCOPES = {
    "Ethernet": "drivers/net/ethernet/*",
    "USB": "drivers/net/usb/*",
    "wireless": "drivers/net/wireless/*",
    "others below drivers/net": "drivers/net/*",
    "virtio, vhost, InfiniBand, PTP": "drivers/virtio/* drivers/vhost/* drivers/infiniband/* drivers/ptp/*",
}
_WORST = 12
_CORE_TEXT, _MODULE_TEXT = 0xFFFFFFFF81000000, 0xFFFFFFFF90000000


def scope(path: str) -> str:
    """The kind of driver that a .ko is; "" for none of a NIC."""
    return next((name for name, pats in _SCOPES.items() if any(fnmatchcase(path, one) for one in pats.split())), "")


class Judge:
    """Verdicts by one profile, on symbols that are made up for the purpose."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.rules = Rules(profile)
        self.names = catalog.name_table(profile)
        self.modules = catalog.module_names(profile)

    def leaves(self, rows: list[tuple[str, str]], paths: dict[str, str]) -> list[str]:
        """The leaf of each (function, module), which lie one behind the other."""
        text = "".join(
            f"{_MODULE_TEXT + 16 * at:016x} t {name}{f'{chr(9)}[{module}]' if module else ''}\n"
            for at, (name, module) in enumerate(rows)
        )
        verdicts = Verdicts(SymbolTable(text, self.names, modules=self.modules), self.rules, self.names, paths)
        return [verdicts.of(at).leaf for at in range(len(rows))]

    def by_name(self, names: list[str]) -> list[str]:
        """The leaf of each function by its name alone."""
        symbols = SymbolTable("", self.names, modules=self.modules)
        verdicts = Verdicts(symbols, self.rules, self.names, {})
        return [verdicts.judge(symbols.unplaced(name)).leaf for name in names]


def modules(folder: Path) -> dict[str, list[str]]:
    """Path of each .ko -> its functions, in the order in which they lie."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in debuginfo.module_functions(folder):
        if not one.section.startswith((".init", ".exit")) and not one.name.startswith(("__pfx_", "__cfi_")):
            found[one.path].append(one.name)
    return found


def _loaded(judge: Judge, found: dict[str, list[str]], where: str, suffix: str = "") -> dict[str, list[str]]:
    rows, paths = [], {}
    for path, names in found.items():
        module = Path(path).stem.replace("-", "_") + suffix
        paths[module] = f"/lib/modules/1/{where.format(path=path, name=Path(path).stem + suffix)}"
        rows += [(name, module) for name in names]
    return _by_path(found, judge.leaves(rows, paths))


def _by_path(found: dict[str, list[str]], leaves: list[str]) -> dict[str, list[str]]:
    taken = iter(leaves)
    return {path: [next(taken) for _ in names] for path, names in found.items()}


def _built_in(judge: Judge, found: dict[str, list[str]], core: list[tuple[str, str, int]]) -> dict[str, list[str]]:
    rows = [(name, "") for name, _, _ in core] + [(name, "") for names in found.values() for name in names]
    return _by_path(found, judge.leaves(rows, {})[len(core) :])


def _core(path: Path) -> list[tuple[str, str, int]]:
    lines = gzip.decompress(path.read_bytes()).decode().splitlines() if path.suffix == ".gz" else []
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    found = [(row[0], row[1], int(row[2], 16)) for row in rows if not row[3].startswith((".init", ".exit"))]
    return sorted(found, key=lambda row: row[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vmlinux-symbols", type=Path)
    parser.add_argument("--names", type=Path)
    parser.add_argument("--modules-table", type=Path)
    arguments = parser.parse_args()
    profile = catalog.profile("linux")
    if arguments.names:
        profile = msgspec.structs.replace(profile, names=[str(arguments.names)])
    if arguments.modules_table:
        profile = msgspec.structs.replace(profile, module_names=[str(arguments.modules_table)])
    judge = Judge(profile)
    core = _core(arguments.vmlinux_symbols) if arguments.vmlinux_symbols else []
    found = {path: names for path, names in modules(arguments.folder).items() if scope(path)}
    columns = {
        "in tree": _loaded(judge, found, "kernel/{path}"),
        "updates/dkms": _loaded(judge, found, "updates/dkms/{name}.ko"),
        "extra": _loaded(judge, found, "extra/{name}.ko"),
        "renamed": _loaded(judge, found, "extra/{name}.ko", "_own"),
        "built in": _built_in(judge, found, core),
        "name alone": _by_path(found, judge.by_name([name for names in found.values() for name in names])),
    }
    print(f"{'kind':<34}{'functions':>10}" + "".join(f"{title:>14}" for title in columns))
    for kind in _SCOPES:
        _print_row(kind, [path for path in found if scope(path) == kind], columns)
    print()
    for driver in catalog.drivers().values():
        paths = [path for path in found if any(fnmatchcase(path, pattern) for pattern in driver.files)]
        if paths:
            _print_row(driver.name, paths, columns)
    for title in ("built in", "name alone"):
        _print_worst(title, found, columns[title])
    if core:
        _print_core(judge, core)


def _print_row(title: str, paths: list[str], columns: dict[str, dict[str, list[str]]]) -> None:
    cells = []
    for leaves in columns.values():
        chosen = [leaf for path in paths for leaf in leaves[path]]
        cells.append(f"{sum(leaf == DRIVER for leaf in chosen) / max(1, len(chosen)):>14.2%}")
    count = sum(len(next(iter(columns.values()))[path]) for path in paths)
    print(f"{title:<34}{count:>10}" + "".join(cells))


def _print_worst(title: str, found: dict[str, list[str]], leaves: dict[str, list[str]]) -> None:
    wrong: dict[str, list[str]] = defaultdict(list)
    for path, names in found.items():
        if path.startswith("drivers/net/"):
            for name, leaf in zip(names, leaves[path], strict=True):
                if leaf != DRIVER:
                    wrong[leaf].append(name)
    total = sum(len(names) for path, names in found.items() if path.startswith("drivers/net/"))
    print(f"\n{title}, of {total} functions below drivers/net: not driver")
    for leaf, names in sorted(wrong.items(), key=lambda pair: -len(pair[1]))[:_WORST]:
        print(f"  {leaf:<12}{len(names):>7}  e.g. {' '.join(names[:: 1 + len(names) // 6][:6])}")


def _print_core(judge: Judge, core: list[tuple[str, str, int]]) -> None:
    text = "".join(f"{address:016x} t {name}\n" for name, _, address in core)
    verdicts = Verdicts(SymbolTable(text, judge.names, modules=judge.modules), judge.rules, judge.names, {})
    by_name = judge.by_name([name for name, _, _ in core])
    for title, leaves in (
        ("in their order", [verdicts.of(at).leaf for at in range(len(core))]),
        ("by their names alone", by_name),
    ):
        rows = [
            (name, path, leaf, judge.rules.by_source(base_name(name), path))
            for (name, path, _), leaf in zip(core, leaves, strict=True)
            if path
        ]
        wrong = [row for row in rows if row[2] == DRIVER != row[3]]
        right = sum(leaf == truth for _, _, leaf, truth in rows)
        print(f"\nfunctions of the kernel itself, {title}: {len(wrong)} of {len(rows)} wrongly driver "
              f"({len(wrong) / len(rows):.3%}); {right / len(rows):.2%} in the right leaf")  # fmt: skip
        folders = Counter("/".join(path.split("/")[:2]) for _, path, _, _ in wrong)
        for folder, count in folders.most_common(_WORST):
            print(f"  {folder:<24}{count:>5}  e.g. {' '.join([r[0] for r in wrong if r[1].startswith(folder)][:4])}")


if __name__ == "__main__":
    main()
