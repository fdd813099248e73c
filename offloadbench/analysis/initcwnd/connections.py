"""All TCP connections of a capture. One is known by its two ends until a new SYN is answered between them.

A SYN alone ends nothing: a server answers one that does not fit with a challenge ACK (RFC 5961), and goes on.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from offloadbench.analysis.capture.tcp_segment import ACK, RST, SYN, Segment
from offloadbench.analysis.initcwnd.flow import Flow


@dataclass(frozen=True, slots=True)
class Connections:
    """Those of a capture, in the order in which they appear.

    Attributes:
        end_ns: time of the last frame; what could have come later is not known.
    """

    flows: list[Flow]
    end_ns: int


class _Sorting:
    def __init__(self) -> None:
        self.all: list[Flow] = []
        self._current: dict[bytes, Flow] = {}
        # by ends: a SYN beside an established connection, until it is answered
        self._asking: dict[bytes, Flow] = {}

    def add(self, time_ns: int, segment: Segment, frame_bytes: int) -> None:
        """One segment, in the order of the capture."""
        ends = segment.source + segment.destination
        kind = segment.flags & (SYN | ACK | RST)
        if kind == SYN:
            self._for_syn(ends, segment).syn(time_ns, segment)
            return
        if kind == SYN | ACK:
            if flow := self._for_synack(ends, segment):
                flow.synack(time_ns, segment, frame_bytes)
            return
        flow = self._current.get(ends) or self._new(segment)
        if kind & RST:
            asking = self._asking.get(segment.destination + segment.source)
            refused = asking and kind & ACK and asking.accepts(segment)
            (asking if asking and refused else flow).reset(time_ns)
        elif segment.source == flow.client:
            flow.from_client(time_ns, segment)
        else:
            flow.from_server(time_ns, segment, frame_bytes)

    def _for_syn(self, ends: bytes, syn: Segment) -> Flow:
        current = self._current.get(ends)
        if current and current.begins_with(syn):
            return current
        asking = self._asking.get(ends)
        if asking and asking.begins_with(syn):
            return asking
        flow = Flow(syn.source, syn.destination)
        self.all.append(flow)
        if current and current.established:
            self._asking[ends] = flow
        else:
            self._make_current(flow)
        return flow

    def _for_synack(self, ends: bytes, synack: Segment) -> Flow | None:
        """The connection whose SYN it answers; None where it answers nobody's."""
        answered = synack.destination + synack.source
        asking = self._asking.get(answered)
        if asking and asking.accepts(synack):
            del self._asking[answered]
            self._make_current(asking)
            return asking
        current = self._current.get(ends)
        if current and current.client == synack.destination:
            if current.accepts(synack):
                return current
            if current.syn_seq is not None:
                return None
        flow = Flow(synack.destination, synack.source)
        self.all.append(flow)
        self._make_current(flow)
        return flow

    def _make_current(self, flow: Flow) -> None:
        self._current[flow.client + flow.server] = self._current[flow.server + flow.client] = flow

    def _new(self, segment: Segment) -> Flow:
        """Met in mid-stream: the lower port is the likelier server."""
        client, server = segment.source, segment.destination
        if client[-2:] < server[-2:]:
            client, server = server, client
        flow = Flow(client, server)
        self.all.append(flow)
        self._make_current(flow)
        return flow


def endpoint(packed: bytes) -> str:
    """`192.0.2.1:80` or `[2001:db8::1]:80`."""
    address = ipaddress.ip_address(packed[:-2])
    port = int.from_bytes(packed[-2:], "big")
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def connections(segments: Iterable[tuple[int, Segment, int]]) -> Connections:
    """Of (time_ns, segment, frame length in bytes) in the order of the capture."""
    found = _Sorting()
    end_ns = 0
    for time_ns, segment, frame_bytes in segments:
        found.add(time_ns, segment, frame_bytes)
        end_ns = max(end_ns, time_ns)
    return Connections(found.all, end_ns)
