"""Queues and interrupts from what sysfs and /proc/interrupts really show."""

from __future__ import annotations

from pathlib import Path

from offloadbench.kernel.netdev import queues
from offloadbench.model import Interrupt

SYSFS = "/sys/class/net/eth0/"


def test_queues_are_counted_and_their_masks_and_limits_kept_in_order() -> None:
    values = {
        f"{SYSFS}queues/tx-10/xps_cpus": "2",
        f"{SYSFS}queues/tx-2/xps_cpus": "1",
        f"{SYSFS}queues/tx-2/byte_queue_limits/limit": "2427",
        f"{SYSFS}queues/tx-2/byte_queue_limits/limit_max": "1879048192",
        f"{SYSFS}queues/tx-10/byte_queue_limits/limit": "0",
        f"{SYSFS}queues/tx-10/byte_queue_limits/limit_max": "65536",
        f"{SYSFS}queues/rx-0/rps_cpus": "00000000,00000003",
    }
    found = queues.parse(values, [Interrupt(number=36, name="eth0-rx-0", cpus="0-1")])
    assert (found.rx, found.tx) == (1, 2)
    assert found.rps_cpus == {"rx-0": "00000000,00000003"}
    assert list(found.xps_cpus.items()) == [("tx-2", "1"), ("tx-10", "2")]
    assert found.bql_limit_bytes == {"tx-2": 2427, "tx-10": 0}
    # the other may grow without a bound
    assert found.bql_limit_max_bytes == {"tx-10": 65536}
    assert [interrupt.name for interrupt in found.interrupts] == ["eth0-rx-0"]


def test_interrupts_are_named_as_their_handlers_whatever_the_chip_is_called(data: Path) -> None:
    names = queues.interrupt_names((data / "drivers" / "interrupts.txt").read_text())
    assert {names[number] for number in (36, 37, 38)} == {"eth0-rx-0", "eth0-tx-0", "eth0"}
    assert names[9] == "acpi"
    assert all(isinstance(number, int) for number in names)


def test_newer_kernels_name_the_device_in_the_chips_column() -> None:
    text = (
        "           CPU0       CPU1\n 38:          0      85086 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0\n"
    )
    assert queues.interrupt_names(text) == {38: "virtio2-input.0"}
