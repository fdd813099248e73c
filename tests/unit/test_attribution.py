"""From a sampled address to a leaf."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.profile.attribution import Rules, Symbol, SymbolTable, Verdicts, attribute
from offloadbench.definitions import catalog
from offloadbench.definitions.name_tables import NameTable, base_name
from offloadbench.model import Leaf, Profile, Rule
from tests.unit.builders import CLOCK, INSTRUCTIONS, profile_counts

KALLSYMS = """\
ffffffff81000000 T _stext
ffffffff81000100 T tcp_sendmsg
ffffffff81000180 t tcp_new_thing
ffffffff81000200 t tcp_ack.isra.0
ffffffff81000300 T _raw_spin_unlock_irqrestore
ffffffff81000400 T default_idle
ffffffff81000500 t helper
ffffffff81000600 D jiffies
ffffffffc0000000 t start_xmit\t[virtio_net]
ffffffffc0000100 T br_handle_frame\t[bridge]
ffffffffc0000200 t bpf_prog_6deef7357e7b4530\t[bpf]
"""
NAMES = NameTable(
    {
        "net/ipv4/tcp.c": frozenset({"tcp_sendmsg", "helper", "memcpy_to_ring"}),
        "net/ipv4/tcp_input.c": frozenset({"tcp_ack"}),
        "kernel/locking/spinlock.c": frozenset({"_raw_spin_unlock_irqrestore", "_raw_spin_lock"}),
        "lib/list.c": frozenset({"helper"}),
        "drivers/gpu/memcpy.c": frozenset({"memcpy_gpu"}),
        "drivers/net/virtio_net.ko": frozenset({"start_xmit"}),
    },
    (),
)
PROFILE = Profile(
    name="p",
    title="p",
    floors={"transport": "t", "driver": "d", "netdev": "n", "other": "o"},
    leaves=[
        Leaf(name="idle", floor="other"),
        Leaf(name="tcp", floor="transport"),
        Leaf(name="driver", floor="driver"),
        Leaf(name="lock", floor="other"),
        Leaf(name="copy", floor="other"),
        Leaf(name="netdev", floor="netdev"),
    ],
    modules=[Rule(leaf="netdev", match=["br*"])],
    function_folders=["net/*", "lib/*"],
    functions=[
        Rule(leaf="copy", match=["*memcpy*"]),
        Rule(leaf="netdev", match=["*memcpy_net*", "napi_*"]),
        Rule(leaf="idle", match=["default_idle"]),
    ],
    files=[
        Rule(leaf="tcp", match=["net/ipv4/tcp*"]),
        Rule(leaf="netdev", match=["net/*"]),
        Rule(leaf="driver", match=["drivers/net/*"]),
        Rule(leaf="lock", match=["kernel/locking/*"]),
    ],
    prefixes=[Rule(leaf="tcp", match=["tcp_"]), Rule(leaf="lock", match=["tcp_lock_", "spin_"])],
    irq_shadow=["_raw_spin_unlock_irqrestore"],
    generic=["copy", "lock", "irq_shadow"],
)
RULES = Rules(PROFILE)


def _verdicts(kallsyms: str = KALLSYMS, names: NameTable = NAMES, profile: Profile = PROFILE) -> Verdicts:
    return Verdicts(
        SymbolTable(kallsyms, names), Rules(profile), names, {"mlx5_core": "/x/kernel/drivers/net/mlx5.ko.xz"}
    )


def _judged(name: str, module: str = "") -> tuple[str, str]:
    verdicts = _verdicts()
    verdict = verdicts.judge(verdicts.symbols.unplaced(name, module))
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
        ("._raw_spin_lock", "_raw_spin_lock"),
        ("__udp4_lib_lookup.clone.46", "__udp4_lib_lookup"),
    ],
)
def test_what_a_compiler_appends_is_taken_off(name: str, plain: str) -> None:
    assert base_name(name) == plain


@given(st.text("abc_.0", min_size=1))
def test_stripping_twice_changes_nothing_and_leaves_something(name: str) -> None:
    plain = base_name(name)
    assert plain
    assert base_name(plain) == plain


@pytest.mark.parametrize(
    ("name", "leaf", "method"),
    [
        ("tcp_sendmsg", "tcp", "table"),
        ("tcp_ack.isra.0", "tcp", "table"),
        ("_raw_spin_lock", "lock", "table"),
        # a name says more than its file, in some folders only
        ("memcpy_to_ring", "copy", "table"),
        ("memcpy_gpu", "other", "table"),
        ("memcpy_net_new", "copy", "function"),
        ("napi_new", "netdev", "function"),
        ("tcp_unheard_of", "tcp", "prefix"),
        ("tcp_lock_sock", "lock", "prefix"),
        ("unheard_of", "other", "other"),
        ("", "other", "other"),
        ("default_idle", "idle", "idle"),
    ],
)
def test_the_steps_in_their_order(name: str, leaf: str, method: str) -> None:
    assert _judged(name) == (leaf, method)


def test_a_module_is_judged_by_its_name_then_by_the_path_of_its_ko() -> None:
    assert _judged("tcp_sendmsg", "bridge") == ("netdev", "module")
    assert _judged("tcp_sendmsg", "virtio_net") == ("driver", "module")
    assert _judged("anything", "mlx5_core") == ("driver", "module")


def test_a_module_that_nothing_knows_is_judged_by_the_beginning_of_the_function() -> None:
    verdict = _verdicts().judge(Symbol("tcp_strange", "out_of_tree", (), ""))
    assert (verdict.leaf, verdict.method, verdict.module) == ("tcp", "prefix", "out_of_tree")


def test_the_shadow_is_for_symbols_whose_own_leaf_would_be_false() -> None:
    verdicts = _verdicts()
    index = verdicts.symbols.by_name
    assert verdicts.shadowed(index["_raw_spin_unlock_irqrestore"])
    assert not verdicts.shadowed(index["tcp_sendmsg"])
    assert not verdicts.shadowed(-1)
    assert verdicts.of(index["_raw_spin_unlock_irqrestore"]).leaf == "lock"


def test_an_address_belongs_to_the_function_that_begins_at_or_before_it() -> None:
    table = SymbolTable(KALLSYMS, NAMES)
    addresses = np.array([0xFFFFFFFF81000100, 0xFFFFFFFF8100017F, 0xFFFFFFFF81000250, 0x1000], dtype=np.uint64)
    assert [table.symbol(int(index)).name for index in table.lookup(addresses)] == [
        "tcp_sendmsg",
        "tcp_sendmsg",
        "tcp_ack",
        "",
    ]


def test_the_order_of_the_lines_does_not_matter_and_data_is_left_out() -> None:
    reverse = SymbolTable("\n".join(reversed(KALLSYMS.splitlines())), NAMES)
    address = np.array([0xFFFFFFFFC0000010], dtype=np.uint64)
    symbol = reverse.symbol(int(reverse.lookup(address)[0]))
    assert (symbol.name, symbol.module) == ("start_xmit", "virtio_net")
    assert len(reverse) == len(KALLSYMS.splitlines()) - 1


def _linked(files: dict[str, int]) -> tuple[str, NameTable]:
    """A kernel of these files in link order; every tenth function of a file is unknown to the table."""
    rows, names = [], {}
    for path, count in files.items():
        stem = path.rpartition("/")[2].removesuffix(".c")
        functions = [f"{stem}_{number}" for number in range(count)]
        names[path] = frozenset(name for number, name in enumerate(functions) if number % 10 != 5)
        rows += functions
    kallsyms = "\n".join(f"{0xFFFFFFFF81000000 + 16 * at:016x} t {name}" for at, name in enumerate(rows))
    return kallsyms, NameTable(names, ())


FILES = {"net/ipv4/tcp.c": 200, "net/core/dev.c": 200, "kernel/locking/mutex.c": 200, "mm/slub.c": 200}


def test_an_unknown_function_belongs_to_the_file_of_the_known_ones_around_it() -> None:
    kallsyms, names = _linked(FILES)
    verdicts = _verdicts(kallsyms, names)
    assert verdicts.symbols.neighbours_trusted
    found = {name: verdicts.of(index) for name, index in verdicts.symbols.by_name.items()}
    assert (found["tcp_55"].leaf, found["tcp_55"].method) == ("tcp", "neighbours")
    assert (found["dev_55"].leaf, found["dev_55"].method) == ("netdev", "neighbours")
    assert (found["mutex_55"].leaf, found["mutex_55"].method) == ("lock", "neighbours")
    # no rule names the file: said as such, not guessed
    assert (found["slub_55"].leaf, found["slub_55"].method) == ("other", "neighbours")


def test_neighbours_are_not_asked_in_a_kernel_whose_functions_were_reordered() -> None:
    kallsyms, names = _linked(FILES)
    lines = [line.split(" ", 1) for line in kallsyms.splitlines()]
    # every function beside ones of three other files
    order = [200 * (at % 4) + at // 4 for at in range(len(lines))]
    mixed = "\n".join(f"{lines[at][0]} {lines[order[at]][1]}" for at in range(len(lines)))
    verdicts = _verdicts(mixed, names)
    assert not verdicts.symbols.neighbours_trusted
    assert {verdict.method for verdict in map(verdicts.of, range(len(lines)))} == {"table", "prefix", "other"}


def test_a_handful_of_known_functions_is_no_proof_of_the_order() -> None:
    kallsyms, names = _linked({"net/ipv4/tcp.c": 20, "net/core/dev.c": 20})
    assert not SymbolTable(kallsyms, names).neighbours_trusted


def test_a_name_of_several_files_is_decided_by_its_neighbours() -> None:
    kallsyms, names = _linked(FILES)
    both = NameTable({path: found | {"shared"} for path, found in names.files.items()}, ())
    renamed = kallsyms.replace(" dev_55", " shared")
    verdicts = _verdicts(renamed, both)
    verdict = verdicts.of(verdicts.symbols.by_name["shared"])
    assert (verdict.leaf, verdict.method) == ("netdev", "table")


def test_a_cold_part_belongs_where_its_function_does_wherever_it_was_put() -> None:
    kallsyms, names = _linked(FILES)
    far = f"{kallsyms}\nffffffff82000000 t tcp_55.cold\n"
    verdicts = _verdicts(far, names)
    index = verdicts.symbols.raw_names.index("tcp_55.cold")
    assert (verdicts.of(index).leaf, verdicts.of(index).method) == ("tcp", "neighbours")


def test_the_kernels_own_debug_information_comes_before_everything() -> None:
    lines = KALLSYMS.splitlines()
    sources = "\n".join("kernel/locking/mutex.c" if " tcp_sendmsg" in line else "" for line in lines)
    verdicts = Verdicts(SymbolTable(KALLSYMS, NAMES, sources), RULES, NAMES, {})
    verdict = verdicts.of(verdicts.symbols.by_name["tcp_sendmsg"])
    assert (verdict.leaf, verdict.method) == ("lock", "debuginfo")


ROWS = [
    (0xFFFFFFFF81000110, "K", 0, 0, 0, 2, 2_000_000),
    (0xFFFFFFFF81000310, "K", 0, 1, 0, 1, 1_000_000),
    (0xFFFFFFFF81000310, "K", 0, 1, 1, 1, 2_000_003),
    (0x7F0000000000, "U", 1, 1, 0, 3, 3_000_000),
    (0xFFFFFFFF81000410, "K", 0, 2, 0, 4, 4_000_000),
    (0xFFFFFFFFC0000010, "K", 0, 2, 1, 1, 2_000_003),
]


def test_every_row_of_a_profile_gets_its_leaf_floor_and_method() -> None:
    frame = attribute([profile_counts(ROWS, [CLOCK, INSTRUCTIONS], ("swapper", "python"))], _verdicts())
    assert frame["leaf"].tolist() == ["tcp", "irq_shadow", "lock", "user", "idle", "driver"]
    assert frame["floor"].tolist() == ["transport", "other", "other", "other", "other", "driver"]
    assert frame["method"].tolist() == ["table", "irq_shadow", "table", "user", "idle", "module"]
    assert frame["comm"].tolist() == ["swapper", "swapper", "swapper", "python", "swapper", "swapper"]
    assert frame["ko"].tolist() == ["", "", "", "", "", "virtio_net"]
    assert frame["weight"].tolist() == [row[6] for row in ROWS]
    assert frame["samples"].tolist() == [row[5] for row in ROWS]
    assert frame["event"].tolist() == ["cpu-clock"] * 2 + ["instructions"] + ["cpu-clock"] * 2 + ["instructions"]
    assert frame["caller"].tolist() == frame["leaf"].tolist()


def test_with_call_chains_a_shadow_and_generic_work_are_charged_to_the_caller() -> None:
    spin, tcp, idle = 0xFFFFFFFF81000300, 0xFFFFFFFF81000100, 0xFFFFFFFF81000400
    rows = [
        (spin + 8, "K", 0, 0, 0, 1, 1),
        (spin + 8, "K", 0, 0, 0, 1, 1),
        (spin + 8, "K", 0, 0, 1, 1, 1),
        (spin + 8, "K", 0, 0, 0, 1, 1),
        (tcp + 8, "K", 0, 0, 0, 1, 1),
    ]
    chains = [[spin, tcp], [idle], [tcp], [], [idle]]
    frame = attribute([profile_counts(rows, [CLOCK, INSTRUCTIONS], chains=chains)], _verdicts())
    assert frame["leaf"].tolist() == ["tcp", "idle", "lock", "irq_shadow", "tcp"]
    assert frame["method"].tolist() == ["irq_shadow", "irq_shadow", "table", "irq_shadow", "table"]
    assert frame["caller"].tolist() == ["tcp", "idle", "tcp", "irq_shadow", "tcp"]
    assert frame["chain"].tolist() == [0, 1, 2, 3, 4]


def test_a_group_is_shown_in_the_place_of_its_leaves() -> None:
    grouped = Profile(
        name="g",
        title="g",
        floors=PROFILE.floors,
        leaves=PROFILE.leaves,
        files=PROFILE.files,
        functions=PROFILE.functions,
        function_folders=PROFILE.function_folders,
        groups={"tcpip.sys": ["tcp", "lock"], "rest": ["user", "other"]},
    )
    frame = attribute([profile_counts(ROWS, [CLOCK, INSTRUCTIONS], ("a", "b"))], _verdicts(profile=grouped))
    assert frame["module"].tolist() == ["tcpip.sys", "tcpip.sys", "tcpip.sys", "rest", "idle", "driver"]


def test_a_user_address_is_never_looked_up_in_the_kernel() -> None:
    counts = profile_counts([(0xFFFFFFFF81000110, "U", 0, 0, 0, 1, 1)], [CLOCK])
    assert attribute([counts], _verdicts())["leaf"].tolist() == ["user"]


def test_profiles_attributed_together_get_what_they_get_alone() -> None:
    spin, tcp = 0xFFFFFFFF81000308, 0xFFFFFFFF81000108
    shadowed = [(spin, "K", 0, 0, 0, 1, 7), (tcp, "K", 1, 0, 0, 2, 9)]
    profiles = [
        profile_counts(ROWS, [CLOCK, INSTRUCTIONS], ("swapper", "python")),
        profile_counts(shadowed, [CLOCK], ("a", "swapper"), chains=[[tcp], []]),
        profile_counts([], [CLOCK]),
        profile_counts(shadowed, [INSTRUCTIONS], ("b", "c"), chains=[[], [spin, tcp]]),
    ]
    together = attribute(profiles, _verdicts())
    assert together["trial"].tolist() == [0] * len(ROWS) + [1, 1, 3, 3]
    for place, profile in enumerate(profiles):
        alone = attribute([profile], _verdicts()).drop(columns="trial").astype(object)
        mine = together[together["trial"] == place].drop(columns="trial").astype(object).reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone)


def test_a_profile_without_samples_has_no_rows() -> None:
    assert attribute([profile_counts([], [CLOCK])], _verdicts()).empty


# Debian's kernels by their debug information: where these functions live (net/..., mm/..., kernel/...)
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
        ("e1000e_update_stats", "driver"),
        ("__do_softirq", "irq"),
        ("splice_direct_to_actor", "fs"),
    ],
)
def test_the_shipped_profile_knows_well_known_functions(linux_profile: Profile, name: str, leaf: str) -> None:
    names = catalog.name_table(linux_profile)
    verdicts = Verdicts(SymbolTable("", names), Rules(linux_profile), names, {})
    verdict = verdicts.judge(verdicts.symbols.unplaced(name))
    assert (verdict.leaf, verdict.method) == (leaf, "idle" if leaf == "idle" else "table")


def test_the_shipped_table_knows_where_modules_lie(linux_profile: Profile) -> None:
    names = catalog.name_table(linux_profile)
    assert names.modules["e1000e"] == "drivers/net/ethernet/intel/e1000e/e1000e.ko"
    assert Rules(linux_profile).by_module("tcp_bbr", names.modules["tcp_bbr"]) == "tcp"
    assert len(names.kernels) >= 3
