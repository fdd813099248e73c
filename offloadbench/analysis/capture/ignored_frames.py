"""Frames of a capture that give no TCP segment: why, and how many."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

_MOST_KINDS = 6


class Ignored(NamedTuple):
    """Why a frame gives no segment.

    Attributes:
        reason: ends the sentence "18 frames ignored: ...".
        carries: what it carries instead of TCP, to be counted beside its like; "" where the reason says all.
    """

    reason: str
    carries: str = ""


def sentences(notes: Counter[Ignored]) -> list[str]:
    """One a reason, most frames first; the most frequent of what they carry in parentheses."""
    reasons: dict[str, Counter[str]] = {}
    for (reason, carries), count in notes.items():
        reasons.setdefault(reason, Counter())[carries] += count
    by_frames = sorted(reasons.items(), key=lambda one: (-one[1].total(), one[0]))
    return [_sentence(reason, carried) for reason, carried in by_frames]


def _sentence(reason: str, carried: Counter[str]) -> str:
    total = carried.total()
    kinds = [(carries, count) for carries, count in carried.most_common() if carries]
    named = [f"{carries} {count}" for carries, count in kinds[:_MOST_KINDS]]
    others = sum(count for _, count in kinds[_MOST_KINDS:])
    if others:
        named.append(f"others {others}")
    frames = "1 frame" if total == 1 else f"{total} frames"
    return f"{frames} ignored: {reason}" + (f" ({', '.join(named)})" if named else "")
