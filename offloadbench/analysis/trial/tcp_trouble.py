"""What an end's TCP counted as wrong with the segments that it got in a window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from offloadbench.base.words import percent

_CHECKSUMS = ("Tcp.InCsumErrors", "Udp.InCsumErrors", "IpExt.InCsumErrors")
_OUT_OF_ORDER, _SEGMENTS = "TcpExt.TCPOFOQueue", "Tcp.InSegs"
_ORDER_RATIO = 0.001
# counter -> what it is of (Documentation/networking/snmp_counter.rst; net/ipv4/tcp_input.c, tcp_ipv4.c, tcp.c)
_DROPS = {
    "TcpExt.TCPBacklogDrop": "the backlog of a busy socket was full",
    "TcpExt.TCPRcvQDrop": "the receive queue was full",
    "TcpExt.TCPOFODrop": "the queue of segments out of order was full",
    "TcpExt.OfoPruned": "segments out of order were thrown away for memory",
    "TcpExt.RcvPruned": "a receive queue was over its memory",
    "TcpExt.TCPZeroWindowDrop": "they were sent into a closed window",
    "TcpExt.PFMemallocDrop": "they came in emergency memory",
    "TcpExt.TCPMinTTLDrop": "their TTL was too low",
    "TcpExt.TCPReqQFullDrop": "too many connections were being opened",
    "TcpExt.ListenDrops": "a listening socket refused a connection",
    "TcpExt.TCPAbortOnMemory": "connections were aborted for lack of memory",
    "TcpExt.PAWSEstab": "their timestamps were too old",
}


def warnings(grown: Mapping[str, int], end: str) -> list[str]:
    """Sentences on wrong checksums, reordering and drops.

    Args:
        grown: name of `tcp_statistics.NAMES` -> growth over the window.
        end: whose they are; they cover its whole network namespace.
    """
    return [f"{end}: {text}" for text in _sentences(grown)]


def _sentences(grown: Mapping[str, int]) -> Iterator[str]:
    damaged = {name: grown[name] for name in _CHECKSUMS if grown.get(name, 0) > 0}
    if damaged:
        yield (
            f"packets arrived with a wrong checksum ({_listed(damaged)}): they were damaged on the way, or the "
            "checksum that their sender's kernel or NIC wrote was wrong"
        )
    late, segments = grown.get(_OUT_OF_ORDER, 0), grown.get(_SEGMENTS, 0)
    if late > max(_ORDER_RATIO * segments, 0):
        yield (
            f"{late:,} packets for {segments:,} segments arrived out of order ({percent(late / max(segments, late))}; "
            f"{_OUT_OF_ORDER}): the way, or the sender's NIC, lost or reordered some"
        )
    dropped = [f"{reason}: {name} {grown[name]:+,}" for name, reason in _DROPS.items() if grown.get(name, 0) > 0]
    if dropped:
        yield f"TCP dropped segments that had arrived ({'; '.join(dropped)})"


def _listed(grown: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value:+,}" for name, value in grown.items())
