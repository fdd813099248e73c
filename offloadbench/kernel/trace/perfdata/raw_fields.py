"""Fields of tracepoints as columns: what their samples carry (PERF_SAMPLE_RAW), by the formats in the recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from offloadbench.kernel.trace.perfdata.abi import WORD_BYTES, SampleField
from offloadbench.kernel.trace.perfdata.byteorder import I8, U1
from offloadbench.kernel.trace.perfdata.header import RecordingHeader
from offloadbench.kernel.trace.perfdata.layout import SampleLayout, sample_layout
from offloadbench.kernel.trace.perfdata.sampled_events import TYPE_TRACEPOINT
from offloadbench.kernel.trace.perfdata.selector import SampleSelector
from offloadbench.kernel.trace.perfdata.stream import RecordBlock

NO_FIELD = -1
# before the raw data stands its length
_LENGTH_BYTES = 4
_SIZES = (1, 2, 4)


class RawFieldReader:
    """Reads some fields of the samples of tracepoints out of blocks.

    Args:
        names: of whole numbers of at most 32 bits, without a sign.
    """

    def __init__(self, header: RecordingHeader, names: Sequence[str]) -> None:
        self._order = header.order
        self._selector = SampleSelector(header.events, header.order)
        self._events: dict[int, tuple[str, SampleLayout, list[tuple[int, int]]]] = {}
        for number, event in enumerate(header.events):
            known = header.formats.get(event.config) if event.type == TYPE_TRACEPOINT else None
            layout = sample_layout(event)
            # behind READ or a call chain it would lie elsewhere in every sample
            if known and SampleField.RAW in event.sample_type and not (layout.read_value_words or layout.has_chain):
                places = [known.fields.get(name, (0, 0)) for name in names]
                self._events[number] = known.name, layout, places

    def read(self, block: RecordBlock) -> Iterator[tuple[str, list[I8]]]:
        """By tracepoint: its name, and a column of shape (samples,) for each field; `NO_FIELD` where it has none."""
        chosen = self._selector.select(block)
        data = np.frombuffer(block.raw, dtype=np.uint8)
        for number, (name, layout, places) in self._events.items():
            mine = np.flatnonzero(chosen.event == number)
            if len(mine):
                begins = (chosen.starts[mine] + layout.end) * WORD_BYTES + _LENGTH_BYTES
                ends = (chosen.starts[mine] + chosen.sizes[mine]) * WORD_BYTES
                yield name, [self._column(data, begins + offset, ends, size) for offset, size in places]

    def _column(self, data: U1, at: I8, ends: I8, size: int) -> I8:
        """Numbers of so many bytes; `NO_FIELD` for other sizes, and where a sample ends before."""
        inside = at + size <= ends if size in _SIZES else np.zeros(len(at), dtype=bool)
        value = np.zeros(len(at), dtype=np.int64)
        for byte in range(size if size in _SIZES else 0):
            shift = 8 * (byte if self._order.name == "little" else size - 1 - byte)
            value |= data[np.where(inside, at + byte, 0)].astype(np.int64) << shift
        return np.where(inside, value, NO_FIELD)
