"""Captures made by hand: frames of a TCP conversation as a tap sees them, and the files that hold them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from offloadbench.analysis.capture.link_types import ETHERNET, LINUX_SLL, LINUX_SLL2, RAW_IP
from offloadbench.analysis.capture.tcp_segment import ACK, FIN, PSH, SYN

CLIENT_PORT, SERVER_PORT = 50000, 80
START_NS = 1_700_000_000 * 10**9
# each super-packet takes this long to leave; a line of 2.5 Gbit/s
_FRAME_GAP_NS = 5_000
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_LINK_TYPES = {
    "ethernet": ETHERNET,
    "vlan": ETHERNET,
    "qinq": ETHERNET,
    "sll": LINUX_SLL,
    "sll2": LINUX_SLL2,
    "raw": RAW_IP,
}


class Record(NamedTuple):
    """A captured frame."""

    time_ns: int
    data: bytes
    original_bytes: int


@dataclass(frozen=True)
class Link:
    """How frames are wrapped.

    Attributes:
        kind: ethernet, vlan, qinq, sll, sll2 or raw.
        ip_options: bytes of IPv4 options, or of an IPv6 destination options header.
        zero_length: the IP header's length is 0, as some drivers leave it in super-packets.
    """

    kind: str = "ethernet"
    version: int = 4
    ip_options: int = 0
    zero_length: bool = False

    @property
    def link_type(self) -> int:
        return _LINK_TYPES[self.kind]

    def wrap(self, tcp: bytes, *, from_client: bool) -> bytes:
        kind = struct.pack(">H", _ETHERTYPES[self.version])
        head = {
            "ethernet": bytes(12) + kind,
            "vlan": bytes(12) + b"\x81\x00\x00\x07" + kind,
            "qinq": bytes(12) + b"\x88\xa8\x00\x07\x81\x00\x00\x08" + kind,
            "sll": bytes(14) + kind,
            "sll2": kind + bytes(18),
            "raw": b"",
        }[self.kind]
        return head + (self._ipv4 if self.version == 4 else self._ipv6)(tcp, from_client)

    def _ipv4(self, tcp: bytes, from_client: bool) -> bytes:
        header = 20 + self.ip_options
        total = 0 if self.zero_length else header + len(tcp)
        ends = [bytes([198, 18, 0, 2]), bytes([198, 18, 0, 1])]
        source, destination = ends if from_client else ends[::-1]
        fixed = struct.pack(">BBHHHBBH", 0x40 | header // 4, 0, total, 1, 0x4000, 64, 6, 0)
        return fixed + source + destination + b"\x01" * self.ip_options + tcp

    def _ipv6(self, tcp: bytes, from_client: bool) -> bytes:
        ends = [bytes.fromhex("20010db8") + bytes(11) + bytes([end]) for end in (2, 1)]
        source, destination = ends if from_client else ends[::-1]
        extension = (
            struct.pack(">BB", 6, self.ip_options // 8 - 1).ljust(self.ip_options, b"\0") if self.ip_options else b""
        )
        length = 0 if self.zero_length else len(extension) + len(tcp)
        following = 60 if extension else 6
        return struct.pack(">IHBB", 6 << 28, length, following, 64) + source + destination + extension + tcp


@dataclass
class Conversation:
    """A client that asks and a server that answers, seen by a tap on the client's or on the server's side.

    Attributes:
        mss_bytes: of a full segment after timestamps.
        window_bytes: what the client offers, unscaled up to 65535, else scaled by 7.
        wire: super-packets are cut into segments before the tap.
        announced: MSS of the client's and of the server's SYN; None: what fits `mss_bytes`.
        stamped_data: time stamps stay after the handshake.
        now_ns: time at the server.
    """

    mss_bytes: int = 1448
    rtt_ns: int = 20_000_000
    side: str = "server"
    window_bytes: int = 65535
    link: Link = field(default_factory=Link)
    wire: bool = False
    timestamps: bool = True
    announced: tuple[int, int] | None = None
    stamped_data: bool = True
    client_isn: int = 1000
    server_isn: int = 5000
    client_port: int = CLIENT_PORT
    now_ns: int = START_NS
    records: list[Record] = field(default_factory=list)
    sent: int = 0
    asked: int = 0

    def _emit(self, *, from_client: bool, at_ns: int, flags: int, seq: int, ack: int, payload: int = 0) -> None:
        """`at_ns` is the time at the sender."""
        near = self.side == ("client" if from_client else "server")
        ports = (self.client_port, SERVER_PORT) if from_client else (SERVER_PORT, self.client_port)
        options = b""
        if flags & SYN:
            advertised = self.mss_bytes + (12 if self.timestamps and self.stamped_data else 0)
            if self.announced:
                advertised = self.announced[0 if from_client else 1]
            options = struct.pack(">BBHBBBB", 2, 4, advertised, 1, 3, 3, 7)
        if self.timestamps and (self.stamped_data or flags & SYN):
            options += struct.pack(">BBBBII", 1, 1, 8, 10, 1, 1)
        window = 65535 if not from_client else self.window_bytes
        if from_client and not flags & SYN:
            window >>= 7
        header = struct.pack(
            ">HHIIBBHHH",
            *ports, seq % 2**32, ack % 2**32, (20 + len(options)) // 4 << 4, flags, min(window, 65535), 0, 0,
        )  # fmt: skip
        frame = self.link.wrap(header + options + bytes(payload), from_client=from_client)
        self.records.append(Record(at_ns + (0 if near else self.rtt_ns // 2), frame, len(frame)))

    def client(self, at_ns: int, flags: int = ACK, payload: int = 0, acked: int | None = None) -> None:
        seq = self.client_isn if flags & SYN else self.client_isn + 1 + self.asked
        ack = 0 if flags & SYN else self.server_isn + 1 + (self.sent if acked is None else acked)
        self._emit(from_client=True, at_ns=at_ns, flags=flags, seq=seq, ack=ack, payload=payload)
        self.asked += payload

    def server(self, at_ns: int, flags: int = ACK, payload: int = 0, offset: int | None = None) -> None:
        start = self.sent if offset is None else offset
        seq = self.server_isn if flags & SYN else self.server_isn + 1 + start
        self._emit(
            from_client=False, at_ns=at_ns, flags=flags, seq=seq, ack=self.client_isn + 1 + self.asked, payload=payload
        )
        self.sent = max(self.sent, start + payload)

    def handshake(self, *, synacks: int = 1) -> None:
        half = self.rtt_ns // 2
        self.client(self.now_ns - half, SYN)
        for _ in range(synacks):
            self.server(self.now_ns, SYN | ACK)
            self.now_ns += 10**9
        self.now_ns += self.rtt_ns - 10**9
        self.client(self.now_ns - half)

    def request(self, size: int = 100) -> None:
        """The client asks as soon as it may; the server reads it at `now_ns`."""
        self.client(self.now_ns - self.rtt_ns // 2, ACK | PSH, size)

    def flight(self, skbs_bytes: Iterable[int], *, pushed: bool = False, gap_ns: int = _FRAME_GAP_NS) -> None:
        """Data without waiting; PSH on the last frame alone."""
        pieces = [size for skb in skbs_bytes for size in self._pieces(skb)]
        for number, size in enumerate(pieces):
            last = pushed and number == len(pieces) - 1
            self.server(self.now_ns + number * gap_ns, ACK | (PSH if last else 0), size)

    def _pieces(self, skb_bytes: int) -> list[int]:
        if not self.wire:
            return [skb_bytes]
        whole, rest = divmod(skb_bytes, self.mss_bytes)
        return [self.mss_bytes] * whole + ([rest] if rest else [])

    def acknowledged(self, before: int | None = None) -> None:
        """The client acknowledges every second segment as it comes; the ACKs arrive at the server by `now_ns`."""
        start = before if before is not None else 0
        step = 2 * self.mss_bytes
        ends = [*range(start + step, self.sent, step), self.sent]
        for number, end in enumerate(ends):
            self.client(self.now_ns + self.rtt_ns // 2 + number * 1000, ACK, acked=end)
        self.now_ns += self.rtt_ns + len(ends) * 1000

    def silence(self, seconds: float) -> None:
        self.now_ns += int(seconds * 10**9)

    def finish(self) -> list[Record]:
        self.server(self.now_ns, FIN | ACK)
        return self.captured()

    def captured(self) -> list[Record]:
        return sorted(self.records, key=lambda record: record.time_ns)


def answer(skbs_bytes: list[int], rest_bytes: int, *, pushed: bool = False, **settings: object) -> list[Record]:
    """A whole conversation: handshake, request, a first flight of these skbs, and the rest when ACKs come."""
    talk = replace(Conversation(), records=[], **settings)  # type: ignore[arg-type]
    talk.handshake()
    talk.request()
    talk.flight(skbs_bytes, pushed=pushed)
    talk.acknowledged()
    if rest_bytes:
        step = 20 * talk.mss_bytes
        talk.flight([min(step, rest_bytes - at) for at in range(0, rest_bytes, step)], pushed=True)
        talk.acknowledged(before=sum(skbs_bytes))
    return talk.finish()


# ---------------------------------------------------------------- files


def pcap(records: Iterable[Record], link_type: int = ETHERNET, *, order: str = "<", nanoseconds: bool = False) -> bytes:
    """A pcap file."""
    magic, ns_per_tick = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    pieces = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)]
    for time_ns, frame, original in records:
        seconds, rest = divmod(time_ns, 10**9)
        pieces += [struct.pack(order + "IIII", seconds, rest // ns_per_tick, len(frame), original), frame]
    return b"".join(pieces)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    padded = body + bytes(-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(padded))
    return struct.pack(order + "I", kind) + length + padded + length


def pcapng(
    records: Iterable[Record], link_type: int = ETHERNET, *, order: str = "<", resolution: int | None = None,
    simple: bool = False,
) -> bytes:  # fmt: skip
    """A section with one interface. `resolution` is if_tsresol's byte; absent = microseconds."""
    ticks = 10**6 if resolution is None else (2 if resolution & 0x80 else 10) ** (resolution & 0x7F)
    option = b"" if resolution is None else struct.pack(order + "HHB3x", 9, 1, resolution) + bytes(4)
    data = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    data += block(1, struct.pack(order + "HHI", link_type, 0, 0) + option, order)
    for time_ns, frame, original in records:
        if simple:
            data += block(3, struct.pack(order + "I", original) + frame, order)
            continue
        stamp = time_ns * ticks // 10**9
        head = struct.pack(order + "IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), original)
        data += block(6, head + frame, order)
    return data
