"""The NIC, its queues and what lies below it, in the report and between two runs."""

from __future__ import annotations

import msgspec
import pytest

from offloadbench.analysis.comparison.compatibility import metadata_differences
from offloadbench.model import Interrupt, LowerDevice, Nic, Queues, Run
from offloadbench.report import nic_views

QUEUES = Queues(
    rx=2,
    tx=1,
    interrupts=[
        Interrupt(number=36, name="eth1-rx-0", cpus="0-3", effective_cpus="2"),
        Interrupt(number=37, name="eth1-tx-0", cpus="1", effective_cpus="1"),
    ],
    rps_cpus={"rx-0": "00000000,00000000", "rx-1": "3"},
    xps_cpus={},
    bql_limit_bytes={"tx-0": 2427},
)
LOWER = LowerDevice(
    ifname="eth1",
    upper="bond0",
    kind="",
    driver="igb",
    driver_version="6.1",
    firmware="2.1.0",
    bus="0000:00:0a.0",
    speed_bits_per_s=10**9,
    duplex="full",
    features={"rx-checksum": [True, True, False], "rx-lro": [False, False, True], "tx-nocache-copy": [False] * 3},
    settings={"ring_rx_pending": 256},
    queues=QUEUES,
)


@pytest.fixture
def nic(sample_run: Run) -> Nic:
    return msgspec.structs.replace(
        sample_run.nic, driver="bonding", duplex="full", speed_bits_per_s=10**9, queues=QUEUES, lowers=[LOWER]
    )


def _changed(run: Run, nic: Nic, run_id: str) -> Run:
    return msgspec.structs.replace(run, nic=nic, run_id=run_id)


def test_queues_interrupts_and_steering_are_shown(nic: Nic) -> None:
    items = dict(nic_views.nic(nic))
    assert items["Speed"] == "1 Gbit/s, full duplex"
    assert items["Queues"] == "2 to receive, 1 to transmit"
    assert items["Interrupts"] == "eth1-rx-0 (36): CPU 2 of 0-3; eth1-tx-0 (37): CPU 1"
    assert items["Receive packet steering"] == "rx-1: CPU mask 3"
    assert items["Transmit packet steering"] == "off"
    assert items["Byte queue limits"] == "tx-0: 2427 bytes"


def test_the_device_below_is_shown_with_its_driver_and_its_receive_features(nic: Nic) -> None:
    text = dict(nic_views.nic(nic))["Sends through eth1"]
    assert text.startswith(
        "igb 6.1; firmware 2.1.0; 1 Gbit/s, full duplex; below bond0; rx-checksum on, rx-lro off (fixed)"
    )
    assert "tx-nocache-copy" not in text
    assert ("eth1 ring_rx_pending", "256") in nic_views.settings(nic)


def test_a_driver_that_nobody_knows_is_shown_as_such_and_a_known_one_with_its_habits(nic: Nic) -> None:
    known = dict(nic_views.nic(msgspec.structs.replace(nic, driver="e1000")))["Known of the driver"]
    assert "toggling rx-checksum stops and starts the NIC" in known
    unknown = dict(nic_views.nic(msgspec.structs.replace(nic, driver="acme9000")))["Known of the driver"]
    assert unknown.startswith("nothing: ")


def test_a_run_without_queues_is_shown_without_them(sample_run: Run) -> None:
    assert "Queues" not in dict(nic_views.nic(sample_run.nic))


def test_what_changed_between_two_runs_is_told_and_limits_that_move_by_themselves_are_not(
    sample_run: Run, nic: Nic
) -> None:
    moved = msgspec.structs.replace(
        QUEUES, tx=4, interrupts=[Interrupt(number=36, name="eth1-rx-0", cpus="1")], bql_limit_bytes={"tx-0": 99}
    )
    below = msgspec.structs.replace(LOWER, firmware="2.2.0", features=LOWER.features | {"rx-checksum": [False] * 3})
    other = msgspec.structs.replace(nic, duplex="half", queues=moved, lowers=[below])
    found = metadata_differences(_changed(sample_run, nic, "a"), _changed(sample_run, other, "b"))
    assert [text for text in found if text.startswith("NIC ")] == [
        "NIC duplex: full -> half",
        "NIC eth1 below bond0: igb 6.1 2.1.0 -> igb 6.1 2.2.0",
        "NIC eth1 rx-checksum: on -> off",
        "NIC interrupt of eth1-rx-0: CPU 0-3 -> CPU 1",
        "NIC interrupt of eth1-tx-0: CPU 1 -> None",
        "NIC queues: 2 rx, 1 tx -> 2 rx, 4 tx",
    ]


def test_a_run_of_an_older_version_recorded_no_queues_which_is_no_difference(sample_run: Run, nic: Nic) -> None:
    found = metadata_differences(sample_run, _changed(sample_run, nic, "b"))
    assert not [text for text in found if text.startswith("NIC ")]
