"""Packets from tracepoints: what their samples carry, by the formats that a recording brings along."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import pytest

from offloadbench.base.errors import ProfilerError
from offloadbench.kernel.trace import perfdata, tracepoints
from offloadbench.kernel.trace.perfdata.abi import HeaderFeature, RecordType, SampleField
from tests.unit import perfdata_files as build
from tests.unit.perfdata_files import PLAIN, Attr

QUEUE, TRANSMIT = 1501, 1500
# fields as in /sys/kernel/tracing/events/net/*/format; the first tracepoint lacks what the stack does not know yet
FORMATS = {
    QUEUE: (
        "net_dev_queue",
        "\tfield:void * skbaddr;\toffset:8;\tsize:8;\tsigned:0;\n"
        "\tfield:unsigned int len;\toffset:16;\tsize:4;\tsigned:0;\n"
        "\tfield:__data_loc char[] name;\toffset:20;\tsize:4;\tsigned:0;\n",
    ),
    TRANSMIT: (
        "net_dev_start_xmit",
        "\tfield:__data_loc char[] name;\toffset:8;\tsize:4;\tsigned:0;\n"
        "\tfield:const void * skbaddr;\toffset:16;\tsize:8;\tsigned:0;\n"
        "\tfield:u8 ip_summed;\toffset:32;\tsize:1;\tsigned:0;\n"
        "\tfield:unsigned int len;\toffset:36;\tsize:4;\tsigned:0;\n"
        "\tfield:u16 gso_size;\toffset:42;\tsize:2;\tsigned:0;\n",
    ),
}
KIND = PLAIN | SampleField.IDENTIFIER | SampleField.RAW


def _described(order: str, queued_len_bytes: str) -> bytes:
    """What perf copies out of tracefs (read_tracing_data_size), as one system `net`."""

    def block(text: bytes) -> bytes:
        return struct.pack(f"{order}Q", len(text)) + text

    data = b"\x17\x08\x44tracing0.6\0" + bytes([order == ">", 8]) + struct.pack(f"{order}I", 4096)
    data += b"header_page\0" + block(b"page") + b"header_event\0" + block(b"event")
    data += struct.pack(f"{order}I", 0)
    data += struct.pack(f"{order}I", 1) + b"net\0" + struct.pack(f"{order}I", len(FORMATS))
    for number, (name, fields) in FORMATS.items():
        told = fields.replace("offset:16;\tsize:4;", f"offset:16;\tsize:{queued_len_bytes};")
        data += block(f'name: {name}\nID: {number}\nformat:\n{told}\nprint fmt: "len=%u", REC->len\n'.encode())
    return data + struct.pack(f"{order}III", 0, 0, 0)


def _sample(order: str, number: int, raw: bytes) -> bytes:
    body = struct.pack(f"{order}QQiiQIIQ", number, 0x10, 7, 7, 10**9, 0, 0, 1)
    body += struct.pack(f"{order}I", len(raw)) + raw
    body += bytes(-len(body) % 8)
    return struct.pack(f"{order}IHH", RecordType.SAMPLE, 1, 8 + len(body)) + body


def _transmitted(order: str, length: int, gso_size: int, ip_summed: int) -> bytes:
    raw = bytearray(52)
    struct.pack_into(f"{order}B", raw, 32, ip_summed)
    struct.pack_into(f"{order}I", raw, 36, length)
    struct.pack_into(f"{order}H", raw, 42, gso_size)
    return _sample(order, TRANSMIT, bytes(raw))


def _queued(order: str, length: int) -> bytes:
    return _sample(order, QUEUE, struct.pack(f"{order}QQII", 0, 0xFFFF_8881_0A8B_80E0, length, 24 << 16 | 24) + b"eth0")


def _write(path: Path, order: str, records: list[bytes], queued_len_bytes: str = "4") -> Path:
    attrs = [Attr(KIND, ids=(number,), type=2, config=number, flags=(18,)) for number in FORMATS]
    # without a host name a big-endian file is taken for one of a 32-bit machine
    features = {
        int(HeaderFeature.HOSTNAME): build.text(order, "here"),
        int(HeaderFeature.TRACING_DATA): _described(order, queued_len_bytes),
    }
    path.write_bytes(build.file(order, records, attrs, features=features))
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_packets_are_counted_by_tracepoint_and_shape(tmp_path: Path, order: str) -> None:
    packets = [(65226, 1448, 3), (1514, 0, 3), (65226, 1448, 3), (74, 0, 0)]
    records = [_transmitted(order, *packet) for packet in packets]
    records += [_queued(order, length) for length in (65226, 66, 65226)]
    path = _write(tmp_path / "perf.data", order, records)
    shapes = {one.tracepoint: one.shapes for one in tracepoints.shapes(path)}
    assert shapes == {
        "net:net_dev_queue": [[66, -1, -1, 1], [65226, -1, -1, 2]],
        "net:net_dev_start_xmit": [[74, 0, 0, 1], [1514, 0, 3, 1], [65226, 1448, 3, 2]],
    }
    assert not path.exists()


def test_many_packets_in_several_blocks_are_all_counted(tmp_path: Path) -> None:
    records = [_transmitted("<", 1000 + number % 7, 0, 3) for number in range(20_000)]
    (shapes,) = tracepoints.shapes(_write(tmp_path / "perf.data", "<", records))
    expected = Counter(1000 + number % 7 for number in range(20_000))
    assert {row[0]: row[3] for row in shapes.shapes} == expected


def test_a_sample_that_ends_before_a_field_says_nothing_of_it(tmp_path: Path) -> None:
    (shapes,) = tracepoints.shapes(_write(tmp_path / "perf.data", "<", [_sample("<", TRANSMIT, bytes(36))]))
    assert shapes.shapes == [[-1, -1, 0, 1]]


@pytest.mark.parametrize("size", ["3", "8", "0", "99999", "9" * 400, "-4"])
def test_a_field_of_no_such_size_is_not_read(tmp_path: Path, size: str) -> None:
    found = perfdata.read(_write(tmp_path / "perf.data", "<", [_queued("<", 66)], size))
    assert [[column.tolist() for column in columns] for _, columns in found.traced(["len"])] == [[[-1]]]


def test_a_recording_that_is_cut_is_no_evidence(tmp_path: Path) -> None:
    path = _write(tmp_path / "perf.data", "<", [_queued("<", 66)])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ProfilerError, match="damaged"):
        tracepoints.shapes(path)
    assert not path.exists()


def test_of_what_perf_says_when_it_refuses_its_error_is_the_reason() -> None:
    # perf 6.1, whose caller may not enter tracefs
    said = """event syntax error: 'net:net_dev_queue'
                     \\___ can't access trace events

Error:\tNo permissions to read /sys/kernel/tracing/events/net/net_dev_queue
Hint:\tTry 'sudo mount -o remount,mode=755 /sys/kernel/tracing/'

Run 'perf list' for a list of valid events

 Usage: perf record [<options>] [<command>]

    -e, --event <event>   event selector. use 'perf list' to list available events
"""
    assert tracepoints.reason(said) == "No permissions to read /sys/kernel/tracing/events/net/net_dev_queue"
    assert tracepoints.reason("failed to open evidence.perf.data\n") == "failed to open evidence.perf.data"
    assert tracepoints.reason("") == "no message"
