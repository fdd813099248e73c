"""The load on one disk of the kernel's initiator: a fixed number of O_DIRECT writes always on their way.

A thread holds one write; its buffer is memory of its own pages, as O_DIRECT demands (open(2)).
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from offloadbench.base import comms
from offloadbench.traffic.iscsi.counts import Completions
from offloadbench.traffic.iscsi.load import pattern, stamp
from offloadbench.traffic.iscsi.pdu import IscsiError

_SECTOR_BYTES = 512
# sectors written, the seventh column of Documentation/block/stat.rst
_WRITTEN = 6


class BlockLoad:
    """Keeps `queue_depth` writes of `transfer_bytes` on their way from `start` until `stop`.

    Args:
        disk: such as /dev/sdb.
        start_bytes, bytes_used: the part of the disk that is written, over and over.
        on_change: called by a thread when the first writes are through, when the last one is, and on failure.

    Attributes:
        failure: what went wrong; empty while nothing did.
    """

    def __init__(
        self,
        disk: Path,
        *,
        transfer_bytes: int,
        queue_depth: int,
        bytes_used: int,
        start_bytes: int = 0,
        fua: bool,
        stamped: bool,
        on_change: Callable[[], None],
    ) -> None:
        self._disk = disk
        self._transfer_bytes = transfer_bytes
        self._queue_depth = queue_depth
        self._start_bytes = start_bytes
        self._transfers = bytes_used // transfer_bytes
        self._stamped = stamped
        self._on_change = on_change
        # RWF_DSYNC: a disk that takes FUA gets it with the write itself
        self._flags = os.RWF_DSYNC if fua else 0
        self._number = os.open(disk, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        self._written_before = self.written_bytes()
        self._turn = threading.Condition()
        self._places: set[int] = set()
        self._issued = 0
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._write, name=comms.INITIATOR, daemon=True) for _ in range(queue_depth)
        ]
        self.failure = ""
        self.completions = Completions()

    @property
    def complete(self) -> int:
        return len(self.completions)

    @property
    def payload_bytes(self) -> int:
        return self.complete * self._transfer_bytes

    @property
    def flowing(self) -> bool:
        return self.complete >= self._queue_depth

    @property
    def drained(self) -> bool:
        return self._stopping and not any(thread.is_alive() for thread in self._threads)

    def written_bytes(self) -> int:
        """What the block layer has sent to the disk since it is there."""
        return int(Path(f"/sys/class/block/{self._disk.name}/stat").read_text().split()[_WRITTEN]) * _SECTOR_BYTES

    @property
    def sent_bytes(self) -> int:
        """What the block layer has sent since this load began."""
        return self.written_bytes() - self._written_before

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin no new write; `drained` once the last one is through."""
        with self._turn:
            self._stopping = True
            self._turn.notify_all()

    def _claim(self) -> int | None:
        """The number of the next write, None when there is to be none.

        A thread may stall while the others go once round the disk: a write begun to the place of one that is still
        under way could end before it, and `verify` would find the older one.
        """
        with self._turn:
            self._turn.wait_for(lambda: self._stopping or self._issued % self._transfers not in self._places)
            if self._stopping:
                return None
            transfer, self._issued = self._issued, self._issued + 1
            self._places.add(transfer % self._transfers)
            return transfer

    def _offset(self, transfer: int) -> int:
        """Of a transfer, by its number, on the disk."""
        return self._start_bytes + transfer % self._transfers * self._transfer_bytes

    def _write(self) -> None:
        buffer = mmap.mmap(-1, self._transfer_bytes)
        buffer[:] = bytes(pattern(self._transfer_bytes))
        try:
            while (transfer := self._claim()) is not None:
                if self._stamped:
                    stamp(buffer, transfer)
                began_ns = time.monotonic_ns()
                offset = self._offset(transfer)
                moved = os.pwritev(self._number, [buffer], offset, self._flags)
                if moved != self._transfer_bytes:
                    raise OSError(0, f"only {moved} of {self._transfer_bytes} bytes were written at {offset}")
                self._ended(transfer, began_ns)
        except OSError as error:
            self.failure = f"{self._disk}: {error.strerror}"
            # its place stays taken, and nobody is to wait for it
            self.stop()
        self._on_change()

    def _ended(self, transfer: int, began_ns: int) -> None:
        with self._turn:
            self._places.discard(transfer % self._transfers)
            self._turn.notify_all()
            self.completions.add(began_ns)
            first_queue = self.complete == self._queue_depth
        if first_queue:
            self._on_change()

    def verify(self) -> int:
        """Read back every transfer and compare it with what was written there last.

        Returns:
            Bytes compared.

        Raises:
            IscsiError: a place holds something else.
        """
        expected = pattern(self._transfer_bytes)
        found = mmap.mmap(-1, self._transfer_bytes)
        places = min(self._issued, self._transfers)
        for place in range(places):
            stamp(expected, place + (self._issued - 1 - place) // self._transfers * self._transfers)
            os.preadv(self._number, [found], self._offset(place))
            if found[:] != bytes(expected):
                raise IscsiError(
                    f"{self._disk}: byte {self._offset(place)} and on is not what was written last",
                    "the target lost or mixed up data: do not trust it",
                )
        return places * self._transfer_bytes

    def close(self) -> None:
        self.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        os.close(self._number)
