"""The rules of profiles/linux.toml against every name that is known: of the tables, and of other kernels by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from offloadbench.analysis.profile.attribution import IDLE, SHADOW, Rules, SymbolTable, Verdicts
from offloadbench.commands.modules import _judge
from offloadbench.definitions import catalog
from offloadbench.definitions.name_tables import base_name

ELSEWHERE = Path(__file__).parents[1] / "data" / "kernel-names.tsv"
# as many known names must begin so before the share of those that a prefix has right says anything
_ENOUGH, _RIGHT_RATIO = 5, 0.4
# made by macros in every file that has tracepoints
_GENERATED = ("perf_trace_", "__bpf_trace_", "trace_event_", "trace_raw_", "__traceiter_")
# the entry of a system call that no table knows; of those that tables know, the file decides
_ENTRIES = {"__x64_sys_", "__ia32_sys", "__do_sys_"}


@lru_cache(maxsize=1)
def _rules() -> Rules:
    return Rules(catalog.profile("linux"))


@lru_cache(maxsize=1)
def _verdicts() -> Verdicts:
    names = catalog.name_table(catalog.profile("linux"))
    return Verdicts(SymbolTable("", names), _rules(), names, {})


@lru_cache(maxsize=1)
def _elsewhere() -> list[tuple[str, str]]:
    """Names of kernels that are in no table -> their leaf, judged by the source of that kernel."""
    lines = (line.split("\t") for line in ELSEWHERE.read_text().splitlines() if not line.startswith("#"))
    return [(name, leaf) for name, leaf, _ in lines]


def _known() -> Iterator[tuple[str, str]]:
    """Every known name with its leaf."""
    rules = _rules()
    for name, paths in catalog.name_table(catalog.profile("linux")).by_name.items():
        path = rules.likeliest(name, paths)
        if path and not name.startswith(_GENERATED):
            yield name, rules.by_source(name, path)
    yield from ((base_name(name.split(" ")[0]), leaf) for name, leaf in _elsewhere())


@lru_cache(maxsize=1)
def _decided() -> tuple[Counter[str], Counter[str]]:
    """Prefix -> known names that it would decide if no file were known, and those of them that it has right."""
    rules = _rules()
    leaves = {prefix: rule.leaf for rule in rules.profile.prefixes for prefix in rule.match}
    longest = max(map(len, leaves))
    all_of, right = Counter[str](), Counter[str]()
    for name, leaf in _known():
        if rules.idle_names(name) or rules.by_function(name):
            continue
        prefix = next((name[:end] for end in range(min(longest, len(name)), 0, -1) if name[:end] in leaves), "")
        if prefix:
            all_of[prefix] += 1
            right[prefix] += leaf == leaves[prefix]
    return all_of, right


def test_every_prefix_decides_a_known_name_rightly() -> None:
    _, right = _decided()
    prefixes = {prefix for rule in _rules().profile.prefixes for prefix in rule.match}
    assert sorted(prefix for prefix in prefixes if not right[prefix] and not _decides_in_modules(prefix)) == []


def _decides_in_modules(prefix: str) -> bool:
    """Whether it decides a function of a loadable module rightly, where that module is built in."""
    rules = _rules()
    leaves = {prefix: rule.leaf for rule in rules.profile.prefixes for prefix in rule.match}
    for name, paths in catalog.module_names(rules.profile).beginning(prefix):
        longest = next((name[:end] for end in range(len(name), 0, -1) if name[:end] in leaves), "")
        if longest == prefix and any(rules.by_source(name, path) == leaves[prefix] for path in paths):
            return True
    return False


def test_no_prefix_says_more_than_it_knows() -> None:
    all_of, right = _decided()
    assert {
        prefix: f"{right[prefix]} of {count} right"
        for prefix, count in all_of.items()
        if count >= _ENOUGH and right[prefix] < _RIGHT_RATIO * count and prefix not in _ENTRIES
    } == {}


def test_no_prefix_stands_under_two_leaves() -> None:
    leaves = defaultdict(set)
    for rule in _rules().profile.prefixes:
        for prefix in rule.match:
            leaves[prefix].add(rule.leaf)
    assert {prefix: found for prefix, found in leaves.items() if len(found) > 1} == {}


def test_names_of_other_kernels_and_architectures() -> None:
    verdicts, wrong = _verdicts(), {}
    for name, leaf in _elsewhere():
        found = _judge(verdicts, name).leaf
        if found != leaf and not (leaf == SHADOW and base_name(name) in verdicts.rules.shadow):
            wrong[name] = (leaf, found)
    assert wrong == {}


@pytest.mark.parametrize("table", ["irq_shadow", "softirq_entry", "irqs_off"])
def test_where_samples_are_judged_by_the_symbol_no_symbol_is_idle(table: str) -> None:
    assert [name for name in getattr(_rules().profile, table) if _judge(_verdicts(), name).leaf == IDLE] == []


def test_of_symbols_at_one_address_the_function_is_found() -> None:
    text = (
        "ffffffff81000000 T __do_softirq\nffffffff81000000 T __softirqentry_text_start\n"
        "ffffffff81000000 t __irqentry_text_end\nffffffff81000100 T _etext\n"
    )
    table = SymbolTable(text, catalog.name_table(catalog.profile("linux")))
    assert table.symbol(int(table.lookup(table.addresses[:1])[0])).name == "__do_softirq"


def test_marks_in_the_output_of_nm_are_no_functions() -> None:
    names = catalog.name_table(catalog.profile("linux"))
    table = SymbolTable("c0000000 T tcp_ack\nc0000008 t $d\nc0000010 t $a.3\n", names)
    assert table.raw_names == ["tcp_ack"]
    assert not [name for name in names.by_name if name.startswith("$")]
