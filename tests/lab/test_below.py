"""VLANs and bonds of the real kernel: what lies below is found, toggled and put back.

Kernels without these devices skip this; the virtual NICs below are veth.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from offloadbench.definitions import catalog, nic_ability
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.run import nic_record
from offloadbench.engine.run.offloads import apply
from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.kernel.netdev import features, link
from offloadbench.roles.ends import Role
from tests.lab.asking import change

TSO, RX, GRO = "tx-tcp-segmentation", "rx-checksum", "rx-gro"


class End:
    """A device in a namespace; nothing is launched on it."""

    name, address = "device under test", "192.0.2.1"
    server_cpus: frozenset[int] = frozenset()

    def __init__(self, ifname: str, namespace: str) -> None:
        self.ifname: str = ifname
        self.namespace: str | None = namespace

    def launch(self, module: str, title: str, cpus: frozenset[int] | None = None) -> Role:
        raise NotImplementedError(module, title, cpus)

    def missing(self, tools: Iterable[str]) -> list[str]:
        raise NotImplementedError(tools)

    def is_folder(self, path: str) -> bool:
        return Path(path).is_dir()

    def state(self, sysctls: Iterable[str]) -> dict[str, str | int]:
        del sysctls
        return {}

    def counted(self) -> Reading:
        raise NotImplementedError

    def available_memory_bytes(self) -> int:
        raise NotImplementedError


def _ip(namespace: str, *arguments: str) -> None:
    done = subprocess.run(["ip", "-n", namespace, *arguments], capture_output=True, text=True, check=False)
    if "Unknown device type" in done.stderr:
        pytest.skip(f"this kernel has no {arguments[-1] if 'bond' in arguments else 'vlan'} devices")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"obtest-{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    _ip(name, "link", "add", "below0", "type", "veth", "peer", "name", "far0")
    _ip(name, "link", "set", "far0", "up")
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture
def vlan(namespace: str) -> End:
    _ip(namespace, "link", "set", "below0", "up")
    _ip(namespace, "link", "add", "link", "below0", "name", "top0", "type", "vlan", "id", "7")
    _ip(namespace, "link", "set", "top0", "up")
    return End("top0", namespace)


@pytest.fixture
def bond(namespace: str) -> End:
    _ip(namespace, "link", "add", "top0", "type", "bond")
    _ip(namespace, "link", "set", "below0", "master", "top0")
    _ip(namespace, "link", "set", "top0", "up")
    return End("top0", namespace)


@pytest.fixture(params=["vlan", "bond"])
def top(request: pytest.FixtureRequest) -> End:
    end: End = request.getfixturevalue(request.param)
    return end


def test_the_device_below_is_found_and_asked(top: End) -> None:
    below = link.below(top.ifname, top.namespace)
    assert (below.leaves, below.problem) == (["below0"], "")
    found = nic_record.record("top0", "top0", top.namespace, 0)
    assert [(device.ifname, device.upper, device.driver) for device in found.lowers] == [("below0", "top0", "veth")]
    able = nic_ability.of_nic(found)
    assert able.states[RX] == found.lowers[0].features[RX]
    assert able.limits == []


def test_reception_is_toggled_below_and_everything_is_put_back(top: End, state: Path) -> None:
    del state
    before = {name: features.read(name, top.namespace) for name in ("top0", "below0")}
    journal = Journal(secrets.token_hex(4), "top0")
    applied = apply(top, catalog.own_case(["rx=off", "tso=off"]), journal)
    assert not applied.refused
    assert {r.feature: r.active for r in applied.lower_features["below0"]}[RX] is False
    after = {name: features.read(name, top.namespace) for name in ("top0", "below0")}
    assert not after["below0"][RX].active
    assert not after["top0"][TSO].active
    # transmission is the upper device's own matter
    assert after["below0"][TSO].active
    journal.close(lambda _: None)
    wanted = {name: {bit: f.wanted for bit, f in features.read(name, top.namespace).items()} for name in before}
    assert wanted == {name: {bit: f.wanted for bit, f in found.items()} for name, found in before.items()}


def test_tso_that_is_missing_below_is_told_though_the_device_above_says_on(vlan: End) -> None:
    features.write_wanted("below0", {TSO: False}, vlan.namespace)
    found = nic_record.record("top0", "top0", vlan.namespace, 0)
    able = nic_ability.of_nic(found)
    assert not able.states[TSO][0]
    if found.features[TSO][0]:
        assert any(TSO in limit for limit in able.limits)


def test_a_device_whose_lower_one_lies_elsewhere_says_so(vlan: End) -> None:
    other = f"obtest-{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", other], check=True)
    try:
        _ip(str(vlan.namespace), "link", "set", "top0", "netns", other)
        below = link.below("top0", other)
        assert below.devices == []
        assert "lies in another namespace" in below.problem
    finally:
        subprocess.run(["ip", "netns", "del", other], check=True)


@pytest.mark.parametrize("bound", [["dev", "below0"], []])
def test_a_vxlan_sends_through_the_device_that_it_is_bound_to_or_that_its_route_takes(
    namespace: str, bound: list[str]
) -> None:
    _ip(namespace, "link", "set", "below0", "up")
    _ip(namespace, "addr", "add", "192.0.2.1/24", "dev", "below0")
    _ip(namespace, "link", "add", "top0", "type", "vxlan", "id", "7", "dstport", "4789", "remote", "192.0.2.2", *bound)
    assert link.below("top0", namespace).leaves == ["below0"]
    able = nic_ability.of_nic(nic_record.record("top0", "top0", namespace, 0))
    assert "top0 sends through below0 (veth)" in able.habits
    assert any("has no hardware: below0 below it segments" in text for text in able.limits)
    change("below0", {"tx-udp_tnl-segmentation": False, "tx-udp_tnl-csum-segmentation": False}, namespace)
    able = nic_ability.of_nic(nic_record.record("top0", "top0", namespace, 0))
    assert any("top0 says TSO on, the kernel segments" in text for text in able.limits)
    assert able.states[TSO] == [False, False, True]


def test_a_vxlan_without_another_end_says_that_its_way_is_not_known(namespace: str) -> None:
    _ip(namespace, "link", "add", "top0", "type", "vxlan", "id", "7", "dstport", "4789")
    found = link.below("top0", namespace)
    assert (found.leaves, "is not known" in found.problem) == ([], True)


def test_a_macvlan_is_what_it_is(namespace: str) -> None:
    _ip(namespace, "link", "add", "top0", "link", "below0", "type", "macvlan")
    able = nic_ability.of_nic(nic_record.record("top0", "top0", namespace, 0))
    assert "top0 sends through below0 (veth)" in able.habits
    assert not [text for text in able.limits if "not known" in text]
