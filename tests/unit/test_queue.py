"""The send queue over time, and the gaps in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.sender.send_queue import Queue, State, gap_ratio, queue
from offloadbench.report.plots import style
from offloadbench.report.plots.queue_plot import magnified, queue_over_time
from tests.unit.tcp_sender import MSS, TICK_US, Sender, trace
from tests.unit.test_diagnosis import recorded


def _queue(sender: Sender) -> Queue:
    return Queue(sender.run(), TICK_US)


def test_segments_are_those_sent_and_those_waiting() -> None:
    one = _queue(Sender(window_bytes=100 * MSS))
    assert one.segments[-1] == pytest.approx(one["wqueue_bytes"][-1] / MSS, abs=1)
    assert (one.segments > one["unacked_segments"]).all()


def test_a_full_pipe_has_no_gaps() -> None:
    one = _queue(Sender(line_rate_bits_per_s=10**8, cwnd_segments=1000))
    assert one.gaps(10**8 * MSS / 1538) == []


def test_the_time_that_data_need_on_the_link_is_no_gap() -> None:
    one = _queue(Sender(block_bytes=2 << 20))
    line = 10**9 * MSS / 1538
    net, gross = one.gaps(line), one.gaps()
    transfer_s = (2 << 20) * 8 / line
    assert len(net) == len(gross)
    assert np.median([gap.length_s for gap in net]) == pytest.approx(0.02, abs=0.002)
    assert np.median([gap.length_s for gap in gross]) == pytest.approx(0.02 + transfer_s, abs=0.002)
    assert {gap.state for gap in net} == {State.APPLICATION}
    assert gap_ratio(net, one.duration_s) == pytest.approx(0.02 / (0.02 + transfer_s), abs=0.05)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=60))
def test_gaps_lie_in_order_inside_the_trace_and_cover_no_tick_that_sends(sent: list[int]) -> None:
    columns = Sender().run(len(sent), 0)
    columns["sent_bytes"] = np.cumsum(sent) * MSS
    one = Queue(columns, TICK_US)
    gaps = one.gaps()
    ends = [gap.start_s + gap.length_s for gap in gaps]
    assert all(end <= following.start_s for end, following in zip(ends, gaps[1:], strict=False))
    sending_s = one["t_us"][1:][np.diff(one["sent_bytes"]) > 0] * 1e-6
    for gap in gaps:
        assert gap.length_s >= 0.25 * 0.02 - 1e-9
        assert not ((sending_s > gap.start_s + 1e-9) & (sending_s < gap.start_s + gap.length_s - 1e-9)).any()


def test_a_wait_for_memory_is_told_from_a_drained_queue_of_the_same_height() -> None:
    """256 KiB fill a buffer of 258048 to the brim: nothing waits for memory, the answer is what is missing."""
    assert queue(recorded("rounds").trace).share(State.APPLICATION) > 0.95
    assert queue(recorded("send-buffer").trace).share(State.SEND_BUFFER) > 0.9


def test_states_of_an_empty_and_of_a_short_trace() -> None:
    empty = Queue({name: column[:0] for name, column in Sender().run(5, 0).items()}, TICK_US)
    assert len(empty.states) == 0
    assert empty.duration_s == empty.goodput_bits_per_s == empty.change("sent_bytes") == 0
    short = Queue({name: column[:1] for name, column in Sender().run(5, 0).items()}, TICK_US)
    assert len(short.states) == 1
    assert short.gaps() == []


@pytest.mark.parametrize("narrow", [False, True])
def test_the_plot_shows_whole_and_magnified(narrow: bool) -> None:
    named = [(name, queue(recorded(name).trace)) for name in ("send-buffer-blocks", "link")]
    stretches = [magnified(one, one.gaps()) for _, one in named]
    for one, (start_s, length_s) in zip((one for _, one in named), stretches, strict=True):
        assert length_s == pytest.approx(8 * one.min_rtt_s)
        assert 0 <= start_s < one.duration_s
    with style.drawing():
        for chosen in (None, stretches):
            figure = queue_over_time(named, stretches=chosen, narrow=narrow)
            assert len(figure.axes) == 4
            assert figure.axes[0].get_title(loc="left") == "send-buffer-blocks"
            assert figure.axes[0].get_ylim()[0] == 0


def test_a_long_window_is_drawn_by_its_range() -> None:
    columns = trace(Sender(sndbuf_bytes=400_000).run(3000))
    with style.drawing():
        figure = queue_over_time([("long", queue(columns))])
    assert len(figure.axes[0].collections) == 1
    assert max(len(line.get_xdata()) for line in figure.axes[1].lines) <= 300  # type: ignore[arg-type]
