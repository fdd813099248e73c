"""What the TCP of a network namespace counted as wrong with the segments that arrived.

/proc/net/snmp (RFC 4022) and /proc/net/netstat (Documentation/networking/snmp_counter.rst). They cover the whole
namespace: on a host they include other connections of the machine.
"""

from __future__ import annotations

import re
from pathlib import Path

from offloadbench.kernel.system import netns

NAMES = (
    *("Tcp.InSegs", "Tcp.InErrs", "Tcp.InCsumErrors", "Udp.InCsumErrors", "IpExt.InCsumErrors"),
    *("TcpExt.TCPOFOQueue", "TcpExt.TCPOFODrop", "TcpExt.TCPRcvQDrop", "TcpExt.TCPBacklogDrop"),
    *("TcpExt.PruneCalled", "TcpExt.RcvPruned", "TcpExt.OfoPruned", "TcpExt.TCPZeroWindowDrop"),
    *("TcpExt.PFMemallocDrop", "TcpExt.TCPMinTTLDrop", "TcpExt.TCPAbortOnMemory", "TcpExt.TCPMemoryPressures"),
    *("TcpExt.TCPReqQFullDrop", "TcpExt.ListenDrops", "TcpExt.ListenOverflows", "TcpExt.PAWSEstab"),
)
FILES = ("snmp", "netstat")
_VALUE = re.compile(r"-?[0-9]{1,20}")


def read(namespace: str | None = None) -> dict[str, int]:
    """`Tcp.InCsumErrors` -> value, of `NAMES` those that this kernel has."""
    with netns.entered(namespace):
        return parse(*(Path("/proc/thread-self/net", name).read_text() for name in FILES))


def parse(*texts: str) -> dict[str, int]:
    """From these files: lines of names, each followed by the line of its values. What is damaged is left out."""
    found: dict[str, int] = {}
    for text in texts:
        lines = text.splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=False):
            title, _, rest = names.partition(":")
            rows = zip(rest.split(), values.split()[1:], strict=False)
            found |= {f"{title}.{name}": int(value) for name, value in rows if _VALUE.fullmatch(value)}
    return {name: found[name] for name in NAMES if name in found}
