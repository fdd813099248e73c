"""Say to which module kernel functions or addresses belong, or print the module table of a result."""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from offloadbench.base.errors import OK, ProfilerError, UsageError
from offloadbench.commands import recorded

if TYPE_CHECKING:
    import pandas as pd

    from offloadbench.analysis.profile.attribution import SymbolVerdict, Verdicts
    from offloadbench.model import Profile

RUNNING = Path("/proc/kallsyms")
_HEX_DIGITS = 16
# the column of perf that tells kernel from user
_MODE_MARK = re.compile(r"^\[[k.]\]\s+")
# x86-64, arm64 and others: kernel addresses have the highest bit set
_KERNEL_HALF = 1 << 63


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """With `-`: one item a line on standard input (an address if it begins with 0x or is 16 hexadecimal digits,
    otherwise the name of a function), one line `item<TAB>leaf<TAB>method` each, in order."""
    parser.add_argument("source", metavar="-|FILE", help="- for standard input; or a run file, or a perf.data file")
    parser.add_argument(
        "--kallsyms", metavar="FILE", type=Path, help="symbols of the kernel (default: the running one's)"
    )
    parser.add_argument("--profile", metavar="NAME", default="linux", help="attribution profile (default: linux)")
    parser.add_argument(
        "--split", metavar="LEAF", action="append", default=[], help="split a module, as the profile says: driver"
    )


def main(arguments: argparse.Namespace) -> int:
    from offloadbench.definitions import catalog

    profile = catalog.profile(arguments.profile, arguments.split)
    if arguments.source == "-":
        return _judge_lines(profile, arguments.kallsyms)
    path = Path(arguments.source)
    if recorded.is_recording(path):
        return recorded.show(profile, path, arguments.kallsyms)
    if arguments.kallsyms:
        raise UsageError(f"{path}: a run file brings its kernel's symbols along", "leave --kallsyms out")
    return _print_run(profile, path)


def _judge_lines(profile: Profile, kallsyms: Path | None) -> int:
    verdicts = _verdicts(profile, kallsyms)
    lines = []
    for item in sys.stdin.read().splitlines():
        verdict = _judge(verdicts, item.strip())
        lines.append(f"{item}\t{verdict.share or verdict.leaf}\t{verdict.method}\n")
    sys.stdout.write("".join(lines))
    return OK


def kallsyms_text(path: Path) -> str:
    """The symbols in a file.

    Raises:
        ProfilerError: it cannot be read.
    """
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ProfilerError(f"{path}: {reason}", "give a copy of /proc/kallsyms: --kallsyms FILE") from error


def has_addresses(text: str) -> bool:
    """Whether /proc/kallsyms showed addresses to whoever read it; to others they are zeros."""
    return re.search(r"^[ \t]*0*[1-9a-fA-F]", text, re.MULTILINE) is not None


def verdicts_of(profile: Profile, text: str, source: Path) -> Verdicts:
    """The verdicts on these symbols.

    Raises:
        ProfilerError: they are no symbols of a kernel, or have no addresses.
    """
    from offloadbench.analysis.profile.attribution import Rules, SymbolTable, Verdicts
    from offloadbench.definitions import catalog

    names = catalog.name_table(profile)
    try:
        symbols = SymbolTable(text, names, modules=catalog.module_names(profile))
    except ValueError as error:
        message = f"{source}: not the symbols of a kernel: {error}"
        raise ProfilerError(message, "give a copy of /proc/kallsyms") from error
    if text and not symbols.addresses.any():
        reason = "all addresses are zero" if len(symbols) else "it holds no functions"
        hint = "an ordinary user read it: copy it as root, or with sysctl kernel.kptr_restrict=0"
        raise ProfilerError(f"{source}: not the symbols of a kernel: {reason}", hint)
    return Verdicts(symbols, Rules(profile), names, {})


def _verdicts(profile: Profile, kallsyms: Path | None) -> Verdicts:
    path = kallsyms or RUNNING
    text = kallsyms_text(path)
    if kallsyms is None and not has_addresses(text):
        # hidden from this user: names are judged without the order in which they were linked
        text = ""
    return verdicts_of(profile, text, path)


def _judge(verdicts: Verdicts, item: str) -> SymbolVerdict:
    import numpy as np

    from offloadbench.analysis.profile.attribution import GUEST, USER, SymbolVerdict
    from offloadbench.definitions.name_tables import base_name

    address = _address(item)
    if address is not None:
        if not len(verdicts.symbols):
            raise ProfilerError(f"{item}: /proc/kallsyms shows no addresses to this user", "run as root, or --kallsyms")
        if address < _KERNEL_HALF <= int(verdicts.symbols.addresses[-1]):
            return SymbolVerdict(USER, USER)
        return verdicts.of(int(verdicts.symbols.lookup(np.array([address], dtype=np.uint64))[0]))
    # as a terminal shows it: `[k] tcp_ack`, `tcp_ack [kernel.kallsyms]`, `start_xmit [virtio_net]`
    name, _, module = _MODE_MARK.sub("", item).replace("\t", " ").partition(" ")
    module = module.strip(" []")
    if module.startswith("guest"):
        return SymbolVerdict(GUEST, GUEST)
    if module.startswith("kernel"):
        module = ""
    index = verdicts.symbols.by_name.get(name, verdicts.symbols.by_name.get(base_name(name), -1))
    if index >= 0 and not module:
        return verdicts.of(index)
    return verdicts.judge(verdicts.symbols.unplaced(name, module))


def _address(item: str) -> int | None:
    """The item as an address, or None for the name of a function."""
    if not item.lower().startswith("0x") and len(item) != _HEX_DIGITS:
        return None
    try:
        value = int(item, 16)
    except ValueError:
        return None
    return value if 0 <= value < 1 << 64 else None


def _print_run(profile: Profile, path: Path) -> int:
    from offloadbench.analysis.profile.attributed_samples import batches
    from offloadbench.files import run_file

    run = run_file.load(path)
    for batch in batches(run, profile):
        for item in batch.items:
            trial = item.trial
            print_table(f"{trial.workload}, case {trial.case}, repeat {trial.repeat}", item.rows)
    if not any(trial.profile for trial in run.trials):
        raise ProfilerError(f"{path}: no trial has a profile", "run without --no-profile")
    return OK


def print_table(title: str, rows: pd.DataFrame) -> None:
    """Print attributed samples by module, a table an event."""
    from offloadbench.analysis.profile import module_tables

    modules, methods = module_tables.by_module(rows), module_tables.by_method(rows)
    for event in modules["event"].drop_duplicates():
        print(f"{title}: {event}")
        print("\n".join(_table(modules[modules["event"] == event], methods[methods["event"] == event])))


def _table(modules: pd.DataFrame, methods: pd.DataFrame) -> list[str]:
    """Modules by share, idle and wake-up latency apart, and how they were found."""
    from offloadbench.analysis.profile.attribution import WAKE

    busy = modules[modules["share_ratio"].notna()].sort_values("value", ascending=False, kind="stable")
    per_cycle = bool(busy["instructions_per_cycle"].notna().any())
    quantity = str(modules["quantity"].iloc[0])
    head = f"  {'module':<16}{'share':>8}  {'95 % interval':<18}{'samples':>9}  {quantity:>20}"
    lines = [head + ("  instructions per cycle" if per_cycle else "")]
    for row in busy.to_dict("records"):
        interval = f"{row['share_low_ratio']:.2%} to {row['share_high_ratio']:.2%}"
        line = f"  {row['module']:<16}{row['share_ratio']:>8.2%}  {interval:<18}{row['samples']:>9}  {row['value']:>20}"
        ratio = row["instructions_per_cycle"]
        lines.append(line + (f"  {'-' if math.isnan(ratio) else f'{ratio:.2f}':>22}" if per_cycle else ""))
    at_rest = modules[modules["share_ratio"].isna()]
    waking = at_rest["module"] == WAKE
    shares = methods[methods["share_ratio"].notna()]
    found = ", ".join(f"{row['method']} {row['share_ratio']:.2%}" for row in shares.to_dict("records"))
    rest = f"  idle, in no share: {at_rest[~waking]['value'].sum()}"
    woken = [f"  wake-up latency, in no share: {at_rest[waking]['value'].sum()}"] if waking.any() else []
    return [*lines, rest, *woken, f"  found by: {found}", ""]
