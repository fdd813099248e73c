"""Names and fields of tracepoints from the description of their formats that perf copies out of tracefs.

Source: tools/perf/util/trace-event-read.c. Pipes of perf before 4.16 name their tracepoints nowhere else.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from offloadbench.kernel.trace.perfdata.byteorder import BIG, LITTLE

_MAGIC = b"\x17\x08\x44tracing"
_FORMAT = re.compile(rb"name: (\S+)\nID: (\d+)\n")
_FIELD = re.compile(rb"\tfield:[^;\n]*?(\w+)(?:\[[^\]\n]*\])?;\toffset:(\d{1,5});\tsize:(\d{1,5});")


@dataclass(frozen=True, slots=True)
class TracepointFormat:
    """What a tracepoint writes.

    Attributes:
        name: `system:name`.
        fields: name of a field -> where it begins in the raw data of a sample, and its size, in bytes.
    """

    name: str
    fields: Mapping[str, tuple[int, int]]


def tracepoint_formats(data: bytes) -> dict[int, TracepointFormat]:
    """Number of a tracepoint -> its format; as far as the description can be read."""
    formats: dict[int, TracepointFormat] = {}
    if not data.startswith(_MAGIC):
        return formats
    # the description may be cut
    with contextlib.suppress(ValueError, IndexError):
        _Description(data).read(formats)
    return formats


class _Description:
    """The parts of the description, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = len(_MAGIC)
        self._text()
        self._order = BIG if data[self._at] else LITTLE
        # byte order, size of long, size of a page
        self._at += 6

    def read(self, formats: dict[int, TracepointFormat]) -> None:
        for _ in ("header_page", "header_event"):
            self._text()
            self._block()
        for _ in range(self._number(4)):
            self._block()
        for _ in range(self._number(4)):
            system = self._text()
            for _ in range(self._number(4)):
                text = self._block()
                found = _FORMAT.search(text)
                if found:
                    fields = {
                        name.decode(): (int(offset), int(size))
                        for name, offset, size in _FIELD.findall(text, found.end())
                    }
                    name = f"{system}:{found[1].decode(errors='replace')}"
                    formats[int(found[2])] = TracepointFormat(name, fields)

    def _text(self) -> str:
        end = self._data.index(b"\0", self._at)
        text = self._data[self._at : end].decode(errors="replace")
        self._at = end + 1
        return text

    def _number(self, size: int) -> int:
        found = self._data[self._at : self._at + size]
        if len(found) < size:
            raise ValueError("cut")
        self._at += size
        return int.from_bytes(found, self._order.name)

    def _block(self) -> bytes:
        size = self._number(8)
        found = self._data[self._at : self._at + size]
        if len(found) < size:
            raise ValueError("cut")
        self._at += size
        return found
