"""Every definition that ships: it loads, and it keeps what others rely on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from offloadbench import traffic
from offloadbench.analysis.profile.attribution import SHADOW, Rules
from offloadbench.definitions import catalog
from offloadbench.model import Profile

_LEAVES = (
    "tcp udp ip netfilter socket netdev gso gro skb driver checksum copy mem irq irq_shadow timer sched rcu lock "
    "syscall vfs fs bpf perf_trace security crypto idle wakeup_latency user other "
    "xdp zero thunk kvm guest"
)
LEAVES = _LEAVES.split()
# reached by the sample's mode, by the clock's shadow, by the idle clock, or by nothing at all
WITHOUT_RULES = {"irq_shadow", "wakeup_latency", "user", "guest", "other"}
WORKLOADS = sorted(catalog.definitions_folder("workloads").glob("*.toml"))
PROFILES = sorted(catalog.definitions_folder("profiles").glob("*.toml"))
CASES = sorted((catalog.definitions_folder("profiles") / "cases").glob("*.toml"))


def _id(path: Path) -> str:
    return path.stem


def test_there_is_something_to_ship() -> None:
    assert WORKLOADS
    assert PROFILES
    assert CASES


@pytest.mark.parametrize("path", WORKLOADS, ids=_id)
def test_a_workload_loads_bears_its_files_name_and_its_parameters_are_valid(path: Path) -> None:
    definition = catalog.workload(str(path))
    assert definition.name == path.stem
    assert definition.title
    assert traffic.from_definition(definition).settings()
    assert catalog.workload(definition.name) == definition


@pytest.mark.parametrize("path", CASES, ids=_id)
def test_a_case_bears_its_files_name_and_sets_what_defines_it(path: Path) -> None:
    case = next(case for case in catalog.all_cases() if case.name == path.stem)
    assert case.title
    assert case.defining
    assert set(case.defining) <= set(case.features)


def test_cases_have_an_order_of_their_own_and_no_name_of_a_group() -> None:
    cases = catalog.all_cases()
    assert len({case.order for case in cases}) == len(cases) == len(CASES)
    groups = {group for case in cases for group in case.groups}
    assert not groups & ({case.name for case in cases} | {"all"})
    assert {"paper", "ladder"} <= groups


def test_cases_of_the_ladder_differ_from_each_other() -> None:
    states = [(case.gso_max_segs, tuple(sorted(case.features.items()))) for case in catalog.select_cases("ladder")]
    assert len(set(states)) == len(states)


@pytest.mark.parametrize("path", PROFILES, ids=_id)
def test_every_leaf_of_a_profile_has_a_floor_that_exists(path: Path) -> None:
    profile = catalog.profile(str(path))
    assert profile.name == path.stem
    assert {leaf.floor for leaf in profile.leaves} <= set(profile.floors)
    assert set(Rules(profile).floors.values()) <= set(profile.floors)


@pytest.mark.parametrize("path", PROFILES, ids=_id)
def test_no_leaf_is_defined_twice_every_leaf_has_a_rule_and_every_rule_a_leaf(path: Path) -> None:
    profile = catalog.profile(str(path))
    leaves = {leaf.name for leaf in profile.leaves}
    assert [name for name, count in Counter(leaf.name for leaf in profile.leaves).items() if count > 1] == []
    rules = [*profile.modules, *profile.functions, *profile.files, *profile.helpers, *profile.prefixes]
    # the skid is a leaf of every profile: what a hypercall that only enables interrupts shows is nobody's work
    assert ({rule.leaf for rule in rules} | {part.leaf for part in profile.parts}) - {SHADOW} == leaves
    assert all(rule.match for rule in rules)
    assert all(part.match and (part.files or part.modules) for part in profile.parts)


@pytest.mark.parametrize("path", PROFILES, ids=_id)
def test_what_a_leaf_is_split_into_bears_names_of_its_own_and_one_share_takes_the_rest(path: Path) -> None:
    profile = catalog.profile(str(path))
    leaves = set(Rules(profile).floors)
    assert set(profile.splits) <= leaves
    for shares in profile.splits.values():
        names = [share.name for share in shares]
        assert len(set(names)) == len(names)
        assert not set(names) & leaves
        assert [share.name for share in shares if not (share.files or share.modules)] == names[-1:]
        assert {leaf for share in shares for leaf in share.also_of} <= leaves


@pytest.mark.parametrize("path", PROFILES, ids=_id)
@pytest.mark.parametrize("kind", ["modules", "functions", "files", "helpers", "prefixes"])
def test_no_pattern_stands_in_two_rules(path: Path, kind: str) -> None:
    patterns = [pattern for rule in getattr(catalog.profile(str(path)), kind) for pattern in rule.match]
    assert [pattern for pattern, count in Counter(patterns).items() if count > 1] == []


@pytest.mark.parametrize("path", PROFILES, ids=_id)
def test_groups_sum_leaves_that_exist_each_in_one_group(path: Path) -> None:
    profile = catalog.profile(str(path))
    grouped = [leaf for leaves in profile.groups.values() for leaf in leaves]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) <= set(Rules(profile).floors)


def test_the_linux_profile_has_exactly_the_leaves_that_were_promised(linux_profile: Profile) -> None:
    with_rules = {leaf.name for leaf in linux_profile.leaves}
    assert with_rules == set(LEAVES) - WITHOUT_RULES
    assert set(Rules(linux_profile).floors) == set(LEAVES)


def test_the_linux_profile_has_an_interrupt_shadow(linux_profile: Profile) -> None:
    assert {"_raw_spin_unlock_irqrestore", "handle_softirqs", "finish_task_switch", "do_syscall_64"} <= set(
        linux_profile.irq_shadow
    )
