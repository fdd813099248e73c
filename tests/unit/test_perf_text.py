"""The text of perf script and perf report, from real recordings."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import pytest

from offloadbench.errors import ProfilerError
from offloadbench.kernel import perf, tracepoints
from offloadbench.model import ProfileEvent
from tests.unit.builders import CLOCK, INSTRUCTIONS

CYCLES = ProfileEvent(name="cycles", quantity="cycles", period=2_000_003)
LINE = "  {comm} {pid} [{cpu:03d}] {mode}      {s}.{ns:09d}:    {period} {event}:  {ip:x}\n"


def _line(**changes: object) -> str:
    values = {"comm": "python", "pid": 7, "cpu": 0, "mode": "K", "s": 100, "ns": 0, "period": 1, "ip": 0x10}
    return LINE.format(**(values | {"event": "cpu-clock"} | changes))


def test_every_line_of_a_clock_recording_is_counted(data: Path) -> None:
    lines = (data / "perf_script_clock.txt").read_text().splitlines(keepends=True)
    table, unread = perf.count_samples(lines, [CLOCK], 1979.0, 3.0)
    assert unread == []
    assert table.samples == len(lines) == table.counts.total()
    assert table.weights.total() == len(lines) * 1_000_000
    by_comm = Counter(line.split()[0] for line in lines)
    found: Counter[str] = Counter()
    names = {number: name for name, number in table.comms.items()}
    for key, count in table.counts.items():
        found[names[key[2]]] += count
    assert found == by_comm
    assert {key[0] for key in table.counts} == {int(line.split()[-1], 16) for line in lines}


def test_names_with_blanks_and_a_period_a_sample_are_understood(data: Path) -> None:
    lines = (data / "perf_script_hardware.txt").read_text().splitlines()
    table, unread = perf.count_samples(lines, [INSTRUCTIONS, CYCLES], 2225.0, 10.0)
    assert unread == []
    assert {"Browser Composi", "D-Bus thread"} <= set(table.comms)
    for index, name in enumerate(("instructions", "cycles")):
        printed = sum(int(line.split()[-3]) for line in lines if line.split()[-2] == f"{name}:")
        assert sum(weight for key, weight in table.weights.items() if key[5] == index) == printed


@pytest.mark.parametrize("comm", ["Web Content", "kworker/0:1-ev", "a [b] 12", ":4711", "napi/dut0-0", "12"])
def test_odd_process_names_keep_their_process(comm: str) -> None:
    table, unread = perf.count_samples([_line(comm=comm)], [CLOCK], 100.0, 1.0)
    assert unread == []
    assert list(table.comms) == [comm]


def test_the_mode_is_its_first_letter_and_unknown_where_perf_prints_none() -> None:
    table, _ = perf.count_samples([_line(mode=mode) for mode in ("K", "U", "H", "")], [CLOCK], 100.0, 1.0)
    assert sorted(key[1] for key in table.counts) == ["?", "H", "K", "U"]


def test_samples_outside_the_window_go_to_its_edge_seconds_and_are_told() -> None:
    lines = [_line(s=second, ns=500_000_000) for second in (98, 100, 101, 102, 104)]
    table, _ = perf.count_samples(lines, [CLOCK], 100.0, 3.0)
    seconds = Counter({key[4]: count for key, count in table.counts.items()})
    assert seconds == Counter({0: 2, 1: 1, 2: 2})
    assert table.outside == 2


def test_a_window_that_ends_in_a_fraction_of_a_second_keeps_its_last_second() -> None:
    table, _ = perf.count_samples([_line(s=103, ns=100)], [CLOCK], 100.0, 3.002)
    assert {key[4] for key in table.counts} == {3}
    assert table.outside == 0


@pytest.mark.parametrize("event", ["cpu-clock:pppH", "cpu-clock/period=1000000/", "cpu-clock:k"])
def test_modifiers_of_an_event_do_not_hide_it(event: str) -> None:
    table, _ = perf.count_samples([_line(event=event)], [CLOCK], 100.0, 1.0)
    assert table.samples == 1


def test_an_event_that_was_not_asked_for_is_a_profiler_error() -> None:
    with pytest.raises(ProfilerError, match="'page-faults'") as caught:
        perf.count_samples([_line(event="page-faults")], [CLOCK], 100.0, 1.0)
    assert caught.value.exit_code == 7


def test_lines_that_are_no_samples_come_back_and_blank_ones_do_not() -> None:
    table, unread = perf.count_samples(["\n", "  what is this\n", _line()], [CLOCK], 100.0, 1.0)
    assert unread == ["what is this"]
    assert table.samples == 1


def _perf_data(path: Path, *records: bytes) -> Path:
    """A perf.data file with nothing but a header and these records."""
    body = b"".join(records)
    path.write_bytes(b"PERFILE2" + struct.pack("<QQQQQQ", 104, 128, 104, 0, 104, len(body)) + bytes(48) + body)
    return path


def _record(kind: int, *values: int) -> bytes:
    return struct.pack("<IHH", kind, 0, 8 + 8 * len(values)) + struct.pack(f"<{len(values)}Q", *values)


def test_losses_are_the_samples_not_the_records_that_tell_of_them(tmp_path: Path) -> None:
    lost, lost_samples, throttle, sample = _record(2, 7, 40), _record(13, 5), _record(5, 1, 7, 7), _record(9, 1, 2)
    data = _perf_data(tmp_path / "perf.data", sample, lost, throttle, sample, lost_samples)
    assert perf.count_losses(data) == (45, 1)


def test_a_recording_without_losses_has_none(tmp_path: Path) -> None:
    assert perf.count_losses(_perf_data(tmp_path / "perf.data", _record(9, 1, 2))) == (0, 0)


def test_packet_shapes_are_counted_by_tracepoint(data: Path) -> None:
    text = (data / "perf_trace.txt").read_text()
    shapes = {packets.tracepoint: packets.shapes for packets in tracepoints.count_shapes(text.splitlines())}
    assert set(shapes) == {"net:net_dev_queue", "net:net_dev_start_xmit", "net:netif_rx_entry"}
    for name, rows in shapes.items():
        lines = [line for line in text.splitlines() if f"{name}:" in line]
        assert sum(row[3] for row in rows) == len(lines)
        lengths = Counter(next(int(w[4:]) for w in line.split() if w.startswith("len=")) for line in lines)
        found: Counter[int] = Counter()
        for row in rows:
            found[row[0]] += row[3]
        assert found == lengths
    # net_dev_queue has neither field; over loopback every packet keeps ip_summed 3 (CHECKSUM_PARTIAL)
    assert {(row[1], row[2]) for row in shapes["net:net_dev_queue"]} == {(-1, -1)}
    sizes = {int(word[9:]) for word in text.split() if word.startswith("gso_size=")}
    assert {(row[1], row[2]) for row in shapes["net:net_dev_start_xmit"]} == {(size, 3) for size in sizes}


def test_a_super_packet_keeps_its_segment_size(data: Path) -> None:
    real = next(line for line in (data / "perf_trace.txt").read_text().splitlines() if "start_xmit" in line)
    line = real.replace("len=74 data_len=0", "len=65226 data_len=65160").replace("gso_size=0", "gso_size=1448")
    assert line != real
    assert tracepoints.count_shapes([line, "# noise", line])[0].shapes == [[65226, 1448, 3, 2]]
