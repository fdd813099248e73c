"""Which records of a block are samples that can be read, and of which event each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offloadbench.kernel.perfdata.abi import WORD_BYTES, RecordType
from offloadbench.kernel.perfdata.byteorder import I8, U8, ByteOrder
from offloadbench.kernel.perfdata.events import Event, owners
from offloadbench.kernel.perfdata.layout import id_word, sample_layout
from offloadbench.kernel.perfdata.stream import Block


@dataclass(frozen=True, slots=True)
class Selection:
    """The readable samples of a block, columns of shape (samples,), and how many others there were.

    Attributes:
        headers: words of struct perf_event_header.
        starts, sizes: the word at which each sample begins, and how many words it has.
        event: index into the events.
        ordinals: number of each record in the file.
        unknown: samples of events that the file does not describe.
        short: samples that are shorter than their fields.
    """

    headers: U8
    starts: I8
    sizes: I8
    event: I8
    ordinals: I8
    unknown: int
    short: int


class SampleSelector:
    """Selects the samples of some events; there must be at least one."""

    def __init__(self, events: Sequence[Event], order: ByteOrder) -> None:
        layouts = [sample_layout(event) for event in events]
        numbers = owners(events)
        self._order = order
        self._id_word = id_word(layouts) if len(events) > 1 else 0
        self._ids = np.array(sorted(numbers), dtype=np.uint64)
        self._owners = np.array([numbers[number] for number in sorted(numbers)], dtype=np.int64)
        self._min_words = np.array([layout.min_words for layout in layouts], dtype=np.int64)

    def select(self, block: Block) -> Selection:
        """The samples of a block that can be read."""
        headers = block.words[block.starts]
        chosen = np.flatnonzero(self._order.record_type(headers) == RecordType.SAMPLE)
        headers, starts = headers[chosen], block.starts[chosen]
        sizes = self._order.record_bytes(headers).astype(np.int64) // WORD_BYTES
        event = self._events(block.words, starts, sizes)
        unknown = event < 0
        short = ~unknown & (sizes < self._min_words[event])
        unreadable = unknown | short
        if unreadable.any():
            keep = np.flatnonzero(~unreadable)
            chosen, headers, starts, sizes, event = chosen[keep], headers[keep], starts[keep], sizes[keep], event[keep]
        return Selection(headers, starts, sizes, event, chosen + block.first, int(unknown.sum()), int(short.sum()))

    def _events(self, words: U8, starts: I8, sizes: I8) -> I8:
        """Index of each sample's event; -1 for an id that no event has."""
        if not self._id_word or not len(self._ids):
            return np.zeros(len(starts), dtype=np.int64)
        ids = words[starts + np.minimum(self._id_word, sizes - 1)]
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        event = np.where(self._ids[at] == ids, self._owners[at], -1)
        # id 0 is of no event in particular: perf takes the first (evlist__event2evsel)
        event[ids == 0] = 0
        return event
