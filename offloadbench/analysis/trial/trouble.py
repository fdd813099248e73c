"""What a device counted in a window that a reader must know: drops, errors, hung transmission, resets, lost links.

Which counter means what is data (profiles/drivers). Counters that no definition names are reported where their names
speak of trouble, and nothing more is said of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from offloadbench.definitions import catalog
from offloadbench.model import Driver, DriverCounters, DriverStatistics, folded, words

Names = Callable[[DriverCounters], list[str]]
# of the counters of several queues, as many are named one by one
_NAMED = 4
_KERNELS = tuple(f"{name}." for name in catalog.KERNEL_STATISTICS)


@dataclass(frozen=True, slots=True)
class DeviceTrouble:
    """One kind of trouble of one device.

    Attributes:
        text: a sentence with the counters.
        interrupts: traffic stood still, so that the window's figures are not those of the case.
    """

    text: str
    interrupts: bool = False


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What the counters of one list of a definition say when they grow.

    Attributes:
        by_words: a name also stands for the same words of any queue.
        interrupts: see `DeviceTrouble`.
    """

    names: Names
    what: str
    by_words: bool = True
    interrupts: bool = False


_MEANINGS = (
    _Meaning(
        lambda counters: counters.allowances,
        "the machine's allowance was used up, the figures are the cloud's limit",
        by_words=False,
    ),
    _Meaning(lambda counters: counters.link_losses, "the link was lost", interrupts=True),
    _Meaning(
        lambda counters: counters.stalls,
        "transmission hung until a watchdog noticed, which mostly ends in a reset",
        interrupts=True,
    ),
    _Meaning(lambda counters: counters.resets, "the NIC, its driver or one of its queues was reset", interrupts=True),
    _Meaning(lambda counters: counters.drops, "the NIC or its driver dropped packets"),
    _Meaning(
        lambda counters: counters.kernel_drops,
        "the driver or the kernel above it dropped packets (received ones also where no protocol here wants them)",
    ),
    _Meaning(lambda counters: counters.errors, "frames were damaged, or could not be sent or received"),
    _Meaning(lambda counters: counters.allocation_failures, "the driver could not get or map memory for buffers"),
    _Meaning(
        lambda counters: counters.shortages,
        "a ring, a buffer or a credit of the driver ran out: packets waited, took a slower path or were lost",
    ),
    _Meaning(lambda counters: counters.tso_failed, "super-packets that the NIC did not take", by_words=False),
    _Meaning(lambda counters: counters.rx_checksum_bad, "packets arrived with a wrong checksum", by_words=False),
)

# a word of a name that ends so, or that is one of the others, speaks of trouble: `change`, `default`, `preset` do not
_TROUBLE = re.compile(
    r".*(drop(s|ped)?|discard(s|ed)?|missed|errs|errors?|timeouts?|timedout|fail(s|ed|ures?)?|abort(s|ed)?|overruns?"
    r"|overflows?|underruns?|underflows?)|err|bad|crc|fcs|oom|oob|lost|nobufs?|corrupt(ed)?|invalid|illegal|resets?"
    r"|hangs?|hung|stuck|stall(s|ed)?|faults?|exhausted|starved"
)
_NONE_LEFT = re.compile(
    r"\bno (buf|buffer|desc|descriptor|dma|mem|memory|skb|frag|space|wqe|resource|room|page|slot|credit)s?\b"
)
# names of packets and bytes are of counters, never of a level that rises and falls
_COUNTS = frozenset({"packets", "pkts", "bytes", "octets", "frames"})


def sounds_like_trouble(name: str) -> bool:
    """Whether the name of a statistic speaks of drops, errors, failures, timeouts or resets."""
    found = words(name)
    return any(map(_TROUBLE.fullmatch, found)) or bool(_NONE_LEFT.search(" ".join(found)))


def troubles(statistics: Iterable[DriverStatistics], of: str = "") -> list[DeviceTrouble]:
    """What a reader of the trial must know of these devices, the gravest kind first within each.

    Args:
        of: whose devices they are, as the beginning of every sentence.
    """
    found: list[DeviceTrouble] = []
    for device in statistics:
        name = f"{of}{device.ifname}"
        found += [DeviceTrouble(f"{of}{device.problem}")] if device.problem else []
        found += [DeviceTrouble(f"{name}: {trouble.text}", trouble.interrupts) for trouble in _of_device(device)]
    return found


def _of_device(device: DriverStatistics) -> Iterator[DeviceTrouble]:
    own = catalog.driver(device.driver)
    kernel = [catalog.drivers()[name] for name in catalog.KERNEL_STATISTICS]
    explained: set[str] = set()
    for meaning in _MEANINGS:
        by_driver = _grown(device, own, meaning) if own else {}
        by_kernel = {name: value for driver in kernel for name, value in _grown(device, driver, meaning).items()}
        explained |= by_driver.keys() | by_kernel.keys()
        counted = sum(by_driver.values())
        # what the driver counts under names of its own, the kernel mostly counts again
        shown = by_driver | {name: value for name, value in by_kernel.items() if value > counted}
        if shown:
            yield DeviceTrouble(f"{meaning.what} ({_listed(shown)})", meaning.interrupts)
    yield from _unexplained(device, own, explained)
    yield from _gone_back(device)


def _grown(device: DriverStatistics, driver: Driver, meaning: _Meaning) -> dict[str, int]:
    """The statistics that a definition means, of those that grew."""
    wanted = meaning.names(driver.counters)
    patterns, said = {folded(name) for name in wanted}, {words(name) for name in wanted} if meaning.by_words else set()
    return {
        name: value
        for name, value in device.growth.items()
        if value > 0 and (folded(name) in patterns or words(name) in said)
    }


def _unexplained(device: DriverStatistics, own: Driver | None, explained: set[str]) -> Iterator[DeviceTrouble]:
    known = _known_words(own)
    grown = {
        name: value
        for name, value in device.growth.items()
        if value > 0
        and name not in explained
        and not name.startswith(_KERNELS)
        and words(name) not in known
        and device.growth.get(f"{catalog.LINK_STATISTICS}.{name}") != value
        and sounds_like_trouble(name)
    }
    if grown:
        driver = f"driver {device.driver or '(none)'}"
        what = "grew; what exactly they count is not known here" if own else f"grew; {driver} is not known here"
        yield DeviceTrouble(f"counters whose names speak of trouble {what} ({_listed(grown)})")


def _known_words(own: Driver | None) -> set[tuple[str, ...]]:
    """What a definition says of a driver's counters, whatever it is: nothing need be guessed from these names."""
    if own is None:
        return set()
    every = (getattr(own.counters, field) for field in own.counters.__struct_fields__)
    return {words(name) for names in every if isinstance(names, list) for name in names}


def _gone_back(device: DriverStatistics) -> Iterator[DeviceTrouble]:
    back = {
        name: value for name, value in device.growth.items() if value < 0 and _COUNTS.intersection(words(name)[-1:])
    }
    if back:
        yield DeviceTrouble(
            f"counters that only grow went back ({_listed(back)}): the device was reset or its driver loaded again, or "
            "they wrapped"
        )


def _listed(grown: Mapping[str, int]) -> str:
    """`rx_drops +3, tx_timeout +1`; of many queues one, and their sum."""
    alike: dict[str, list[str]] = {}
    for name in grown:
        alike.setdefault(folded(name), []).append(name)
    texts = []
    for names in alike.values():
        if len(names) <= _NAMED:
            texts += [f"{name} {grown[name]:+,}" for name in names]
        else:
            total = sum(grown[name] for name in names)
            texts.append(f"{names[0]} {grown[names[0]]:+,} and {len(names) - 1} like it, {total:+,} in all")
    return ", ".join(texts)
