"""Names of tracepoints from the description of their formats that perf copies out of tracefs.

Source: tools/perf/util/trace-event-read.c. Pipes of perf before 4.16 name their tracepoints nowhere else.
"""

from __future__ import annotations

import contextlib
import re

from offloadbench.kernel.trace.perfdata.byteorder import BIG, LITTLE

_MAGIC = b"\x17\x08\x44tracing"
_FORMAT = re.compile(rb"name: (\S+)\nID: (\d+)\n")


def tracepoint_names(data: bytes) -> dict[int, str]:
    """Number of a tracepoint -> `system:name`; as far as the description can be read."""
    names: dict[int, str] = {}
    if not data.startswith(_MAGIC):
        return names
    # the description may be cut
    with contextlib.suppress(ValueError, IndexError):
        _Description(data).read(names)
    return names


class _Description:
    """The parts of the description, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = len(_MAGIC)
        self._text()
        self._order = BIG if data[self._at] else LITTLE
        # byte order, size of long, size of a page
        self._at += 6

    def read(self, names: dict[int, str]) -> None:
        for _ in ("header_page", "header_event"):
            self._text()
            self._block()
        for _ in range(self._number(4)):
            self._block()
        for _ in range(self._number(4)):
            system = self._text()
            for _ in range(self._number(4)):
                found = _FORMAT.search(self._block())
                if found:
                    names[int(found[2])] = f"{system}:{found[1].decode(errors='replace')}"

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
