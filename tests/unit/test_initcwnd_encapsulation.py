"""TCP is found through every link and tunnel as tshark finds it; what is not read is named; no frame raises."""

from __future__ import annotations

import io
import ipaddress
import json
import lzma
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.capture import link_types
from offloadbench.analysis.capture.capture_file import CaptureFile
from offloadbench.analysis.capture.ignored_frames import Ignored, sentences
from offloadbench.analysis.capture.tcp_segment import Segment, segment
from offloadbench.analysis.initcwnd.scoring import score_capture
from offloadbench.base.errors import UsageError
from tests.conftest import DATA
from tests.unit import tunnels
from tests.unit.real_kernels import capture
from tests.unit.wirecraft import Link, Record, answer, block, pcap

RECORDED = DATA / "initcwnd" / "encapsulations.json"
_FIELDS = ("ip.src", "ipv6.src", "tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.window_size_value",
           "tcp.len")  # fmt: skip
# tshark 4.0 knows no such link type
_UNKNOWN_TO_TSHARK = {link_types.MPLS}
_VERSIONS = {4: tunnels.IPV4, 6: tunnels.IPV6}


def _makeable(link: str, stack: str, version: int) -> bool:
    return bool(stack) or _VERSIONS[version] in tunnels.LINKS[link].inside


def _accepts(stack: str, version: int) -> bool:
    return not stack or _VERSIONS[version] in tunnels.LAYERS[stack.rsplit(maxsplit=1)[-1]].inside


CASES = [
    (link, stack, version)
    for link, stack in tunnels.STACKS
    for version in (4, 6)
    if _makeable(link, stack, version) and _accepts(stack, version)
]


def _name(case: tuple[str, str, int]) -> str:
    link, stack, version = case
    return f"{link}: {stack} IPv{version}"


def read(link_type: int, data: bytes, original_bytes: int = 0) -> Segment | Ignored:
    notes: Counter[Ignored] = Counter()
    found = segment(link_type, data, original_bytes or len(data), notes)
    if found is not None:
        assert not notes
        return found
    ((why, count),) = notes.items()
    assert count == 1
    assert why.reason
    return why


def _expected(version: int, payload_bytes: int = 100) -> Segment:
    source, destination = tunnels.ADDRESSES[version]
    ports = [port.to_bytes(2, "big") for port in (tunnels.CLIENT_PORT, tunnels.SERVER_PORT)]
    return Segment(
        source + ports[0], destination + ports[1], tunnels.SEQ, tunnels.ACK_NUMBER, tunnels.FLAGS, tunnels.WINDOW,
        payload_bytes, tunnels.OPTIONS,
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_tcp_is_found_inside(case: tuple[str, str, int]) -> None:
    link, stack, version = case
    assert read(*tunnels.frame(link, stack.split(), version)) == _expected(version)


@pytest.mark.parametrize("name", tunnels.plain_extensions())
def test_tcp_is_found_behind_extension_headers(name: str) -> None:
    assert read(link_types.RAW_IP, tunnels.plain_extensions()[name].data) == _expected(6)


def test_tcp_is_found_in_cisco_fabric_path() -> None:
    """Which tshark tells by the addresses."""
    assert read(*tunnels.frame("ethernet", ["eth", "fabric", "eth", "vlan"])) == _expected(4)


# ---------------------------------------------------------------- what tshark sees


def _tshark(link_type: int, frames: list[bytes], folder: Path) -> list[dict[str, str]]:
    """The innermost header of each frame, by tshark's own reading."""
    path = folder / f"{link_type}.pcap"
    path.write_bytes(pcap([Record(number, data, len(data)) for number, data in enumerate(frames)], link_type))
    fields = [word for name in _FIELDS for word in ("-e", name)]
    told = [
        "udp.port==8472,vxlan",
        f"mpls.label=={tunnels.CONTROL_WORD_LABEL},pwethcw",
        f"mpls.label=={tunnels.BARE_LABEL},pwethnocw",
    ]
    decode = [word for one in told for word in ("-d", one)]
    command = ["tshark", "-n", "-r", str(path), "-T", "json", *decode, *fields]
    shown = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert len(shown) == len(frames)
    return [{name: values[-1] for name, values in one["_source"]["layers"].items()} for one in shown]


def seen_by_tshark(folder: Path) -> dict[str, dict[str, str]]:
    """Every case as tshark reads it."""
    made = {case: tunnels.frame(case[0], case[1].split(), case[2]) for case in CASES}
    seen: dict[str, dict[str, str]] = {}
    for link_type in sorted({number for number, _ in made.values()} - _UNKNOWN_TO_TSHARK):
        cases = [case for case, (number, _) in made.items() if number == link_type]
        shown = _tshark(link_type, [made[case][1] for case in cases], folder)
        seen |= {_name(case): one for case, one in zip(cases, shown, strict=True)}
    return seen


@pytest.mark.parametrize(
    "case", [case for case in CASES if tunnels.LINKS[case[0]].number not in _UNKNOWN_TO_TSHARK], ids=_name
)
def test_tshark_has_seen_the_same(case: tuple[str, str, int]) -> None:
    seen = json.loads(RECORDED.read_text())["frames"][_name(case)]
    found = read(*tunnels.frame(case[0], case[1].split(), case[2]))
    assert isinstance(found, Segment)
    ours = (found.seq, found.ack, found.window, found.payload_bytes)
    assert ours == tuple(int(seen[name]) for name in _FIELDS[4:])
    assert str(ipaddress.ip_address(found.source[:-2])) == seen["ip.src" if case[2] == 4 else "ipv6.src"]
    assert int.from_bytes(found.source[-2:], "big") == int(seen["tcp.srcport"])
    assert int.from_bytes(found.destination[-2:], "big") == int(seen["tcp.dstport"])


def test_the_record_is_what_this_tshark_says(tmp_path: Path) -> None:
    recorded = json.loads(RECORDED.read_text())
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed; its reading is recorded")
    version = subprocess.run(["tshark", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    if version != recorded["by"]:
        pytest.skip(f"recorded by another version: {recorded['by']}")
    assert seen_by_tshark(tmp_path) == recorded["frames"]


# ---------------------------------------------------------------- nests, damage, bombs


@st.composite
def _nests(draw: st.DrawFn) -> tuple[int, bytes, int]:
    """Link type, frame and IP version; up to eight layers that fit into one another, chosen at random."""
    version = draw(st.sampled_from((4, 6)))
    made = tunnels.ip(tunnels.tcp(), version)
    for _ in range(draw(st.integers(0, 8))):
        fitting = [name for name, layer in tunnels.LAYERS.items() if made.kind in layer.inside]
        made = tunnels.LAYERS[draw(st.sampled_from(fitting))].wrap(made)
    while not any(made.kind in link.inside for link in tunnels.LINKS.values()):
        fitting = [name for name, layer in tunnels.LAYERS.items() if made.kind in layer.inside]
        made = tunnels.LAYERS[draw(st.sampled_from(fitting))].wrap(made)
    link = draw(st.sampled_from([link for link in tunnels.LINKS.values() if made.kind in link.inside]))
    return link.number, link.wrap(made), version


@given(_nests())
def test_tcp_is_found_in_any_nest(nest: tuple[int, bytes, int]) -> None:
    link_type, data, version = nest
    assert read(link_type, data) == _expected(version)


@given(_nests(), st.data())
def test_a_frame_that_is_cut_is_found_or_named(nest: tuple[int, bytes, int], data: st.DataObject) -> None:
    link_type, whole, version = nest
    kept = data.draw(st.integers(0, len(whole)))
    found = read(link_type, whole[:kept], len(whole))
    # options and payload may be cut off, and change nothing else
    if kept >= len(whole) - 100 - len(tunnels.OPTIONS):
        assert isinstance(found, Segment)
        assert found._replace(options=tunnels.OPTIONS, cut_bytes=0) == _expected(version)
    else:
        assert isinstance(found, Ignored)
        assert found.reason == "cut off by the snap length before the end of the TCP header"


@given(_nests(), st.data())
def test_a_damaged_frame_never_raises(nest: tuple[int, bytes, int], data: st.DataObject) -> None:
    link_type, whole, _ = nest
    frame = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    read(link_type, bytes(frame))
    read(link_type, bytes(frame), data.draw(st.integers(1, 1 << 20)))


@given(st.integers(0, 300), st.binary(max_size=400))
def test_noise_on_any_link_never_raises(link_type: int, noise: bytes) -> None:
    read(link_type, noise)


_GTP_CHAIN = b"\x34\xff\0\0" + bytes(7) + b"\x85" + b"\1\0\0\x85" * 15_000
_BOMBS = {
    "vlan": (link_types.ETHERNET, bytes(12) + b"\x81\0\0\1" * 200_000),
    "mpls": (link_types.MPLS, bytes(800_000)),
    "extensions": (link_types.RAW_IP, struct.pack(">IHBB", 6 << 28, 0, 0, 64) + bytes(800_000)),
    "gtp": (link_types.RAW_IP, tunnels.ip(tunnels.udp(tunnels.Made("gtp", _GTP_CHAIN)), 4).data),
    "ip in ip": (link_types.RAW_IP, struct.pack(">BBHHHBBHII", 0x45, 0, 0, 0, 0, 64, 4, 0, 1, 2) * 40_000),
    "authentication": (link_types.RAW_IP, struct.pack(">IHBB", 6 << 28, 0, 51, 64) + bytes(32) + b"\x33" + bytes(7)),
    "per packet": (link_types.PPI, struct.pack("<HHI", 0, 0, link_types.PPI)),
}  # fmt: skip


@pytest.mark.parametrize("name", _BOMBS)
def test_a_nesting_bomb_is_left_alone(name: str) -> None:
    assert isinstance(read(*_BOMBS[name]), Ignored)


def test_a_bomb_is_named_and_costs_no_more_than_its_first_headers() -> None:
    assert read(*_BOMBS["vlan"]) == Ignored("more than 32 headers inside one another")


# ---------------------------------------------------------------- what is named


def _udp(port: int, payload: bytes = bytes(40), source: int = 5000) -> bytes:
    data = struct.pack(">HHHH", source, port, 8 + len(payload), 0) + payload
    return tunnels.ip(tunnels.Made("udp", data), 4).data


_IN_ETHERNET = bytes(12)
_NAMED = [
    (127, bytes(60), "link type 127 (802.11 with radiotap header) is not read"),
    (105, bytes(60), "link type 105 (802.11) is not read"),
    (239, bytes(60), "link type 239 (NFLOG) is not read"),
    (149, bytes(60), "link type 149 (reserved for private use) is not read"),
    (4711, bytes(60), "link type 4711 is not read"),
    (link_types.ETHERNET, _IN_ETHERNET + b"\x88\xe5" + bytes(40), "MACsec is not read"),
    (link_types.LINUX_SLL, struct.pack(">HH10sH", 0, 824, bytes(10), 0) + bytes(40), "netlink is not read"),
    (link_types.LINUX_SLL, struct.pack(">HH10sH", 0, 803, bytes(10), 4) + bytes(40),
     "802.11 with radiotap header is not read"),
    (link_types.RAW_IP, _udp(1701), "L2TP is not read"),
    (link_types.RAW_IP, _udp(51820), "WireGuard is not read"),
    (link_types.RAW_IP, _udp(33333, source=4500), "ESP in UDP is not read"),
    (link_types.RAW_IP, tunnels.ip(tunnels.Made("ah", b"\x32\x04" + bytes(60)), 4).data, "ESP is not read"),
    (link_types.PPP, b"\xff\x03\x00\x2d" + bytes(40), "TCP compressed by PPP (RFC 1144) is not read"),
    (link_types.PPI, struct.pack("<HHI", 0, 8, 105) + bytes(40), "link type 105 (802.11) is not read"),
    (link_types.RAW_IP, _udp(2152, b"\x30\xff\0\x14\0\0\0\1" + bytes(20)), "GTP without IP is not read"),
    (link_types.RAW_IP, bytes(40), "headers that contradict themselves"),
    (link_types.ETHERNET, _IN_ETHERNET + b"\x08\0" + b"\x44" + bytes(40), "headers that contradict themselves"),
    (link_types.ETHERNET, b"short", "too short for their headers"),
]  # fmt: skip
_NO_TCP = [
    (link_types.ETHERNET, _IN_ETHERNET + b"\x08\x06" + bytes(40), "ARP"),
    (link_types.ETHERNET, _IN_ETHERNET + b"\x12\x34" + bytes(40), "EtherType 0x1234"),
    (link_types.ETHERNET, _IN_ETHERNET + b"\0\x26\x42\x42\x03" + bytes(40), "LLC, SAP 0x42"),
    (link_types.ETHERNET, _IN_ETHERNET + b"\0\x26\xaa\xaa\x03\0\0\x0c" + bytes(40), "SNAP, OUI 00000c"),
    (link_types.NULL, b"\x07\0\0\0" + bytes(40), "address family 7"),
    (link_types.PPP, b"\xc0\x21" + bytes(40), "PPP control"),
    (link_types.RAW_IP, _udp(53), "UDP"),
    (link_types.RAW_IP, _udp(4789), "UDP"),
    (link_types.RAW_IP, _udp(2152, b"\x32\x01" + bytes(20)), "GTP signalling"),
]


@pytest.mark.parametrize(("link_type", "data", "reason"), _NAMED, ids=[one[2] for one in _NAMED])
def test_what_is_not_read_is_named(link_type: int, data: bytes, reason: str) -> None:
    assert read(link_type, data) == Ignored(reason)


@pytest.mark.parametrize(("link_type", "data", "carries"), _NO_TCP, ids=[one[2] for one in _NO_TCP])
def test_what_holds_no_tcp_is_named(link_type: int, data: bytes, carries: str) -> None:
    assert read(link_type, data) == Ignored("no TCP", carries)


def test_a_packet_is_no_longer_than_what_it_came_in() -> None:
    """As tshark counts it; damage may claim any length."""
    for stack in ([], ["ip4", "udp", "vxlan", "eth"]):
        link_type, whole = tunnels.frame("raw", stack)
        at = len(whole) - 100 - len(tunnels.OPTIONS) - 40
        claiming = whole[: at + 2] + b"\x72\x00" + whole[at + 4 :]
        assert read(link_type, claiming) == _expected(4)
        # a file that does not know how long the frame was
        assert read(link_type, claiming, 1) == _expected(4)


def test_what_an_icmp_error_quotes_is_no_segment() -> None:
    quoted = tunnels.ip(tunnels.tcp(), 4).data[:40]
    data = tunnels.ip(tunnels.Made("udp", bytes([3, 4]) + bytes(6) + quoted), 4).data
    data = data[:9] + b"\x01" + data[10:]
    assert read(link_types.RAW_IP, data) == Ignored("no TCP", "ICMP")


@pytest.mark.parametrize("place", [0x2000, 0x0005, 0x2005])
def test_fragments_of_a_segment_are_named_and_the_first_of_a_tunnel_is_read(place: int) -> None:
    plain = bytearray(tunnels.ip(tunnels.tcp(), 4).data)
    plain[6:8] = struct.pack(">H", place)
    assert read(link_types.RAW_IP, bytes(plain)) == Ignored("IP fragments")
    link_type, tunnel = tunnels.frame("raw", ["ip4", "udp", "vxlan", "eth"])
    outer = tunnel[:6] + struct.pack(">H", place) + tunnel[8:]
    # the inner headers stand in the first fragment, and say how long the inner packet is
    assert read(link_type, outer) == (_expected(4) if place == 0x2000 else Ignored("IP fragments"))


def test_frames_are_counted_by_reason_and_by_what_they_carry() -> None:
    notes = Counter({Ignored("no TCP", f"kind {number}"): number for number in range(1, 9)})
    notes[Ignored("ESP is not read")] = 1
    notes[Ignored("IP fragments")] = 50
    assert sentences(notes) == [
        "50 frames ignored: IP fragments",
        "36 frames ignored: no TCP (kind 8 8, kind 7 7, kind 6 6, kind 5 5, kind 4 4, kind 3 3, others 3)",
        "1 frame ignored: ESP is not read",
    ]


def test_a_capture_of_nothing_that_is_read_says_so_by_name_and_number() -> None:
    frames = [Record(number, bytes(60), 60) for number in range(18)]
    scored = score_capture(CaptureFile(io.BytesIO(pcap(frames, 127))), 10)
    assert scored.flows == []
    assert scored.notes == ["18 frames ignored: link type 127 (802.11 with radiotap header) is not read"]


# ---------------------------------------------------------------- whole captures


MSS = 1448


def _wrapped(link: str, stack: str, version: int) -> list[Record]:
    """A conversation whose first flight is ten segments, inside `stack`."""
    found = []
    for record in answer([5 * MSS, 5 * MSS], 20 * MSS, link=Link("raw", version), wire=True):
        made = tunnels.Made(_VERSIONS[version], record.data)
        for name in reversed(stack.split()):
            made = tunnels.LAYERS[name].wrap(made)
        data = tunnels.LINKS[link].wrap(made)
        found.append(Record(record.time_ns, data, len(data)))
    return found


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_first_flight_is_the_same_inside(case: tuple[str, str, int]) -> None:
    link, stack, version = case
    records = _wrapped(link, stack, version)
    # a snap length that leaves the headers of the deepest nest, and as much as ends them
    headers = len(records[0].data)
    cut = [record._replace(data=record.data[:headers]) for record in records]
    for captured in (records, cut):
        scored = score_capture(CaptureFile(io.BytesIO(pcap(captured, tunnels.LINKS[link].number))), 10)
        (flow,) = scored.flows
        assert (flow.verdict, flow.first_flight_segments, flow.first_flight_bytes) == ("honoured", 10, 10 * MSS)
        assert scored.notes == []


def _modified(records: list[Record], order: str) -> bytes:
    pieces = [struct.pack(order + "IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)]
    for time_ns, data, original in records:
        seconds, rest = divmod(time_ns, 10**9)
        pieces.append(struct.pack(order + "IIIIIHBx", seconds, rest // 1000, len(data), original, 2, 0x0800, 0) + data)
    return b"".join(pieces)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_modified_pcap_of_old_red_hat_is_read(order: str) -> None:
    whole = _modified(_wrapped("ethernet", "eth", 4), order)
    (flow,) = score_capture(CaptureFile(io.BytesIO(whole)), 10).flows
    assert (flow.verdict, flow.first_flight_segments) == ("honoured", 10)
    reading = CaptureFile(io.BytesIO(whole[:-1]))
    assert len(score_capture(reading, 10).flows) == 1
    assert reading.damage == "the file ends inside a frame"


@pytest.mark.parametrize("order", ["<", ">"])
def test_interfaces_of_different_link_types_and_clocks_share_a_file(order: str) -> None:
    """Two directions by two interfaces, PPPoE in nanoseconds and cooked in 2^-20 s; a third is not read."""
    records = _wrapped("raw", "", 4)
    ends = [(link_types.ETHERNET, 9), (link_types.LINUX_SLL2, 0x80 | 20), (127, 6)]
    data = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    for link_type, resolution in ends:
        option = struct.pack(order + "HHB3x", 9, 1, resolution) + bytes(4)
        data += block(1, struct.pack(order + "HHI", link_type, 0, 0) + option, order)
    for record in records:
        packet = tunnels.Made(tunnels.IPV4, record.data)
        number = int(record.data[12:16] == tunnels.ADDRESSES[4][0])
        frame = [tunnels.ethernet(tunnels.pppoe(packet)).data, tunnels.LINKS["sll2"].wrap(packet)][number]
        stamp = [record.time_ns, record.time_ns * 2**20 // 10**9][number]
        head = struct.pack(order + "IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
        data += block(6, head + frame, order)
    data += block(6, struct.pack(order + "IIIII", 2, 0, 0, 40, 40) + bytes(40), order)
    scored = score_capture(CaptureFile(io.BytesIO(data)), 10)
    (flow,) = scored.flows
    assert (flow.verdict, flow.first_flight_segments) == ("honoured", 10)
    assert flow.rtt_ms == pytest.approx(20, abs=0.1)
    assert scored.notes == ["1 frame ignored: link type 127 (802.11 with radiotap header) is not read"]


def test_a_block_that_is_of_no_use_may_have_any_size() -> None:
    section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    interface = block(1, struct.pack("<HHI", 1, 0, 0))
    secrets = block(10, bytes(5_000_000))
    frame = _wrapped("ethernet", "eth", 4)[0].data
    packet = block(6, struct.pack("<IIIII", 0, 0, 0, len(frame), len(frame)) + frame)
    reading = CaptureFile(io.BytesIO(section + interface + secrets + packet))
    assert len(score_capture(reading, 10).flows) == 1
    assert reading.damage == ""
    cut = CaptureFile(io.BytesIO(section + interface + secrets[:-9]))
    assert list(cut) == []
    assert cut.damage == "the file ends inside a block"


@pytest.mark.parametrize(
    ("begins", "name"),
    [
        (b"\x1f\x8b\x08\x00", "gzip"),
        (lzma.compress(b""), "xz"),
        (b"BZh91", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (b"snoop\0\0\0", "a snoop file"),
        (b"GMBU", "a Network Monitor file"),
    ],
)
def test_other_formats_are_refused_by_name(begins: bytes, name: str) -> None:
    with pytest.raises(UsageError, match=f"not a pcap or pcapng capture but {name}"):
        list(CaptureFile(io.BytesIO(begins)))


@given(st.data(), st.sampled_from(["<", ">"]))
def test_a_damaged_modified_file_never_raises(data: st.DataObject, order: str) -> None:
    whole = bytearray(_modified(_wrapped("ethernet", "eth vlan", 6), order))
    for _ in range(data.draw(st.integers(1, 20))):
        whole[data.draw(st.integers(24, len(whole) - 1))] = data.draw(st.integers(0, 255))
    score_capture(CaptureFile(io.BytesIO(bytes(whole))), 10)


@given(st.data(), st.sampled_from(["2618-tso1-cold-large.server.pcap", "2627-tso0-cold-large.client.pcap"]))
def test_a_damaged_capture_of_a_real_kernel_accounts_for_every_frame(data: st.DataObject, name: str) -> None:
    whole = bytearray(capture(name))
    for _ in range(data.draw(st.integers(0, 30))):
        whole[data.draw(st.integers(24, len(whole) - 1))] = data.draw(st.integers(0, 255))
    kept = bytes(whole[: data.draw(st.integers(24, len(whole)))])
    notes: Counter[Ignored] = Counter()
    reading = CaptureFile(io.BytesIO(kept))
    segments = sum(segment(frame.link_type, frame.data, frame.original_bytes, notes) is not None for frame in reading)
    assert segments + notes.total() == reading.frames
    score_capture(CaptureFile(io.BytesIO(kept)), 10)
