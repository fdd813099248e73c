"""Call chains of samples: PERF_SAMPLE_CALLCHAIN, with the PERF_CONTEXT_* markers turned into a mode for each entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offloadbench.kernel.trace.perfdata.abi import CONTEXT_MAX, CONTEXT_MODES, Context, CpuMode
from offloadbench.kernel.trace.perfdata.byteorder import I8, U1, U8
from offloadbench.kernel.trace.perfdata.layout import SampleLayout
from offloadbench.kernel.trace.perfdata.selection import Selection

_MARKERS = np.array(sorted(int(context) % 2**64 for context in CONTEXT_MODES), dtype=np.uint64)
_MARKER_MODES = np.array(
    [CONTEXT_MODES[context] for context in sorted(CONTEXT_MODES, key=lambda context: int(context) % 2**64)],
    dtype=np.uint8,
)
# the size of a record has 16 bits
_RECORD_MAX_WORDS = 1 << 13
_DEFERRED = np.uint64(Context.USER_DEFERRED % 2**64)


@dataclass(frozen=True, slots=True)
class Chains:
    """Call chains, the innermost frame first.

    User frames are what frame pointers led to, and may be anything. One that looks like a marker is left out, and what
    follows it is of mode `UNKNOWN`; perf drops the whole chain.

    Attributes:
        ip: addresses of all chains one after the other, shape (entries,).
        mode: `abi.CpuMode` of each entry, shape (entries,).
        offsets: chain `i` is `ip[offsets[i]:offsets[i + 1]]`, shape (samples + 1,).
    """

    ip: U8
    mode: U1
    offsets: I8


class ChainReader:
    """Finds call chains behind the fixed fields and READ."""

    def __init__(self, layouts: Sequence[SampleLayout]) -> None:
        self._end = np.array([layout.end for layout in layouts], dtype=np.int64)
        self._read_words = np.array([layout.read_words for layout in layouts], dtype=np.int64)
        self._value_words = np.array([layout.read_value_words for layout in layouts], dtype=np.int64)
        self._is_group = np.array([layout.read_is_group for layout in layouts])
        self._has_chain = np.array([layout.has_chain for layout in layouts])

    def read(self, words: U8, chosen: Selection, mode: U1) -> Chains:
        """A chain for each of the chosen samples, which were taken in `mode`; empty where the event has none."""
        event, ends = chosen.layout, chosen.starts + chosen.sizes
        at = chosen.starts + self._end[event]
        values: I8 = np.where(self._is_group[event], _lengths(words, at, ends), 1)
        at = at + self._read_words[event] + values * self._value_words[event]
        lengths: I8 = np.where(self._has_chain[event], _lengths(words, at, ends), 0)
        lengths = np.minimum(lengths, np.maximum(ends - at - 1, 0))
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        owner = np.repeat(np.arange(len(lengths)), lengths)
        entry = np.arange(offsets[-1], dtype=np.int64)
        ip = words[at[owner] + 1 + entry - offsets[owner]]
        return _without_markers(ip, entry, offsets, owner, mode)


def _lengths(words: U8, at: I8, ends: I8) -> I8:
    """The words at `at` as lengths, none above what a record can hold; 0 beyond the end of the record."""
    inside = at < ends
    lengths: I8 = np.minimum(words[np.where(inside, at, 0)], np.uint64(_RECORD_MAX_WORDS)).astype(np.int64)
    return lengths * inside


def _without_markers(ip: U8, entry: I8, offsets: I8, owner: I8, mode: U1) -> Chains:
    is_marker = ip >= np.uint64(CONTEXT_MAX)
    last_marker = np.maximum.accumulate(np.where(is_marker, entry, -1))
    marked = last_marker >= offsets[owner]
    number = np.minimum(np.searchsorted(_MARKERS, ip[last_marker]), len(_MARKERS) - 1)
    known = _MARKERS[number] == ip[last_marker]
    entry_mode = np.where(marked, np.where(known, _MARKER_MODES[number], CpuMode.UNKNOWN), mode[owner])
    is_cookie = np.zeros(len(ip), dtype=bool)
    is_cookie[1:] = (ip[:-1] == _DEFERRED) & (owner[1:] == owner[:-1])
    keep = ~is_marker & ~is_cookie
    kept_before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(keep)])
    return Chains(ip[keep], entry_mode[keep].astype(np.uint8), kept_before[offsets])
