"""Names as other kernels, compilers, linkers and terminals write them, and rules that mean what they say."""

from __future__ import annotations

import random
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offloadbench.analysis.profile.attribution import Rules, SymbolTable, Verdicts
from offloadbench.commands.modules import _judge
from offloadbench.definitions import catalog
from offloadbench.definitions.name_tables import NameTable, base_name

SUFFIXES = (
    ".cfi", ".cfi_jt", ".lto_priv.0", ".lto_priv.12.lto_priv.3", ".__uniq.123456789", ".__uniq.1.llvm.2", "$0123abcd",
    "+0x1c/0x400", "+0x1c", ".isra.0", ".constprop.0.isra.0", ".part.3", ".cold", ".part.0.cold", ".hot", ".llvm.77",
    ".constprop.0.cold+0x5/0x9", " [kernel.kallsyms]", " [kernel.vmlinux]", "\t[kernel.kallsyms]",
)  # fmt: skip


@lru_cache(maxsize=1)
def _verdicts() -> Verdicts:
    profile = catalog.profile("linux")
    names = catalog.name_table(profile)
    return Verdicts(SymbolTable("", names), Rules(profile), names, {})


def _leaf(item: str) -> str:
    return _judge(_verdicts(), item).leaf


@lru_cache(maxsize=2)
def _names_below(folder: str) -> list[str]:
    table = catalog.name_table(catalog.profile("linux"))
    return sorted({name for path, names in table.files.items() if path.startswith(folder) for name in names})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_with_a_suffix_no_function_of_the_network_changes_its_leaf(suffix: str) -> None:
    names = random.Random(suffix).sample(_names_below("net/"), 1500)
    changed = [name for name in names if _leaf(f"{name}{suffix}") != _leaf(name)]
    assert len(changed) <= len(names) // 1000, changed[:5]


PLAIN = (
    "isra", "constprop", "part", "clone", "cold", "hot", "unlikely", "split", "llvm", "cfi", "cfi_jt", "lto_priv",
    "__uniq", "localalias", "warm",
)  # fmt: skip
_suffix = st.one_of(
    st.sampled_from([f".{word}" for word in PLAIN]),
    st.builds("{}.{}".format, st.sampled_from([f".{word}" for word in PLAIN]), st.integers(0, 10**20)),
    st.builds(".{}".format, st.integers(0, 999)),
    st.just("_noprof"),
)
_ending = st.one_of(
    st.just(""),
    st.builds("${}".format, st.text("0123456789abcdef", min_size=1, max_size=32)),
    st.builds("+{:#x}".format, st.integers(0, 1 << 20)),
    st.builds("+{:#x}/{:#x}".format, st.integers(0, 1 << 20), st.integers(1, 1 << 20)),
)


@given(st.lists(_suffix, max_size=6), _ending)
@settings(max_examples=25)
def test_whatever_chain_of_suffixes_no_function_of_the_network_is_taken_for_another(chain: list[str], end: str) -> None:
    names = _names_below("net/")
    changed = [name for name in names if base_name(f"{name}{''.join(chain)}{end}") != base_name(name)]
    assert len(changed) <= len(names) // 1000, changed[:5]


@given(st.integers(), st.lists(_suffix, max_size=4), _ending, st.sampled_from(["", " [kernel.kallsyms]", "\t[kernel]"]))
@settings(max_examples=200)
def test_with_a_chain_of_suffixes_a_function_keeps_its_leaf(seed: int, chain: list[str], end: str, of: str) -> None:
    name = random.Random(seed).choice(_names_below("net/"))
    assert _leaf(f"{name}{''.join(chain)}{end}{of}") == _leaf(name)


@given(st.integers(), st.lists(_suffix, max_size=4), st.sampled_from(["mlx5_core", "nf_conntrack", "nobody_s"]))
@settings(max_examples=200)
def test_with_a_chain_of_suffixes_a_function_of_a_module_keeps_its_leaf(
    seed: int, chain: list[str], module: str
) -> None:
    name = random.Random(seed).choice(_names_below("net/"))
    assert _leaf(f"{name}{''.join(chain)} [{module}]") == _leaf(f"{name} [{module}]")


@pytest.mark.parametrize(
    "prefix", ["sys_", "SyS_", "__se_sys_", "__do_sys_", "__x64_sys_", "__arm64_sys_", "__ia32_sys_"]
)
@pytest.mark.parametrize(
    ("call", "leaf"), [("sendto", "socket"), ("recvmsg", "socket"), ("read", "vfs"), ("sendfile64", "vfs"),
                       ("futex", "lock"), ("nanosleep", "timer"), ("sched_yield", "sched")]
)  # fmt: skip
def test_a_system_call_has_many_names(prefix: str, call: str, leaf: str) -> None:
    assert _leaf(f"{prefix}{call}") == leaf


@pytest.mark.parametrize(
    ("item", "leaf"),
    [
        ("[k] tcp_ack", "tcp"), ("[k] tcp_ack+0x1c", "tcp"), ("tcp_ack [kernel.kallsyms]", "tcp"),
        ("start_xmit [virtio_net]", "driver"), ("start_xmit\t[virtio_net]", "driver"),
        ("foo [guest.kernel.kallsyms]", "guest"),
    ],
)  # fmt: skip
def test_names_as_a_terminal_shows_them(item: str, leaf: str) -> None:
    assert _leaf(item) == leaf


def test_kallsyms_copied_from_a_terminal_keeps_its_modules() -> None:
    table = SymbolTable("ffffffffc0000000 t foo_poll [mlx5_core]\n", NameTable({}, ()))
    assert (table.symbol(0).name, table.symbol(0).module) == ("foo_poll", "mlx5_core")


@pytest.mark.parametrize(
    ("name", "leaf"),
    [
        # a path without a rule does not hide what the name says
        ("timerqueue_add", "timer"), ("net_dim", "netdev"), ("llist_reverse_order", "irq"),
        ("percpu_counter_add_batch", "mem"), ("capable", "security"), ("task_work_run", "sched"),
        # beginnings that said too much
        ("rt_spin_lock", "lock"), ("rt_read_lock", "lock"), ("raw_spin_lock", "lock"), ("do_raw_spin_lock", "lock"),
        ("raw_local_irq_enable", "irq"), ("mq_timedsend", "vfs"), ("kvm_vcpu_ioctl [kvm]", "kvm"),
        ("__free_old_xmit_ptr", "driver"), ("ip_vs_conn_get", "netfilter"), ("raw_sendmsg", "socket"),
        # several files
        ("napi_reuse_skb", "gro"), ("skb_copy_datagram_iter", "copy"), ("__skb_datagram_iter", "copy"),
        # other machines
        ("xen_hypercall_sched_op", "idle"), ("cpu_do_idle", "idle"), ("psci_enter_idle_state", "idle"),
        ("acpi_idle_lpi_enter", "idle"), ("psw_idle", "idle"), ("snooze_loop", "idle"), ("sbi_hsm_suspend", "idle"),
        ("amd_e400_idle", "idle"), ("el0_svc", "syscall"), ("invoke_syscall", "syscall"), ("el1h_64_irq", "irq"),
        ("gic_handle_irq", "irq"), ("v7_dma_inv_range", "mem"), ("__pi___inval_dcache_area", "mem"),
        # drivers that are built in
        ("stmmac_napi_poll_rx", "driver"), ("mvneta_rx_swbm", "driver"), ("mvpp2_rx", "driver"),
        ("hns3_clean_rx_ring", "driver"),
        ("fec_enet_rx_napi", "driver"), ("t4_ethrx_handler", "driver"), ("efx_process_channel", "driver"),
        ("smsc95xx_rx_fixup", "driver"), ("usbnet_bh", "driver"),
        # leaves of their own
        ("xp_alloc", "xdp"), ("__xsk_rcv_zc", "xdp"), ("xdp_do_redirect", "xdp"), ("bpf_dispatcher_xdp_func", "xdp"),
        ("mlx5e_xdp_handle", "driver"), ("memset", "zero"), ("clear_page_erms", "zero"), ("memcpy", "copy"),
        ("__x86_indirect_thunk_r11", "thunk"), ("vmx_vmexit", "kvm"),
    ],
)  # fmt: skip
def test_well_known_functions(name: str, leaf: str) -> None:
    assert _leaf(name) == leaf


@pytest.mark.parametrize("module", ["mlx5_core", "virtio_net", "hv_netvsc", "bnxt_en", "i40e", "ice", "ena"])
@pytest.mark.parametrize(
    "folder", ["kernel/drivers/net/ethernet/x", "updates/dkms", "extra", "updates", "weak-updates/a",
               "extra/mlnx-ofa_kernel/drivers/net/ethernet/mellanox/mlx5/core"]
)  # fmt: skip
def test_a_driver_is_known_wherever_its_file_lies(module: str, folder: str) -> None:
    profile = catalog.profile("linux")
    names = catalog.name_table(profile)
    text = "".join(f"{0xFFFFFFFFC0000000 + 16 * at:016x} t {name}\t[{module}]\n" for at, name in enumerate(_FUNCTIONS))
    paths = {module: f"/lib/modules/6.1.0/{folder}/{module}.ko.xz"}
    verdicts = Verdicts(SymbolTable(text, names), Rules(profile), names, paths)
    assert {verdicts.of(at).leaf for at in range(len(_FUNCTIONS))} == {"driver"}


_FUNCTIONS = (
    "probe",
    "tcp_something",
    "dma_map_thing",
    "skb_put_thing",
    "mlx_work",
    "napi_poll_x",
    "irq_x",
    "netdev_x",
)


def test_of_several_files_the_one_that_a_rule_names_was_split_off() -> None:
    rules = Rules(catalog.profile("linux"))
    assert rules.likeliest("napi_reuse_skb", ["net/core/dev.c", "net/core/gro.c"]) == "net/core/gro.c"
    assert rules.likeliest("x", ["net/core/a.c", "mm/slub.c", "net/core/b.c"]) == "net/core/a.c"
    assert rules.likeliest("x", ["drivers/gpu/a.c", "mm/slub.c"]) == "mm/slub.c"


def test_a_profile_that_extends_another_judges_by_names_where_that_does() -> None:
    rules = Rules(catalog.profile("article-2005"))
    assert rules.by_source("perf_event_thing", "arch/x86/nowhere.c") == "perf_trace"
    assert rules.by_source("dev_pm_opp_find", "drivers/opp/core.c") == "other"
