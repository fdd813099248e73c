"""What is known of a driver, written by hand as TOML (profiles/drivers/*.toml)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from offloadbench.model.frozen import Strict

_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ORDINAL = re.compile(r" #\d+$")
# what drivers write beside the number of a queue: rxq0, tx-0, Tx Queue 0, ch0, [0]
_OF_A_QUEUE = {"rxq": "rx", "txq": "tx", "queue": "", "q": "", "ring": "", "ch": "", "channel": "", "n": ""}


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """A statistic's name with every number as `{n}`: the same for all queues."""
    return _NUMBER.sub("{n}", name)


@lru_cache(maxsize=4096)
def words(name: str) -> tuple[str, ...]:
    """A statistic's name as words in lower case, without the queue that it is of.

    `rxq0: rx_drops`, `rx_queue_0_drops`, `rx0_drops`, `rx_drops[0]` and `rx_drops` are the same: a direction that is
    repeated counts once.
    """
    found: list[str] = []
    for word in _WORD.findall(name):
        plain = _OF_A_QUEUE.get(word.lower(), word.lower())
        if plain and not (plain in ("rx", "tx") and plain in found):
            found.append(plain)
    # the second of a name that a driver uses twice means something else (ethtool_statistics.distinct)
    return (*found, "#") if _ORDINAL.search(name) else tuple(found)


class DriverCounters(Strict, frozen=True, kw_only=True):
    """Names of statistics, `{n}` for the number of a queue; what a list does not name, the driver does not count.

    Names of trouble (from `drops` to `link_losses`, and `benign`) stand for themselves and for the same words of any
    queue (see `words`).

    Attributes:
        tso: grow when super-packets were given to the NIC; tso_failed: those that it did not take.
        tx_checksum: grow when the NIC was told to checksum a packet; tx_checksum_excludes_tso: super-packets apart.
        tx_checksum_none: packets of which the stack made the checksum.
        rx_checksum: arrived verified by the NIC; rx_checksum_none: unverified; rx_checksum_bad: with a wrong checksum.
        lro, hw_gro: merged by the NIC.
        drops: packets dropped by the NIC or its driver; kernel_drops: by the driver or the network core above it.
        errors: frames that arrived damaged, and what the NIC or its driver could not send or receive.
        allocation_failures: memory or mappings for buffers that could not be had.
        shortages: a ring, a buffer or a credit ran out; the packet waited or took a slower path.
        stalls: transmission hung until a watchdog noticed (ndo_tx_timeout).
        resets: the NIC, its driver or one of its queues was reset.
        link_losses: the carrier was lost.
        benign: grow in normal operation, although their names sound like trouble.
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
    kernel_drops: list[str] = []
    errors: list[str] = []
    allocation_failures: list[str] = []
    shortages: list[str] = []
    stalls: list[str] = []
    resets: list[str] = []
    link_losses: list[str] = []
    benign: list[str] = []
    allowances: list[str] = []
    wire_packets: list[str] = []


class Coupling(Strict, frozen=True, kw_only=True):
    """What the driver itself drops (its fix_features), on top of the rules of the kernel's core.

    Attributes:
        without: a feature; when it is off, `drops` go too.
    """

    without: str
    drops: list[str]


class Quirk(Strict, frozen=True, kw_only=True):
    """Something to know of a driver that holds for some kernels only.

    Attributes:
        text: a sentence without its full stop.
        since, until: first kernel that behaves so, and first that no longer does, as `6.13`; "" where there is none.
        source: the commit.
    """

    text: str
    since: str = ""
    until: str = ""
    source: str


class Driver(Strict, frozen=True, kw_only=True):
    """One driver.

    Attributes:
        name: the file's own.
        kernel_names: as ETHTOOL_GDRVINFO tells them; empty for what is no driver (the kernel's own statistics).
        modules: the kernel modules that it is made of.
        files: its source files and .ko files inside the kernel tree (wildcards).
        prefixes: beginnings of the names of its functions, by which it is known where it is built in.
        source: where its habits were read, with the version as `Linux 6.12.117` where it was the kernel's source.
        tx_packets: what /proc/net/dev counts as sent: `frames` of the wire, `super-packets` (once, with one set of
            headers), or the sum of the `lowers`.
        software_tso: the driver cuts super-packets itself: a super-packet handed to it proves no hardware.
        reinitialises: features whose toggle stops and starts the NIC, so that its link goes down for a while.
        habits: what a person should know, as sentences.
        quirks: the same, of some kernels only.
        hardware: whether packets leave the machine here; a tunnel hands them, wrapped, to a NIC below.
        segments_with: of a tunnel, the features by which a NIC below segments what it is handed; empty where none can.
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
    quirks: list[Quirk] = []
    hardware: bool = True
    segments_with: list[str] = []
