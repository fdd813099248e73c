"""From a sampled address to a leaf."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.attribution import Rules, Symbol, SymbolTable, attribute, strip_suffixes
from offloadbench.model import Leaf, Profile
from tests.unit.builders import CLOCK, INSTRUCTIONS, profile_counts

KALLSYMS = """\
ffffffff81000000 T _stext
ffffffff81000100 T tcp_sendmsg
ffffffff81000200 t tcp_ack.isra.0
ffffffff81000300 T _raw_spin_unlock_irqrestore
ffffffff81000400 T default_idle
ffffffffc0000000 t start_xmit\t[virtio_net]
ffffffffc0000100 T br_handle_frame\t[bridge]
ffffffffc0000200 t bpf_prog_6deef7357e7b4530\t[bpf]
"""


def _profile(*leaves: Leaf) -> Profile:
    floors = {leaf.floor: leaf.floor for leaf in leaves} | {"other": "other"}
    return Profile(name="p", title="p", leaves=list(leaves), floors=floors, irq_shadow=["_raw_spin_unlock_irqrestore"])


RULES = Rules(
    _profile(
        Leaf(name="idle", floor="other", symbols=["default_idle"]),
        Leaf(name="driver", floor="driver", ko=["virtio_net", "mlx5_*"], prefixes=["veth_"]),
        Leaf(name="gso", floor="netdev", contains=["gso"], symbols=["tcp_special"]),
        Leaf(name="checksum", floor="transport", contains=["csum"]),
        Leaf(name="tcp", floor="transport", prefixes=["tcp_"], symbols=["tcp_special"]),
        Leaf(name="lock", floor="other", prefixes=["_raw_spin_", "tcp_lock_"]),
        Leaf(name="netdev", floor="netdev", prefixes=["br_"]),
    )
)


def _judged(name: str, ko: str = "", *, clock: bool = False) -> tuple[str, str]:
    verdict = RULES.judge(Symbol(name, ko), clock=clock)
    return verdict.leaf, verdict.method


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("tcp_ack", "tcp_ack"),
        ("tcp_ack.isra.0", "tcp_ack"),
        ("tcp_ack.constprop.0.isra.0", "tcp_ack"),
        ("tcp_ack.part.0.cold", "tcp_ack"),
        ("foo.llvm.1234567890", "foo"),
        ("jump_label.12", "jump_label"),
        ("__kmalloc_noprof", "__kmalloc"),
        ("__kmalloc_noprof.isra.0", "__kmalloc"),
        ("__pi_memcpy", "memcpy"),
        ("__pfx_tcp_ack", "tcp_ack"),
        ("hot.cold_path", "hot.cold_path"),
        ("__pfx_", "__pfx_"),
    ],
)
def test_what_a_compiler_appends_is_taken_off(name: str, plain: str) -> None:
    assert strip_suffixes(name) == plain


@given(st.text("abc_.0", min_size=1))
def test_stripping_twice_changes_nothing_and_leaves_something(name: str) -> None:
    plain = strip_suffixes(name)
    assert plain
    assert strip_suffixes(plain) == plain


@pytest.mark.parametrize(
    ("name", "leaf", "method"),
    [
        ("tcp_special", "gso", "symbol"),
        ("tcp_gso_segment", "gso", "contains"),
        ("tcp_v4_csum_gso", "gso", "contains"),
        ("tcp_csum", "checksum", "contains"),
        ("tcp_sendmsg", "tcp", "prefix"),
        ("tcp_lock_sock", "lock", "prefix"),
        ("unheard_of", "other", "other"),
        ("", "other", "other"),
    ],
)
def test_exact_before_contains_before_the_longest_prefix_and_leaves_top_to_bottom(
    name: str, leaf: str, method: str
) -> None:
    assert _judged(name) == (leaf, method)


def test_a_module_file_decides_by_name_or_pattern() -> None:
    assert _judged("tcp_looks_like", "virtio_net") == ("driver", "ko")
    assert _judged("anything", "mlx5_core") == ("driver", "ko")
    assert _judged("anything", "mlx4_core") == ("other", "other")


def test_a_module_that_no_rule_names_is_judged_by_the_symbol_and_keeps_its_ko() -> None:
    verdict = RULES.judge(Symbol("br_handle_frame", "bridge"), clock=False)
    assert (verdict.leaf, verdict.method, verdict.ko) == ("netdev", "prefix", "bridge")


def test_only_a_clock_has_an_interrupt_shadow() -> None:
    assert _judged("_raw_spin_unlock_irqrestore", clock=True) == ("irq_shadow", "irq_shadow")
    assert _judged("_raw_spin_unlock_irqrestore", clock=False) == ("lock", "prefix")
    assert _judged("_raw_spin_lock", clock=True) == ("lock", "prefix")


def test_the_idle_loop_is_idle_whatever_the_event() -> None:
    assert _judged("default_idle", clock=True) == _judged("default_idle", clock=False) == ("idle", "idle")


def test_an_address_belongs_to_the_symbol_that_begins_at_or_before_it() -> None:
    table = SymbolTable(KALLSYMS)
    addresses = np.array([0xFFFFFFFF81000100, 0xFFFFFFFF810001FF, 0xFFFFFFFF81000250, 0x1000], dtype=np.uint64)
    found = [table.symbol(int(index)) for index in table.lookup(addresses)]
    assert found == [Symbol("tcp_sendmsg", ""), Symbol("tcp_sendmsg", ""), Symbol("tcp_ack", ""), Symbol("", "")]


def test_the_order_of_the_lines_does_not_matter() -> None:
    reverse = SymbolTable("\n".join(reversed(KALLSYMS.splitlines())))
    address = np.array([0xFFFFFFFFC0000010], dtype=np.uint64)
    assert reverse.symbol(int(reverse.lookup(address)[0])) == Symbol("start_xmit", "virtio_net")
    assert len(reverse) == len(KALLSYMS.splitlines())


def test_every_row_of_a_profile_gets_its_leaf_floor_and_method() -> None:
    rows = [
        (0xFFFFFFFF81000110, "K", 0, 0, 0, 2, 2_000_000),
        (0xFFFFFFFF81000310, "K", 0, 1, 0, 1, 1_000_000),
        (0xFFFFFFFF81000310, "K", 0, 1, 1, 1, 2_000_003),
        (0x7F0000000000, "U", 1, 1, 0, 3, 3_000_000),
        (0xFFFFFFFF81000410, "K", 0, 2, 0, 4, 4_000_000),
        (0xFFFFFFFFC0000010, "K", 0, 2, 1, 1, 2_000_003),
    ]
    counts = profile_counts(rows, [CLOCK, INSTRUCTIONS], ("swapper", "python"))
    frame = attribute(counts, SymbolTable(KALLSYMS), RULES)
    assert frame["leaf"].tolist() == ["tcp", "irq_shadow", "lock", "user", "idle", "driver"]
    assert frame["floor"].tolist() == ["transport", "other", "other", "other", "other", "driver"]
    assert frame["method"].tolist() == ["prefix", "irq_shadow", "prefix", "user", "idle", "ko"]
    assert frame["comm"].tolist() == ["swapper", "swapper", "swapper", "python", "swapper", "swapper"]
    assert frame["ko"].tolist() == ["", "", "", "", "", "virtio_net"]
    assert frame["weight"].tolist() == [row[6] for row in rows]
    assert frame["samples"].tolist() == [row[5] for row in rows]
    assert frame["event"].tolist() == ["cpu-clock"] * 2 + ["instructions"] + ["cpu-clock"] * 2 + ["instructions"]


def test_a_user_address_is_never_looked_up_in_the_kernel() -> None:
    counts = profile_counts([(0xFFFFFFFF81000110, "U", 0, 0, 0, 1, 1)], [CLOCK])
    assert attribute(counts, SymbolTable(KALLSYMS), RULES)["leaf"].tolist() == ["user"]


def test_a_profile_without_samples_has_no_rows() -> None:
    assert attribute(profile_counts([], [CLOCK]), SymbolTable(KALLSYMS), RULES).empty


# Debian's kernel 6.1 by its debug information: where these functions live (net/..., mm/..., kernel/...)
@pytest.mark.parametrize(
    ("name", "leaf"),
    [
        ("tcp_sendmsg_locked", "tcp"),
        ("tcp_gso_segment", "gso"),
        ("skb_segment", "gso"),
        ("napi_gro_receive", "gro"),
        ("__ip_queue_xmit", "ip"),
        ("do_csum", "checksum"),
        ("csum_partial", "checksum"),
        ("__dev_queue_xmit", "netdev"),
        ("veth_xmit", "driver"),
        ("kfree_skb_list_reason", "skb"),
        ("skb_release_data", "skb"),
        ("copy_user_generic_string", "copy"),
        ("filemap_get_pages", "fs"),
        ("kmem_cache_alloc_node", "mem"),
        ("try_to_wake_up", "sched"),
        ("hrtimer_interrupt", "timer"),
        ("udp_sendmsg", "udp"),
        ("sock_sendmsg", "socket"),
        ("nf_hook_slow", "netfilter"),
        ("mutex_lock", "lock"),
        ("do_epoll_wait", "vfs"),
        ("perf_event_task_tick", "perf_trace"),
        ("default_idle", "idle"),
    ],
)
def test_the_shipped_profile_knows_well_known_functions(linux_profile: Profile, name: str, leaf: str) -> None:
    assert Rules(linux_profile).judge(Symbol(name, ""), clock=False).leaf == leaf
