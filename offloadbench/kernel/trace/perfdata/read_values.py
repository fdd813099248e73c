"""What samples count by READ: one record tells what each event of a group came to (`perf record -e '{a,b}:S'`).

A counter's value is a running total, so a sample weighs what it grew by since the last reading of the same id. perf
makes such a record into a sample of every event of the group whose total grew (evlist__deliver_sample), and so do we.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from offloadbench.kernel.trace.perfdata.abi import ReadFormat, SampleField
from offloadbench.kernel.trace.perfdata.byteorder import I8, U8, ByteOrder
from offloadbench.kernel.trace.perfdata.layout import SampleLayout
from offloadbench.kernel.trace.perfdata.sampled_events import Event
from offloadbench.kernel.trace.perfdata.selection import Selection

Indexes = npt.NDArray[np.intp]


class Readings:
    """Turns records with READ into the samples that they stand for. It must see all records once, in their order."""

    def __init__(self, events: Sequence[Event], layouts: Sequence[SampleLayout], order: ByteOrder) -> None:
        # readings without ids of their own are nobody's: such a record stays a sample of its event
        told = [
            SampleField.READ in one.sample_type and ReadFormat.ID in one.read_format and bool(one.ids) for one in events
        ]
        self._order = order
        self._told = np.array(told, dtype=bool)
        self._end = np.array([layout.end for layout in layouts], dtype=np.int64)
        self._is_group = np.array([layout.read_is_group for layout in layouts], dtype=bool)
        self._read_words = np.array([layout.read_words for layout in layouts], dtype=np.int64)
        self._value_words = np.array([max(layout.read_value_words, 1) for layout in layouts], dtype=np.int64)
        # counters that children inherit are one a thread, all with the id of their parent
        tid_words = [layout.fields.get(SampleField.TID, 0) for layout in layouts]
        inherited = np.array([one.inherit for one in events], dtype=bool)
        self._tid_word: I8 = np.array(tid_words, dtype=np.int64) * inherited
        self._totals: dict[tuple[int, int], int] = {}

    def __bool__(self) -> bool:
        """Whether any event has readings."""
        return bool(self._told.any())

    def expand(self, words: U8, chosen: Selection, ids: U8, owners: I8) -> Selection:
        """The samples that these records stand for, with their weights.

        Args:
            ids, owners: sorted sample ids, and the event of each.
        """
        told = self._told[chosen.event]
        if not told.any():
            return chosen
        event, ends = chosen.event, chosen.starts + chosen.sizes
        at = chosen.starts + self._end[event]
        group = self._is_group[event] & (at < ends)
        room = np.maximum(ends - at - self._read_words[event], 0) // self._value_words[event]
        values = np.where(group, words[np.where(group, at, 0)], np.uint64(1))
        count: I8 = np.where(told, np.minimum(values, room.astype(np.uint64)).astype(np.int64), 1)
        row: Indexes = np.repeat(np.arange(len(count)), count)
        member = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        from_read = told[row]
        event, group = event[row], group[row]
        # in a group the values stand together behind the times; alone the value comes first, and the id behind them
        value_at = np.where(group, at[row] + self._read_words[event] + member * self._value_words[event], at[row])
        id_at = np.where(group, value_at + 1, at[row] + 1 + self._read_words[event])
        value_at, id_at = np.where(from_read, value_at, 0), np.where(from_read, id_at, 0)
        number = np.minimum(np.searchsorted(ids, words[id_at]), max(len(ids) - 1, 0))
        known = from_read & (ids[number] == words[id_at]) if len(ids) else np.zeros(len(row), dtype=bool)
        tid_at = self._tid_word[event]
        thread = np.where(tid_at > 0, self._order.halves(words[chosen.starts[row] + tid_at])[1], 0)
        grown = np.zeros(len(row), dtype=np.uint64)
        of = np.flatnonzero(known)
        grown[of] = self._grown(number[of], thread[of], words[value_at[of]])
        keep = np.flatnonzero(~from_read | (grown > 0))
        row = row[keep]
        return replace(
            chosen,
            headers=chosen.headers[row],
            starts=chosen.starts[row],
            sizes=chosen.sizes[row],
            event=np.where(from_read, owners[number] if len(owners) else event, event)[keep],
            layout=chosen.layout[row],
            ordinals=chosen.ordinals[row],
            grown=grown[keep],
        )

    def _grown(self, number: Indexes, thread: npt.NDArray[np.int32], value: U8) -> U8:
        """What each value is more than the one before it of the same counter."""
        order = np.lexsort((np.arange(len(number)), thread, number))
        number, thread, sorted_value = number[order], thread[order], value[order]
        begins = np.ones(len(order), dtype=bool)
        begins[1:] = (number[1:] != number[:-1]) | (thread[1:] != thread[:-1])
        before = np.concatenate([np.zeros(1, dtype=np.uint64), sorted_value[:-1]])[: len(order)]
        firsts = np.flatnonzero(begins)
        lasts = np.append(firsts[1:] - 1, len(order) - 1) if len(firsts) else firsts
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            key = int(number[first]), int(thread[first])
            before[first] = self._totals.get(key, 0)
            self._totals[key] = int(sorted_value[last])
        # a total that fell was begun anew
        grown = np.where(sorted_value >= before, sorted_value - before, sorted_value)
        found = np.empty(len(order), dtype=np.uint64)
        found[order] = grown
        return found
