"""Build and check the name tables of attribution profiles from kernels with debug information."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from offloadbench.base.errors import OK, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from offloadbench.definitions.name_tables import NameTable
    from offloadbench.kernel.trace.debuginfo import Function

# modules whose functions are worth their bytes: other kernels link them in
_KEPT_MODULES = (
    "net/*", "fs/ext4/*", "fs/jbd2/*", "drivers/virtio/*", "drivers/vhost/*", "drivers/ptp/*", "drivers/net/phy/*",
    "drivers/net/mdio/*",
    "drivers/net/bonding/*", "drivers/net/team/*", "drivers/net/hyperv/*", "drivers/net/vmxnet3/*",
    "drivers/net/xen*", "drivers/net/ipvlan/*", "drivers/net/vxlan/*", "drivers/net/wireguard/*",
    "drivers/net/veth.ko", "drivers/net/t[au][np].ko", "drivers/net/virtio_net.ko", "drivers/net/macv*.ko",
    "drivers/net/ifb.ko", "drivers/net/dummy.ko", "drivers/net/vrf.ko", "drivers/net/geneve.ko",
    "drivers/net/*failover.ko", "drivers/net/netdevsim/*", "drivers/net/ethernet/intel/*",
    "drivers/net/ethernet/mellanox/*",
    "drivers/net/ethernet/broadcom/*", "drivers/net/ethernet/amazon/*", "drivers/net/ethernet/google/*",
    "drivers/net/ethernet/realtek/*", "drivers/net/ethernet/microsoft/*",
)  # fmt: skip
_EVERY_MODULE = ("*",)
_SCOPE = "net/*,drivers/net/*,lib/checksum*,arch/*/lib/*,lib/iov_iter.c,mm/sl?b*,kernel/softirq.c,kernel/sched/*,"
_SCOPE += "kernel/locking/*,fs/splice.c"
# boot code is gone before anything is measured
_BOOT_SECTIONS = (".init", ".exit")
_WORST = 20
# of a table of the functions of modules (`module_names`), which is of another form
_MODULES_ENDING = ".zst"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`profile build` and `profile check`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="write a name table from kernels with debug information")
    build.add_argument("--vmlinux", metavar="FILE", type=Path, action="append", default=[], help="several are joined")
    build.add_argument("--modules", metavar="DIR", type=Path, action="append", default=[], help="holds kernel/*.ko")
    build.add_argument("--merge", metavar="TABLE", type=Path, action="append", default=[], help="a table to go on from")
    build.add_argument(
        "--output",
        metavar="TABLE",
        type=Path,
        required=True,
        help=f"a name table; ending in {_MODULES_ENDING}: a table of the functions of all modules",
    )
    check = actions.add_parser("check", help="measure a name table against a kernel with debug information")
    check.add_argument("table", metavar="TABLE", type=Path)
    check.add_argument("--vmlinux", metavar="FILE", type=Path, required=True, help="the truth")
    check.add_argument(
        "--module-names",
        metavar="TABLE",
        type=Path,
        help="of the functions of modules (default: none), as build writes",
    )
    check.add_argument("--profile", metavar="NAME", default="linux", help="its rules (default: linux)")
    check.add_argument("--weights", metavar="RUN", type=Path, help="run file whose samples weight the functions")
    check.add_argument("--scope", metavar="PATHS", default=_SCOPE, help=f"source files that count (default: {_SCOPE})")


def main(arguments: argparse.Namespace) -> int:
    return _build(arguments) if arguments.action == "build" else _check(arguments)


def _running(functions: Iterable[Function]) -> list[Function]:
    return [one for one in functions if not one.section.startswith(_BOOT_SECTIONS)]


def _build(arguments: argparse.Namespace) -> int:
    from offloadbench.definitions import module_names
    from offloadbench.definitions import name_tables as names
    from offloadbench.kernel.trace import debuginfo

    of_modules = arguments.output.name.endswith(_MODULES_ENDING)
    if of_modules and not (arguments.modules or arguments.merge):
        raise UsageError("nothing to build from", "give --modules DIR of a kernel, or --merge")
    if of_modules and arguments.vmlinux:
        raise UsageError(f"{arguments.output}: holds modules, not a kernel", "leave --vmlinux out")
    if not of_modules and not arguments.vmlinux and not arguments.merge:
        raise UsageError("nothing to build from", "give --vmlinux FILE of a kernel with debug information, or --merge")
    tables = [
        module_names.load(path) if path.name.endswith(_MODULES_ENDING) else names.load(path) for path in arguments.merge
    ]
    for path in arguments.vmlinux:
        origin = names.KernelOrigin(debuginfo.release(path), debuginfo.build_id(path))
        found = names.collect(((one.name, one.path) for one in _running(debuginfo.functions(path))), origin)
        print(f"{path}: {origin.release}, {len(found)} functions")
        tables.append(found)
    for folder in arguments.modules:
        tables.append(_of_modules(folder, _EVERY_MODULE if of_modules else _KEPT_MODULES))
        print(f"{folder}: {len(tables[-1].modules)} modules, {len(tables[-1])} functions kept")
    table = names.merge(tables)
    (module_names if of_modules else names).save(table, arguments.output)
    size = arguments.output.stat().st_size
    kept = sum(len(found) for path, found in table.files.items() if path.endswith(".ko") or not of_modules)
    print(f"{arguments.output}: {kept} functions of {len(table.kernels)} kernels, {size / 1e6:.2f} MB")
    return OK


def _of_modules(folder: Path, chosen: tuple[str, ...]) -> NameTable:
    """Every module with its path; the functions of those that match."""
    from offloadbench.definitions import name_tables as names
    from offloadbench.kernel.trace import debuginfo

    functions = debuginfo.module_functions(folder)
    kept = [one for one in _running(functions) if any(fnmatchcase(one.path, pattern) for pattern in chosen)]
    # of a name table, the kernels are those whose own functions it knows
    release = debuginfo.release_of_modules(folder) if chosen == _EVERY_MODULE else ""
    kernels = [names.KernelOrigin(release, "")] if release else []
    known = names.collect(((one.name, one.path) for one in kept), *kernels)
    return names.NameTable({one.path: frozenset() for one in functions} | dict(known.files), known.kernels)


def _check(arguments: argparse.Namespace) -> int:
    from offloadbench.analysis.profile.attribution import Rules
    from offloadbench.analysis.profile.attribution.accuracy import KnownFunction, check
    from offloadbench.definitions import catalog, module_names
    from offloadbench.definitions import name_tables as names
    from offloadbench.kernel.trace import debuginfo

    rules = Rules(catalog.profile(arguments.profile))
    table = names.load(arguments.table)
    functions = [
        KnownFunction(one.name, one.address, one.path) for one in _running(debuginfo.functions(arguments.vmlinux))
    ]
    modules = module_names.ModuleNames((str(arguments.module_names),) if arguments.module_names else ())
    result = check(functions, table, rules, _weights(arguments.weights, arguments.profile), modules)
    scope = arguments.scope.split(",")
    inside = result[[any(fnmatchcase(path, pattern) for pattern in scope) for path in result["path"]]]
    release = debuginfo.release(arguments.vmlinux)
    known = ", ".join(kernel.release for kernel in table.kernels)
    print(f"{arguments.table} ({known}) against {release}")
    print(f"functions in scope: {inside['right'].mean():.2%} of {len(inside)} in the right leaf (uniform)")
    print(f"all functions:      {result['right'].mean():.2%} of {len(result)} (uniform)")
    if arguments.weights:
        for title, rows in (("in scope", inside), ("all functions", result)):
            share = (rows["right"] * rows["weight"]).sum() / rows["weight"].sum()
            print(f"{title}, weighted by the samples of {arguments.weights}: {share:.2%}")
    print("\n".join([*_by(inside, "truth", "leaf"), *_by(inside, "method", "method"), *_worst(inside)]))
    return OK


def _by(rows: pd.DataFrame, column: str, title: str) -> list[str]:
    groups = rows.groupby(column)["right"].agg(["size", "mean"]).sort_values("size", ascending=False)
    return ["", f"{title:<12}{'functions':>10}{'right':>9}"] + [
        f"{name!s:<12}{size:>10.0f}{right:>9.2%}" for name, size, right in groups.itertuples()
    ]


def _worst(rows: pd.DataFrame) -> list[str]:
    wrong = rows[~rows["right"]]
    groups = (
        wrong.groupby(["truth", "leaf", "method"])["name"].agg(["size", "first"]).sort_values("size", ascending=False)
    )
    lines = [
        f"{size:>6} {truth} taken for {leaf} ({method}), e.g. {example}"
        for (truth, leaf, method), size, example in groups.head(_WORST).itertuples()
    ]
    return ["", "what went wrong most", *lines] if lines else []


def _weights(path: Path | None, profile_name: str) -> dict[str, float]:
    """Name without what compilers append -> weight of the samples of a run."""
    if path is None:
        return {}
    import pandas as pd

    from offloadbench.analysis.profile.attributed_samples import batches
    from offloadbench.definitions import catalog
    from offloadbench.definitions.name_tables import base_name
    from offloadbench.files import run_file

    run, profile = run_file.load(path), catalog.profile(profile_name)
    parts = [batch.rows for batch in batches(run, profile)]
    if not parts:
        raise UsageError(f"{path}: no trial has a profile", "give a run with profiles")
    rows = pd.concat(parts)
    names = rows["symbol"].astype(str).map(base_name)
    return {str(name): float(weight) for name, weight in rows.groupby(names)["weight"].sum().items()}
