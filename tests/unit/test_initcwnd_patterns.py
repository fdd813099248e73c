"""Random write patterns through the model of 2.6.18: what must hold whatever an application writes, and when it closes.

Sizes lie around what the code compares with: multiples of the MSS, pages, the size goal, half of the window.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offloadbench.analysis.initcwnd.prediction import Prediction, predict
from offloadbench.analysis.initcwnd.scenario import Scenario
from offloadbench.analysis.initcwnd.vectors import VectorResults, broken_laws

MSS = 1448
PAGE = 4096
KERNELS = ("2.6.18", "2.6.18-92.el5", "2.6.18-164.el5", "2.6.18-274.7.1.el5")
# no limit but cwnd and the peer's window
ROOMY: dict[str, Any] = {"sndbuf_bytes": 1 << 30, "tcp_tso_win_divisor": 1 << 20}


def _goal(mss_bytes: int, window_bytes: int) -> int:
    """What an skb grows to with TSO."""
    most = min(65535 - 52, max(window_bytes // 2, 1))
    return max(most - most % mss_bytes, mss_bytes)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """2 to 20 writes around the sizes that matter."""
    mss = draw(st.sampled_from([536, 1400, MSS, 1460, 8948]))
    window = draw(st.sampled_from([5840, 65535, 262_144]))
    goal = _goal(mss, window)
    multiples = st.builds(lambda times: times * mss, st.integers(1, 14))
    near = st.one_of(multiples, st.sampled_from([PAGE, 2 * PAGE, 16_384, goal, goal // 2, window // 2, 1]))
    sizes = st.builds(lambda size, by: max(1, size + by), near, st.sampled_from([-1, 0, 1]))
    return Scenario(
        kernel=draw(st.sampled_from(KERNELS)),
        tso=draw(st.booleans()),
        mss_bytes=mss,
        writes_bytes=draw(st.lists(sizes, min_size=2, max_size=20)),
        initcwnd=draw(st.integers(1, 50)),
        cached_rtt_ms=20,
        rwnd_bytes=window,
        sndbuf_bytes=draw(st.sampled_from([16_384, 131_072, 1 << 30])),
        nodelay=draw(st.booleans()),
        tcp_tso_win_divisor=draw(st.sampled_from([0, 1, 3, 10, 1 << 20])),
    )


def _but(scenario: Scenario, **changes: Any) -> Prediction:
    return predict(msgspec.structs.replace(scenario, **changes))


@given(scenarios(), st.booleans())
def test_what_is_sent_was_written_and_fits(scenario: Scenario, fin: bool) -> None:
    closed = msgspec.structs.replace(scenario, fin=fin)
    prediction = predict(closed)
    written = sum(scenario.writes_bytes)
    assert prediction.first_flight_bytes + prediction.unsent_bytes <= written
    assert prediction.first_flight_bytes <= scenario.rwnd_bytes
    assert prediction.unsent_bytes >= 0
    seen = VectorResults(**{name: getattr(prediction, name) for name in VectorResults.__struct_fields__})
    assert broken_laws(closed, seen) == []


@given(scenarios())
def test_all_that_was_accepted_is_sent_or_waits(scenario: Scenario) -> None:
    prediction = _but(scenario, sndbuf_bytes=1 << 30)
    assert prediction.first_flight_bytes + prediction.unsent_bytes == sum(scenario.writes_bytes)


@given(scenarios())
def test_without_limits_everything_leaves_at_once(scenario: Scenario) -> None:
    prediction = _but(scenario, **ROOMY, initcwnd=100_000, rwnd_bytes=1 << 30, nodelay=True)
    assert (prediction.first_flight_bytes, prediction.unsent_bytes) == (sum(scenario.writes_bytes), 0)
    assert prediction.marks == []


@settings(max_examples=200)
@given(scenarios(), st.integers(1, 50))
def test_a_larger_cwnd_never_sends_less_without_deferral(scenario: Scenario, more: int) -> None:
    larger = scenario.initcwnd + more
    free = {} if not scenario.tso else {"tcp_tso_win_divisor": 1 << 20}
    one, two = _but(scenario, **free), _but(scenario, **free, initcwnd=larger)
    assert one.first_flight_bytes <= two.first_flight_bytes
    assert one.first_flight_segments <= two.first_flight_segments


@settings(max_examples=200)
@given(scenarios(), st.integers(1, 50))
def test_with_room_to_write_only_deferral_makes_a_larger_cwnd_send_less(scenario: Scenario, more: int) -> None:
    one = _but(scenario, sndbuf_bytes=1 << 30)
    two = _but(scenario, sndbuf_bytes=1 << 30, initcwnd=scenario.initcwnd + more)
    if two.marks != ["M1"]:
        assert one.first_flight_bytes <= two.first_flight_bytes


def test_deferral_does_make_a_larger_cwnd_send_less() -> None:
    """The kernel's own: a place more, and what a push of one skb took along is held instead."""
    sizes = [20_272, 4344, 4345, 1, 1447, 1449, 4344, 15_928, 4096]
    given = Scenario(
        kernel="2.6.18-164.el5", tso=True, mss_bytes=MSS, writes_bytes=sizes, initcwnd=20, cached_rtt_ms=20,
        sndbuf_bytes=262_144, nodelay=True,
    )  # fmt: skip
    assert [_but(given, initcwnd=cwnd).first_flight_segments for cwnd in (20, 21)] == [20, 17]
    assert _but(given, initcwnd=21).marks == ["M1"]


@given(scenarios())
def test_a_fin_only_adds(scenario: Scenario) -> None:
    one, two = predict(scenario), _but(scenario, fin=True)
    assert one.first_flight_bytes <= two.first_flight_bytes
    assert two.skb_segments[: len(one.skb_segments)] == one.skb_segments
    # what is sent because of it goes segment by segment beyond cwnd
    beyond = two.first_flight_segments - two.snd_cwnd_segments
    assert ("FIN" in two.marks) == (beyond > 0)
    if beyond > 0:
        assert set(two.skb_segments[-beyond:]) == {1}
    # nobody closes while a write sleeps
    if "M3" in one.marks:
        assert one == two


@given(scenarios())
def test_a_fin_leaves_nothing_to_nagle_or_deferral(scenario: Scenario) -> None:
    prediction = _but(scenario, **ROOMY, initcwnd=100_000, rwnd_bytes=1 << 30, fin=True)
    assert prediction.unsent_bytes == 0


@given(scenarios())
def test_a_divisor_beyond_cwnd_never_defers(scenario: Scenario) -> None:
    assert "M1" not in _but(scenario, tcp_tso_win_divisor=1 << 20).marks
    if not scenario.tso:
        assert _but(scenario, tcp_tso_win_divisor=1) == _but(scenario, tcp_tso_win_divisor=1 << 20)


# ---------------------------------------------------------------- what was seen on the kernel itself


def _live(**changes: Any) -> Prediction:
    given = Scenario(kernel="2.6.18", tso=True, mss_bytes=MSS, writes_bytes=[100_000], initcwnd=10, cached_rtt_ms=20)
    return _but(given, **changes)


@pytest.mark.parametrize(
    ("changes", "segments"),
    [
        # 14480 bytes and the end of the connection: ten with TSO, nine without, as the write sleeps
        ({"writes_bytes": [14_480], "fin": True}, 10),
        ({"writes_bytes": [14_480], "fin": True, "tso": False}, 9),
        ({"writes_bytes": [14_480]}, 8),
        # rtt of the route, on the first connection
        ({"cached_rtt_ms": 0, "route_rtt_ms": 20}, 10),
        ({"cached_rtt_ms": 0, "route_rtt_ms": 20, "tso": False}, 9),
        ({"cached_rtt_ms": 0}, 2),
        ({"tcp_no_metrics_save": True}, 2),
        ({"tcp_no_metrics_save": True, "tso": False}, 2),
        ({"timestamps": False, "route_rtt_ms": 20}, 2),
        ({"writes_bytes": [14_480], "tcp_tso_win_divisor": 10, "sndbuf_bytes": 131_072}, 10),
        # 40 asked for, the default buffer: 23 with one write, nine without TSO
        ({"initcwnd": 40}, 23),
        ({"initcwnd": 40, "kernel": "2.6.18-274.el5"}, 22),
        ({"initcwnd": 40, "tso": False}, 9),
        ({"initcwnd": 40, "rwnd_bytes": 130_000}, 40),
        ({"initcwnd": 20, "writes_bytes": [14 * MSS] * 2}, 14),
        ({"initcwnd": 40, "writes_bytes": [2 * MSS] * 40}, 10),
        ({"initcwnd": 40, "writes_bytes": [2 * MSS] * 40, "sndbuf_bytes": 131_072}, 40),
        ({"writes_bytes": [10_136] * 2, "kernel": "2.6.18-274.el5"}, 7),
        ({"writes_bytes": [4096] * 25, "tso": False}, 9),
    ],
)
def test_flights_of_the_real_kernel_are_predicted(changes: dict[str, Any], segments: int) -> None:
    assert _live(**changes).first_flight_segments == segments


def test_nine_sk_buffs_need_not_be_full() -> None:
    assert _live(writes_bytes=[4096] * 25, tso=False).first_flight_bytes == 12_784


def test_explanations_say_what_ends_or_causes_it() -> None:
    assert any("no RTT is cached" in one for one in _live(cached_rtt_ms=0).explanation)
    assert any("tcp_no_metrics_save" in one for one in _live(tcp_no_metrics_save=True).explanation)
    assert any("an RTT of its own" in one for one in _live(cached_rtt_ms=0, route_rtt_ms=20).explanation)
    waiting = _live(writes_bytes=[14_480], tcp_tso_win_divisor=0)
    assert any("less than four segments" in one and "a FIN ends" in one for one in waiting.explanation)
    closed = _live(cached_rtt_ms=0, writes_bytes=[14_480], fin=True)
    assert closed.marks == ["M0", "FIN"]
    assert any("8 left beyond cwnd 2" in one for one in closed.explanation)
