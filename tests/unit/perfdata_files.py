"""A small builder of perf.data files: any byte order, any records, no kernel needed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from offloadbench.kernel.trace.perfdata.abi import CpuMode, HeaderFeature, RecordType, SampleField

FREQ, SAMPLE_ID_ALL = 10, 18
PLAIN = SampleField.IP | SampleField.TID | SampleField.TIME | SampleField.CPU | SampleField.PERIOD
_HEADER_BYTES = 104


@dataclass(frozen=True)
class Attr:
    """An event; type 1 config 0 is cpu-clock."""

    sample_type: int = PLAIN
    ids: tuple[int, ...] = ()
    type: int = 1
    config: int = 0
    period: int = 1000
    read_format: int = 0
    flags: tuple[int, ...] = (SAMPLE_ID_ALL, 20)
    size: int = 128

    def pack(self, order: str) -> bytes:
        word = sum(1 << (bit if order == "<" else 63 - bit) for bit in self.flags)
        fields = struct.pack(
            f"{order}IIQQQQQ", self.type, self.size, self.config, self.period, self.sample_type, self.read_format, word
        )
        return fields.ljust(self.size, b"\0")


def record(order: str, kind: int, layout: str, *values: object, misc: int = 0, text: str | None = None) -> bytes:
    """A record of packed values, and a text behind them."""
    body = struct.pack(order + layout, *values)
    if text is not None:
        raw = text.encode() + b"\0"
        body += raw.ljust(-(-len(raw) // 8) * 8, b"\0")
    return struct.pack(f"{order}IHH", kind, misc, 8 + len(body)) + body


def sample(
    order: str,
    *,
    ip: int = 0x10,
    pid: int = 7,
    tid: int = 7,
    time_ns: int = 10**9,
    cpu: int = 0,
    period: int = 1,
    mode: int = CpuMode.KERNEL,
    tail: bytes = b"",
) -> bytes:
    """A sample of PLAIN fields; `tail` makes it longer."""
    body = struct.pack(f"{order}QiiQIIQ", ip, pid, tid, time_ns, cpu, 0, period) + tail
    return struct.pack(f"{order}IHH", RecordType.SAMPLE, mode, 8 + len(body)) + body


def trailer(order: str, time_ns: int) -> bytes:
    """struct sample_id of PLAIN: thread, time, CPU."""
    return struct.pack(f"{order}IIQII", 0, 0, time_ns, 0, 0)


def with_trailer(order: str, plain: bytes, time_ns: int) -> bytes:
    kind, misc, size = struct.unpack_from(f"{order}IHH", plain)
    return struct.pack(f"{order}IHH", kind, misc, size + 24) + plain[8:] + trailer(order, time_ns)


def comm(order: str, tid: int, name: str, time_ns: int) -> bytes:
    return with_trailer(order, record(order, RecordType.COMM, "II", tid, tid, text=name), time_ns)


def fork(order: str, tid: int, parent: int, time_ns: int) -> bytes:
    plain = record(order, RecordType.FORK, "IIIIQ", tid, parent, tid, parent, time_ns)
    return with_trailer(order, plain, time_ns)


def text(order: str, word: str) -> bytes:
    raw = word.encode().ljust(len(word) // 8 * 8 + 8, b"\0")
    return struct.pack(f"{order}I", len(raw)) + raw


def file(
    order: str,
    records: Sequence[bytes],
    attrs: Sequence[Attr] = (Attr(),),
    *,
    features: dict[int, bytes] | None = None,
    data_bytes: int | None = None,
) -> bytes:
    """A perf.data file: header, ids, attrs, data, features."""
    ids, attr_section = b"", b""
    ids_at = _HEADER_BYTES
    for attr in attrs:
        section = struct.pack(f"{order}QQ", ids_at + len(ids), 8 * len(attr.ids))
        attr_section += attr.pack(order) + section
        ids += struct.pack(f"{order}{len(attr.ids)}Q", *attr.ids)
    data = b"".join(records)
    attrs_at = ids_at + len(ids)
    data_at = attrs_at + len(attr_section)
    features = {} if features is None else features
    content_at = data_at + len(data) + 16 * len(features)
    table, content = b"", b""
    for number in sorted(features):
        table += struct.pack(f"{order}QQ", content_at + len(content), len(features[number]))
        content += features[number]
    flags = sum(1 << number for number in features)
    header = (b"PERFILE2" if order == "<" else b"2ELIFREP") + struct.pack(
        f"{order}QQQQQQQQQQQQ",
        *(_HEADER_BYTES, attrs[0].size + 16, attrs_at, len(attr_section)),
        *(data_at, len(data) if data_bytes is None else data_bytes, 0, 0),
        *(flags >> shift & 2**64 - 1 for shift in (0, 64, 128, 192)),
    )
    return header + ids + attr_section + data + table + content


def pipe(order: str, records: Sequence[bytes], attrs: Sequence[Attr] = (Attr(),)) -> bytes:
    """What `perf record -o -` writes."""
    header = (b"PERFILE2" if order == "<" else b"2ELIFREP") + struct.pack(f"{order}Q", 16)
    described = [attr.pack(order) + struct.pack(f"{order}{len(attr.ids)}Q", *attr.ids) for attr in attrs]
    packed = [struct.pack(f"{order}IHH", RecordType.ATTR, 0, 8 + len(body)) + body for body in described]
    return header + b"".join([*packed, *records])


DESCRIPTION = {
    HeaderFeature.HOSTNAME: "box",
    HeaderFeature.OSRELEASE: "6.18.0",
    HeaderFeature.VERSION: "6.1",
    HeaderFeature.ARCH: "s390x",
    HeaderFeature.CPUDESC: "a CPU",
}


def description(order: str, names: Sequence[str] = ("cpu-clock",)) -> dict[int, bytes]:
    """Feature sections, one of them unknown to every reader."""
    events = struct.pack(f"{order}II", len(names), 64)
    for name in names:
        events += bytes(64) + struct.pack(f"{order}I", 1) + text(order, name) + bytes(8)
    words = ["perf", "record", "-a"]
    return {
        **{number: text(order, word) for number, word in DESCRIPTION.items()},
        HeaderFeature.NRCPUS: struct.pack(f"{order}II", 8, 6),
        HeaderFeature.CMDLINE: struct.pack(f"{order}I", len(words)) + b"".join(text(order, word) for word in words),
        HeaderFeature.EVENT_DESC: events,
        200: b"from the future",
    }
