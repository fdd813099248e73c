"""The load of one session: a fixed number of commands always on their way, block after block, round and round."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap

import numpy as np
import numpy.typing as npt

from offloadbench.traffic.iscsi import scsi
from offloadbench.traffic.iscsi.command import Command
from offloadbench.traffic.iscsi.counts import Completions
from offloadbench.traffic.iscsi.iscsi_session import LoggedInSession
from offloadbench.traffic.iscsi.pdu import IscsiError

# with verification every page bears a number that no other page ever written has
PAGE_BYTES = 4096
_WORDS_PER_PAGE = PAGE_BYTES // 8


@dataclass(frozen=True, slots=True)
class Shape:
    """What the commands are like.

    Attributes:
        transfer_bytes: of one command.
        stamped: writes are numbered, so that reading back can tell whether each is the last one.
    """

    lun: int
    write: bool
    transfer_bytes: int
    queue_depth: int
    fua: bool
    stamped: bool


def pattern(size: int) -> bytearray:
    """Pseudo-random content, the same every time: nothing on the way can compress it."""
    return bytearray(random.Random(size).randbytes(size))  # noqa: S311 - content to send, not a secret


def stamp(buffer: bytearray | mmap, transfer: int) -> None:
    """Number the pages of the transfer that is the `transfer`-th of its session."""
    pages = _page_numbers(buffer)
    pages[:] = np.arange(len(pages), dtype=np.uint64) + np.uint64(transfer * len(pages))


def _page_numbers(buffer: bytearray | mmap) -> npt.NDArray[np.uint64]:
    """The first eight bytes of every page, to read and write."""
    return np.frombuffer(buffer, dtype=np.uint64)[::_WORDS_PER_PAGE]


class QueuedLoad:
    """Keeps `queue_depth` commands of a session on their way from `start` until `stop`.

    Args:
        first_block, block_bytes, transfers: where on the LUN: so many transfers from that block on, then over again.
        on_change: called, by the session's thread, when the first commands are through and when the last one is.

    Attributes:
        payload_bytes: moved by commands with status GOOD.
    """

    def __init__(
        self,
        session: LoggedInSession,
        shape: Shape,
        *,
        first_block: int,
        block_bytes: int,
        transfers: int,
        on_change: Callable[[], None],
    ) -> None:
        self._session = session
        self._shape = shape
        self._first_block = first_block
        self._blocks = shape.transfer_bytes // block_bytes
        self._transfers = transfers
        self._on_change = on_change
        self._buffers = [pattern(shape.transfer_bytes) for _ in range(shape.queue_depth)]
        self._slots: dict[int, int] = {}
        self._issued = 0
        self._stopping = False
        self.payload_bytes = 0
        self.completions = Completions()

    @property
    def complete(self) -> int:
        return len(self.completions)

    @property
    def flowing(self) -> bool:
        """A whole queue of commands has been through."""
        return self.complete >= self._shape.queue_depth

    @property
    def drained(self) -> bool:
        return self._stopping and self.complete == self._issued

    def start(self) -> None:
        for slot in range(self._shape.queue_depth):
            self._submit(slot)

    def stop(self) -> None:
        """Begin no new command; `drained` once the last one is through."""
        self._stopping = True

    def _submit(self, slot: int) -> None:
        transfer = self._issued
        self._issued += 1
        buffer = self._buffers[slot]
        if self._shape.stamped:
            stamp(buffer, transfer)
        view = memoryview(buffer)
        block = self._first_block + transfer % self._transfers * self._blocks
        make = scsi.write_16 if self._shape.write else scsi.read_16
        command = Command(
            make(block, self._blocks, fua=self._shape.fua),
            self._shape.lun,
            write=view if self._shape.write else None,
            read=None if self._shape.write else view,
            on_done=self._on_done,
            submitted_ns=time.monotonic_ns(),
        )
        self._slots[id(command)] = slot
        self._session.submit(command)

    def _on_done(self, command: Command) -> None:
        failure = command.failure()
        if failure:
            verb = "WRITE(16)" if self._shape.write else "READ(16)"
            block = int.from_bytes(command.cdb[2:10], "big")
            raise IscsiError(f"{verb} of {self._blocks} blocks at {block}: {failure}", "see the target's log and disk")
        self.completions.add(command.submitted_ns)
        self.payload_bytes += self._shape.transfer_bytes
        slot = self._slots.pop(id(command))
        if not self._stopping:
            self._submit(slot)
        if self.complete == self._shape.queue_depth or self.drained:
            self._on_change()

    def verify(self) -> int:
        """Read back every transfer that was written and compare it with what was written there last.

        Returns:
            Bytes compared.

        Raises:
            IscsiError: a page is not what was written; the message says which, and what it holds instead.
        """
        expected, found = self._buffers[0], pattern(self._shape.transfer_bytes)
        written = min(self._issued, self._transfers)
        for place in range(written):
            last = place + (self._issued - 1 - place) // self._transfers * self._transfers
            stamp(expected, last)
            block = self._first_block + place * self._blocks
            cdb = scsi.read_16(block, self._blocks, fua=self._shape.fua)
            command = self._session.call(Command(cdb, self._shape.lun, read=memoryview(found)))
            if command.failure():
                raise IscsiError(f"reading back {self._blocks} blocks at {block}: {command.failure()}")
            if found != expected:
                self._accuse(block, expected, found)
        return written * self._shape.transfer_bytes

    def _accuse(self, block: int, expected: bytearray, found: bytearray) -> None:
        wrong = np.flatnonzero(np.frombuffer(expected, np.uint8) != np.frombuffer(found, np.uint8))
        page = int(wrong[0]) // PAGE_BYTES
        raise IscsiError(
            f"block {block}: byte {int(wrong[0])} of the transfer is not what was written ({len(wrong)} bytes differ); "
            f"page {page} bears number {int(_page_numbers(found)[page])}, "
            f"written was {int(_page_numbers(expected)[page])}",
            "the target lost or mixed up data: do not trust it",
        )
