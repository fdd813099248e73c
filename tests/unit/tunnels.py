"""Frames with TCP inside whatever may lie between it and the link, made layer by layer from the inside out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from offloadbench.analysis.capture import link_types

CLIENT_PORT, SERVER_PORT = 50000, 80
SEQ, ACK_NUMBER, FLAGS, WINDOW = 1000, 2000, 0x18, 512
# of pseudowires: only a label tells tshark what they are
CONTROL_WORD_LABEL, BARE_LABEL = 300, 200
OPTIONS = bytes.fromhex("0101080a0000000700000009")
ADDRESSES = {
    4: (bytes([198, 18, 0, 2]), bytes([198, 18, 0, 1])),
    6: (bytes.fromhex("20010db8") + bytes(11) + b"\x02", bytes.fromhex("20010db8") + bytes(11) + b"\x01"),
}
_OUTER = {
    4: (bytes([192, 0, 2, 2]), bytes([192, 0, 2, 1])),
    6: (bytes.fromhex("20010db8ffff") + bytes(9) + b"\x02", bytes.fromhex("20010db8ffff") + bytes(9) + b"\x01"),
}
_MACS = bytes.fromhex("02000000000202000000000a")

IPV4, IPV6, ETHERNET, VLAN, MPLS, PPPOE, PPP, BRIDGE = "ipv4", "ipv6", "ethernet", "vlan", "mpls", "pppoe", "ppp", "pbb"
_ETHERTYPES = {
    IPV4: 0x0800, IPV6: 0x86DD, VLAN: 0x8100, "qinq": 0x88A8, MPLS: 0x8847, PPPOE: 0x8864, BRIDGE: 0x88E7,
    "fabric": 0x8903,
}  # fmt: skip
_GRE_TYPES = _ETHERTYPES | {ETHERNET: 0x6558}
_PPP_TYPES = {IPV4: 0x0021, IPV6: 0x0057, MPLS: 0x0281}
_PROTOCOLS = {
    "tcp": 6, IPV4: 4, IPV6: 41, "gre": 47, "udp": 17, "ah": 51, "etherip": 97, MPLS: 137, "hop": 0, "routing": 43,
    "destination": 60, "atomic": 44,
}  # fmt: skip
_IP = frozenset({IPV4, IPV6})
_IN_ETHERNET = frozenset(_ETHERTYPES)
# an extension header stands in IPv6 alone
_EXTENSIONS = frozenset({"hop", "routing", "destination", "atomic"})
_PORTS = {"vxlan": 4789, "vxlan-linux": 8472, "vxlan-gpe": 4790, "geneve": 6081, "gtp": 2152, MPLS: 6635}


class Made(NamedTuple):
    """Bytes, and what they begin with."""

    kind: str
    data: bytes


def tcp(payload_bytes: int = 100, options: bytes = OPTIONS) -> Made:
    """A segment from the client."""
    offset = (20 + len(options)) // 4 << 4
    head = struct.pack(">HHIIBBHHH", CLIENT_PORT, SERVER_PORT, SEQ, ACK_NUMBER, offset, FLAGS, WINDOW, 0, 0)
    return Made("tcp", head + options + bytes(payload_bytes))


def ip(inner: Made, version: int, ends: dict[int, tuple[bytes, bytes]] = ADDRESSES, options: int = 0) -> Made:
    """A packet; `options` in bytes, of IPv4 alone."""
    source, destination = ends[version]
    protocol = _PROTOCOLS[inner.kind]
    if version == 6:
        return Made(
            IPV6, struct.pack(">IHBB", 6 << 28, len(inner.data), protocol, 64) + source + destination + inner.data
        )
    size = 20 + options
    head = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, size + len(inner.data), 1, 0x4000, 64, protocol, 0)
    return Made(IPV4, head + source + destination + b"\x01" * options + inner.data)


def _outer(version: int) -> Callable[[Made], Made]:
    return lambda inner: ip(inner, version, _OUTER)


def ethernet(inner: Made) -> Made:
    return Made(ETHERNET, _MACS + struct.pack(">H", _ETHERTYPES[inner.kind]) + inner.data)


def _snap(inner: Made) -> bytes:
    return b"\xaa\xaa\x03\0\0\0" + struct.pack(">H", _ETHERTYPES[inner.kind]) + inner.data


def snap(inner: Made) -> Made:
    """IEEE 802.3: a length, 802.2 and SNAP."""
    return Made(ETHERNET, _MACS + struct.pack(">H", min(len(inner.data) + 8, 1500)) + _snap(inner))


def sap(inner: Made) -> Made:
    """802.2 with IP's own service access point."""
    return Made(ETHERNET, _MACS + struct.pack(">H", min(len(inner.data) + 3, 1500)) + b"\x06\x06\x03" + inner.data)


def _tag(kind: str) -> Callable[[Made], Made]:
    return lambda inner: Made(kind, struct.pack(">HH", 7, _ETHERTYPES[inner.kind]) + inner.data)


def mpls(inner: Made) -> Made:
    """One label; a pseudowire's Ethernet behind a control word."""
    bottom = 0 if inner.kind == MPLS else 1
    label, word = (CONTROL_WORD_LABEL, bytes(4)) if inner.kind == ETHERNET else (100, b"")
    return Made(MPLS, struct.pack(">I", label << 12 | bottom << 8 | 64) + word + inner.data)


def mpls_bare(inner: Made) -> Made:
    """A pseudowire without control word."""
    return Made(MPLS, struct.pack(">I", BARE_LABEL << 12 | 1 << 8 | 64) + inner.data)


def ppp(inner: Made) -> Made:
    return Made(PPP, struct.pack(">H", _PPP_TYPES[inner.kind]) + inner.data)


def ppp_framed(inner: Made) -> Made:
    return Made(PPP, b"\xff\x03" + ppp(inner).data)


def ppp_short(inner: Made) -> Made:
    """The protocol field compressed to one byte."""
    return Made(PPP, bytes([_PPP_TYPES[inner.kind]]) + inner.data)


def pppoe(inner: Made) -> Made:
    data = struct.pack(">H", _PPP_TYPES[inner.kind]) + inner.data
    return Made(PPPOE, struct.pack(">BBHH", 0x11, 0, 5, len(data)) + data)


def provider_bridge(inner: Made) -> Made:
    return Made(BRIDGE, bytes(4) + inner.data)


def fabric_path(inner: Made) -> Made:
    return Made("fabric", struct.pack(">H", 0x0A60) + inner.data)


def _gre(flags: int = 0, more: int = 0) -> Callable[[Made], Made]:
    return lambda inner: Made("gre", struct.pack(">HH", flags, _GRE_TYPES[inner.kind]) + bytes(more) + inner.data)


def pptp(inner: Made) -> Made:
    """GRE version 1 with key, sequence number and acknowledgement."""
    return Made("gre", struct.pack(">HHHHII", 0x3081, 0x880B, len(inner.data), 1, 2, 3) + inner.data)


def erspan_1(inner: Made) -> Made:
    return Made("gre", struct.pack(">HH", 0, 0x88BE) + inner.data)


def erspan_2(inner: Made) -> Made:
    return Made("gre", struct.pack(">HHIII", 0x1000, 0x88BE, 1, 0x1000_0001, 0) + inner.data)


def erspan_3(inner: Made) -> Made:
    """With the optional platform header."""
    return Made("gre", struct.pack(">HHI", 0x1000, 0x22EB, 1) + b"\x20" + bytes(10) + b"\x01" + bytes(8) + inner.data)


def ether_ip(inner: Made) -> Made:
    return Made("etherip", b"\x30\0" + inner.data)


def authentication(inner: Made) -> Made:
    return Made("ah", struct.pack(">BBHII", _PROTOCOLS[inner.kind], 4, 0, 1, 1) + bytes(12) + inner.data)


def _extension(kind: str) -> Callable[[Made], Made]:
    def made(inner: Made) -> Made:
        # one PadN option, or the last of two segments
        body = b"\0\0\0\0\0\0" if kind == "routing" else b"\x01\x04\0\0\0\0"
        return Made(kind, bytes([_PROTOCOLS[inner.kind], 0]) + body + inner.data)

    return made


def atomic(inner: Made) -> Made:
    return Made("atomic", struct.pack(">BBHI", _PROTOCOLS[inner.kind], 0, 0, 1) + inner.data)


def udp(inner: Made) -> Made:
    return Made("udp", struct.pack(">HHHH", 49152, _PORTS[inner.kind], 8 + len(inner.data), 0) + inner.data)


def _vxlan(kind: str) -> Callable[[Made], Made]:
    return lambda inner: Made(kind, struct.pack(">II", 0x0800_0000, 42 << 8) + inner.data)


def vxlan_gpe(inner: Made) -> Made:
    following = {IPV4: 1, IPV6: 2, ETHERNET: 3, MPLS: 5}[inner.kind]
    return Made("vxlan-gpe", struct.pack(">BHBI", 0x0C, 0, following, 42 << 8) + inner.data)


def _geneve(option_words: int) -> Callable[[Made], Made]:
    option = struct.pack(">HBB", 0x0102, 1, option_words - 1) + bytes(4 * option_words - 4) if option_words else b""
    return lambda inner: Made(
        "geneve", struct.pack(">BBHI", option_words, 0, _GRE_TYPES[inner.kind], 42 << 8) + option + inner.data
    )


def gtp(inner: Made) -> Made:
    return Made("gtp", struct.pack(">BBHI", 0x30, 0xFF, len(inner.data), 5) + inner.data)


def gtp_numbered(inner: Made) -> Made:
    return Made("gtp", struct.pack(">BBHIHBB", 0x32, 0xFF, len(inner.data) + 4, 5, 1, 0, 0) + inner.data)


def gtp_extended(inner: Made) -> Made:
    """With the PDU session container of 5G, twice."""
    extensions = b"\x01\0\x09\x85" + b"\x01\0\x09\0"
    head = struct.pack(">BBHIHBB", 0x34, 0xFF, len(inner.data) + 12, 5, 0, 0, 0x85)
    return Made("gtp", head + extensions + inner.data)


class Layer(NamedTuple):
    """What may stand directly inside, and how it is wrapped."""

    inside: frozenset[str]
    wrap: Callable[[Made], Made]


_WITH_ETHERNET = _IN_ETHERNET | {ETHERNET}
_IN_IPV4 = frozenset(_PROTOCOLS) - {"tcp"} - _EXTENSIONS
LAYERS: dict[str, Layer] = {
    "eth": Layer(_IN_ETHERNET, ethernet),
    "snap": Layer(_IP, snap),
    "sap": Layer(frozenset({IPV4}), sap),
    "vlan": Layer(_IN_ETHERNET, _tag(VLAN)),
    "qinq": Layer(frozenset({VLAN}), _tag("qinq")),
    "mpls": Layer(_IP | {MPLS, ETHERNET}, mpls),
    "mpls-bare": Layer(frozenset({ETHERNET}), mpls_bare),
    "ppp": Layer(frozenset(_PPP_TYPES), ppp),
    "ppp-framed": Layer(frozenset(_PPP_TYPES), ppp_framed),
    "ppp-short": Layer(_IP, ppp_short),
    "pppoe": Layer(frozenset(_PPP_TYPES), pppoe),
    "fabric": Layer(frozenset({ETHERNET}), fabric_path),
    "pbb": Layer(frozenset({ETHERNET}), provider_bridge),
    "ip4": Layer(_IN_IPV4, _outer(4)),
    "ip6": Layer(_IN_IPV4 | _EXTENSIONS, _outer(6)),
    "gre": Layer(_WITH_ETHERNET, _gre()),
    "gre-key": Layer(_WITH_ETHERNET, _gre(0x2000, 4)),
    "gre-all": Layer(_WITH_ETHERNET, _gre(0xB000, 12)),
    "pptp": Layer(frozenset({PPP}), pptp),
    "erspan1": Layer(frozenset({ETHERNET}), erspan_1),
    "erspan2": Layer(frozenset({ETHERNET}), erspan_2),
    "erspan3": Layer(frozenset({ETHERNET}), erspan_3),
    "etherip": Layer(frozenset({ETHERNET}), ether_ip),
    "ah": Layer(_IN_IPV4 - {"ah"}, authentication),
    "hop": Layer(_IN_IPV4 | {"destination", "routing", "atomic"}, _extension("hop")),
    "destination": Layer(_IN_IPV4, _extension("destination")),
    "routing": Layer(_IN_IPV4 | {"destination"}, _extension("routing")),
    "atomic": Layer(_IN_IPV4 | {"destination"}, atomic),
    "udp": Layer(frozenset(_PORTS), udp),
    "vxlan": Layer(frozenset({ETHERNET}), _vxlan("vxlan")),
    "vxlan-linux": Layer(frozenset({ETHERNET}), _vxlan("vxlan-linux")),
    "gpe": Layer(_IP | {ETHERNET, MPLS}, vxlan_gpe),
    "geneve": Layer(_WITH_ETHERNET, _geneve(0)),
    "geneve-options": Layer(_WITH_ETHERNET, _geneve(3)),
    "gtp": Layer(_IP, gtp),
    "gtp-numbered": Layer(_IP, gtp_numbered),
    "gtp-extended": Layer(_IP, gtp_extended),
}


def _null(order: str, families: dict[str, int]) -> Callable[[Made], bytes]:
    return lambda inner: struct.pack(order + "I", families[inner.kind]) + inner.data


def _cooked(inner: Made) -> bytes:
    return struct.pack(">HHH8sH", 4, 1, 6, bytes(8), _ETHERTYPES[inner.kind]) + inner.data


def _cooked_2(inner: Made) -> bytes:
    return struct.pack(">HHIHBB8s", _ETHERTYPES[inner.kind], 0, 2, 1, 4, 6, bytes(8)) + inner.data


def _bare(inner: Made) -> bytes:
    return inner.data


class Link(NamedTuple):
    """A link type, what it may carry, and its header."""

    number: int
    inside: frozenset[str]
    wrap: Callable[[Made], bytes]


_BSD, _OPENBSD = {IPV4: 2, IPV6: 30}, {IPV4: 2, IPV6: 24}
LINKS: dict[str, Link] = {
    "ethernet": Link(link_types.ETHERNET, frozenset({ETHERNET}), _bare),
    "sll": Link(link_types.LINUX_SLL, _IN_ETHERNET, _cooked),
    "sll2": Link(link_types.LINUX_SLL2, _IN_ETHERNET, _cooked_2),
    "raw": Link(link_types.RAW_IP, _IP, _bare),
    "raw-ipv4": Link(link_types.IPV4_ONLY, frozenset({IPV4}), _bare),
    "raw-ipv6": Link(link_types.IPV6_ONLY, frozenset({IPV6}), _bare),
    "null": Link(link_types.NULL, _IP, _null("<", _BSD)),
    "null-big": Link(link_types.NULL, _IP, _null(">", _BSD)),
    "null-freebsd": Link(link_types.NULL, _IP, _null("<", {IPV4: 2, IPV6: 28})),
    "loop": Link(link_types.LOOP, _IP, _null(">", _OPENBSD)),
    "enc": Link(link_types.ENC, _IP, lambda inner: struct.pack("<III", _OPENBSD[inner.kind], 1, 0) + inner.data),
    "ppp": Link(link_types.PPP, frozenset({PPP}), _bare),
    "ppp-serial": Link(link_types.PPP_HDLC, frozenset({PPP}), _bare),
    "ppp-directed": Link(link_types.PPP_WITH_DIR, frozenset({PPP}), lambda inner: b"\x01" + inner.data),
    "pppoe-link": Link(link_types.PPP_ETHER, frozenset({PPPOE}), _bare),
    "hdlc": Link(
        link_types.C_HDLC, _IP | {MPLS}, lambda inner: struct.pack(">BBH", 15, 0, _ETHERTYPES[inner.kind]) + inner.data
    ),
    "atm": Link(link_types.ATM_RFC1483, _IP, _snap),
    "mpls-link": Link(link_types.MPLS, frozenset({MPLS}), _bare),
    "pktap": Link(
        link_types.PKTAP,
        frozenset({ETHERNET}),
        lambda inner: struct.pack("<III", 108, 1, link_types.ETHERNET) + bytes(96) + inner.data,
    ),
}


def frame(link: str, layers: Iterable[str], version: int = 4, payload_bytes: int = 100) -> tuple[int, bytes]:
    """Link type and bytes of a frame: link, then `layers` from the outside in, IP of `version`, TCP."""
    made = ip(tcp(payload_bytes), version)
    for name in reversed([*layers]):
        made = LAYERS[name].wrap(made)
    chosen = LINKS[link]
    return chosen.number, chosen.wrap(made)


# one of each header, and the nests that are met in the field
STACKS: list[tuple[str, str]] = [
    *((link, "") for link in LINKS if LINKS[link].inside >= {IPV4} or LINKS[link].inside >= {IPV6}),
    *(("ethernet", f"eth {name}") for name in ("vlan", "qinq vlan", "mpls", "mpls mpls mpls", "pppoe", "pbb eth")),
    *(("ethernet", name) for name in ("eth", "snap", "sap")),
    *(("ethernet", f"eth vlan {name}") for name in ("pppoe", "mpls")),
    *(("ethernet", f"eth mpls {name}") for name in ("eth", "eth vlan", "snap")),
    *(("ethernet", f"eth mpls-bare {name}") for name in ("eth", "snap")),
    *((link, name) for link in ("ppp", "ppp-serial", "ppp-directed") for name in ("ppp", "ppp-framed", "ppp-short")),
    ("pppoe-link", "pppoe"), ("ppp", "ppp-framed mpls"), ("hdlc", "mpls"), ("mpls-link", "mpls"), ("pktap", "eth"),
    *(
        ("ethernet", f"eth {outer} {name}")
        for outer in ("ip4", "ip6")
        for name in (
            "", "gre", "gre-key", "gre-all", "gre eth", "gre mpls", "pptp ppp", "pptp ppp-framed", "erspan1 eth",
            "erspan2 eth", "erspan2 eth vlan", "erspan3 eth", "etherip eth", "ah", "ah gre", "mpls",
            "udp vxlan eth", "udp vxlan eth vlan", "udp gpe", "udp gpe eth", "udp geneve eth", "udp geneve-options eth",
            "udp geneve", "udp gtp", "udp gtp-numbered", "udp gtp-extended", "udp mpls", "gre eth ip4 udp vxlan eth",
            "udp vxlan eth vlan ip4 gre", "udp gtp ip4 udp gtp",
        )
    ),
    *(("ethernet", f"eth ip6 {name}") for name in (
        "hop", "destination", "routing", "atomic", "hop destination", "hop routing atomic destination", "hop ah gre",
        "atomic udp vxlan eth",
    )),
    *((link, "ip4 udp vxlan eth qinq vlan") for link in ("sll", "sll2", "raw", "null", "loop")),
    ("ethernet", "eth qinq vlan pppoe ip4 udp vxlan eth qinq vlan mpls ip6 hop gre-key"),
]  # fmt: skip


def plain_extensions() -> dict[str, Made]:
    """IPv6 with extension headers and no tunnel."""
    segment = tcp()
    stacks = ("hop", "destination", "routing", "atomic", "hop destination routing atomic", "ah", "hop ah")
    made = {}
    for stack in stacks:
        inner = segment
        for name in reversed(stack.split()):
            inner = LAYERS[name].wrap(inner)
        made[stack] = ip(inner, 6)
    return made
