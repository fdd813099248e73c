"""Frames of one connection straight from a NIC, each with what its sender's super-packet looked like (packet(7)).

With PACKET_VNET_HDR every frame comes behind a struct virtio_net_hdr, which tells the segment size of a super-packet
that no NIC has cut (include/uapi/linux/virtio_net.h).
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import time
from typing import NamedTuple

from offloadbench.base.errors import HostError
from offloadbench.kernel.system import netns

_SOL_PACKET, _ADD_MEMBERSHIP, _STATISTICS, _VNET_HDR = 263, 1, 6, 15
_MR_PROMISC = 1
_SO_RCVBUFFORCE, _SO_ATTACH_FILTER, _SO_TIMESTAMPNS = 33, 26, 35
_ETH_P_IP = 0x0800
_VNET_HEADER = struct.Struct("<BBHHHH")
_FILTER = struct.Struct("HBBI")
# a super-packet of BIG TCP with its headers
_FRAME_BYTES_MAX = 1 << 19
_RECEIVE_BUFFER_BYTES = 16 << 20


class Arrival(NamedTuple):
    """A frame as the kernel handed it up.

    Attributes:
        time_ns: CLOCK_REALTIME of its arrival.
        gso_bytes: payload of each segment of a super-packet but its last; 0: it is one segment.
    """

    time_ns: int
    gso_bytes: int
    data: bytes


def _only(remote: tuple[str, int], local_port: int) -> bytes:
    """A classic BPF program that lets pass what this IPv4 TCP endpoint sends to our port (struct sock_filter)."""
    load_half, load_byte, load_word, load_header = 0x28, 0x30, 0x20, 0xB1
    load_half_behind, equal, accept = 0x48, 0x15, 0x06
    (address,) = struct.unpack(">I", socket.inet_aton(remote[0]))
    tests = [(load_half, 12, _ETH_P_IP), (load_byte, 23, socket.IPPROTO_TCP), (load_word, 26, address)]
    program = []
    left = 2 * len(tests) + 5
    for load, at, wanted in tests:
        program += [(load, 0, 0, at), (equal, 0, left - 2, wanted)]
        left -= 2
    program += [
        (load_header, 0, 0, 14),
        (load_half_behind, 0, 0, 14),
        (equal, 0, 3, remote[1]),
        (load_half_behind, 0, 0, 16),
        (equal, 0, 1, local_port),
        (accept, 0, 0, _FRAME_BYTES_MAX),
        (accept, 0, 0, 0),
    ]
    return b"".join(_FILTER.pack(*line) for line in program)


class PacketSocket:
    """Sends frames, and receives those of one connection.

    Args:
        remote: whose frames are received.
        local_port: and to which port.

    Raises:
        HostError: not root, no such NIC, or a kernel without one of the options.
    """

    def __init__(self, ifname: str, namespace: str | None, remote: tuple[str, int], local_port: int) -> None:
        try:
            with netns.entered(namespace):
                # protocol 0: nothing is received before the filter stands
                self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                index = socket.if_nametoindex(ifname)
        except OSError as error:
            raise HostError(f"packet socket on {ifname}: {error.strerror}", "root is needed; see `ip link`") from error
        try:
            self._socket.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._set_filter(_only(remote, local_port))
            # an address of its own is not the NIC's; the kernel forgets this with the socket
            member = struct.pack("IHH8s", index, _MR_PROMISC, 0, bytes(8))
            self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)
            self._socket.bind((ifname, _ETH_P_IP))
            self.lost()
        except OSError as error:
            self._socket.close()
            raise HostError(f"packet socket on {ifname}: {error.strerror}", "Linux 2.6.27 is needed") from error

    def _set_filter(self, program: bytes) -> None:
        kept = ctypes.create_string_buffer(program, len(program))
        lines = len(program) // _FILTER.size
        self._socket.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HxxxxxxP", lines, ctypes.addressof(kept))
        )

    def send(self, frame: bytes) -> None:
        """One frame from its Ethernet header on, checksums and all."""
        self._socket.send(bytes(_VNET_HEADER.size) + frame)

    def receive(self, until_s: float) -> Arrival | None:
        """The next frame, or None when time.monotonic() passes `until_s` before it comes."""
        wait_s = until_s - time.monotonic()
        if not select.select([self._socket], [], [], max(0.0, wait_s))[0]:
            return None
        data, ancillary, _, _ = self._socket.recvmsg(_FRAME_BYTES_MAX, 128)
        time_ns = 0
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, nanoseconds = struct.unpack("ll", value[:16])
                time_ns = seconds * 10**9 + nanoseconds
        _, kind, _, gso_bytes, _, _ = _VNET_HEADER.unpack_from(data)
        return Arrival(time_ns or time.time_ns(), gso_bytes if kind else 0, data[_VNET_HEADER.size :])

    def lost(self) -> int:
        """Frames that did not fit since the last call (PACKET_STATISTICS; reading sets it back to 0)."""
        _, lost = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8))
        return int(lost)

    def close(self) -> None:
        self._socket.close()
