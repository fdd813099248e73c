"""A case is brought about on the device under test; what concerns reception, in the NICs below it as well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from offloadbench.changes.change import Change
from offloadbench.changes.feature_bits import FeatureBits
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.run.offloads import Applied, apply
from offloadbench.kernel.netdev import nic
from offloadbench.kernel.netdev.features import Feature
from offloadbench.model import CaseDefinition
from tests.unit.builders import case
from tests.unit.machine import NIC, Machine
from tests.unit.stage import Stage

TSO, GSO, RX, LRO = "tx-tcp-segmentation", "tx-generic-segmentation", "rx-checksum", "rx-lro"
NONE = case("none", {TSO: False, RX: False}, defining=(TSO, RX))
ON = Feature(active=True, wanted=True, fixed=False)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, state: Path) -> Machine:
    del state
    return Machine(monkeypatch)


@pytest.fixture
def journal(machine: Machine) -> Iterator[Journal]:
    del machine
    journal = Journal("r1", NIC)
    yield journal
    journal.close(lambda _: None)


def _apply(journal: Journal, wanted: CaseDefinition = NONE) -> Applied:
    class End:
        name, address, ifname, namespace = "device under test", "192.0.2.1", NIC, None
        server_cpus: frozenset[int] = frozenset()
        launch, missing, available_memory_bytes = Stage.launch, Stage.missing, Stage.available_memory_bytes
        state, is_folder, counted = Stage.state, Stage.is_folder, Stage.counted

    return apply(End(), wanted, journal)


def test_reception_is_toggled_below_and_transmission_on_the_device_itself(machine: Machine, journal: Journal) -> None:
    machine.below = {"eth1": {TSO: ON, RX: ON}, "eth2": {TSO: ON, RX: ON}}
    applied = _apply(journal)
    assert machine.log == [
        f"eth1 features {{'{RX}': False}}",
        f"eth2 features {{'{RX}': False}}",
        f"features {{'{TSO}': False}}",
    ]
    assert applied.leaves == ["eth1", "eth2"]
    assert applied.devices(NIC) == [NIC, "eth1", "eth2"]
    assert {name: [(r.feature, r.active) for r in found] for name, found in applied.lower_features.items()} == {
        "eth1": [(RX, False)],
        "eth2": [(RX, False)],
    }
    assert not applied.refused
    journal.undo_to(0, lambda _: None)
    assert all(feature.wanted for nic in machine.below.values() for feature in nic.values())
    assert machine.features[TSO].wanted


def test_what_is_below_is_journalled_before_it_is_changed(
    machine: Machine, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.below = {"eth1": {RX: ON}}
    add = journal.add

    def noted(change: Change) -> None:
        assert isinstance(change, FeatureBits)
        machine.log.append(f"journal {change.ifname}")
        add(change)

    monkeypatch.setattr(journal, "add", noted)
    _apply(journal)
    assert machine.log.index("journal eth1") < machine.log.index(f"eth1 features {{'{RX}': False}}")


def test_a_refusal_below_of_what_defines_the_case_refuses_the_case(machine: Machine, journal: Journal) -> None:
    machine.below = {"eth1": {RX: ON}}
    machine.deaf = {RX}
    assert _apply(journal).refused == "case none: eth1 refused rx-checksum"


def test_a_driver_with_a_rule_of_its_own_that_nobody_knows_is_told(
    machine: Machine, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.features |= {LRO: ON, RX: ON}
    write = machine._write_wanted

    def dropping(ifname: str, wanted: dict[str, bool], namespace: str | None = None) -> None:
        write(ifname, wanted, namespace)
        machine.features[LRO] = Feature(active=machine.features[RX].active, wanted=True, fixed=False)

    monkeypatch.setattr("offloadbench.kernel.netdev.features.write_wanted", dropping)
    told = _apply(journal).warnings
    assert told == [f"{NIC}: rx-lro is off, and the known rules say on: this kernel or driver has a rule of its own"]
    journal.undo_to(0, lambda _: None)
    # vmxnet3 is known to drop LRO without RX checksum
    monkeypatch.setattr(nic, "driver_info", lambda *_: ("vmxnet3", "1.0", "", ""))
    assert _apply(journal).warnings == []
