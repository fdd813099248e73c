"""From the first byte of a captured frame to its TCP header, through whatever lies between.

Every header is a function that moves `Frame.at` behind itself and returns the header that follows. Frames are hostile:
a header that is cut off raises IndexError or struct.error, which `find` turns into a reason, and a frame with more than
32 headers is left alone. Where no number says what follows, as after MPLS, its bytes do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from offloadbench.analysis.capture import link_types
from offloadbench.analysis.capture.ignored_frames import Ignored

_MOST_HEADERS = 32
_U16 = struct.Struct(">H")
_IPV4_HEAD = struct.Struct(">BxHxxHxB10x")
_IPV6_HEAD = struct.Struct(">B3xHB33x")
# nearly every frame of most captures: Ethernet, IPv4 without options, TCP; found here without a call for each header
_PLAIN, _PLAIN_BYTES = b"\x08\x00\x45", 34
_PLAIN_HEAD = struct.Struct(">H2xHxB")
# below: a length, of a frame with an 802.2 header
_LEAST_ETHERTYPE = 0x0600
# 802.2: service access points, and the control field of unnumbered information
_SAP_IP, _SAP_SNAP, _UNNUMBERED = 0x06, 0xAA, 0x03
_TCP = 6


class Place(NamedTuple):
    """Of a TCP header: its offset, the end of its payload, and both addresses, packed."""

    at: int
    end: int
    addresses: bytes


@dataclass(slots=True)
class OpenFrame:
    """A frame while it is read.

    Attributes:
        at: where the next header begins.
        end: of the last IP packet; before that, of the frame on the wire.
        addresses: of the last IP header, source before destination.
        fragment: the last IP packet is the first of several fragments.
    """

    data: bytes
    at: int
    end: int
    addresses: bytes = b""
    fragment: bool = False


# None: TCP follows
Header = Callable[[OpenFrame], "Header | None"]


class _Left(Exception):
    """The frame holds no TCP, or none that can be reached; no error, as most frames of some captures end so."""

    def __init__(self, why: Ignored) -> None:
        super().__init__(why)
        self.why = why


FRAGMENT = Ignored("IP fragments")
CONTRADICTION = Ignored("headers that contradict themselves")
_CUT = Ignored("cut off by the snap length before the end of the TCP header")
_SHORT = Ignored("too short for their headers")
_NESTED = Ignored(f"more than {_MOST_HEADERS} headers inside one another")


def find(link_type: int, data: bytes, original_bytes: int) -> Place | Ignored:
    """The TCP header in a frame of `original_bytes` on the wire, of which `data` is captured."""
    if link_type == link_types.ETHERNET and data[12:15] == _PLAIN and len(data) >= _PLAIN_BYTES:
        total, fragment, protocol = _PLAIN_HEAD.unpack_from(data, 16)
        if protocol == _TCP and total and not fragment & 0x3FFF and 14 + total <= original_bytes:
            return Place(34, 14 + total, data[26:34])
    header: Header | None = _LINKS.get(link_type)
    if header is None:
        return _unread(link_types.name(link_type))
    frame = OpenFrame(data, 0, max(original_bytes, len(data)))
    try:
        for _ in range(_MOST_HEADERS):
            header = header(frame)
            if header is None:
                return Place(frame.at, frame.end, frame.addresses)
    except _Left as left:
        return left.why
    except (struct.error, IndexError):
        return cut(data, original_bytes)
    return _NESTED


def cut(data: bytes, original_bytes: int) -> Ignored:
    """Why a header is not there: not captured, or never sent."""
    return _CUT if len(data) < original_bytes else _SHORT


def _unread(name: str) -> Ignored:
    return Ignored(f"{name} is not read")


def _leave(why: Ignored) -> NoReturn:
    raise _Left(why)


def _without_tcp(carries: str) -> NoReturn:
    raise _Left(Ignored("no TCP", carries))


def _u16(frame: OpenFrame, at: int) -> int:
    return int(_U16.unpack_from(frame.data, at)[0])


# ---------------------------------------------------------------- links


def _ethernet(frame: OpenFrame) -> Header:
    frame.at += 14
    return _by_type(_u16(frame, frame.at - 2))


def _by_type(ethertype: int) -> Header:
    if ethertype < _LEAST_ETHERTYPE:
        return _llc
    return _by_ethertype(ethertype)


def _by_ethertype(ethertype: int) -> Header:
    header = _ETHERTYPES.get(ethertype)
    if header is None:
        if ethertype in _UNREAD_ETHERTYPES:
            _leave(_unread(_UNREAD_ETHERTYPES[ethertype]))
        _without_tcp(_OTHER_ETHERTYPES.get(ethertype, f"EtherType 0x{ethertype:04x}"))
    return header


def _vlan(frame: OpenFrame) -> Header:
    frame.at += 4
    return _by_type(_u16(frame, frame.at - 2))


def _provider_bridge(frame: OpenFrame) -> Header:
    """802.1ah: a tag, and the customer's whole frame."""
    frame.at += 4
    return _ethernet


def _fabric_path(frame: OpenFrame) -> Header:
    """Cisco: addresses of switches and a tag before the whole frame."""
    frame.at += 2
    return _ethernet


def _llc(frame: OpenFrame) -> Header:
    """802.2 behind a length, or on ATM: SNAP holds an EtherType, SAP 6 is IP."""
    service, control = frame.data[frame.at], frame.data[frame.at + 2]
    if service == _SAP_IP and control == _UNNUMBERED:
        frame.at += 3
        return _ip
    if service != _SAP_SNAP or control != _UNNUMBERED:
        _without_tcp(f"LLC, SAP 0x{service:02x}")
    kind = _u16(frame, frame.at + 6)
    # 0000f8: bridged as of IEEE 802.1H
    if frame.data[frame.at + 3 : frame.at + 6] not in (b"\x00\x00\x00", b"\x00\x00\xf8"):
        _without_tcp(f"SNAP, OUI {frame.data[frame.at + 3 : frame.at + 6].hex()}")
    frame.at += 8
    return _by_ethertype(kind)


def _cooked(frame: OpenFrame) -> Header:
    return _by_cooked(frame, frame.at + 2, frame.at + 14, 16)


def _cooked_2(frame: OpenFrame) -> Header:
    return _by_cooked(frame, frame.at + 8, frame.at, 20)


def _by_cooked(frame: OpenFrame, hardware_at: int, protocol_at: int, size: int) -> Header:
    """The kernel's cooked header: on netlink and 802.11 the protocol is no EtherType."""
    hardware, protocol = _u16(frame, hardware_at), _u16(frame, protocol_at)
    if hardware in _COOKED_UNREAD:
        _leave(_unread(_COOKED_UNREAD[hardware]))
    frame.at += size
    if protocol == _COOKED_LLC:
        return _llc
    if protocol < _LEAST_ETHERTYPE:
        _without_tcp(f"Linux protocol {protocol}")
    return _by_ethertype(protocol)


_COOKED_LLC = 4
# ARPHRD_: linux/if_arp.h
_COOKED_UNREAD = {801: "802.11", 802: "802.11", 803: "802.11 with radiotap header", 824: "netlink"}


def _null(frame: OpenFrame) -> Header:
    """BSD loopback: an address family in the byte order of the machine that wrote it."""
    (family,) = struct.unpack_from("<I", frame.data, frame.at)
    if family > 0xFFFF:
        (family,) = struct.unpack_from(">I", frame.data, frame.at)
    frame.at += 4
    if family not in _IP_FAMILIES:
        _without_tcp(f"address family {family}")
    return _ip


# IPv4; IPv6 of Linux, Windows, NetBSD, FreeBSD, macOS
_IP_FAMILIES = frozenset({2, 10, 23, 24, 28, 30})


def _enc(frame: OpenFrame) -> Header:
    """OpenBSD's IPsec interface: family, SPI, flags."""
    header = _null(frame)
    frame.at += 8
    return header


def _packet_tap(frame: OpenFrame) -> Header:
    """macOS: a header that says its length and the link type of what follows."""
    size, _, link_type = struct.unpack_from("<III", frame.data, frame.at)
    return _other_link(frame, size, link_type)


def _per_packet(frame: OpenFrame) -> Header:
    _, size, link_type = struct.unpack_from("<HHI", frame.data, frame.at)
    return _other_link(frame, size, link_type)


def _other_link(frame: OpenFrame, size: int, link_type: int) -> Header:
    header = _LINKS.get(link_type)
    if header is None:
        _leave(_unread(link_types.name(link_type)))
    frame.at += size
    return header


def _ppp(frame: OpenFrame) -> Header:
    """RFC 1661 and 1662, with address and control or without, the protocol in one byte or two."""
    if frame.data[frame.at] == 0xFF and frame.data[frame.at + 1] == 0x03:
        frame.at += 2
    protocol = frame.data[frame.at]
    if protocol & 1:
        frame.at += 1
    else:
        protocol = _u16(frame, frame.at)
        frame.at += 2
    header = _PPP_PROTOCOLS.get(protocol)
    if header is None:
        if protocol in _UNREAD_PPP:
            _leave(_unread(_UNREAD_PPP[protocol]))
        _without_tcp("PPP control" if protocol & 0x8000 else f"PPP protocol 0x{protocol:04x}")
    return header


def _ppp_or_hdlc(frame: OpenFrame) -> Header:
    # Cisco's unicast and multicast addresses
    return _cisco_hdlc if frame.data[frame.at] in (0x0F, 0x8F) else _ppp


def _directed_ppp(frame: OpenFrame) -> Header:
    frame.at += 1
    return _ppp_or_hdlc


def _pppd(frame: OpenFrame) -> Header:
    """The direction stands in the place of the address."""
    frame.at += 2 if frame.data[frame.at + 1] == 0x03 else 1
    return _ppp


def _cisco_hdlc(frame: OpenFrame) -> Header:
    frame.at += 4
    return _by_ethertype(_u16(frame, frame.at - 2))


def _pppoe(frame: OpenFrame) -> Header:
    frame.at += 6
    return _ppp


def _mpls(frame: OpenFrame) -> Header:
    """One label; nothing says what follows the last, so its first four bits do (RFC 4928, RFC 4385)."""
    bottom = frame.data[frame.at + 2] & 1
    frame.at += 4
    if not bottom:
        return _mpls
    version = frame.data[frame.at] >> 4
    if version in (4, 6):
        return _ip
    if version == 1:
        _without_tcp("MPLS channel")
    # a pseudowire: Ethernet at once, or behind a control word, which begins with 0 as many addresses do
    if version == 0 and not _looks_like_ethernet(frame):
        frame.at += 4
    return _ethernet


def _looks_like_ethernet(frame: OpenFrame) -> bool:
    """By its type, or by the 802.2 header behind a length."""
    kind = _u16(frame, frame.at + 12)
    if kind < _LEAST_ETHERTYPE:
        return frame.data[frame.at + 14] in (_SAP_IP, _SAP_SNAP) and frame.data[frame.at + 16] == _UNNUMBERED
    return kind in _ETHERTYPES or kind in _UNREAD_ETHERTYPES or kind in _OTHER_ETHERTYPES


# ---------------------------------------------------------------- IP


def _ip(frame: OpenFrame) -> Header | None:
    return _ipv6(frame) if frame.data[frame.at] >> 4 == 6 else _ipv4(frame)


def _ipv4(frame: OpenFrame) -> Header | None:
    at = frame.at
    version, total, fragment, protocol = _IPV4_HEAD.unpack_from(frame.data, at)
    if version >> 4 != 4 or version & 15 < 5:
        _leave(CONTRADICTION)
    if fragment & 0x1FFF:
        _leave(FRAGMENT)
    _end(frame, total and at + total)
    frame.fragment = fragment & 0x2000 != 0
    frame.addresses = frame.data[at + 12 : at + 20]
    frame.at = at + 4 * (version & 15)
    return _by_protocol(frame, protocol)


def _ipv6(frame: OpenFrame) -> Header | None:
    at = frame.at
    version, length, protocol = _IPV6_HEAD.unpack_from(frame.data, at)
    if version >> 4 != 6:
        _leave(CONTRADICTION)
    frame.at = at + 40
    _end(frame, length and frame.at + length)
    frame.fragment = False
    frame.addresses = frame.data[at + 8 : at + 40]
    return _by_protocol(frame, protocol)


def _end(frame: OpenFrame, claimed: int) -> None:
    """Where a packet ends: never behind what it came in, except where that is a fragment.

    0 is claimed by a super-packet beyond 64 KB (BIG TCP), and by drivers that leave the length to the NIC.
    """
    if claimed:
        frame.end = claimed if frame.fragment else min(claimed, frame.end)


def _by_protocol(frame: OpenFrame, protocol: int) -> Header | None:
    if protocol == _TCP:
        if frame.fragment:
            _leave(FRAGMENT)
        return None
    header = _PROTOCOLS.get(protocol)
    if header is None:
        if protocol in _UNREAD_PROTOCOLS:
            _leave(_unread(_UNREAD_PROTOCOLS[protocol]))
        _without_tcp(_OTHER_PROTOCOLS.get(protocol, f"IP protocol {protocol}"))
    return header


def _extension(frame: OpenFrame) -> Header | None:
    protocol, length = frame.data[frame.at], frame.data[frame.at + 1]
    frame.at += 8 * (length + 1)
    return _by_protocol(frame, protocol)


def _authentication(frame: OpenFrame) -> Header | None:
    protocol, length = frame.data[frame.at], frame.data[frame.at + 1]
    frame.at += 4 * (length + 2)
    return _by_protocol(frame, protocol)


def _fragment(frame: OpenFrame) -> Header | None:
    """IPv6; offset and the bit for more are both 0 in an atomic fragment (RFC 6946)."""
    protocol, place = frame.data[frame.at], _u16(frame, frame.at + 2)
    if place & 0xFFF8:
        _leave(FRAGMENT)
    frame.fragment = place & 1 != 0
    frame.at += 8
    return _by_protocol(frame, protocol)


# ---------------------------------------------------------------- tunnels


def _gre(frame: OpenFrame) -> Header:
    """RFC 2784 and 2890, version 1 for PPTP (RFC 2637), ERSPAN by its protocol."""
    flags, protocol = struct.unpack_from(">HH", frame.data, frame.at)
    if flags & 0x4000:
        _leave(_unread("GRE with source routes"))
    numbered = flags & 0x1000 != 0
    frame.at += 4 + 4 * (flags >> 15 & 1) + 4 * (flags >> 13 & 1) + 4 * numbered
    version = flags & 7
    if version == 1:
        frame.at += 4 * (flags >> 7 & 1)
    if version > 1:
        _leave(CONTRADICTION)
    if protocol == 0x88BE:
        # type I has no header of its own
        frame.at += 8 * numbered
        return _ethernet
    if protocol == 0x22EB:
        frame.at += 12 + 8 * (frame.data[frame.at + 11] & 1)
        return _ethernet
    if protocol < _LEAST_ETHERTYPE:
        _without_tcp(f"GRE protocol 0x{protocol:04x}")
    return _by_ethertype(protocol)


def _ether_ip(frame: OpenFrame) -> Header:
    frame.at += 2
    return _ethernet


def _udp(frame: OpenFrame) -> Header:
    """A tunnel by the port it goes to, or one that is not read by either port; anything else is no TCP."""
    source, destination = _u16(frame, frame.at), _u16(frame, frame.at + 2)
    header = _PORTS.get(destination)
    if header is None:
        unread = _UNREAD_PORTS.get(destination) or _UNREAD_PORTS.get(source)
        if unread:
            _leave(_unread(unread))
        _without_tcp("UDP")
    frame.at += 8
    return header


def _vxlan(frame: OpenFrame) -> Header:
    if not frame.data[frame.at] & 0x08:
        _without_tcp("UDP")
    frame.at += 8
    return _ethernet


def _vxlan_gpe(frame: OpenFrame) -> Header:
    header = _GPE_PROTOCOLS.get(frame.data[frame.at + 3])
    if header is None:
        _leave(_unread("VXLAN-GPE with another protocol"))
    frame.at += 8
    return header


def _geneve(frame: OpenFrame) -> Header:
    first, kind = frame.data[frame.at], _u16(frame, frame.at + 2)
    if first >> 6:
        _without_tcp("UDP")
    frame.at += 8 + 4 * (first & 0x3F)
    return _by_ethertype(kind)


def _gtp(frame: OpenFrame) -> Header:
    """User plane (3GPP TS 29.281): sequence number, N-PDU number and extensions come together or not at all."""
    flags, kind = frame.data[frame.at], frame.data[frame.at + 1]
    if flags >> 5 != 1 or not flags & 0x10:
        _without_tcp("UDP")
    if kind != 0xFF:
        _without_tcp("GTP signalling")
    frame.at += 8
    if flags & 0x07:
        extended = flags & 0x04 and frame.data[frame.at + 3]
        frame.at += 4
        if extended:
            return _gtp_extension
    return _gtp_payload


def _gtp_extension(frame: OpenFrame) -> Header:
    size = 4 * frame.data[frame.at]
    if not size:
        _leave(CONTRADICTION)
    frame.at += size
    return _gtp_extension if frame.data[frame.at - 1] else _gtp_payload


def _gtp_payload(frame: OpenFrame) -> Header:
    if frame.data[frame.at] >> 4 not in (4, 6):
        _leave(_unread("GTP without IP"))
    return _ip


_ETHERTYPES: dict[int, Header] = {
    0x0800: _ipv4,
    0x86DD: _ipv6,
    0x8100: _vlan,
    0x88A8: _vlan,
    0x9100: _vlan,
    0x9200: _vlan,
    0x8847: _mpls,
    0x8848: _mpls,
    0x8864: _pppoe,
    0x880B: _ppp,
    # bridged Ethernet in GRE and GENEVE
    0x6558: _ethernet,
    0x88E7: _provider_bridge,
    0x8903: _fabric_path,
}
_UNREAD_ETHERTYPES = {0x88E5: "MACsec", 0x894F: "NSH", 0x22F3: "TRILL", 0x893F: "802.1BR", 0x883E: "WCCP"}
_OTHER_ETHERTYPES = {
    0x0806: "ARP", 0x8035: "RARP", 0x8137: "IPX", 0x8808: "pause frames", 0x8809: "LACP", 0x8863: "PPPoE discovery",
    0x888E: "EAPOL", 0x88CC: "LLDP", 0x88F7: "PTP", 0x8902: "CFM", 0x8906: "FCoE", 0x8915: "RoCE", 0x9000: "loop test",
}  # fmt: skip
_PPP_PROTOCOLS: dict[int, Header] = {0x21: _ipv4, 0x57: _ipv6, 0x0281: _mpls, 0x0283: _mpls}
_UNREAD_PPP = {
    0x2D: "TCP compressed by PPP (RFC 1144)", 0x2F: "TCP compressed by PPP (RFC 1144)", 0x3D: "multilink PPP",
    0x31: "bridged PPP", 0x53: "encrypted PPP", 0xFD: "compressed PPP",
}  # fmt: skip
_PROTOCOLS: dict[int, Header] = {
    # IPv6's extension headers: hop by hop, routing, destination, mobility, HIP, shim6
    0: _extension,
    43: _extension,
    60: _extension,
    135: _extension,
    139: _extension,
    140: _extension,
    44: _fragment,
    51: _authentication,
    4: _ipv4,
    41: _ipv6,
    17: _udp,
    47: _gre,
    97: _ether_ip,
    137: _mpls,
}
_UNREAD_PROTOCOLS = {50: "ESP", 108: "IPComp", 115: "L2TPv3"}
_OTHER_PROTOCOLS = {
    1: "ICMP", 2: "IGMP", 33: "DCCP", 58: "ICMPv6", 59: "IPv6 without payload", 88: "EIGRP", 89: "OSPF", 103: "PIM",
    112: "VRRP", 132: "SCTP", 136: "UDP-Lite",
}  # fmt: skip
# 8472: Linux' own for VXLAN, from before the assigned one
_PORTS: dict[int, Header] = {
    4789: _vxlan, 8472: _vxlan, 4790: _vxlan_gpe, 6081: _geneve, 2152: _gtp, 6635: _mpls,
}  # fmt: skip
_UNREAD_PORTS = {1701: "L2TP", 3544: "Teredo", 4341: "LISP", 4500: "ESP in UDP", 5247: "CAPWAP", 51820: "WireGuard"}
_GPE_PROTOCOLS: dict[int, Header] = {1: _ipv4, 2: _ipv6, 3: _ethernet, 5: _mpls}
_LINKS: dict[int, Header] = {
    link_types.ETHERNET: _ethernet,
    link_types.LINUX_SLL: _cooked,
    link_types.LINUX_SLL2: _cooked_2,
    link_types.IPV4_ONLY: _ipv4,
    link_types.IPV6_ONLY: _ipv6,
    link_types.NULL: _null,
    link_types.LOOP: _null,
    link_types.ENC: _enc,
    link_types.PPP: _ppp_or_hdlc,
    link_types.PPP_HDLC: _ppp_or_hdlc,
    link_types.PPP_ETHER: _pppoe,
    link_types.PPP_PPPD: _pppd,
    link_types.PPP_WITH_DIR: _directed_ppp,
    link_types.C_HDLC: _cisco_hdlc,
    link_types.ATM_RFC1483: _llc,
    link_types.MPLS: _mpls,
    link_types.PKTAP: _packet_tap,
    link_types.PPI: _per_packet,
    **dict.fromkeys(link_types.RAW_IP_TYPES, _ip),
}
