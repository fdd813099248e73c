"""How much payload a full segment of one sender holds, from both SYNs and from what was sent.

The MSS is a limit in each direction: a server may send what the client announced (RFC 9293, 3.7.1), and front ends do
that announce less themselves. Options of the data count against it, and stacks and middleboxes drop time stamps that
both SYNs had. So frames decide where they can: none that is longer than the lesser MSS was ever cut to it, and what is
no longer than the client's MSS is one segment.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# RFC 9293: the MSS of a peer that does not say
DEFAULT_MSS_BYTES = 536
_TIMESTAMP_BYTES = 12
_MOST_SIZES = 64


@dataclass(slots=True)
class SegmentSize:
    """Of the server's segments.

    Attributes:
        client_bytes, server_bytes: MSS of their SYNs.
        option_bytes: the least that the server's data carried; before any data what both SYNs let expect.
        largest_bytes: payload of the longest frame that is one segment.
        largest_unpushed_bytes: the same without PSH; the write went on, so its segments were full.
    """

    client_bytes: int = DEFAULT_MSS_BYTES
    server_bytes: int = DEFAULT_MSS_BYTES
    option_bytes: int = 0
    largest_bytes: int = 0
    largest_unpushed_bytes: int = 0
    _super_sizes: dict[int, int] = field(default_factory=dict)
    _data_seen: bool = False

    def announced(self, client_bytes: int | None, server_bytes: int | None, *, timestamps: bool) -> None:
        """What the handshake says; None: no MSS option, which bounds what is sent to that end alone."""
        self.client_bytes = client_bytes or DEFAULT_MSS_BYTES
        self.server_bytes = server_bytes or self.client_bytes
        if not self._data_seen:
            self.option_bytes = _TIMESTAMP_BYTES if timestamps else 0

    def one_segment(self, payload_bytes: int) -> bool:
        return payload_bytes <= self.client_bytes

    def saw(self, payload_bytes: int, option_bytes: int, *, pushed: bool) -> None:
        """A frame of the server with payload."""
        self.option_bytes = min(self.option_bytes, option_bytes) if self._data_seen else option_bytes
        self._data_seen = True
        if not self.one_segment(payload_bytes):
            if payload_bytes in self._super_sizes or len(self._super_sizes) < _MOST_SIZES:
                self._super_sizes[payload_bytes] = self._super_sizes.get(payload_bytes, 0) + 1
            return
        self.largest_bytes = max(self.largest_bytes, payload_bytes)
        if not pushed:
            self.largest_unpushed_bytes = max(self.largest_unpushed_bytes, payload_bytes)

    @property
    def mss_bytes(self) -> int:
        """Payload of a full segment, as well as it is known."""
        lesser = max(1, min(self.client_bytes, self.server_bytes) - self.option_bytes)
        if self.largest_bytes > lesser:
            return self.largest_bytes
        # a path that carries less than the interfaces
        narrowed = self.largest_unpushed_bytes == self.largest_bytes and 2 * self.largest_bytes >= lesser
        candidates = [lesser, max(1, self.client_bytes - self.option_bytes)]
        if narrowed:
            candidates.insert(0, self.largest_bytes)
        if not self._super_sizes:
            return candidates[0]
        # all but the last of a super-packet's segments are full
        return max(
            candidates, key=lambda mss: sum(times for size, times in self._super_sizes.items() if not size % mss)
        )
