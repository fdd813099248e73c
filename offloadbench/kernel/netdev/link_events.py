"""What happens to links, from rtnetlink's notifications (RTNLGRP_LINK, rtnetlink(7)): also what was undone since.

The kernel queues them; nothing is read, and so no CPU is used, until somebody asks.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import dataclass

from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from offloadbench.kernel.netdev import link
from offloadbench.kernel.system import netns

_RTMGRP_LINK = 1
_RTM_NEWLINK, _RTM_DELLINK = 16, 17
# IFLA_EVENT_FEATURES of include/uapi/linux/if_link.h: a feature bit has changed, the message does not say which
_FEATURES = 2
_READ_BYTES = 1 << 16
# thousands of messages: a flapping bond sends some for each of its members
_QUEUE_BYTES = 1 << 20
_ALIGNMENT = 4


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """A link as it was when it changed.

    Attributes:
        features: its features have changed.
        gone: it was removed.
    """

    link: link.Link
    features: bool
    gone: bool


class LinkEvents:
    """The notifications of one network namespace since this was made."""

    def __init__(self, namespace: str | None) -> None:
        with netns.entered(namespace):
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
            )
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_BYTES)
        self._socket.bind((0, _RTMGRP_LINK))

    def take(self) -> tuple[list[LinkEvent], bool]:
        """What came since the last call, in order, and whether all of it did: a full queue loses notifications."""
        found: list[LinkEvent] = []
        complete = True
        while True:
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return found, complete
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                complete = False
                continue
            found += _decoded(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


def _decoded(data: bytes) -> list[LinkEvent]:
    found = []
    offset = 0
    while offset < len(data):
        message = ifinfmsg(data, offset=offset)
        message.decode()
        header = message["header"]
        if header["type"] in (_RTM_NEWLINK, _RTM_DELLINK):
            found.append(
                LinkEvent(
                    link.from_message(message),
                    features=message.get_attr("IFLA_EVENT") == _FEATURES,
                    # a port that leaves its bridge is told as a removed link of the family AF_BRIDGE
                    gone=header["type"] == _RTM_DELLINK and message["family"] == socket.AF_UNSPEC,
                )
            )
        offset += (header["length"] + _ALIGNMENT - 1) & -_ALIGNMENT
    return found
