"""Counters of the kernel, read together at one moment. All of them only grow; users take differences."""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path

import psutil

from offloadbench.base.errors import FeatureError
from offloadbench.kernel.system import cpu_ticks, netns

# psutil knows neither these files nor network namespaces: /proc/net follows the process, not the thread
_NIC_COLUMNS = {
    "rx_bytes": 0,
    "rx_packets": 1,
    "rx_errors": 2,
    "rx_dropped": 3,
    "tx_bytes": 8,
    "tx_packets": 9,
    "tx_errors": 10,
    "tx_dropped": 11,
}
_TCP = {
    ("Tcp", "OutSegs"): "tcp_out_segments",
    ("Tcp", "RetransSegs"): "tcp_retrans_segments",
    ("Tcp", "InSegs"): "tcp_in_segments",
    ("Tcp", "InCsumErrors"): "tcp_in_csum_errors",
}


class NetworkCounters:
    """NIC and TCP counters of one network namespace; its files are opened once and read again in place.

    TCP counts cover the whole namespace: on a host they include other connections of the machine.
    """

    def __init__(self, ifname: str, namespace: str | None) -> None:
        self._ifname = ifname
        with netns.entered(namespace):
            self._dev = self._open("/proc/thread-self/net/dev")
            self._snmp = self._open("/proc/thread-self/net/snmp")

    @staticmethod
    def _open(path: str) -> BufferedReader:
        return Path(path).open("rb")

    @staticmethod
    def _text(stream: BufferedReader) -> str:
        stream.seek(0)
        return stream.read().decode()

    def read(self) -> dict[str, float]:
        """Bytes and packets as the NIC counts them, TCP segments as the stack counts them."""
        values = parse_net_dev(self._text(self._dev), self._ifname)
        return values | parse_snmp_tcp(self._text(self._snmp))

    def close(self) -> None:
        self._dev.close()
        self._snmp.close()


def nic(ifname: str, namespace: str | None) -> dict[str, float]:
    """Bytes, packets and drops of one NIC now.

    Raises:
        FeatureError: it is gone.
    """
    with netns.entered(namespace):
        return parse_net_dev(Path("/proc/thread-self/net/dev").read_text(), ifname)


def parse_net_dev(text: str, ifname: str) -> dict[str, float]:
    """One NIC's row of /proc/net/dev (net/core/net-procfs.c).

    Raises:
        FeatureError: the NIC is gone.
    """
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        if colon and name.strip() == ifname:
            columns = rest.split()
            return {key: float(columns[index]) for key, index in _NIC_COLUMNS.items()}
    raise FeatureError(f"the NIC {ifname} went away during the trial", "see `dmesg`")


def parse_snmp_tcp(text: str) -> dict[str, float]:
    """The TCP rows of /proc/net/snmp (RFC 4022 names); retransmitted segments are not in OutSegs."""
    values: dict[str, float] = {}
    lines = text.splitlines()
    for names, numbers in zip(lines[::2], lines[1::2], strict=False):
        group = names.split(":")[0]
        for name, number in zip(names.split()[1:], numbers.split()[1:], strict=True):
            if (group, name) in _TCP:
                values[_TCP[group, name]] = float(number)
    return values


def parse_softirqs(text: str, cpus: frozenset[int]) -> dict[str, float]:
    """NET_TX and NET_RX runs on these CPUs, from /proc/softirqs."""
    lines = text.splitlines()
    columns = [index for index, name in enumerate(lines[0].split()) if int(name.removeprefix("CPU")) in cpus]
    values = {}
    for line in lines[1:]:
        name, _, rest = line.partition(":")
        if name.strip() in ("NET_TX", "NET_RX"):
            numbers = rest.split()
            values[f"softirq_{name.strip().lower()}"] = float(sum(int(numbers[index]) for index in columns))
    return values


def system(cpus: frozenset[int]) -> dict[str, float]:
    """CPU ticks and softirqs of these CPUs, context switches of the machine."""
    values = cpu_ticks.read(cpus)
    values |= parse_softirqs(Path("/proc/softirqs").read_text(), cpus)
    values["context_switches"] = float(psutil.cpu_stats().ctx_switches)
    return values
