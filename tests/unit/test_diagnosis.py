"""What limits a sender: right on every limit that was set on purpose, recorded or made up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offloadbench.analysis.sender import theory
from offloadbench.analysis.sender.diagnosis import Diagnosis, diagnose
from offloadbench.analysis.sender.send_queue import State
from offloadbench.analysis.sender.suspect import Limit
from offloadbench.files.packed_columns import pack_waits
from offloadbench.model import TcpTrace, Waits
from tests.unit.tcp_sender import MSS, Sender, trace

FOLDER = Path(__file__).resolve().parents[1] / "data" / "tcp"
RECORDED = sorted(path.stem for path in FOLDER.glob("*.json") if path.stem not in ("replies", "exceeded"))
LINE_BYTES_PER_S = 10**9 / 8 * MSS / 1538
_several = settings(max_examples=12)


class Recorded(msgspec.Struct):
    """A file of tests/data/tcp."""

    limit: Limit
    facts: dict[str, Any]
    cpu_busy_ratio: float
    trace: TcpTrace


def recorded(name: str) -> Recorded:
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Recorded)


def _of(sender: Sender, **facts: Any) -> Diagnosis:
    known = {"line_rate_bits_per_s": sender.line_rate_bits_per_s, "rtt_s": sender.rtt_us * 1e-6}
    if sender.block_bytes:
        known["block_bytes"] = sender.block_bytes
    return diagnose([_trace(sender)], known | facts)


def _trace(sender: Sender) -> TcpTrace:
    return trace(sender.run(), "bbr" if sender.pacing_bytes_per_s and not sender.set_rate else "cubic")


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_limit_is_found(name: str) -> None:
    one = recorded(name)
    found = diagnose([one.trace], one.facts, cpu_busy_ratio=one.cpu_busy_ratio)
    assert found.limit is one.limit, found.sentence
    assert re.match(rf"Limited by (the )?{one.limit} at ", found.sentence)
    assert found.sentence.count(". ") == 0
    assert sum(found.shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", sorted(set(RECORDED) - {"cpu", "rounds", "blocks", "late-answers"}))
def test_what_tcp_shows_is_found_without_knowing_link_or_workload(name: str) -> None:
    one = recorded(name)
    assert diagnose([one.trace]).limit is one.limit


@pytest.mark.parametrize("name", ["rounds", "blocks", "late-answers"])
def test_an_unknown_exchange_is_the_applications(name: str) -> None:
    found = diagnose([recorded(name).trace])
    assert found.limit is Limit.APPLICATION
    assert "at a time and then waits" in found.sentence


def test_turns_that_are_too_short_to_be_seen_are_not_added_up() -> None:
    """64 KiB and its answer within 2 ms: few of the waits are gaps, and what lies between two of them is many turns."""
    found = diagnose([recorded("ping-pong-bbr").trace])
    assert "MiB at a time" not in found.sentence
    assert "it writes about 6" in found.sentence, found.sentence


def test_every_limit_that_can_be_found_is_recorded() -> None:
    limits = {recorded(name).limit for name in RECORDED}
    assert limits == set(Limit) - {Limit.PATH, Limit.NOTHING_FOUND}


def test_the_kernels_own_clock_misses_the_wait_that_the_queue_shows() -> None:
    found = diagnose([recorded("send-buffer").trace])
    assert found.shares[State.SEND_BUFFER] > 0.9
    assert "sndbuf_limited 0 %" in "; ".join(found.evidence)


@_several
@given(st.integers(200_000, 1_500_000))
def test_a_small_send_buffer(sndbuf_bytes: int) -> None:
    found = _of(Sender(sndbuf_bytes=sndbuf_bytes))
    assert found.limit is Limit.SEND_BUFFER, found.sentence
    assert found.bounds[0].name == theory.SEND_BUFFER


@_several
@given(st.integers(300_000, 1_000_000), st.sampled_from([4 << 20, 16 << 20]))
def test_a_small_send_buffer_under_large_blocks(sndbuf_bytes: int, block_bytes: int) -> None:
    assert _of(Sender(sndbuf_bytes=sndbuf_bytes, block_bytes=block_bytes)).limit is Limit.SEND_BUFFER


@_several
@given(st.integers(20_000, 1_500_000))
def test_a_small_window(window_bytes: int) -> None:
    assert _of(Sender(window_bytes=window_bytes)).limit is Limit.RECEIVE_WINDOW


@_several
@given(st.integers(10, 1000))
def test_a_small_congestion_window(segments: int) -> None:
    assert _of(Sender(cwnd_segments=segments)).limit is Limit.CONGESTION_WINDOW


@_several
@given(st.integers(20, 900), st.sampled_from([1 << 22, 1 << 24]), st.booleans())
def test_a_slow_link_whatever_else_waits(megabits_per_s: int, sndbuf_bytes: int, known: bool) -> None:
    sender = Sender(line_rate_bits_per_s=megabits_per_s * 10**6, sndbuf_bytes=sndbuf_bytes, cwnd_segments=6000)
    columns = trace(sender.run())
    facts = {"line_rate_bits_per_s": sender.line_rate_bits_per_s} if known else {}
    assert diagnose([columns], facts).limit is Limit.LINK


@_several
@given(st.integers(32, 2000).map(lambda kib: kib * 1024))
def test_one_block_at_a_time(block_bytes: int) -> None:
    found = _of(Sender(block_bytes=block_bytes))
    assert found.limit is Limit.QUEUE_DEPTH, found.sentence
    assert found.gaps
    assert float(np.median([gap.length_rtts for gap in found.gaps])) == pytest.approx(1, abs=0.15)


@_several
@given(st.sampled_from([1 << 17, 1 << 18, 1 << 19]))
def test_bursts_that_are_asked_for(burst_bytes: int) -> None:
    found = _of(Sender(block_bytes=burst_bytes), block_bytes=1 << 22, max_burst_bytes=burst_bytes)
    assert found.limit is Limit.R2T_ROUNDS, found.sentence


_SLOWER = st.floats(0.1, 0.5)


@_several
@given(st.integers(100_000, 1_200_000), st.floats(1.1, 2.0))
def test_a_small_send_buffer_under_bbr(sndbuf_bytes: int, faster: float) -> None:
    """BBR paces above what the buffer lets through, so data wait unsent with room in both windows."""
    found = _of(Sender(sndbuf_bytes=sndbuf_bytes, pacing_bytes_per_s=int(faster * sndbuf_bytes / 0.02)), rtt_s=0)
    assert found.limit is Limit.SEND_BUFFER, found.sentence


@_several
@given(_SLOWER, st.sampled_from([2000, 5000, 20_000]), st.floats(1.1, 3.0), st.booleans())
def test_an_application_that_writes_at_intervals(share: float, every_us: int, faster: float, paced: bool) -> None:
    """Pacing spreads what it wrote, but its queue runs empty before it writes again."""
    rate = LINE_BYTES_PER_S * share
    sender = Sender(
        block_bytes=int(rate * every_us * 1e-6),
        every_us=every_us,
        pacing_bytes_per_s=int(rate * faster) if paced else 0,
    )
    for facts in ({}, {"line_rate_bits_per_s": 10**9}):
        assert diagnose([_trace(sender)], facts).limit is Limit.APPLICATION


@_several
@given(_SLOWER, st.integers(5, 80))
def test_a_rate_that_was_set(share: float, rtt_ms: int) -> None:
    sender = Sender(pacing_bytes_per_s=int(LINE_BYTES_PER_S * share), set_rate=True, rtt_us=rtt_ms * 1000)
    found = _of(sender)
    assert found.limit is Limit.PACING
    assert "(SO_MAX_PACING_RATE)" in found.sentence


@_several
@given(_SLOWER)
def test_bbrs_own_estimate_is_the_link_only_where_no_line_says_otherwise(share: float) -> None:
    sender = Sender(pacing_bytes_per_s=int(LINE_BYTES_PER_S * share))
    assert diagnose([_trace(sender)]).limit is Limit.LINK
    assert diagnose([_trace(sender)], {"line_rate_bits_per_s": 10**9}).limit is Limit.PACING


@pytest.mark.parametrize("facts", [{}, {"line_rate_bits_per_s": 10**9}])
def test_what_bbr_spreads_is_explained_by_what_stops_it_again_and_again(facts: dict[str, int]) -> None:
    """A reader that takes 256 KiB and sleeps: BBR paces at its mean rate, and the window is shut for a fifth of it."""
    columns = Sender(pacing_bytes_per_s=3_000_000, rtt_us=15_000).run()
    shut = np.arange(len(columns["t_us"])) % 85 >= 68
    columns["snd_wnd_bytes"][shut] = 0
    assert diagnose([trace(columns, "bbr")], facts).limit is Limit.TARGET


def test_a_steady_rate_under_a_moving_window_is_the_links() -> None:
    columns = Sender(line_rate_bits_per_s=10**8, cwnd_segments=200).run()
    columns["snd_cwnd_segments"] -= np.arange(len(columns["t_us"])) % 100
    columns["unacked_segments"] = np.minimum(columns["unacked_segments"], columns["snd_cwnd_segments"])
    found = diagnose([trace(columns)])
    assert found.limit is Limit.LINK
    assert "while the congestion window moves between 111 and 190 segments" in found.sentence


def test_a_queue_behind_a_line_that_carries_more_is_the_paths() -> None:
    columns = trace(Sender(line_rate_bits_per_s=10**8, cwnd_segments=1000).run())
    assert diagnose([columns]).limit is Limit.LINK
    found = diagnose([columns], {"line_rate_bits_per_s": 10**9})
    assert found.limit is Limit.PATH
    assert "a queue stands on the path although the line carries 941 Mbit/s" in found.sentence


def test_what_was_selectively_acknowledged_is_no_queue_on_the_path() -> None:
    columns = Sender(line_rate_bits_per_s=10**8, cwnd_segments=1000).run()
    columns["sacked_segments"] = columns["unacked_segments"] * 9 // 10
    assert diagnose([trace(columns)]).limit is not Limit.LINK


def test_a_send_buffer_that_the_kernel_lets_grow_to_eight_times_its_size_is_not_the_limit() -> None:
    """A recorded one: 128 KiB of sk_sndbuf, and writes of 1 MiB that the kernel took whole."""
    one = recorded("exceeded")
    found = diagnose([one.trace], one.facts, cpu_busy_ratio=one.cpu_busy_ratio)
    assert found.limit not in (Limit.SEND_BUFFER, Limit.LINK)
    assert [bound.name for bound in found.bounds if bound.exceeded] == [theory.SEND_BUFFER]
    assert found.bound is not None
    assert found.bound.bits_per_s > found.figures["sender_goodput_bits_per_s"]


def test_a_bound_that_is_exceeded_refutes_its_suspect_and_is_marked() -> None:
    """As on a kernel that lets a sender without unsent data exceed sk_sndbuf many times over."""
    columns = Sender(sndbuf_bytes=400_000).run()
    columns["sndbuf_bytes"] //= 10
    found = diagnose([trace(columns)])
    assert found.limit is not Limit.SEND_BUFFER
    assert [bound.name for bound in found.bounds if bound.exceeded] == [theory.SEND_BUFFER]
    assert found.bounds[-1].exceeded
    assert any(clause.startswith("exceeded, so no bound here: ") for clause in found.evidence)


def test_readings_of_a_closed_socket_are_no_readings() -> None:
    columns = Sender(window_bytes=1 << 16).run()
    whole = diagnose([trace(columns)])
    for column in ("acked_bytes", "sent_bytes", "snd_mss_bytes", "sndbuf_bytes", "unacked_segments", "min_rtt_us"):
        columns[column][-20:] = 0
    closed = diagnose([trace(columns)])
    assert closed.limit is whole.limit is Limit.RECEIVE_WINDOW
    assert closed.figures["sender_goodput_bits_per_s"] == pytest.approx(
        whole.figures["sender_goodput_bits_per_s"], rel=0.02
    )


def test_answers_that_come_late_are_the_targets() -> None:
    found = _of(Sender(block_bytes=1 << 18, answer_us=60_000))
    assert found.limit is Limit.TARGET
    assert "answers that come late" in found.sentence


def test_a_block_that_fills_the_buffer_to_the_brim_is_limited_by_its_answer() -> None:
    found = _of(Sender(block_bytes=4 << 20, sndbuf_bytes=4 << 20))
    assert found.shares[State.SEND_BUFFER] > 0.4
    assert found.limit is Limit.QUEUE_DEPTH


def test_a_busy_cpu_is_blamed_only_when_nothing_else_explains() -> None:
    columns = [trace(Sender(window_bytes=1 << 16).run())]
    assert diagnose(columns, cpu_busy_ratio=1.0).limit is Limit.RECEIVE_WINDOW
    one = recorded("cpu")
    assert diagnose([one.trace], cpu_busy_ratio=0.5).limit is not Limit.CPU


def test_losses_are_named() -> None:
    columns = Sender(cwnd_segments=50).run()
    columns["total_retrans_segments"] = np.arange(len(columns["t_us"]))
    columns["snd_cwnd_segments"][::50] = 51
    found = diagnose([trace(columns)])
    assert found.limit is Limit.LOSS
    assert "losses keep small (1499 segments retransmitted, " in found.sentence


def test_a_window_that_grows_back_after_earlier_losses_is_theirs() -> None:
    columns = Sender(cwnd_segments=50).run()
    columns["total_retrans_segments"][:] = 40
    assert diagnose([trace(columns)]).limit is Limit.CONGESTION_WINDOW
    columns["snd_cwnd_segments"] += np.arange(len(columns["t_us"])) // 500
    found = diagnose([trace(columns)])
    assert found.limit is Limit.LOSS
    assert "grows back after earlier losses (40 segments retransmitted so far)" in found.sentence


def test_pacing_below_the_windows_is_named() -> None:
    one = recorded("link-bbr")
    found = diagnose([one.trace], {"line_rate_bits_per_s": 10**10, "rtt_s": 0.0269})
    assert found.limit is Limit.PACING
    assert "paced by BBR, which estimates 942 Mbit/s" in found.sentence
    assert "10 % of what the line carries" in found.sentence


def _waits(total_us: int) -> Waits:
    columns = {name: np.array([value]) for name, value in (("start_us", 0), ("duration_us", total_us), ("chain", 0))}
    chain = ["tcp_sendmsg", "sk_stream_wait_memory", "__schedule"]
    return Waits(
        window_s=1.0, threads=[7], chains=[chain], rows=1, columns=pack_waits(dict(columns)), unfinished=0,
        lost_switches=0, perf_cpu_s=0.0,
    )  # fmt: skip


def test_stacks_overrule_the_look_of_the_queue() -> None:
    columns = [trace(Sender(sndbuf_bytes=400_000).run())]
    assert diagnose(columns, waited=_waits(950_000)).limit is Limit.SEND_BUFFER
    assert diagnose(columns, waited=_waits(1000)).limit is not Limit.SEND_BUFFER


def test_several_connections_fill_a_line_together() -> None:
    columns = trace(Sender(window_bytes=800_000).run())
    facts = {"line_rate_bits_per_s": 10**9}
    assert diagnose([columns], facts).limit is Limit.RECEIVE_WINDOW
    assert diagnose([columns] * 3, facts).limit is Limit.LINK
    assert diagnose([columns], facts, wire_bits_per_s=0.98e9).limit is Limit.LINK


def test_silence_and_absence_find_nothing() -> None:
    columns = {name: np.full(100, 5) for name in Sender().run(10)} | {"t_us": np.arange(100) * 1000}
    assert diagnose([trace(columns)]).limit is Limit.NOTHING_FOUND
    assert diagnose([]).limit is Limit.NOTHING_FOUND
