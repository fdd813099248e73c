"""A window in which nothing was sent for a while says so, whatever the NIC counted."""

from __future__ import annotations

import pytest

from offloadbench.analysis.trial import standstill
from offloadbench.model import Samples


def _samples(packets: list[float]) -> Samples:
    count = len(packets)
    return Samples(
        t_s=[number + 1.001 for number in range(count)],
        interval_s=[1.0] * count,
        late_s=[0.001] * count,
        counters={"tx_packets": packets},
    )


@pytest.mark.parametrize(
    ("packets", "told"),
    [
        ([9, 9, 0, 0, 0, 0, 9], "eth9 counted no packet sent from second 2 to 6 of the window"),
        ([0, 0, 0, 9], "eth9 counted no packet sent from second 0 to 3 of the window"),
        ([9, 0, 0, 0, 9, 0, 0, 0, 0, 0], "eth9 counted no packet sent from second 5 to 10 of the window"),
        # a driver that fetches its counters every other second; one that went back is another device's
        ([9, 0, 9, 0, 0, 9, -40, 0, 0], ""),
        ([9, 9, 9], ""),
        ([], ""),
    ],
)
def test_the_longest_stretch_without_a_packet_is_told(packets: list[float], told: str) -> None:
    assert standstill.told(_samples(packets), "eth9") == told


@pytest.mark.parametrize(("packets", "silent"), [([9, 0], True), ([0, 9], False), ([], False)])
def test_a_window_may_end_in_silence(packets: list[float], silent: bool) -> None:
    assert standstill.at_end(_samples(packets)) == silent


def test_a_file_without_the_counter_says_nothing() -> None:
    assert standstill.told(Samples(t_s=[1.0], interval_s=[1.0], late_s=[0.0], counters={}), "eth9") == ""
