"""What is known of a driver, written by hand as TOML (profiles/drivers/*.toml)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from offloadbench.model.base import Strict

_NUMBER = re.compile(r"\d+")


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """A statistic's name with every number as `{n}`: the same for all queues."""
    return _NUMBER.sub("{n}", name)


class DriverCounters(Strict, frozen=True, kw_only=True):
    """Names of statistics, `{n}` for the number of a queue; what a list does not name, the driver does not count.

    Attributes:
        tso: grow when super-packets were given to the NIC; tso_failed: those that it did not take.
        tx_checksum: grow when the NIC was told to checksum a packet; tx_checksum_excludes_tso: super-packets apart.
        tx_checksum_none: packets of which the stack made the checksum.
        rx_checksum: arrived verified by the NIC; rx_checksum_none: unverified; rx_checksum_bad: with a wrong checksum.
        lro, hw_gro: merged by the NIC.
        drops: packets dropped, and buffers that could not be had.
        allowances: packets that a cloud held back or dropped because the machine's allowance was used up.
        wire_packets: sent, as frames on the wire, of a NIC whose own count (/proc/net/dev) is of super-packets: their
            ratio shows segmentation.
    """

    tso: list[str] = []
    tso_failed: list[str] = []
    tx_checksum: list[str] = []
    tx_checksum_excludes_tso: bool = False
    tx_checksum_none: list[str] = []
    rx_checksum: list[str] = []
    rx_checksum_none: list[str] = []
    rx_checksum_bad: list[str] = []
    lro: list[str] = []
    hw_gro: list[str] = []
    drops: list[str] = []
    allowances: list[str] = []
    wire_packets: list[str] = []


class Coupling(Strict, frozen=True, kw_only=True):
    """What the driver itself drops (its fix_features), on top of the rules of the kernel's core.

    Attributes:
        without: a feature; when it is off, `drops` go too.
    """

    without: str
    drops: list[str]


class Driver(Strict, frozen=True, kw_only=True):
    """One driver.

    Attributes:
        name: the file's own.
        kernel_names: as ETHTOOL_GDRVINFO tells them; empty for what is no driver (the kernel's own statistics).
        modules: the kernel modules that it is made of.
        files: its source files and .ko files inside the kernel tree (wildcards).
        prefixes: beginnings of the names of its functions, by which it is known where it is built in.
        source: where its habits were read.
        tx_packets: what /proc/net/dev counts as sent: `frames` of the wire, `super-packets` (once, with one set of
            headers), or the sum of the `lowers`.
        software_tso: the driver cuts super-packets itself: a super-packet handed to it proves no hardware.
        reinitialises: features whose toggle stops and starts the NIC, so that its link goes down for a while.
        habits: what a person should know, as sentences.
    """

    name: str
    kernel_names: list[str]
    modules: list[str] = []
    files: list[str] = []
    prefixes: list[str] = []
    title: str
    source: str
    tx_packets: Literal["frames", "super-packets", "lowers", "unknown"]
    software_tso: bool = False
    reinitialises: list[str] = []
    couplings: list[Coupling] = []
    counters: DriverCounters = DriverCounters()
    habits: list[str] = []
