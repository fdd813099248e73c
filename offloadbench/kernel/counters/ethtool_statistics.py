"""Statistics of a driver (`ethtool -S`): names by ETHTOOL_GSTRINGS, values by ETHTOOL_GSTATS.

Drivers choose the names. Some pad them with blanks (cxgb4); vmxnet3 repeats them for every queue below a line
`Tx Queue#`, whose value is the queue's number, so that only the position tells them apart.
"""

from __future__ import annotations

import errno
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterable

from offloadbench.kernel.netdev import ethtool_ioctl
from offloadbench.kernel.system import netns

_GSTRINGS, _GSTATS, _GSSET_INFO = 0x1B, 0x1D, 0x37
_SET_STATISTICS = 1
_NAME_BYTES = 32
# ethtool: ethtool.c, dump_stats()
_INDENT = 5
_VALUE = re.compile(r" *[0-9]{1,20}")
# The kernel writes as many values as the driver has at that moment, whatever was asked for: another program may have
# added queues since the names were read.
_SLACK = 4096


class EthtoolStatistics:
    """The statistics of one NIC, asked through a socket of its namespace. Users take differences."""

    def __init__(self, ifname: str, namespace: str | None) -> None:
        self._ifname = ifname
        with netns.entered(namespace):
            self._control = ethtool_ioctl.control_socket()

    def read(self) -> dict[str, int]:
        """Name -> value; empty where the driver has none.

        Names are read anew each time: a driver that was reset may have others.
        """
        try:
            names = _names(self._control, self._ifname)
            request = bytearray(8 + 8 * (len(names) + _SLACK))
            struct.pack_into("II", request, 0, _GSTATS, len(names))
            ethtool_ioctl.exchange(self._control, self._ifname, request)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return {}
            raise
        return dict(zip(distinct(names), struct.unpack_from(f"{len(names)}Q", request, 8), strict=True))

    def close(self) -> None:
        self._control.close()


def _names(control: socket.socket, ifname: str) -> list[str]:
    asked = bytearray(24)
    struct.pack_into("IIQ", asked, 0, _GSSET_INFO, 0, 1 << _SET_STATISTICS)
    ethtool_ioctl.exchange(control, ifname, asked)
    mask, count = struct.unpack_from("QI", asked, 8)
    if not mask:
        return []
    request = bytearray(12 + _NAME_BYTES * (count + _SLACK))
    struct.pack_into("III", request, 0, _GSTRINGS, _SET_STATISTICS, count)
    ethtool_ioctl.exchange(control, ifname, request)
    (told,) = struct.unpack_from("I", request, 8)
    starts = range(12, 12 + _NAME_BYTES * told, _NAME_BYTES)
    return [request[start : start + _NAME_BYTES].split(b"\0")[0].decode(errors="replace") for start in starts]


def distinct(names: Iterable[str]) -> list[str]:
    """The driver's names without blanks around them, each made to differ from the others, in their order.

    A name that is set in stands below a title that ends in `#`: `  TSO pkts tx` below the first `Tx Queue#` becomes
    `Tx Queue 0 TSO pkts tx`. A name that still occurs before gets its ordinal.
    """
    found: list[str] = []
    titles: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    title = ""
    for raw in names:
        name = raw.strip()
        if name.endswith("#"):
            title = f"{name[:-1]} {titles[name]}"
            titles[name] += 1
            name = title
        elif raw[:1].isspace() and title:
            name = f"{title} {name}"
        else:
            title = ""
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return found


def printed(text: str) -> dict[str, int]:
    """The statistics in the output of `ethtool -S`, which sets every name in by five blanks."""
    pairs = [line[_INDENT:].rpartition(":") for line in text.splitlines()[1:]]
    rows = [(name, value) for name, colon, value in pairs if colon and _VALUE.fullmatch(value)]
    return dict(zip(distinct(name for name, _ in rows), (int(value) for _, value in rows), strict=True))
