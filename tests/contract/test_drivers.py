"""What ships about drivers: it loads, it is consistent, and it fits what real drivers really call their statistics."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from offloadbench.definitions import catalog
from offloadbench.kernel.counters import queue_statistics
from offloadbench.kernel.counters.ethtool_statistics import distinct
from offloadbench.model import folded

DRIVERS = catalog.drivers()
CAPTURED = sorted((Path(__file__).parents[1] / "data" / "drivers").glob("*-statistics.txt"))
# ETHTOOL_GDRVINFO's names of those that were promised
PROMISED = (
    "mlx5_core mlx4_en e1000 e1000e igb igc ixgbe i40e iavf ice tg3 bnxt_en ena gve mana hv_netvsc virtio_net vmxnet3 "
    "r8169 cxgb4 hns3 st_gmac mvneta mvpp2 fec sfc veth tun bonding team bridge bnx2 bnx2x be2net r8152 ax88179_178a "
    "lan78xx bcmgenet mtk_soc_eth r8125 r8168 atlantic qede ionic enic vif wireguard vxlan geneve gretap ipip macvlan"
)
_FEATURES = (
    "rx-checksum rx-gro rx-lro rx-gro-hw tx-scatter-gather tx-tcp-segmentation tx-tcp6-segmentation tx-checksum-ipv4 "
    "tx-checksum-ipv6 tx-checksum-ip-generic tx-generic-segmentation"
)
FEATURES = set(_FEATURES.split())


def _names(name: str) -> dict[str, list[str]]:
    """Meaning -> statistics of a definition."""
    fields = msgspec.structs.asdict(DRIVERS[name].counters)
    return {meaning: names for meaning, names in fields.items() if isinstance(names, list)}


def test_every_promised_driver_is_known() -> None:
    assert [name for name in PROMISED.split() if catalog.driver(name) is None] == []
    assert catalog.driver("802.1Q VLAN Support") is not None
    assert catalog.driver("acme9000") is None


def test_no_kernel_name_stands_in_two_files() -> None:
    names = [name for driver in DRIVERS.values() for name in driver.kernel_names]
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_bears_its_files_name_and_says_where_it_was_read(name: str) -> None:
    driver = DRIVERS[name]
    assert driver.name == name
    assert driver.title
    assert driver.source
    assert driver.kernel_names or name in catalog.KERNEL_STATISTICS
    assert all(habit[-1] != "." for habit in [*driver.habits, *(quirk.text for quirk in driver.quirks)])
    assert all(quirk.since or quirk.until for quirk in driver.quirks)


@pytest.mark.parametrize("name", DRIVERS)
def test_a_statistic_has_one_meaning(name: str) -> None:
    names = [folded(statistic) for statistics in _names(name).values() for statistic in statistics]
    assert [statistic for statistic, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("name", DRIVERS)
def test_rules_and_resets_are_of_features_that_the_kernel_has(name: str) -> None:
    driver = DRIVERS[name]
    used = {
        *driver.reinitialises,
        *(c.without for c in driver.couplings),
        *(f for c in driver.couplings for f in c.drops),
    }
    assert used <= FEATURES


def test_the_kernels_own_statistics_are_called_as_they_are_read() -> None:
    names = {name for names in _names(catalog.QUEUE_STATISTICS).values() for name in names}
    known = {queue_statistics.PREFIX + name for name in queue_statistics.NAMES}
    assert names
    assert names <= known


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_statistics_are_called_as_the_real_driver_calls_them(path: Path) -> None:
    name = path.stem.removesuffix("-statistics")
    printed = (line[5:].rpartition(":")[0] for line in path.read_text().splitlines())
    real = {folded(statistic) for statistic in distinct(printed)}
    meant = {statistic for names in _names(name).values() for statistic in names}
    # what this kernel (6.1) calls otherwise than the one that was read (6.12)
    newer = {"rx{n}_drops", "tx{n}_tx_timeouts"} if name == "virtio_net" else set()
    assert {folded(statistic) for statistic in meant} - newer <= real


def test_real_statistics_are_there_to_compare_with() -> None:
    assert {path.stem for path in CAPTURED} >= {"e1000-statistics", "e1000e-statistics", "igb-statistics"}
