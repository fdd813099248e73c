"""Which records of a block are samples that can be read, and of which event each is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offloadbench.kernel.trace.perfdata.abi import WORD_BYTES, RecordType
from offloadbench.kernel.trace.perfdata.byteorder import I8, U8, ByteOrder
from offloadbench.kernel.trace.perfdata.layout import id_word, sample_layout
from offloadbench.kernel.trace.perfdata.read_values import Readings
from offloadbench.kernel.trace.perfdata.sampled_events import Event, owners
from offloadbench.kernel.trace.perfdata.selection import Selection
from offloadbench.kernel.trace.perfdata.stream import RecordBlock


class SampleSelector:
    """Selects the samples of some events, at least one; each selector sees a recording once, in its order."""

    def __init__(self, events: Sequence[Event], order: ByteOrder) -> None:
        layouts = [sample_layout(event) for event in events]
        numbers = owners(events)
        self._order = order
        self._id_word = id_word(layouts) if len(events) > 1 else 0
        self._ids = np.array(sorted(numbers), dtype=np.uint64)
        self._owners = np.array([numbers[number] for number in sorted(numbers)], dtype=np.int64)
        self._readings = Readings(events, layouts, order)
        self._min_words = np.array([layout.min_words for layout in layouts], dtype=np.int64)

    def select(self, block: RecordBlock) -> Selection:
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
        counts = int(unknown.sum()), int(short.sum())
        found = Selection(headers, starts, sizes, event, event, chosen + block.first, *counts)
        return self._readings.expand(block.words, found, self._ids, self._owners) if self._readings else found

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
