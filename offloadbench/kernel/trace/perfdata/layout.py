"""Where the fields lie in the samples of an event, and in the trailers of its other records (perf_event_open(2))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offloadbench.kernel.trace.perfdata.abi import ReadFormat, SampleField
from offloadbench.kernel.trace.perfdata.sampled_events import Event

# one word each, in the order of the record (perf_output_sample)
_LEADING = (
    SampleField.IDENTIFIER,
    SampleField.IP,
    SampleField.TID,
    SampleField.TIME,
    SampleField.ADDR,
    SampleField.ID,
    SampleField.STREAM_ID,
    SampleField.CPU,
    SampleField.PERIOD,
)
# one word each, at the end of records that are no samples (struct sample_id)
_TRAILING = (
    SampleField.TID,
    SampleField.TIME,
    SampleField.ID,
    SampleField.STREAM_ID,
    SampleField.CPU,
    SampleField.IDENTIFIER,
)
_READ_TIMES = (ReadFormat.TOTAL_TIME_ENABLED, ReadFormat.TOTAL_TIME_RUNNING)
_READ_EACH = (ReadFormat.ID, ReadFormat.LOST)


@dataclass(frozen=True, slots=True)
class SampleLayout:
    """Words of a sample, counted from its record header, up to the call chain; what lies behind it is never read.

    Attributes:
        fields: the fields of one word that are there, and where.
        end: the first word behind them.
        read_words: words of READ before its values; 0 without READ.
        read_value_words: words of each value of READ; 0 without READ.
        read_is_group: the first word of READ says how many values there are; otherwise there is one.
        has_chain: behind READ come the length of a call chain and its entries.
    """

    fields: dict[SampleField, int]
    end: int
    read_words: int
    read_value_words: int
    read_is_group: bool
    has_chain: bool

    @property
    def min_words(self) -> int:
        """Shorter samples are damaged."""
        value_words = 0 if self.read_is_group else self.read_value_words
        return self.end + self.read_words + value_words + self.has_chain


def sample_layout(event: Event) -> SampleLayout:
    """The layout of an event's samples."""
    present = [field for field in _LEADING if field in event.sample_type]
    fields = {field: 1 + index for index, field in enumerate(present)}
    has_read = SampleField.READ in event.sample_type
    is_group = ReadFormat.GROUP in event.read_format
    return SampleLayout(
        fields=fields,
        end=1 + len(present),
        read_words=has_read * (is_group + sum(each in event.read_format for each in _READ_TIMES)),
        read_value_words=has_read * (1 + sum(each in event.read_format for each in _READ_EACH)),
        read_is_group=has_read and is_group,
        has_chain=SampleField.CALLCHAIN in event.sample_type,
    )


@dataclass(frozen=True, slots=True)
class Trailer:
    """Where time and id lie in records that are no samples, in bytes from the record's end; 0: not there."""

    time_bytes: int
    id_bytes: int
    total_bytes: int


NO_TRAILER = Trailer(0, 0, 0)


def trailer(event: Event) -> Trailer:
    """The trailer of an event's records other than samples."""
    if not event.sample_id_all:
        return NO_TRAILER
    present = [field for field in _TRAILING if field in event.sample_type]
    from_end = {field: 8 * (len(present) - index) for index, field in enumerate(present)}
    return Trailer(
        time_bytes=from_end.get(SampleField.TIME, 0),
        id_bytes=from_end.get(SampleField.IDENTIFIER, 0) or from_end.get(SampleField.ID, 0),
        total_bytes=8 * len(present),
    )


def id_word(layouts: Sequence[SampleLayout]) -> int:
    """The word of every sample that tells its event; 0 where the layouts have none in common."""
    words = {layout.fields.get(SampleField.IDENTIFIER) or layout.fields.get(SampleField.ID, 0) for layout in layouts}
    return words.pop() if len(words) == 1 else 0
