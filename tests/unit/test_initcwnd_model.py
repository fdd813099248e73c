"""The model of 2.6.18's send path: every executed vector, and what must hold for inputs that nobody executed."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.initcwnd.prediction import default_initial_segments, predict
from offloadbench.analysis.initcwnd.scenario import IdleRestart, Scenario, kernel
from offloadbench.analysis.initcwnd.vectors import scenarios
from offloadbench.base.errors import UsageError

VECTORS = Path(__file__).parents[1] / "data" / "initcwnd-vectors.json"
EXECUTED: list[dict[str, Any]] = json.loads(VECTORS.read_text())["vectors"]
RESULTS = ("skb_segments", "first_flight_segments", "first_flight_bytes", "snd_cwnd_segments", "wmem_queued_bytes")
MSS = 1448
# a flight decided by the write pattern alone: no limit other than cwnd is near
ROOMY = Scenario(
    kernel="2.6.18",
    tso=True,
    mss_bytes=MSS,
    writes_bytes=[100_000],
    initcwnd=10,
    cached_rtt_ms=20,
    sndbuf_bytes=262_144,
)


def _but(**changes: Any) -> Scenario:
    return msgspec.structs.replace(ROOMY, **changes)


@pytest.mark.parametrize("number", range(len(EXECUTED)))
def test_every_executed_vector_is_reproduced(number: int) -> None:
    prediction = predict(scenarios(VECTORS.read_bytes())[number])
    assert {name: getattr(prediction, name) for name in RESULTS} == {name: EXECUTED[number][name] for name in RESULTS}


def test_the_results_beside_a_vector_do_not_matter() -> None:
    emptied = [{name: value for name, value in vector.items() if name not in RESULTS} for vector in EXECUTED]
    assert scenarios(json.dumps(emptied).encode()) == scenarios(VECTORS.read_bytes())


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{}", "vectors"),
        ("[1]", r"\$\[0\]"),
        ("not json", "malformed"),
        ('[{"kernel": "2.6.18", "tso": true, "mss_bytes": 0, "writes_bytes": []}]', "mss_bytes"),
        ('[{"kernel": "2.6.18", "tso": true, "mss_bytes": 65496, "writes_bytes": []}]', "mss_bytes"),
        ('[{"kernel": "2.6.18", "tso": true, "mss_bytes": 1, "writes_bytes": [], "rwnd_bytes": 4294967296}]', "rwnd"),
        ('[{"kernel": "2.6.18", "tso": true, "mss_bytes": 1, "writes_bytes": [], "sndbuf_bytes": 1e18}]', "sndbuf"),
        ('{"vectors": [{"kernel": "2.6.18", "tso": true, "mss_bytes": 1460}]}', "writes_bytes"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(text: str, place: str) -> None:
    with pytest.raises(UsageError, match=place):
        scenarios(text.encode())


@pytest.mark.parametrize(
    ("results", "law"),
    [
        ({"skb_segments": [2, 3], "first_flight_segments": 6}, "skb_segments add up to 5, first_flight_segments is 6"),
        ({"skb_segments": [2, 0]}, "an skb without a segment"),
        ({"tso": False, "skb_segments": [2]}, "of several segments without TSO"),
        ({"first_flight_bytes": 14_481}, "first_flight_bytes is 14481, but 14480 were written"),
        ({"rwnd_bytes": 5840, "first_flight_bytes": 5841}, "the peer's window holds 5840"),
        ({"first_flight_segments": 2, "first_flight_bytes": 2897}, "2 segments hold 2 to 2896"),
        ({"skb_segments": [1, 1], "first_flight_bytes": 1}, "2 segments hold 2 to 2896"),
        ({"first_flight_bytes": 2896, "wmem_queued_bytes": 2000}, "2896 bytes are in flight"),
        ({"first_flight_segments": 10, "snd_cwnd_segments": 9}, "is 10, but snd_cwnd_segments is 9"),
    ],
)
def test_results_that_no_kernel_can_have_are_refused_by_name(results: dict[str, Any], law: str) -> None:
    whole = {"kernel": "2.6.18", "tso": True, "mss_bytes": MSS, "writes_bytes": [14_480], "label": "of mine"}
    with pytest.raises(UsageError, match=re.escape(law)) as refused:
        scenarios(json.dumps({"vectors": [whole, whole | results]}).encode())
    assert "vector 1 ('of mine')" in refused.value.message


def test_of_many_broken_vectors_some_are_named_and_all_are_counted() -> None:
    broken = [vector | {"first_flight_segments": 99} for vector in EXECUTED]
    with pytest.raises(UsageError, match=r"vector 0 .*; and \d+ more"):
        scenarios(json.dumps(broken).encode())


def test_what_a_restart_or_a_fin_sends_may_exceed_cwnd() -> None:
    beyond = {"first_flight_segments": 10, "snd_cwnd_segments": 2}
    whole = {"kernel": "2.6.18", "tso": True, "mss_bytes": MSS, "writes_bytes": [14_480]} | beyond
    restart = {"idle_restart": {"cwnd_before": 40, "idle_s": 10}}
    assert len(scenarios(json.dumps([whole | {"fin": True}, whole | restart]).encode())) == 2


def test_kernels_are_told_apart_by_their_build() -> None:
    upstream, early, filling, cutting = (
        kernel(name) for name in ("2.6.18.8", "2.6.18-92.1.22.el5", "2.6.18-128.el5PAE", "2.6.18-274.7.1.el5")
    )
    assert [k.fills_to_goal for k in (upstream, early, filling, cutting)] == [False, False, True, True]
    assert [k.cuts_at_mss for k in (upstream, early, filling, cutting)] == [False, False, False, True]
    assert msgspec.structs.replace(ROOMY, kernel="2.6.18-el5").kernel == "2.6.18-el5"
    assert kernel("2.6.18-el5").cuts_at_mss


@pytest.mark.parametrize("name", ["2.6.19", "6.18", "2.6.180", "2.6.18-rc1", "2.6.18-274", "", "x2.6.18"])
def test_another_kernel_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not modelled"):
        kernel(name)


# ---------------------------------------------------------------- the mechanisms, one by one


@pytest.mark.parametrize("tso", [True, False])
@pytest.mark.parametrize(
    ("timestamps", "cached_rtt_ms", "cwnd"),
    [(True, 0, 2), (True, 1, 10), (False, 20, 2), (False, 2999, 2), (False, 3000, 10)],
)
def test_m0_initcwnd_needs_a_cached_rtt(tso: bool, timestamps: bool, cached_rtt_ms: int, cwnd: int) -> None:
    prediction = predict(_but(tso=tso, timestamps=timestamps, cached_rtt_ms=cached_rtt_ms))
    assert prediction.snd_cwnd_segments == prediction.first_flight_segments == cwnd
    assert ("M0" in prediction.marks) == (cwnd == 2)


@pytest.mark.parametrize(("mss_bytes", "segments"), [(536, 4), (1095, 4), (1096, 3), (1460, 3), (1461, 2), (8948, 2)])
def test_without_initcwnd_the_window_is_that_of_rfc_3390(mss_bytes: int, segments: int) -> None:
    assert default_initial_segments(mss_bytes) == segments
    prediction = predict(_but(initcwnd=0, mss_bytes=mss_bytes))
    assert prediction.first_flight_segments == segments


def test_m1_a_response_of_exactly_initcwnd_waits_with_tso_only() -> None:
    held, whole = predict(_but(writes_bytes=[10 * MSS])), predict(_but(writes_bytes=[10 * MSS], tso=False))
    assert (held.skb_segments, held.marks, held.unsent_bytes) == ([2, 3, 3], ["M1"], 2 * MSS)
    assert (whole.first_flight_segments, whole.marks) == (10, [])


def test_m2_the_first_skb_leaves_with_the_old_window_where_skbs_are_filled_first() -> None:
    idle = {"idle_restart": IdleRestart(cwnd_before=40, idle_s=10), "rwnd_bytes": 262_144}
    ignored = predict(_but(kernel="2.6.18-128.el5", **idle))
    assert (ignored.skb_segments, ignored.snd_cwnd_segments, ignored.marks) == ([40], 10, ["M2"])
    assert predict(_but(kernel="2.6.18-92.el5", **idle)).first_flight_segments == 10
    assert predict(_but(kernel="2.6.18-128.el5", tso=False, **idle)).first_flight_segments == 10


@pytest.mark.parametrize(("idle_s", "cwnd"), [(0.22, 40), (0.23, 20), (0.44, 20), (0.45, 10), (60, 10)])
def test_every_rto_of_silence_halves_cwnd_down_to_initcwnd(idle_s: float, cwnd: int) -> None:
    prediction = predict(_but(tso=False, idle_restart=IdleRestart(cwnd_before=40, idle_s=idle_s)))
    assert prediction.snd_cwnd_segments == cwnd


def test_m3_the_default_send_buffer_holds_nine_segments_without_tso() -> None:
    stopped = predict(_but(tso=False, sndbuf_bytes=16_384))
    assert (stopped.first_flight_segments, stopped.unsent_bytes, stopped.marks) == (9, 0, ["M3"])
    assert predict(_but(sndbuf_bytes=16_384)).first_flight_segments == 10


def test_m4_the_window_of_an_old_client() -> None:
    for tso in (True, False):
        prediction = predict(_but(tso=tso, rwnd_bytes=5840))
        assert (prediction.first_flight_segments, prediction.marks) == (4, ["M4"])


def test_a_window_that_is_no_multiple_of_the_mss_is_cut_at_its_edge_before_rhel_5_6() -> None:
    window = 9 * MSS + 700
    assert predict(_but(kernel="2.6.18-194.el5", rwnd_bytes=window)).first_flight_bytes == window
    assert predict(_but(kernel="2.6.18-238.el5", rwnd_bytes=window)).first_flight_bytes == 9 * MSS


def test_nagle_holds_a_second_partial_segment_only() -> None:
    small = [100, 100, 100]
    assert predict(_but(writes_bytes=small)).skb_segments == [1]
    assert predict(_but(writes_bytes=small)).unsent_bytes == 200
    assert predict(_but(writes_bytes=small, nodelay=True)).skb_segments == [1, 1, 1]


# ---------------------------------------------------------------- properties

_PATTERNS = st.one_of(
    st.lists(st.integers(1, 200_000), min_size=1, max_size=3),
    st.lists(st.integers(1, 20_000), min_size=1, max_size=20),
    st.builds(lambda size, times: [size] * times, st.integers(1, 10_000), st.integers(1, 30)),
)
_KERNELS = ("2.6.18", "2.6.18-92.el5", "2.6.18-164.el5", "2.6.18-274.7.1.el5")
_SCENARIOS = st.builds(
    Scenario,
    kernel=st.sampled_from(_KERNELS),
    tso=st.booleans(),
    mss_bytes=st.one_of(st.sampled_from([88, 536, 1400, 1448, 1460, 8948]), st.integers(48, 9000)),
    writes_bytes=_PATTERNS,
    initcwnd=st.integers(0, 60),
    cached_rtt_ms=st.sampled_from([0, 20, 200, 2999, 3000]),
    timestamps=st.booleans(),
    rwnd_bytes=st.one_of(st.sampled_from([5840, 65_535, 262_144]), st.integers(400, 300_000)),
    sndbuf_bytes=st.one_of(st.sampled_from([16_384, 262_144]), st.integers(2048, 300_000)),
    nodelay=st.booleans(),
    idle_restart=st.none()
    | st.builds(IdleRestart, cwnd_before=st.integers(1, 100), idle_s=st.sampled_from([0.1, 0.5, 1, 10])),
)


@given(_SCENARIOS)
def test_a_prediction_never_exceeds_what_allows_it_and_adds_up(scenario: Scenario) -> None:
    prediction = predict(scenario)
    assert prediction == predict(scenario)
    assert sum(prediction.skb_segments) == prediction.first_flight_segments
    assert all(segments >= 1 for segments in prediction.skb_segments)
    assert prediction.first_flight_bytes <= min(scenario.rwnd_bytes, sum(scenario.writes_bytes))
    assert prediction.first_flight_bytes <= prediction.first_flight_segments * scenario.mss_bytes
    assert prediction.first_flight_bytes + prediction.unsent_bytes <= sum(scenario.writes_bytes)
    assert prediction.wmem_queued_bytes >= prediction.first_flight_bytes + prediction.unsent_bytes
    if not scenario.tso:
        assert set(prediction.skb_segments) <= {1}
    first = prediction.skb_segments[0] if prediction.skb_segments else 0
    # only the first skb of an idle restart may leave on an old quota
    if prediction.first_flight_segments > prediction.snd_cwnd_segments:
        assert scenario.idle_restart
        assert first == prediction.first_flight_segments <= scenario.idle_restart.cwnd_before
        assert "M2" in prediction.marks


@given(_SCENARIOS)
def test_the_first_write_alone_sends_a_prefix_of_what_all_send(scenario: Scenario) -> None:
    sizes = scenario.writes_bytes
    flights = [
        predict(msgspec.structs.replace(scenario, writes_bytes=sizes[:count])).first_flight_bytes
        for count in range(1, len(sizes) + 1)
    ]
    assert all(before <= after for before, after in itertools.pairwise(flights))


@given(_SCENARIOS, st.integers(1, 20_000))
def test_a_write_after_one_that_sleeps_changes_nothing(scenario: Scenario, size_bytes: int) -> None:
    one = predict(msgspec.structs.replace(scenario, writes_bytes=[400_000]))
    two = predict(msgspec.structs.replace(scenario, writes_bytes=[400_000, size_bytes]))
    assert one == two


@given(_SCENARIOS)
def test_marks_name_only_what_can_be(scenario: Scenario) -> None:
    prediction = predict(scenario)
    marks = set(prediction.marks)
    assert len(prediction.explanation) >= 2
    assert not (scenario.idle_restart and "M0" in marks)
    if not scenario.tso:
        assert not marks & {"M1", "M2"}
    if "M1" in marks:
        left = prediction.snd_cwnd_segments - prediction.first_flight_segments
        window = scenario.rwnd_bytes - prediction.first_flight_bytes
        third = min(scenario.rwnd_bytes, prediction.snd_cwnd_segments * scenario.mss_bytes) // 3
        assert min(left * scenario.mss_bytes, window) < third or left * scenario.mss_bytes > window
    if "M3" in marks:
        assert prediction.wmem_queued_bytes >= scenario.sndbuf_bytes
