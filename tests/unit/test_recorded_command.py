"""`offloadbench modules perf.data`: a table of every recording, whatever its events, whoever made it."""

from __future__ import annotations

import gzip
import lzma
import struct
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from offloadbench.kernel.trace.perfdata.abi import CpuMode, ReadFormat, RecordType, SampleField
from tests.conftest import CommandLine
from tests.unit import perfdata_files as build
from tests.unit.perfdata_files import PLAIN, Attr, comm, fork, record, sample, with_trailer
from tests.unit.test_perfdata_recordings import DAMAGED, EXPECTED, FOLDER

TEXT = 0xFFFFFFFF81000000
KALLSYMS = f"""\
{TEXT:016x} T _text
{TEXT:016x} T _stext
{TEXT + 0x1000:016x} T tcp_sendmsg
{TEXT + 0x2000:016x} T skb_segment
{TEXT + 0x3000:016x} T default_idle
{TEXT + 0x4000:016x} T _etext
"""
Table = dict[str, dict[str, tuple[int, int]]]
Write = pytest.TempPathFactory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "perf.data"


@pytest.fixture
def kallsyms(tmp_path: Path) -> str:
    file = tmp_path / "kallsyms"
    file.write_text(KALLSYMS)
    return str(file)


def _tables(text: str, path: Path) -> Table:
    """Event -> row -> samples and weight."""
    tables: Table = defaultdict(dict)
    event = ""
    for line in text.splitlines():
        if line.startswith(f"{path}: "):
            event = line.removeprefix(f"{path}: ")
        elif event and "%" in line and not line.startswith(("  found by", "  module", "  object")):
            words = line.split()
            whole = [word for word in words if word.isdigit()]
            name = line[2:34].strip() if "to" not in words else words[0]
            tables[event][name] = (int(whole[-2]), int(whole[-1])) if len(whole) > 1 else (0, 0)
        elif line.startswith("  idle, in no share: ") and int(line.split()[-1]):
            tables[event]["idle"] = (0, int(line.split()[-1]))
    return tables


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != DAMAGED])
def test_every_recording_of_others_is_split_by_object_as_perf_splits_it(
    command_line: CommandLine, path: Path, name: str
) -> None:
    path.write_bytes(gzip.decompress((FOLDER / f"{name}.gz").read_bytes()))
    finished = command_line("modules", str(path))
    assert finished.code == 0
    assert "--kallsyms" in finished.err
    tables = _tables(finished.out, path)
    expected = [event for event in EXPECTED[name]["events"] if event["samples"]]
    assert set(tables) == {event["event"] for event in expected}
    for event in expected:
        rows = tables[event["event"]]
        assert sum(samples for samples, _ in rows.values()) == event["samples"]
        assert sum(weight for _, weight in rows.values()) == sum(event["period_by_mode"].values())
        for row in event["dsos"]:
            assert rows[row["dso"]][0] == row["samples"]


@pytest.mark.parametrize(
    "event",
    ["cycles:ppp", "cycles:P", "cycles:u", "cycles:HG", "cpu/event=0x3c,umask=0x0/ppp", "cpu_core/instructions/",
     "net:netif_receive_skb", "probe:tcp_sendmsg", "task-clock:u", "raw 0x1a3", "armv8_pmuv3_0/cpu_cycles/"],
)  # fmt: skip
def test_any_event_gives_a_table(command_line: CommandLine, path: Path, kallsyms: str, event: str) -> None:
    records = [sample("<", ip=TEXT + 0x1010, period=3), sample("<", ip=TEXT + 0x2010, period=4)]
    path.write_bytes(build.file("<", records, features=build.description("<", (event,))))
    finished = command_line("modules", str(path), "--kallsyms", kallsyms)
    assert finished.code == 0
    assert _tables(finished.out, path) == {event: {"tcp": (1, 3), "gso": (1, 4)}}


def test_events_of_one_name_stay_apart(command_line: CommandLine, path: Path, kallsyms: str) -> None:
    attrs = [Attr(PLAIN | SampleField.IDENTIFIER, ids=(number,)) for number in (5, 6)]
    records = [
        record("<", RecordType.SAMPLE, "QQiiQIIQ", number, TEXT + 0x1010, 7, 7, 10**9, 0, 0, number, misc=1)
        for number in (5, 6, 6)
    ]
    path.write_bytes(build.file("<", records, attrs, features=build.description("<", ("cycles", "cycles"))))
    finished = command_line("modules", str(path), "--kallsyms", kallsyms)
    assert _tables(finished.out, path) == {"cycles": {"tcp": (1, 5)}, "cycles (2)": {"tcp": (2, 12)}}


def test_more_events_than_a_run_file_holds(command_line: CommandLine, path: Path, kallsyms: str) -> None:
    count = 600
    attrs = [Attr(PLAIN | SampleField.IDENTIFIER, ids=(1000 + number,)) for number in range(count)]
    records = [
        record("<", RecordType.SAMPLE, "QQiiQIIQ", 1000 + number, TEXT + 0x1010, 7, 7, 10**9, 0, 0, 1 + number, misc=1)
        for number in range(count)
    ]
    names = tuple(f"syscalls:{number}" for number in range(count))
    path.write_bytes(build.file("<", records, attrs, features=build.description("<", names)))
    tables = _tables(command_line("modules", str(path), "--kallsyms", kallsyms).out, path)
    assert tables == {f"syscalls:{number}": {"tcp": (1, 1 + number)} for number in range(count)}


def test_samples_without_a_cpu(command_line: CommandLine, path: Path, kallsyms: str) -> None:
    fields = SampleField.IP | SampleField.TID | SampleField.TIME | SampleField.PERIOD
    records = [record("<", RecordType.SAMPLE, "QiiQQ", TEXT + 0x1010, 7, 7, 10**9, 9, misc=1)]
    path.write_bytes(build.file("<", records, [Attr(fields)], features=build.description("<", ("cycles:ppp",))))
    finished = command_line("modules", str(path), "--kallsyms", kallsyms)
    assert _tables(finished.out, path) == {"cycles:ppp": {"tcp": (1, 9)}}


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_reading_of_a_group_counts_for_each_of_its_events(
    command_line: CommandLine, path: Path, kallsyms: str, order: str
) -> None:
    """perf record -e '{a,b}:S': weights are what the totals grew by, and what did not grow is no sample."""
    group = ReadFormat.GROUP | ReadFormat.ID | ReadFormat.TOTAL_TIME_ENABLED
    fields = SampleField.IP | SampleField.TID | SampleField.TIME | SampleField.READ | SampleField.ID
    attrs = [Attr(fields, ids=(1, 3), read_format=group), Attr(fields, ids=(2, 4), read_format=group)]

    def read(at: int, ids: tuple[int, int], totals: tuple[int, int]) -> bytes:
        body = [TEXT + at, 7 | 7 << 32, 10**9, ids[0], 2, 99, totals[0], ids[0], totals[1], ids[1]]
        return record(order, RecordType.SAMPLE, f"{len(body)}Q", *body, misc=1)

    # two CPUs: ids 1 and 2, ids 3 and 4
    records = [
        read(0x1010, (1, 2), (100, 10)), read(0x1010, (3, 4), (7, 0)),
        read(0x2010, (1, 2), (150, 10)), read(0x2010, (3, 4), (9, 5)),
    ]  # fmt: skip
    path.write_bytes(build.file(order, records, attrs, features=build.description(order, ("a", "b"))))
    tables = _tables(command_line("modules", str(path), "--kallsyms", kallsyms).out, path)
    assert tables == {"a": {"tcp": (2, 107), "gso": (2, 52)}, "b": {"tcp": (1, 10), "gso": (1, 5)}}


def test_a_recording_without_samples_says_so(command_line: CommandLine, path: Path, kallsyms: str) -> None:
    path.write_bytes(build.file("<", [comm("<", 7, "python", 0)]))
    finished = command_line("modules", str(path), "--kallsyms", kallsyms)
    assert finished.code == 7
    assert "no samples of cpu-clock" in finished.err


def test_an_event_without_samples_is_named(command_line: CommandLine, path: Path, kallsyms: str) -> None:
    attrs = [Attr(PLAIN | SampleField.IDENTIFIER, ids=(number,)) for number in (5, 6)]
    one = record("<", RecordType.SAMPLE, "QQiiQIIQ", 5, TEXT + 0x1010, 7, 7, 10**9, 0, 0, 1, misc=1)
    path.write_bytes(build.file("<", [one], attrs, features=build.description("<", ("cycles", "cache-misses"))))
    assert "no samples of cache-misses" in command_line("modules", str(path), "--kallsyms", kallsyms).err


def test_files_that_are_none_are_told_for_what_they_are(command_line: CommandLine, path: Path) -> None:
    plain = build.file("<", [sample("<")])
    for content, word in (
        (b"PERFFILE" + bytes(200), "version 1"),
        (gzip.compress(plain), "gunzip"),
        (lzma.compress(plain), "unxz"),
        (b"\x28\xb5\x2f\xfd" + bytes(50), "unzstd"),
        (b"BZh9" + bytes(50), "bunzip2"),
    ):
        path.write_bytes(content)
        finished = command_line("modules", str(path))
        assert finished.code == 7
        assert word in finished.err


def test_a_compressed_run_file_is_still_read(command_line: CommandLine, tmp_path: Path, sample_path: Path) -> None:
    packed = tmp_path / "run.json.gz"
    packed.write_bytes(gzip.compress(sample_path.read_bytes()))
    assert command_line("modules", str(packed)).code == 0


def _formats(order: str, names: dict[int, str]) -> bytes:
    """What perf copies out of tracefs (read_tracing_data_size), as one system `net`."""

    def block(text: bytes) -> bytes:
        return struct.pack(f"{order}Q", len(text)) + text

    data = b"\x17\x08\x44tracing0.6\0" + bytes([order == ">", 8]) + struct.pack(f"{order}I", 4096)
    data += b"header_page\0" + block(b"page") + b"header_event\0" + block(b"event")
    data += struct.pack(f"{order}I", 1) + block(b"name: function\nID: 1\nformat:\n")
    data += struct.pack(f"{order}I", 1) + b"net\0" + struct.pack(f"{order}I", len(names))
    for number, name in names.items():
        data += block(f"name: {name}\nID: {number}\nformat:\n".encode())
    return data + struct.pack(f"{order}III", 0, 0, 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tracepoints_of_a_pipe_have_their_names(
    command_line: CommandLine, path: Path, kallsyms: str, order: str
) -> None:
    data = _formats(order, {1000: "netif_rx", 1001: "net_dev_queue"})
    data += bytes(-len(data) % 8)
    header = record(order, RecordType.TRACING_DATA, "II", len(data), 0)
    attrs = [Attr(PLAIN | SampleField.IDENTIFIER, ids=(5 + n,), type=2, config=1000 + n, flags=(18,)) for n in (0, 1)]
    records = [
        record(order, RecordType.SAMPLE, "QQiiQIIQ", number, TEXT + 0x1010, 7, 7, 10**9, 0, 0, 1, misc=1)
        for number in (5, 6, 6)
    ]
    path.write_bytes(build.pipe(order, [header + data, *records], attrs))
    tables = _tables(command_line("modules", str(path), "--kallsyms", kallsyms).out, path)
    assert tables == {"net:netif_rx": {"tcp": (1, 1)}, "net:net_dev_queue": {"tcp": (2, 2)}}


def test_a_description_of_tracepoints_that_is_cut_takes_nothing_else_away(
    command_line: CommandLine, path: Path, kallsyms: str
) -> None:
    data = _formats("<", {1000: "netif_rx"})
    attrs = [Attr(type=2, config=1000, flags=(18,))]
    for cut in range(0, len(data), 7):
        piece = data[:cut] + bytes(-cut % 8)
        header = record("<", RecordType.TRACING_DATA, "II", len(piece), 0)
        path.write_bytes(build.pipe("<", [header + piece, sample("<", ip=TEXT + 0x1010)], attrs))
        (rows,) = _tables(command_line("modules", str(path), "--kallsyms", kallsyms).out, path).values()
        assert rows == {"tcp": (1, 1)}


def test_the_folder_of_many_threads_is_one_recording(command_line: CommandLine, tmp_path: Path, kallsyms: str) -> None:
    folder = tmp_path / "perf.data"
    folder.mkdir()
    (folder / "data").write_bytes(build.file("<", [comm("<", 7, "python", 0), sample("<", ip=TEXT + 0x1010)]))
    (folder / "data.0").write_bytes(sample("<", ip=TEXT + 0x1010, period=2))
    (folder / "data.10").write_bytes(sample("<", ip=TEXT + 0x2010, period=5) * 3)
    tables = _tables(command_line("modules", str(folder), "--kallsyms", kallsyms).out, folder)
    assert tables == {"cpu-clock": {"tcp": (2, 3), "gso": (3, 15)}}


def _mmap(pid: int, start: int, size: int, name: str, time_ns: int) -> bytes:
    plain = record("<", RecordType.MMAP, "iiQQQ", pid, pid, start, size, 0, misc=CpuMode.USER, text=name)
    return with_trailer("<", plain, time_ns)


def test_objects_follow_the_mappings_of_each_process_in_time(command_line: CommandLine, path: Path) -> None:
    """A child begins with what its parent had then, a later mapping hides an earlier one, and a number used again
    is another process."""

    def at(pid: int, time_ns: int, ip: int) -> bytes:
        return sample("<", ip=ip, pid=pid, tid=pid, time_ns=time_ns, mode=CpuMode.USER)

    records = [
        _mmap(7, 0x1000, 0x1000, "/bin/first", 10),
        _mmap(7, 0x5000, 0x1000, "/lib/libc.so", 10),
        fork("<", 8, 7, 20),
        _mmap(7, 0x1000, 0x800, "/bin/second", 30),
        _mmap(8, 0x5000, 0x1000, "//anon", 40),
        fork("<", 8, 1, 60),
        at(7, 5, 0x1010), at(7, 15, 0x1010), at(7, 35, 0x1010), at(7, 35, 0x1810), at(7, 36, 0x9000),
        at(8, 25, 0x1010), at(8, 35, 0x1010), at(8, 35, 0x5010), at(8, 45, 0x5010), at(8, 65, 0x5010),
    ]  # fmt: skip
    path.write_bytes(build.file("<", records))
    (rows,) = _tables(command_line("modules", str(path)).out, path).values()
    assert {name: samples for name, (samples, _) in rows.items()} == Counter(
        ["[unknown]", "first", "second", "first", "[unknown]", "first", "first", "libc.so", "[JIT] tid 8", "[unknown]"]
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("piped", [False, True])
def test_events_of_different_fields_whose_other_records_carry_no_ids(
    command_line: CommandLine, path: Path, kallsyms: str, order: str, *, piped: bool
) -> None:
    number = SampleField.IDENTIFIER | SampleField.IP | SampleField.TID
    attrs = [
        Attr(PLAIN | SampleField.IDENTIFIER, ids=(11,), flags=()),
        Attr(number | SampleField.ADDR | SampleField.PERIOD, ids=(12,), type=0, flags=()),
        Attr(number | SampleField.CPU, ids=(13,), type=0, config=1, period=7, flags=()),
    ]

    def of(layout: str, *values: int) -> bytes:
        return record(order, RecordType.SAMPLE, layout, *values, misc=CpuMode.KERNEL)

    records = [
        record(order, RecordType.COMM, "II", 7, 7, text="server"),
        of("QQiiQIIQ", 11, TEXT + 0x1000, 7, 7, 10**9, 0, 0, 1000),
        of("QQiiQQ", 12, TEXT + 0x2000, 7, 7, 0xDEAD, 500),
        of("QQiiII", 13, TEXT + 0x1000, 7, 7, 3, 0),
        of("QQiiQQ", 12, TEXT + 0x1000, 7, 7, 0xBEEF, 250),
    ]
    path.write_bytes(build.pipe(order, records, attrs) if piped else build.file(order, records, attrs))
    finished = command_line("modules", str(path), "--kallsyms", kallsyms)
    tables = list(_tables(finished.out, path).values())
    assert tables == [{"tcp": (1, 1000)}, {"gso": (1, 500), "tcp": (1, 250)}, {"tcp": (1, 7)}]
