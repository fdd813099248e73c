"""Samples chosen out of a block."""

from __future__ import annotations

from dataclasses import dataclass

from offloadbench.kernel.trace.perfdata.byteorder import I8, U8


@dataclass(frozen=True, slots=True)
class Selection:
    """The readable samples of a block, columns of shape (samples,), and how many others there were.

    Attributes:
        headers: words of struct perf_event_header.
        starts, sizes: the word at which each sample begins, and how many words it has.
        event: index into the events.
        layout: index of the event whose fields the record has; of a reading, that is the leader of the group.
        grown: weight by READ; 0 for samples without, None where there are none with.
        ordinals: number of each record in the file.
        unknown: samples of events that the file does not describe.
        short: samples that are shorter than their fields.
    """

    headers: U8
    starts: I8
    sizes: I8
    event: I8
    layout: I8
    ordinals: I8
    unknown: int
    short: int
    grown: U8 | None = None
