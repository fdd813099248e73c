"""Drivers wherever they come from: bound to the NIC under test, out of the tree, built in; taken apart on request."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.profile import module_tables
from offloadbench.analysis.profile.attribution import Rules, SymbolTable, Verdicts, verdicts_for
from offloadbench.analysis.profile.attribution.bound_driver import BoundDriver, bound_to
from offloadbench.base.errors import UsageError
from offloadbench.definitions import catalog, module_names
from offloadbench.definitions.module_names import ModuleNames
from offloadbench.definitions.name_tables import NameTable
from offloadbench.files.packed_columns import pack_text
from offloadbench.model import LowerDevice, Nic, Profile, Run
from offloadbench.report.contents import collect
from offloadbench.report.plots import style
from offloadbench.report.sections.module_bars_section import by_module
from tests.conftest import CommandLine
from tests.unit.builders import CLOCK, load, profile_counts, run, samples, trial

LINUX = catalog.profile("linux")
BASE, STEP = 0xFFFFFFFFC0000000, 0x100


def _text(rows: Sequence[tuple[str, str]]) -> str:
    """A snapshot of (function, module) that lie one behind the other."""
    columns = [f"{name}\t[{module}]" if module else name for name, module in rows]
    return "".join(f"{BASE + STEP * at:016x} t {column}\n" for at, column in enumerate(columns))


def _leaves(sample_run: Run, nic: Nic, rows: Sequence[tuple[str, str]], paths: dict[str, str]) -> list[str]:
    kallsyms = msgspec.structs.replace(sample_run.kallsyms, text=pack_text(_text(rows)), sources="", ko_paths=paths)
    verdicts = verdicts_for(msgspec.structs.replace(sample_run, nic=nic, kallsyms=kallsyms), LINUX)
    return [verdicts.of(at).leaf for at in range(len(rows))]


def _nic(sample_run: Run, driver: str, module: str = "", lowers: Sequence[LowerDevice] = ()) -> Nic:
    return msgspec.structs.replace(sample_run.nic, driver=driver, module=module, lowers=list(lowers))


@pytest.mark.parametrize(
    ("driver", "module", "loaded", "path"),
    [
        # unknown to every table, of an unknown path, by sysfs and by the driver's own name
        ("acme", "acme9000", "acme9000", ""), ("acme9000", "", "acme9000", "/lib/modules/1/extra/acme9000.ko"),
        # under another name, and in a folder whose rule says otherwise
        ("mlx5_core", "mlx5_own", "mlx5_own", ""), ("acme", "acme", "acme", "/lib/modules/1/kernel/fs/acme/acme.ko"),
        ("bridge", "", "bridge", "/lib/modules/1/kernel/net/bridge/bridge.ko"),
        ("acme-x", "", "acme_x", "/lib/modules/1/updates/dkms/acme-x.ko"),
    ],
)  # fmt: skip
def test_the_module_bound_to_the_nic_is_the_driver(
    sample_run: Run, driver: str, module: str, loaded: str, path: str
) -> None:
    rows = [("probe_it", loaded), ("tcp_something", loaded), ("napi_gro_own", loaded), ("default_idle", "")]
    nic = _nic(sample_run, driver, module)
    assert _leaves(sample_run, nic, rows, {loaded: path} if path else {}) == ["driver"] * 3 + ["idle"]
    other = _leaves(sample_run, _nic(sample_run, "veth"), rows, {loaded: path} if path else {})
    assert other[1] != "driver"


def test_the_module_below_a_bond_is_the_driver_too(sample_run: Run) -> None:
    lower = LowerDevice(
        ifname="eth1", upper="bond0", kind="", driver="acme", driver_version="", firmware="", bus="",
        speed_bits_per_s=0, duplex="", features={}, module="acme_core",
    )  # fmt: skip
    assert bound_to(_nic(sample_run, "bonding", lowers=[lower])).modules == {"bonding", "acme_core"}
    rows = [("tcp_something", "acme_core"), ("tcp_something", "another")]
    assert _leaves(sample_run, _nic(sample_run, "bonding", lowers=[lower]), rows, {}) == ["driver", "tcp"]


def test_a_bound_driver_that_is_built_in_is_known_by_its_names(sample_run: Run) -> None:
    rows = [("hns3_of_tomorrow", ""), ("br_of_tomorrow", ""), ("br_handle_frame", ""), ("tcp_of_tomorrow", "")]
    assert _leaves(sample_run, _nic(sample_run, "hns3"), rows, {}) == ["driver", "netdev", "netdev", "tcp"]
    assert _leaves(sample_run, _nic(sample_run, "bridge"), rows, {}) == ["driver", "driver", "driver", "tcp"]


def test_an_old_run_file_names_no_module(sample_run: Run) -> None:
    assert bound_to(_nic(sample_run, "mlx5_core")).modules == {"mlx5_core"}
    assert bound_to(_nic(sample_run, "")) == BoundDriver()


TABLE = NameTable(
    {
        "drivers/net/ethernet/acme/acme.ko": frozenset(
            {
                "acme_xmit",
                "acme_poll",
                "acme_open",
                "shared_thing",
                "get_it",
                "twin",
                *(f"acme_q_{n}" for n in range(9)),
            }
        ),
        "drivers/net/wireless/wifi.ko": frozenset({"wifi_rx", "wifi_tx", "shared_thing", "get_it"}),
        "sound/core/snd.ko": frozenset({"snd_play", "snd_stop", "get_it", "twin"}),
        "fs/odd/odd.ko": frozenset({"odd_read", "odd_write"}),
        "drivers/media/odd.ko": frozenset({"acmedia_one"}),
    },
    (),
)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    path = tmp_path / "modules.zst"
    module_names.save(TABLE, path)
    return msgspec.structs.replace(LINUX, names=[], module_names=[str(path)])


def _verdicts(profile: Profile, rows: Sequence[tuple[str, str]], names: NameTable | None = None) -> Verdicts:
    known = names or catalog.name_table(profile)
    symbols = SymbolTable(_text(rows), known, modules=ModuleNames(tuple(profile.module_names)))
    return Verdicts(symbols, Rules(profile), known, {})


@pytest.mark.parametrize(
    ("name", "leaf"),
    [
        ("acme_xmit", "driver"), ("wifi_rx", "driver"), ("snd_play", "other"), ("odd_read", "fs"),
        # in two modules of one leaf, in three of which two agree, in two that do not
        ("shared_thing", "driver"), ("get_it", "driver"), ("twin", "other"),
        # unknown, but a dozen begin alike; of a beginning that is nobody's
        ("acme_of_tomorrow", "driver"), ("acme_q_own", "driver"), ("acmedia_two", "other"),
        ("snd_of_tomorrow", "other"),
    ],
)  # fmt: skip
def test_a_driver_that_is_built_in_is_known_by_the_functions_of_its_module(
    profile: Profile, name: str, leaf: str
) -> None:
    verdicts = _verdicts(profile, [])
    assert verdicts.judge(verdicts.symbols.unplaced(name)).leaf == leaf


def test_what_the_kernel_itself_has_goes_before_modules(profile: Profile) -> None:
    names = NameTable({"mm/slub.c": frozenset({"acme_poll"})}, ())
    verdicts = _verdicts(profile, [], names)
    assert verdicts.judge(verdicts.symbols.unplaced("acme_poll")).leaf == "mem"


@pytest.mark.parametrize(
    ("functions", "leaf"),
    [
        (["acme_xmit", "acme_poll", "acme_open", "own_one", "own_two"], "driver"),
        # too few that are known, and of two minds
        (["acme_xmit", "own_one"], "other"), (["acme_xmit", "acme_poll", "snd_play", "snd_stop", "own_one"], "other"),
    ],
)  # fmt: skip
def test_a_module_from_nowhere_is_what_shares_its_functions(profile: Profile, functions: list[str], leaf: str) -> None:
    verdicts = _verdicts(profile, [*((name, "own") for name in functions), ("never_seen", "own")])
    assert verdicts.of(len(functions)).leaf == leaf


def test_a_module_of_a_known_driver_is_known_by_its_name_alone(profile: Profile) -> None:
    rows = [("never_seen", "fec"), ("never_seen", "mvpp2"), ("never_seen", "8021q"), ("never_seen", "acme")]
    verdicts = _verdicts(profile, rows)
    assert [verdicts.of(at).leaf for at in range(4)] == ["driver", "driver", "netdev", "driver"]


SPLIT = catalog.profile("linux", ["driver"])


@pytest.mark.parametrize(
    ("name", "module", "shown", "leaf"),
    [
        ("vxlan_rcv", "vxlan", "driver_tunnel", "driver"), ("geneve_xmit", "", "driver_tunnel", "driver"),
        ("wg_xmit", "wireguard", "driver_tunnel", "driver"), ("bond_start_xmit", "bonding", "driver_stack", "driver"),
        ("team_xmit", "", "driver_stack", "driver"), ("br_handle_frame", "bridge", "driver_stack", "netdev"),
        ("br_handle_frame", "", "driver_stack", "netdev"), ("x", "8021q", "driver_stack", "netdev"),
        ("veth_xmit", "veth", "driver_virtual", "driver"), ("tun_get_user", "", "driver_virtual", "driver"),
        ("vhost_worker", "vhost", "driver_virtual", "driver"), ("mlx5e_xmit", "mlx5_core", "driver_nic", "driver"),
        ("ice_xmit_of_tomorrow", "", "driver_nic", "driver"), ("br_nf_pre_routing", "", "netfilter", "netfilter"),
        ("tcp_ack", "", "tcp", "tcp"), ("default_idle", "", "idle", "idle"),
    ],
)  # fmt: skip
def test_driver_is_split_on_request_and_layers_stay(name: str, module: str, shown: str, leaf: str) -> None:
    verdicts = _verdicts(SPLIT, [(name, module)])
    verdict = verdicts.judge(verdicts.symbols.unplaced(name, module))
    assert (verdicts.shown(verdict), verdict.leaf) == (shown, leaf)
    plain = _verdicts(LINUX, [(name, module)])
    assert plain.judge(plain.symbols.unplaced(name, module)) == replace(verdict, share="")


def _profiled(sample_run: Run, rows: Sequence[tuple[str, str]]) -> Run:
    found = profile_counts([(BASE + STEP * at, "K", 0, 0, 0, 10, 10) for at in range(len(rows))], [CLOCK])
    whole = samples(rows=1, cpu_idle_exact_s=0.5)
    one = trial(profile=found, samples=whole, window_s=1.0, load=load(1000, 1.0))
    return run(sample_run, [one], kallsyms=_text(rows))


ROWS = [("mlx5e_xmit", "mlx5_core"), ("veth_xmit", "veth"), ("vxlan_rcv", "vxlan"), ("br_handle_frame", "bridge"),
        ("tcp_ack", ""), ("mlx5e_poll_rx_cq", "mlx5_core"), ("mlx5e_poll_tx_cq", "mlx5_core"),
        ("mlx5e_txwqe_complete", "mlx5_core"), ("mlx5_cmd_exec", "mlx5_core")]  # fmt: skip


def test_the_sums_of_the_layers_are_those_of_the_table_that_is_not_split(sample_run: Run) -> None:
    found = _profiled(sample_run, ROWS)
    whole, split = (module_tables.modules([found], one) for one in (LINUX, SPLIT))
    for table in (whole, split):
        assert table["value"].sum() == 90
    assert split.groupby("floor")["value"].sum().to_dict() == whole.groupby("floor")["value"].sum().to_dict()
    assert dict(zip(split["module"], split["value"], strict=True)) == {
        "driver_nic": 50, "driver_virtual": 10, "driver_tunnel": 10, "driver_stack": 10, "tcp": 10,
    }  # fmt: skip


@pytest.mark.parametrize("module", ["mlx5_core", ""])
def test_a_driver_is_taken_apart_by_the_names_of_its_functions(sample_run: Run, module: str) -> None:
    rows = [(name, module if "mlx5" in owner else owner) for name, owner in ROWS]
    table = module_tables.modules([_profiled(sample_run, rows)], catalog.profile("mlx5"))
    parts = {"mlx5_xmit": 10, "mlx5_rx": 10, "mlx5_tx_completion": 10, "mlx5_doorbell": 10}
    assert dict(zip(table["module"], table["value"], strict=True)) == {"driver": 30, "netdev": 10, "tcp": 10} | parts
    assert set(table[table["module"].isin([*parts, "driver"])]["floor"]) == {"driver"}


def test_a_leaf_that_no_profile_splits_is_refused(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="does not say into what"):
        catalog.profile("linux", ["tcp"])
    monkeypatch.setattr("sys.stdin", io.StringIO("veth_xmit\n"))
    finished = command_line("modules", "--split", "driver", "-")
    assert (finished.code, finished.out) == (0, "veth_xmit\tdriver_virtual\ttable\n")


def test_a_snapshot_of_the_sampled_symbols_alone_does_not_hide_a_driver(profile: Profile) -> None:
    names = NameTable({"net/socket.c": frozenset({f"sock_{at}" for at in range(600)})}, ())
    rows = [(f"sock_{at}", "") for at in range(600)]
    verdicts = _verdicts(profile, [*rows[:300], ("acme_q_1", ""), *rows[300:500], ("get_it", ""), *rows[500:]], names)
    assert verdicts.symbols.neighbours_trusted
    assert [verdicts.of(at).leaf for at in (300, 501)] == ["driver", "socket"]


def test_functions_that_lie_together_are_of_the_module_that_they_have_in_common(profile: Profile) -> None:
    names = NameTable({"net/socket.c": frozenset({f"sock_{at}" for at in range(600)})}, ())
    rows = [(f"sock_{at}", "") for at in range(600)]
    linked = [(name, "") for name in ("snd_play", "twin", "snd_stop", "get_it")]
    verdicts = _verdicts(profile, [*rows, *linked, ("acme_open", ""), ("twin", ""), ("acme_poll", ""), ("get_it", ""),
                                   ("acme_xmit", ""), *rows[:1]], names)  # fmt: skip
    assert [verdicts.of(at).leaf for at in range(600, 609)] == ["other"] * 4 + ["driver"] * 5


@pytest.mark.parametrize(
    ("chosen", "parts"),
    [
        (catalog.profile("mlx5"), ["mlx5_rx", "mlx5_xmit", "mlx5_doorbell", "mlx5_tx_completion", "NIC driver"]),
        (SPLIT, ["NIC drivers", "tunnels", "veth, tun, vhost", "bond, team, VLAN, bridge"]),
    ],
    ids=["mlx5", "split"],
)
def test_what_is_taken_apart_is_drawn_alone_with_every_part(sample_run: Run, chosen: Profile, parts: list[str]) -> None:
    found = _profiled(sample_run, ROWS)
    whole, apart = by_module(collect([found], chosen, ["a.json"]))
    plain = list(by_module(collect([found], LINUX, ["a.json"])))
    assert len(plain) == 1
    assert "takes apart, every part of it" in apart.caption
    with style.drawing():
        drawn, of_all = str(apart.wide), str(whole.wide)
    assert all(part in drawn for part in parts)
    assert "other modules" not in drawn
    assert "other modules" in of_all or len(parts) < 5
