"""Damaged files: what is readable is kept, what is wrong is said, and nothing else is ever raised or looped over."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from offloadbench.base.errors import ProfilerError
from offloadbench.kernel.trace import perfdata
from offloadbench.kernel.trace.perfdata.abi import RecordType, SampleField
from offloadbench.model import ProfileEvent
from tests.unit import perfdata_files as build
from tests.unit.perfdata_files import PLAIN, Attr, record, sample

CLOCK = ProfileEvent(name="cpu-clock", quantity="kernel_cpu_time_ns", period=1)


def _ips(path: Path) -> tuple[list[int], str]:
    recording = perfdata.read(path)
    ips = [ip for batch in recording.batches(chains=True) for ip in batch.ip.tolist()]
    assert len(ips) == sum(recording.samples)
    return ips, recording.problem


def _small(order: str) -> dict[str, bytes]:
    """One small file of each kind, with records of every sort that is parsed."""
    attrs = [Attr(PLAIN | SampleField.ID, ids=(1,)), Attr(PLAIN | SampleField.ID | SampleField.CALLCHAIN, ids=(2,))]
    records = [
        build.comm(order, 7, "worker", 5),
        build.fork(order, 8, 7, 6),
        build.with_trailer(order, record(order, RecordType.LOST, "QQ", 1, 40), 10),
        build.with_trailer(order, record(order, RecordType.LOST_SAMPLES, "Q", 5), 11),
        record(order, RecordType.MMAP, "iIQQQ", -1, 0, 1, 2, 3, misc=1, text="[tun]"),
        record(order, RecordType.MMAP2, "iIQQQIIQQII", -1, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, misc=1, text="[tap]"),
        record(order, 9, "QiiQQIIQ", 0x10, 7, 7, 5, 1, 0, 0, 1),
        record(order, 9, "QiiQQIIQQQ", 0x20, 7, 7, 6, 2, 0, 0, 1, 1, 0x20),
        record(order, 9, "QiiQQIIQQQ", 0x30, 8, 8, 7, 2, 1, 0, 1, 1, 0x30),
    ]
    trace = record(order, RecordType.AUXTRACE, "Q", 16) + bytes(16)
    packed = zstandard.ZstdCompressor().compress(b"".join(records))
    zipped = [record(order, RecordType.COMPRESSED, f"{len(packed)}s", packed)]
    described = build.description(order, ["cpu-clock", "cycles"])
    return {
        "file": build.file(order, [*records, trace, records[-1]], attrs, features=described),
        "pipe": build.pipe(order, [*records, trace, records[-1]], attrs),
        "zipped": build.file(order, zipped, attrs, features=described),
    }


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["file", "pipe", "zipped"])
def test_a_file_cut_at_any_byte_keeps_what_was_before(tmp_path: Path, order: str, kind: str) -> None:
    content = _small(order)[kind]
    path = tmp_path / "perf.data"
    path.write_bytes(content)
    whole, problem = _ips(path)
    assert problem == ""
    assert len(whole) >= 3
    told = 0
    for size in reversed(range(len(content))):
        os.truncate(path, size)
        try:
            ips, problem = _ips(path)
        except ProfilerError as error:
            assert error.hint
            continue
        assert ips == whole[: len(ips)]
        told += problem != ""
        if kind != "pipe":
            assert problem
    assert told > 100


def test_the_place_of_a_cut_is_named(tmp_path: Path) -> None:
    content = build.file("<", [sample("<", ip=ip) for ip in range(5)])
    path = tmp_path / "perf.data"
    path.write_bytes(content[:-40])
    ips, problem = _ips(path)
    assert ips == [0, 1, 2, 3]
    assert problem == f"truncated at byte {len(content) - 40}: 40 bytes of records are missing"


def test_a_pipe_that_ends_within_a_record(tmp_path: Path) -> None:
    content = build.pipe("<", [sample("<", ip=ip) for ip in range(5)])
    path = tmp_path / "perf.data"
    path.write_bytes(content[:-1])
    assert _ips(path) == ([0, 1, 2, 3], f"truncated at byte {len(content) - 48}: the record there is not whole")


def test_a_pipe_that_nothing_was_written_to(tmp_path: Path) -> None:
    path = tmp_path / "perf.data"
    path.write_bytes(build.pipe("<", [], []))
    assert _ips(path) == ([], "no event is described")


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_record_smaller_than_its_header_ends_the_reading(tmp_path: Path, size: int) -> None:
    bad = bytearray(sample("<", ip=9))
    bad[6:8] = size.to_bytes(2, "little")
    before = [sample("<", ip=ip) for ip in range(100)]
    content = build.file("<", [*before, bytes(bad), *before])
    path = tmp_path / "perf.data"
    path.write_bytes(content)
    place = len(content) - 101 * 48
    problem = f"damaged at byte {place}: a record of type 9 gives its size as {size}"
    assert _ips(path) == ([*range(100)], problem)


def test_a_recording_that_was_killed_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "perf.data"
    path.write_bytes(build.file("<", [sample("<", ip=ip) for ip in range(5)], data_bytes=0)[:-10])
    ips, problem = _ips(path)
    assert ips == [0, 1, 2, 3]
    assert "perf was killed" in problem
    assert "truncated at byte" in problem


def test_samples_shorter_than_their_fields_are_told(tmp_path: Path) -> None:
    path = tmp_path / "perf.data"
    path.write_bytes(
        build.file("<", [sample("<", ip=1), record("<", 9, "Q", 2), record("<", 9, ""), sample("<", ip=3)])
    )
    assert _ips(path) == ([1, 3], "2 samples are shorter than their fields")


def test_other_records_shorter_than_their_fields_are_told(tmp_path: Path) -> None:
    kinds = (RecordType.COMM, RecordType.FORK, RecordType.LOST, RecordType.LOST_SAMPLES)
    path = tmp_path / "perf.data"
    path.write_bytes(build.file("<", [*(record("<", kind, "") for kind in kinds), sample("<", ip=1)]))
    assert _ips(path) == ([1], "4 records other than samples are shorter than their fields")


def test_what_is_not_zstd_is_told_and_what_was_before_is_kept(tmp_path: Path) -> None:
    packed = zstandard.ZstdCompressor().compress(b"".join(sample("<", ip=ip) for ip in range(3)))
    good = record("<", RecordType.COMPRESSED, f"{len(packed)}s", packed)
    content = build.file("<", [good, record("<", RecordType.COMPRESSED, "16s", b"this is not zstd")])
    path = tmp_path / "perf.data"
    path.write_bytes(content)
    ips, problem = _ips(path)
    assert ips == [0, 1, 2]
    assert problem.startswith(f"damaged at byte {len(content) - 24}: zstd")


def test_a_small_file_that_unpacks_to_much_is_read_in_pieces(tmp_path: Path) -> None:
    count = 400_000
    packed = zstandard.ZstdCompressor().compress(sample("<", ip=1) * count)
    pieces = [packed[at : at + 60_000] for at in range(0, len(packed), 60_000)]
    path = tmp_path / "perf.data"
    path.write_bytes(build.file("<", [record("<", RecordType.COMPRESSED, f"{len(p)}s", p) for p in pieces]))
    recording = perfdata.read(path)
    assert recording.samples == (count,)
    assert max(len(batch.ip) for batch in recording.batches()) * 48 < 20_000_000


_CONTENTS = [content for order in "<>" for content in _small(order).values()]


@settings(max_examples=600)
@given(
    which=st.integers(0, len(_CONTENTS) - 1),
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=9)), min_size=1, max_size=6),
)
def test_no_change_of_bytes_is_an_error_of_ours(which: int, changes: list[tuple[int, bytes]]) -> None:
    content = bytearray(_CONTENTS[which])
    for at, data in changes:
        place = at % len(content)
        content[place : place + len(data)] = data[: len(content) - place]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "perf.data"
        path.write_bytes(content)
        try:
            _ips(path)
            perfdata.fold(perfdata.read(path), [CLOCK], 0.0, 1.0)
        except ProfilerError as error:
            assert error.hint


@given(
    data=st.binary(max_size=400), magic=st.sampled_from([b"PERFILE2", b"2ELIFREP", b"PERFILE2" + b"\x10" + bytes(7)])
)
def test_no_bytes_are_an_error_of_ours(data: bytes, magic: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "perf.data"
        path.write_bytes(magic + data)
        try:
            _ips(path)
        except ProfilerError as error:
            assert error.hint
