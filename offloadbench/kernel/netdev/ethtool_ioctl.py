"""The ioctl SIOCETHTOOL (include/uapi/linux/ethtool.h), for what netlink does not offer."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946


def control_socket() -> socket.socket:
    """A socket to ask through; it stays in the network namespace in which it was opened."""
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def exchange(control: socket.socket, ifname: str, request: bytearray) -> None:
    """Send one request, whose first word is its command; the kernel writes the answer into it.

    Raises:
        OSError: no such NIC, or its driver does not know the command.
    """
    buffer = (ctypes.c_char * len(request)).from_buffer(request)
    try:
        fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP", ifname.encode(), ctypes.addressof(buffer)))
    finally:
        del buffer
