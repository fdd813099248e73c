"""Files as perf writes them, in both byte orders: header, records of all sizes, pipe mode, compression."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from offloadbench.base.errors import ProfilerError
from offloadbench.kernel.trace import perfdata
from offloadbench.kernel.trace.perfdata import CpuMode, stream
from offloadbench.kernel.trace.perfdata.abi import ReadFormat, RecordType, SampleField
from tests.unit import perfdata_files as build
from tests.unit.perfdata_files import DESCRIPTION, PLAIN, Attr, record, sample

Write = Callable[[bytes], Path]
ORDERS = ["<", ">"]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file and return its path."""

    def call(content: bytes) -> Path:
        path = tmp_path / "perf.data"
        path.write_bytes(content)
        return path

    return call


def _column(recording: perfdata.Recording, name: str) -> list[int]:
    return [value for batch in recording.batches() for value in getattr(batch, name).tolist()]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("wrap", [build.file, build.pipe])
def test_every_column_in_both_byte_orders(write: Write, order: str, wrap: Callable[..., bytes]) -> None:
    samples = [
        sample(order, ip=0xFFFF_FFFF_8100_0010, pid=-1, tid=8, time_ns=2**40 + 5, cpu=3, period=2**33, mode=1),
        sample(
            order, ip=0x80_0000, pid=1 << 21, tid=9, time_ns=7, cpu=1023, period=1, mode=CpuMode.GUEST_USER | 0x4000
        ),
    ]
    recording = perfdata.read(write(wrap(order, samples)))
    assert recording.problem == ""
    assert recording.header.order.prefix == order
    columns = [_column(recording, name) for name in ("ip", "mode", "pid", "tid", "cpu", "time_ns", "period", "event")]
    first = (0xFFFF_FFFF_8100_0010, CpuMode.KERNEL, -1, 8, 3, 2**40 + 5, 2**33, 0)
    assert list(zip(*columns, strict=True)) == [first, (0x80_0000, CpuMode.GUEST_USER, 1 << 21, 9, 1023, 7, 1, 0)]


@pytest.mark.parametrize("order", ORDERS)
def test_the_description_is_read_and_unknown_sections_are_skipped(write: Write, order: str) -> None:
    content = build.file(order, [sample(order)], features=build.description(order, ["cycles:P"]))
    header = perfdata.read(write(content)).header
    assert [header.hostname, header.os_release, header.perf_version, header.arch, header.cpu_description] == [
        *DESCRIPTION.values()
    ]
    assert (header.cpus_available, header.cpus_online) == (8, 6)
    assert header.command_line == ("perf", "record", "-a")
    assert [event.name for event in header.events] == ["cycles:P"]


@pytest.mark.parametrize("order", ORDERS)
def test_a_description_may_come_through_the_pipe(write: Write, order: str) -> None:
    records = [
        record(order, RecordType.FEATURE, f"Q{len(data)}s", number, data)
        for number, data in build.description(order, ["a", "b"]).items()
    ]
    update = record(order, RecordType.EVENT_UPDATE, "QQ", 2, 42, text="cycles:u")
    attrs = [Attr(PLAIN | SampleField.ID, ids=(41,)), Attr(PLAIN | SampleField.ID, ids=(42, 43))]
    header = perfdata.read(write(build.pipe(order, [*records, update], attrs))).header
    assert header.is_pipe
    assert header.arch == "s390x"
    assert [event.name for event in header.events] == ["a", "cycles:u"]
    assert [event.ids for event in header.events] == [(41,), (42, 43)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("attr", "name"),
    [
        (Attr(type=0, config=1, flags=(20,)), "instructions"),
        (Attr(type=0, config=0, flags=()), "cycles:HG"),
        (Attr(type=0, config=0, flags=(15, 16, 20)), "cycles:pppH"),
        (Attr(type=1, config=2, flags=(5, 6, 20)), "page-faults:uH"),
        (Attr(type=4, config=0x1B1), "raw 0x1b1"),
        (Attr(type=8, config=3), "type 8 config 0x3"),
    ],
)
def test_an_event_without_a_name_is_named_by_its_attr(write: Write, order: str, attr: Attr, name: str) -> None:
    recording = perfdata.read(write(build.file(order, [], [attr])))
    assert recording.header.events[0].name == name


@pytest.mark.parametrize("size", [64, 72, 96, 112, 128, 136, 200])
def test_attrs_of_any_size_are_read(write: Write, size: int) -> None:
    attrs = [Attr(PLAIN | SampleField.IDENTIFIER, ids=(1, 2), size=size), Attr(PLAIN | 1 << 16, ids=(9,), size=size)]
    recording = perfdata.read(write(build.file("<", [], attrs)))
    assert [event.ids for event in recording.header.events] == [(1, 2), (9,)]


def test_samples_are_told_apart_by_identifier_or_id(write: Write) -> None:
    for field, layout in ((SampleField.IDENTIFIER, "QQQ"), (SampleField.ID, "QQQ")):
        kind = SampleField.IP | SampleField.PERIOD | field
        attrs = [Attr(kind, ids=(5, 6)), Attr(kind | SampleField.CALLCHAIN, ids=(7,))]
        values = {7: (7, 0x10, 3), 6: (6, 0x20, 4), 0: (0, 0x30, 5), 99: (99, 0x40, 6)}
        records = []
        for identifier, ip, period in values.values():
            fields = (identifier, ip, period) if field is SampleField.IDENTIFIER else (ip, identifier, period)
            chain = (0,) if identifier == 7 else ()
            records.append(record("<", RecordType.SAMPLE, layout + "Q" * len(chain), *fields, *chain))
        recording = perfdata.read(write(build.file("<", records, attrs)))
        assert _column(recording, "event") == [1, 0, 0]
        assert _column(recording, "ip") == [0x10, 0x20, 0x30]
        assert _column(recording, "period") == [3, 4, 5]
        assert recording.samples == (2, 1)
        assert recording.problem == "1 samples belong to no event that is described"


def test_fields_that_events_do_not_have(write: Write) -> None:
    kind = SampleField.IP | SampleField.IDENTIFIER
    attrs = [Attr(kind, ids=(1,), period=500), Attr(kind | SampleField.CPU | SampleField.PERIOD, ids=(2,))]
    records = [record("<", 9, "QQ", 1, 0x10), record("<", 9, "QQIIQ", 2, 0x20, 5, 0, 77)]
    recording = perfdata.read(write(build.file("<", records, attrs)))
    assert recording.problem == ""
    assert _column(recording, "period") == [500, 77]
    assert _column(recording, "cpu") == [-1, 5]
    assert _column(recording, "tid") == _column(recording, "pid") == [-1, -1]
    assert _column(recording, "time_ns") == [0, 0]
    assert [recording.comms[number] for number in _column(recording, "comm")] == [":-1", ":-1"]


@pytest.mark.parametrize("chunk_bytes", [64, 1000, 1 << 20])
@pytest.mark.parametrize("order", ORDERS)
def test_runs_and_mixed_sizes_come_out_in_order(
    write: Write, order: str, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHUNK_BYTES", chunk_bytes)
    random = np.random.default_rng(1)
    records: list[bytes] = []
    expected: list[tuple[int, int]] = []
    for length in (1, 63, 64, 65, 700, 1, 1, 2, 130):
        words = int(random.integers(0, 4))
        for _ in range(length):
            ip = len(expected)
            mode = int(random.integers(0, 6))
            records.append(sample(order, ip=ip, mode=mode, tail=bytes(8 * words)))
            expected.append((ip, mode))
        records.append(record(order, RecordType.FINISHED_ROUND, ""))
    records.insert(500, sample(order, ip=2**20, tail=bytes(60_000)))
    recording = perfdata.read(write(build.file(order, records)))
    assert recording.problem == ""
    found = list(zip(_column(recording, "ip"), _column(recording, "mode"), strict=True))
    assert (2**20, CpuMode.KERNEL) in found
    found.remove((2**20, CpuMode.KERNEL))
    assert found == expected
    assert recording.records == {"SAMPLE": len(expected) + 1, "FINISHED_ROUND": 9}


@pytest.mark.parametrize("order", ORDERS)
def test_traces_and_formats_behind_records_are_skipped(write: Write, order: str) -> None:
    trace = b"\xff" * 1001
    records = [
        sample(order, ip=1),
        record(order, RecordType.AUXTRACE, "QQQQIIII", 1001, 0, 0, 0, 0, 0, 0, 0) + trace,
        sample(order, ip=2),
        record(order, RecordType.TRACING_DATA, "II", 5, 0) + bytes(8),
        record(order, RecordType.EVENT_TYPE, "4s", b"odd!"),
        sample(order, ip=3),
    ]
    recording = perfdata.read(write(build.pipe(order, records)))
    assert recording.problem == ""
    assert _column(recording, "ip") == [1, 2, 3]
    assert recording.records == {"SAMPLE": 3, "ATTR": 1, "EVENT_TYPE": 1, "TRACING_DATA": 1, "AUXTRACE": 1}


def _compressed(order: str, kind: int, records: list[bytes], piece_bytes: int) -> list[bytes]:
    """The records as one zstd stream in records of `piece_bytes`."""
    packed = zstandard.ZstdCompressor().compress(b"".join(records))
    found = []
    for at in range(0, len(packed), piece_bytes):
        piece = packed[at : at + piece_bytes]
        if kind == RecordType.COMPRESSED2:
            padded = piece.ljust(-(-len(piece) // 8) * 8, b"\0")
            found.append(record(order, kind, f"Q{len(padded)}s", len(piece), padded))
        else:
            found.append(record(order, kind, f"{len(piece)}s", piece))
    return found


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [RecordType.COMPRESSED, RecordType.COMPRESSED2])
@pytest.mark.parametrize("chunk_bytes", [500, 1 << 20])
def test_compressed_records_of_any_length_are_one_stream(
    write: Write, order: str, kind: RecordType, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHUNK_BYTES", chunk_bytes)
    ips = np.random.default_rng(2).integers(0, 2**60, 800).tolist()
    packed = _compressed(order, kind, [sample(order, ip=ip) for ip in ips], 37)
    rounds = [record(order, RecordType.FINISHED_ROUND, "")] * len(packed)
    recording = perfdata.read(
        write(build.pipe(order, [each for pair in zip(packed, rounds, strict=True) for each in pair]))
    )
    assert recording.problem == ""
    assert _column(recording, "ip") == ips
    assert recording.records == {"SAMPLE": 800, "ATTR": 1, kind.name: len(packed), "FINISHED_ROUND": len(packed)}


@pytest.mark.parametrize("order", ORDERS)
def test_the_size_of_a_compressed_record_may_have_overflowed(write: Write, order: str) -> None:
    """perf 6.16 writes size 0 for a payload of 65,519 bytes, and no padding."""
    ips = np.random.default_rng(3).integers(0, 2**60, 20_000).tolist()
    first, *others = _compressed(order, RecordType.COMPRESSED2, [sample(order, ip=ip) for ip in ips], 65_512)
    payload = first[16:] + others[0][16:23]
    overflowed = struct.pack(f"{order}IHHQ", RecordType.COMPRESSED2, 0, 0, len(payload)) + payload
    shifted = struct.unpack_from(f"{order}Q", others[0], 8)[0] - 7
    rest = others[0][23 : 23 + shifted]
    second = record(order, RecordType.COMPRESSED2, f"Q{len(rest)}s", len(rest), rest)
    recording = perfdata.read(write(build.file(order, [overflowed, second, *others[1:]])))
    assert recording.problem == ""
    assert _column(recording, "ip") == ips


@pytest.mark.parametrize("order", ORDERS)
def test_chains_behind_counts_of_a_group(write: Write, order: str) -> None:
    kind = SampleField.IP | SampleField.READ | SampleField.CALLCHAIN | SampleField.RAW
    group = ReadFormat.GROUP | ReadFormat.ID | ReadFormat.LOST | ReadFormat.TOTAL_TIME_ENABLED
    body = [0x10, 2, 99, *(11, 1, 0), *(12, 2, 0), 3, 2**64 - 128, 0x10, 0x11, 4, 0]
    recording = perfdata.read(
        write(build.file(order, [record(order, 9, f"{len(body)}Q", *body, misc=1)], [Attr(kind, read_format=group)]))
    )
    (batch,) = recording.batches(chains=True)
    assert batch.chains is not None
    assert batch.chains.ip.tolist() == [0x10, 0x11]
    single = ReadFormat.TOTAL_TIME_RUNNING | ReadFormat.ID
    body = [0x10, 5, 6, 7, 1, 0x12, 0]
    recording = perfdata.read(
        write(build.file(order, [record(order, 9, "7Q", *body)], [Attr(kind, read_format=single)]))
    )
    (batch,) = recording.batches(chains=True)
    assert batch.chains is not None
    assert batch.chains.ip.tolist() == [0x12]


def test_markers_tell_whose_the_entries_of_a_chain_are(write: Write) -> None:
    kernel, user, deferred, guest_user, strange = (2**64 - n for n in (128, 512, 640, 2560, 4000))
    chains = [
        (kernel, 1, 2, user, 3),
        (),
        (4,),
        (guest_user, 5, strange, 6),
        (kernel, 7, deferred, 0xC00C1E),
        (8, user),
    ]
    records = [record("<", 9, f"{2 + len(chain)}Q", 0, len(chain), *chain, misc=CpuMode.HYPERVISOR) for chain in chains]
    records.append(record("<", 9, "3Q", 0, 2**63, 9, misc=CpuMode.USER))
    attr = Attr(SampleField.IP | SampleField.CALLCHAIN)
    (batch,) = perfdata.read(write(build.file("<", records, [attr]))).batches(chains=True)
    assert batch.chains is not None
    assert batch.chains.offsets.tolist() == [0, 3, 3, 4, 6, 7, 8, 9]
    assert batch.chains.ip.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert [perfdata.MODE_LETTERS[mode] for mode in batch.chains.mode] == list("KKUHg?KHU")


def test_losses_are_counted_once(write: Write) -> None:
    attr = Attr(PLAIN, read_format=ReadFormat.LOST)
    lost = build.with_trailer("<", record("<", RecordType.LOST, "QQ", 1, 40), 10)
    by_pmu = build.with_trailer("<", record("<", RecordType.LOST_SAMPLES, "Q", 5), 11)
    filtered = build.with_trailer("<", record("<", RecordType.LOST_SAMPLES, "Q", 1000, misc=1 << 15), 0)
    at_end = build.with_trailer("<", record("<", RecordType.LOST_SAMPLES, "Q", 42), 0)
    throttle = build.with_trailer("<", record("<", RecordType.THROTTLE, "QQQ", 1, 1, 1), 12)
    recording = perfdata.read(write(build.file("<", [lost, by_pmu, throttle, filtered, at_end], [attr])))
    assert (recording.lost_records, recording.lost_samples, recording.unread_samples) == (40, 5, 42)
    assert recording.total_lost == 47
    assert recording.records["THROTTLE"] == 1
    recording = perfdata.read(write(build.file("<", [lost, by_pmu, at_end])))
    assert recording.total_lost == 40 + 5 + 42


def test_the_kernel_and_its_modules_are_found_by_address(write: Write) -> None:
    def mmap(start: int, size: int, name: str, mode: int = CpuMode.KERNEL) -> bytes:
        plain = record("<", RecordType.MMAP, "iIQQQ", -1, 0, start, size, start, misc=mode, text=name)
        return build.with_trailer("<", plain, 0)

    records = [
        mmap(0xFFFF_FFFF_8100_0000, 2**64 - 1 - 0xFFFF_FFFF_8100_0000, "[kernel.kallsyms]_text"),
        mmap(0xFFFF_FFFF_C000_0000, 0x1000, "/lib/modules/6.1/kernel/net/sch-fq.ko.xz"),
        mmap(0xFFFF_FFFF_C000_2000, 0x1000, "[tun]"),
        mmap(0x1000, 0x1000, "/bin/true", CpuMode.USER),
    ]
    mappings = perfdata.read(write(build.file("<", records))).kernel_mappings
    assert [mapping.name for mapping in mappings] == ["[kernel.kallsyms]", "[sch_fq]", "[tun]"]
    addresses = [0xFFFF_FFFF_C000_0FFF, 0xFFFF_FFFF_C000_1000, 0xFFFF_FFFF_C000_2000, 0xFFFF_FFFF_8100_0000, 0x1000]
    found = perfdata.locate(mappings, np.array(addresses, dtype=np.uint64))
    assert found.tolist() == [1, 0, 2, 0, perfdata.NOT_MAPPED]
    assert perfdata.locate([], np.array([1], dtype=np.uint64)).tolist() == [perfdata.NOT_MAPPED]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a perf.data file"),
        (b"\x7fELF" + bytes(200), "not a perf.data file"),
        (b"PERFFILE" + bytes(200), "version 1"),
        (b"PERFILE2" + bytes(3), "cut within its header"),
        (b"PERFILE2" + struct.pack("<Q", 104) + bytes(88), "attrs of 0 bytes"),
        (b"PERFILE2" + struct.pack("<QQ", 104, 144) + bytes(80), "names no events"),
    ],
)
def test_what_is_no_recording_is_refused(write: Write, content: bytes, message: str) -> None:
    with pytest.raises(ProfilerError, match=message) as caught:
        perfdata.read(write(content))
    assert caught.value.hint


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfilerError, match="No such file"):
        perfdata.read(tmp_path / "nowhere")
    with pytest.raises(ProfilerError, match="a folder without a recording"):
        perfdata.read(tmp_path)
