"""Names of threads at the time of a sample, as perf script prints them."""

from __future__ import annotations

from pathlib import Path

import pytest

from offloadbench.kernel.trace import perfdata
from offloadbench.kernel.trace.perfdata.abi import RecordType, SampleField
from tests.unit import perfdata_files as build
from tests.unit.perfdata_files import PLAIN, Attr, comm, fork, record, sample

ORDERS = ["<", ">"]


def _names(path: Path, content: bytes) -> list[str]:
    path.write_bytes(content)
    recording = perfdata.read(path)
    assert recording.problem == ""
    return [recording.comms[number] for batch in recording.batches() for number in batch.comm.tolist()]


@pytest.mark.parametrize("order", ORDERS)
def test_a_name_holds_from_its_time_on_wherever_its_record_lies(tmp_path: Path, order: str) -> None:
    records = [
        *(sample(order, tid=5, time_ns=time_ns) for time_ns in (99, 100, 150, 199, 200, 2**63)),
        comm(order, 5, "second", 200),
        comm(order, 5, "first", 100),
        comm(order, 4, "other", 0),
        comm(order, 6, "other", 0),
    ]
    names = _names(tmp_path / "perf.data", build.file(order, records))
    assert names == [":5", "first", "first", "first", "second", "second"]


@pytest.mark.parametrize("order", ORDERS)
def test_a_child_has_its_parent_s_name_until_it_takes_its_own(tmp_path: Path, order: str) -> None:
    records = [
        comm(order, 1, "sh", 0),
        fork(order, 2, 1, 100),
        comm(order, 1, "bash", 150),
        comm(order, 2, "ls", 200),
        # the number is used again, by a child of a nameless thread
        fork(order, 2, 77, 300),
        *(sample(order, tid=2, time_ns=time_ns) for time_ns in (50, 100, 199, 200, 299, 300)),
        sample(order, tid=1, time_ns=400),
    ]
    names = _names(tmp_path / "perf.data", build.file(order, records))
    assert names == [":2", "sh", "sh", "ls", "ls", ":2", "bash"]


def test_records_without_a_time_hold_from_the_beginning(tmp_path: Path) -> None:
    """perf makes them up for what ran before; with --tail-synthesize it writes them last."""
    records = [sample("<", tid=3, time_ns=10), comm("<", 3, "early", 0), comm("<", 4, "unset", 2**64 - 1)]
    records += [sample("<", tid=4, time_ns=1)]
    assert _names(tmp_path / "perf.data", build.file("<", records)) == ["early", "unset"]


@pytest.mark.parametrize("attr", [Attr(flags=()), Attr(PLAIN & ~SampleField.TIME)])
def test_without_times_the_order_of_the_file_counts(tmp_path: Path, attr: Attr) -> None:
    def named(name: str) -> bytes:
        body = record("<", RecordType.COMM, "II", 3, 3, text=name)
        return body if not attr.flags else record("<", RecordType.COMM, "II16sIIII", 3, 3, name.encode(), 0, 0, 0, 0)

    samples = sample("<", tid=3, time_ns=10)
    if attr.sample_type != PLAIN:
        samples = record("<", RecordType.SAMPLE, "QIIIIQ", 0x10, 3, 3, 0, 0, 1)
    content = build.file("<", [samples, named("a"), samples, samples, named("b"), samples], [attr])
    assert _names(tmp_path / "perf.data", content) == [":3", "a", "a", "b"]


def test_the_idle_thread_and_nameless_ones(tmp_path: Path) -> None:
    records = [sample("<", tid=tid) for tid in (0, 9, -1, 2**31 - 1, 9)]
    names = _names(tmp_path / "perf.data", build.file("<", records))
    assert names == ["swapper", ":9", ":-1", ":2147483647", ":9"]


@pytest.mark.parametrize("name", ["Web Content", "kworker/0:1-ev", "a [b] 12", "", "napi/dut0-0", "12", "grün"])
def test_odd_names_are_kept(tmp_path: Path, name: str) -> None:
    records = [comm("<", 7, name, 0), sample("<", tid=7)]
    assert _names(tmp_path / "perf.data", build.file("<", records)) == [name]


def test_times_come_from_the_trailer_of_the_record_s_own_event(tmp_path: Path) -> None:
    """Two events whose trailers differ in length, told apart by the identifier at the very end."""
    short = SampleField.IDENTIFIER | SampleField.TIME | SampleField.TID
    attrs = [Attr(short, ids=(1,)), Attr(short | SampleField.CPU | SampleField.STREAM_ID, ids=(2,))]
    body = (b"first".ljust(8, b"\0"), 0, 0, 100, 1)
    records = [
        record("<", RecordType.COMM, "II8sIIQQ", 3, 3, *body),
        record("<", RecordType.COMM, "II8sIIQQQQ", 3, 3, b"second", 0, 0, 200, 0, 0, 2),
        *(record("<", RecordType.SAMPLE, "QIIQ", 1, 3, 3, time_ns) for time_ns in (99, 100, 200)),
    ]
    assert _names(tmp_path / "perf.data", build.file("<", records, attrs)) == [":3", "first", "second"]
