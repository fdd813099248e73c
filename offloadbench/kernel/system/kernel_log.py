"""The kernel's log (Documentation/ABI/testing/dev-kmsg) from one moment on.

Drivers say there why they reset a NIC: `Detected Hardware Unit Hang`, `transmit queue 0 timed out`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable

_DEVICE = "/dev/kmsg"
# more than the kernel writes in one record (CONSOLE_EXT_LOG_MAX)
_RECORD_BYTES = 1 << 14
_MOST_RECORDS = 100_000


class KernelLog:
    """What was logged since this was made; nothing where the log may not be read (CAP_SYSLOG)."""

    def __init__(self) -> None:
        self._file = -1
        with contextlib.suppress(OSError):
            self._file = os.open(_DEVICE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._file, 0, os.SEEK_END)

    def naming(self, names: Iterable[str]) -> list[str]:
        """The messages since then that name one of these, in order."""
        found = [name for name in names if name]
        if not found:
            return []
        wanted = re.compile(rf"(?<![\w.:-])(?:{'|'.join(re.escape(name) for name in found)})(?![\w-])")
        return [message for message in self._messages() if wanted.search(message)]

    def _messages(self) -> list[str]:
        if self._file < 0:
            return []
        found: list[str] = []
        for _ in range(_MOST_RECORDS):
            try:
                record = os.read(self._file, _RECORD_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                # older records were overwritten meanwhile
                if error.errno == errno.EPIPE:
                    continue
                break
            if not record:
                break
            found.append(message(record))
        return found

    def close(self) -> None:
        """Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def message(record: bytes) -> str:
    """The text of one record: `6,339,5140900,-;NET: Registered protocol family 10` and lines of properties."""
    _, _, text = record.decode(errors="replace").partition(";")
    return "".join(letter if letter.isprintable() else " " for letter in text.partition("\n")[0])
