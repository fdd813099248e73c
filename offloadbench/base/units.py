"""Rates, times and sizes as people write them, and as people read them.

Rates follow tc(8): `1gbit` is 10^9 bit/s; iperf3's `1G` and our own `1 Gbit/s` are the same. Sizes are binary only
where they say so (`KiB`, `MiB`, `GiB`).
"""

from __future__ import annotations

import re

from offloadbench.base.errors import UsageError

_RATE = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9, "tbit": 10**12}
# beyond what a 64-bit counter holds
_MOST = 2.0**63
_MOST_BITS_PER_S = 100 * 10**12
_TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_DURATION = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SIZE = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE |= {"tb": 10**12, "tib": 2**40}
# of any size: what is longer is no size, and Python refuses to convert it
_DIGITS_MAX = 25


def _parse(text: str, table: dict[str, float] | dict[str, int], what: str, example: str) -> float:
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]+)\s*", text)
    if not match or match[2].lower() not in table:
        raise UsageError(f"{text!r} is not a {what}", f"write a number and one of {', '.join(table)}: {example}")
    value = float(match[1]) * table[match[2].lower()]
    if value > _MOST:
        raise UsageError(f"{text!r} is no {what} that anything has", f"for example: {example}")
    return value


def parse_rate_bits_per_s(text: str, least_bits_per_s: int = 10**6) -> int:
    """`1gbit` -> 1_000_000_000. At least 1 Mbit/s unless told: below that no offload question remains."""
    # as users of iperf3 and ethtool write them, and as our own reports do
    letter = re.fullmatch(r"\s*([0-9.]+\s*[kmgt])\s*", text, re.IGNORECASE)
    word = f"{letter[1]}bit" if letter else text.strip().removesuffix("/s")
    rate = _parse(word, _RATE, "rate", "1gbit, 10G, 100mbit")
    if rate < least_bits_per_s:
        raise UsageError(f"rate {text!r} is too low", f"use at least {_shortest(least_bits_per_s)}")
    if rate > _MOST_BITS_PER_S:
        raise UsageError(f"rate {text!r} is too high", f"use at most {_shortest(_MOST_BITS_PER_S)}")
    return round(rate)


def _shortest(bits_per_s: int) -> str:
    """10**6 -> `1mbit`."""
    unit = max((name for name in _RATE if bits_per_s >= _RATE[name]), key=_RATE.__getitem__)
    return f"{bits_per_s // _RATE[unit]}{unit}"


def parse_time_s(text: str) -> float:
    """`20ms` -> 0.02; 0 needs no unit."""
    if re.fullmatch(r"\s*0+(\.0+)?\s*", text):
        return 0.0
    if re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", text):
        raise UsageError(f"{text!r} is not a time: its unit is missing", f"did you mean {text.strip()}ms?")
    return _parse(text, _TIME, "time", "20ms, 0.5s")


def parse_duration_s(text: str) -> float:
    """`30s` -> 30.0, `1m` -> 60.0; a bare number is seconds."""
    if re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", text):
        return float(text)
    return _parse(text, _DURATION, "duration", "30, 30s, 1m")


def parse_whole_seconds(text: str) -> int:
    """As `parse_duration_s`, of whole seconds."""
    seconds = parse_duration_s(text)
    if not seconds.is_integer():
        raise UsageError(f"{text!r} is not a whole number of seconds", "for example: 30, 30s, 1m")
    return int(seconds)


def parse_size_bytes(text: str) -> int:
    """`128MiB` -> 134217728; a bare number is bytes."""
    if len(text.strip()) > _DIGITS_MAX:
        raise UsageError(f"{text[:_DIGITS_MAX]!r}... is not a size", "write a number and its unit: 128MiB, 16MB")
    if re.fullmatch(r"[0-9]{1,18}", text.strip()):
        return int(text)
    if re.fullmatch(r"[0-9.]+[kmgt]", word := text.strip().lower()):
        decimal, binary = f"{word[:-1]}{word[-1].upper()}B", f"{word[:-1]}{word[-1].upper()}iB"
        raise UsageError(f"{text!r} is not a size: of 1000 or of 1024?", f"write {decimal} or {binary}")
    return int(_parse(text, _SIZE, "size", "128MiB, 16MB"))


def parse_percent(text: str) -> float:
    """`2%` or `2` -> 0.02. Above 0 and at most 100 %."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%?\s*", text)
    if not match:
        raise UsageError(f"{text!r} is not a percentage", "write a number and %: 2%, 0.5%")
    if not 0 < float(match[1]) <= 100:
        raise UsageError(f"{text!r} is out of range", "use more than 0% and at most 100%")
    return float(match[1]) / 100


def format_rate(bits_per_s: float) -> str:
    """941_000_000 -> '941 Mbit/s'."""
    for unit, factor in (("Tbit/s", 1e12), ("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        # 999.6 of a unit would be shown with an exponent
        if abs(bits_per_s) >= 0.9995 * factor:
            return f"{bits_per_s / factor:.3g} {unit}"
    return f"{bits_per_s:.0f} bit/s"


def format_change(ratio: float) -> str:
    """The size of a change: 0.0312 -> '3.1 %', 0.41 -> '41 %', 7.9 -> '790 %'."""
    percent = abs(100 * ratio)
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.2g} %"


def format_ratio(ratio: float) -> str:
    """A change with its sign, in percent, rounded to what its size deserves: 1.032 -> '+3.2 %', 4.1 -> '+310 %'.

    Minus is the typographic sign.
    """
    size = abs(ratio - 1) * 100
    sign = "\N{MINUS SIGN}" if ratio < 1 else "+"
    return f"{sign}{size:,.0f} %" if size >= 9.95 else f"{sign}{size:.1f} %"


def format_bytes(size: float) -> str:
    """134217728 -> '128 MiB'."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size:.0f} B"


def format_seconds(seconds: float, digits: int = 3) -> str:
    """0.05 -> '0.05 s', 4317.2 -> '4,317 s', 1.2e-05 -> '12 us': never with an exponent."""
    if seconds >= 10**digits:
        return f"{seconds:,.0f} s"
    return f"{seconds:.{digits}g} s" if seconds == 0 or seconds >= 1e-3 else f"{seconds * 1e6:.{digits}g} us"


def format_duration(seconds: float) -> str:
    """4331 -> '1h12m', 75 -> '1m15s', 8 -> '8s'."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{secs:02d}s" if minutes else f"{secs}s"


def parse_cpulist(text: str) -> frozenset[int]:
    """The kernel's cpulist format (Documentation/core-api/kernel-api): `0-2,5` -> {0, 1, 2, 5}."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def format_cpulist(cpus: frozenset[int]) -> str:
    """{0, 1, 2, 5} -> '0,1,2,5'."""
    return ",".join(str(cpu) for cpu in sorted(cpus))
