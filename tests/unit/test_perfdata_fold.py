"""Samples folded into the counts of a run file."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from offloadbench.base.errors import ProfilerError
from offloadbench.files.packed_columns import PROFILE_COLUMNS, unpack_profile
from offloadbench.kernel.trace import perf, perfdata
from offloadbench.kernel.trace.perfdata import folding
from offloadbench.kernel.trace.perfdata.abi import RecordType, SampleField
from offloadbench.model import ProfileCounts, ProfileEvent
from tests.unit import perfdata_files as build
from tests.unit.builders import CLOCK, INSTRUCTIONS
from tests.unit.perfdata_files import PLAIN, Attr, comm, record, sample
from tests.unit.test_perfdata_recordings import EXPECTED, FOLDER

S = 10**9
Row = dict[str, object]


def _fold(
    path: Path,
    content: bytes,
    *,
    events: tuple[ProfileEvent, ...] = (CLOCK,),
    start_s: float = 100.0,
    window_s: float = 3.0,
    own: frozenset[int] = frozenset(),
) -> ProfileCounts:
    path.write_bytes(content)
    return perf.read_counts(path, list(events), start_s, window_s, own=own)


def _rows(counts: ProfileCounts) -> list[Row]:
    columns = unpack_profile(counts)
    values = zip(*(columns[name].tolist() for name in PROFILE_COLUMNS), strict=True)
    return [dict(zip(PROFILE_COLUMNS, row, strict=True)) for row in values]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "perf.data"


def test_equal_samples_are_one_row(path: Path) -> None:
    records = [comm("<", 7, "python", 0)]
    records += [sample("<", ip=0x10, time_ns=100 * S + n, period=n, cpu=3) for n in range(1, 101)]
    records += [sample("<", ip=0x10, time_ns=100 * S, period=5, mode=2), sample("<", ip=2**64 - 1, time_ns=102 * S)]
    counts = _fold(path, build.file("<", records))
    rows = _rows(counts)
    process = counts.comms.index("python")
    assert counts.samples == 102
    assert counts.outside_window == 0
    common = {"address": 0x10, "process": process, "second": 0, "event": 0}
    assert {"mode": b"K", "cpu": 3, "count": 100, "weight": 5050, **common} in rows
    assert {"mode": b"U", "cpu": 0, "count": 1, "weight": 5, **common} in rows
    assert len(rows) == 3


def test_the_mode_is_the_letter_that_perf_prints(path: Path) -> None:
    records = [sample("<", mode=mode, time_ns=100 * S) for mode in range(8)]
    counts = _fold(path, build.file("<", records))
    assert Counter(row["mode"] for row in _rows(counts)) == Counter([b"K", b"U", b"H", b"G", b"g", b"?", b"?", b"?"])


def test_samples_outside_the_window_are_left_out_and_told(path: Path) -> None:
    records = [sample("<", time_ns=second * S + S // 2) for second in (98, 100, 101, 102, 104)]
    counts = _fold(path, build.file("<", records))
    assert {row["second"]: row["count"] for row in _rows(counts)} == {0: 1, 1: 1, 2: 1}
    assert (counts.samples, counts.outside_window) == (3, 2)


def test_processes_of_the_run_are_known_by_their_pid(path: Path) -> None:
    records = [sample("<", pid=pid, tid=pid, time_ns=100 * S) for pid in (7, 7, 8)]
    counts = _fold(path, build.file("<", records), own=frozenset({7}))
    found = {(counts.own[int(str(row["process"]))], int(str(row["count"]))) for row in _rows(counts)}
    assert found == {(True, 2), (False, 1)}
    assert _fold(path, build.file("<", records)).own == []


def test_a_window_that_ends_in_a_fraction_of_a_second_keeps_its_last_second(path: Path) -> None:
    counts = _fold(path, build.file("<", [sample("<", time_ns=103 * S + 100)]), window_s=3.002)
    assert [row["second"] for row in _rows(counts)] == [3]
    assert counts.outside_window == 0


@pytest.mark.parametrize("name", ["cpu-clock", "cpu-clock:pppH", "cpu-clock/period=1000000/", "cpu_core/cpu-clock/"])
def test_modifiers_of_an_event_do_not_hide_it(path: Path, name: str) -> None:
    content = build.file("<", [sample("<", time_ns=100 * S)], features=build.description("<", [name]))
    assert _fold(path, content).samples == 1


def test_an_event_that_was_not_asked_for_is_a_profiler_error(path: Path) -> None:
    kind = PLAIN | SampleField.ID
    attrs = [Attr(kind, ids=(1,)), Attr(kind, ids=(2,), config=2), Attr(kind, ids=(3,), config=9)]
    clock, fault = (record("<", 9, "QIIQQIIQ", 0x10, 7, 7, 100 * S, number, 0, 0, 1) for number in (1, 2))
    assert _fold(path, build.file("<", [clock], attrs)).samples == 1
    with pytest.raises(ProfilerError, match="'page-faults'") as caught:
        _fold(path, build.file("<", [clock, fault], attrs))
    assert caught.value.exit_code == 7


def test_samples_without_a_cpu_are_a_profiler_error(path: Path) -> None:
    content = build.file("<", [record("<", 9, "QQ", 0x10, 5)], [Attr(SampleField.IP | SampleField.TIME)])
    with pytest.raises(ProfilerError, match="without a CPU"):
        _fold(path, content)


def test_a_damaged_recording_is_a_profiler_error(path: Path) -> None:
    content = build.file("<", [sample("<", time_ns=100 * S)])
    with pytest.raises(ProfilerError, match="damaged: truncated at byte"):
        _fold(path, content[:-1])


def test_losses_are_the_samples_not_the_records_that_tell_of_them(path: Path) -> None:
    throttle = build.with_trailer("<", record("<", RecordType.THROTTLE, "QQQ", 1, 7, 7), 10)
    lost = build.with_trailer("<", record("<", RecordType.LOST, "QQ", 7, 40), 10)
    by_pmu = build.with_trailer("<", record("<", RecordType.LOST_SAMPLES, "Q", 5), 10)
    counts = _fold(path, build.file("<", [lost, throttle, sample("<", time_ns=100 * S), by_pmu]))
    assert (counts.lost_samples, counts.throttled) == (45, 1)


def test_a_recording_without_samples_is_empty(path: Path) -> None:
    counts = _fold(path, build.file("<", [comm("<", 7, "python", 0)]))
    assert (counts.samples, counts.rows, counts.comms, counts.lost_samples, counts.throttled) == (0, 0, [], 0, 0)


def test_rows_are_the_same_whenever_they_are_put_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    records = [
        sample("<", ip=int(ip), tid=int(tid), time_ns=int(time_ns), cpu=int(cpu), period=2)
        for ip, tid, time_ns, cpu in zip(
            random.integers(0, 40, 60_000),
            random.integers(0, 5, 60_000),
            random.integers(100 * S, 103 * S, 60_000),
            random.integers(0, 3, 60_000),
            strict=True,
        )
    ]
    content = build.file("<", records)
    at_end = _fold(path, content)
    monkeypatch.setattr(folding, "_MERGE_ROWS", 1)
    assert _fold(path, content) == at_end
    rows = _rows(at_end)
    assert sum(int(str(row["count"])) for row in rows) == 60_000
    assert sum(int(str(row["weight"])) for row in rows) == 120_000


def test_events_of_a_real_recording_keep_their_weights(path: Path) -> None:
    name = "perf.data.forkexit-3.4"
    path.write_bytes(gzip.decompress((FOLDER / f"{name}.gz").read_bytes()))
    asked = [
        ProfileEvent(name=event["event"], quantity=event["event"], period=1)
        for event in reversed(EXPECTED[name]["events"])
    ]
    counts = perfdata.fold(perfdata.read(path), asked, 2225.0, 10.0)
    weights, samples = Counter[str](), Counter[str]()
    for row in _rows(counts):
        event = asked[int(str(row["event"]))].name
        weights[event] += int(str(row["weight"]))
        samples[event] += int(str(row["count"]))
    assert weights == {event["event"]: event["period"] for event in EXPECTED[name]["events"]}
    assert samples == {event["event"]: event["samples"] for event in EXPECTED[name]["events"]}
    assert {"chrome", "Compositor"} <= set(counts.comms)
    with pytest.raises(ProfilerError, match="not asked for"):
        perfdata.fold(perfdata.read(path), [INSTRUCTIONS], 2225.0, 10.0)
