"""What tc is told for a line, and what its counters say. tests/lab/test_netem.py holds them against a kernel."""

from __future__ import annotations

import msgspec
import pytest
import sh

from offloadbench.base.errors import HostError
from offloadbench.kernel.netdev import qdisc
from offloadbench.model import EmulatedLink

LINK = EmulatedLink(line_rate_bits_per_s=10**9, rtt_s=0.02, loss_ratio=0.001, queue_bytes=681 * 1538)


class Tc:
    """tc(8), made up."""

    def __init__(self, answer: str = "", error: str = "") -> None:
        self.answer, self.error = answer, error
        self.told: list[str] = []

    def __call__(self, *words: str) -> str:
        self.told.append(" ".join(words))
        if self.error:
            raise sh.ErrorReturnCode_2("tc", b"", self.error.encode())
        return self.answer


def _tc(monkeypatch: pytest.MonkeyPatch, **values: str) -> Tc:
    made = Tc(**values)
    monkeypatch.setattr(sh, "tc", made, raising=False)
    return made


def test_a_line_cuts_first_then_paces_then_delays_and_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    tc = _tc(monkeypatch)
    qdisc.emulate("hop", LINK, 24, None)
    assert tc.told == [
        "qdisc add dev hop root handle 1: tbf rate 200gbit burst 1540 limit 1gb",
        "qdisc add dev hop parent 1:1 handle 2: netem rate 1000000000bit 24 limit 681",
        "qdisc add dev hop parent 2:1 handle 3: netem delay 10000us limit 1000000 loss random 0.100000%",
    ]


def test_netem_spreads_around_the_delay_so_jitter_moves_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tc = _tc(monkeypatch)
    qdisc.emulate("hop", msgspec.structs.replace(LINK, jitter_s=0.004), 24, None)
    assert "netem delay 12000us 2000us limit" in tc.told[2]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Error: Specified qdisc kind is unknown.", qdisc.MissingError),
        ("RTNETLINK answers: Operation not permitted", HostError),
    ],
)
def test_a_refusal_says_what_is_missing(said: str, kind: type[HostError], monkeypatch: pytest.MonkeyPatch) -> None:
    _tc(monkeypatch, error=said)
    with pytest.raises(HostError) as caught:
        qdisc.emulate("hop", LINK, 24, None)
    assert type(caught.value) is kind


def test_what_the_inner_one_drops_is_lost_and_the_rest_found_the_queue_full() -> None:
    found = {
        1: qdisc.QdiscCounts(packets=2375, l2_bytes=3545731, drops=54),
        2: qdisc.QdiscCounts(packets=2375, l2_bytes=3545731, drops=54),
        3: qdisc.QdiscCounts(packets=2372, l2_bytes=3545521, drops=30),
    }
    assert qdisc.totals(found) == qdisc.Totals(2375, 3545731, lost_packets=30, overflow_packets=24)
