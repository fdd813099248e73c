"""Byte order of a recording: scalars by struct, columns by numpy.

Columns are made of native 64-bit words, and fields of 32 and 16 bits are cut out of them. The field that lies first in
memory is in the low bits of a little-endian word, and in the high bits of a big-endian one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from offloadbench.kernel.trace.perfdata.abi import WORD_BYTES

U8 = npt.NDArray[np.uint64]
I8 = npt.NDArray[np.int64]
I4 = npt.NDArray[np.int32]
I2 = npt.NDArray[np.int16]
U1 = npt.NDArray[np.uint8]

_LOW_HALF = np.uint64(0xFFFF_FFFF)
_LOW_QUARTER = np.uint64(0xFFFF)
_LITTLE_BUT_MISC = np.uint64(0xFFFF_0000_FFFF_FFFF)
_BIG_BUT_MISC = np.uint64(0xFFFF_FFFF_0000_FFFF)


@dataclass(frozen=True, slots=True)
class ByteOrder:
    """How a recording stores its numbers."""

    name: Literal["little", "big"]

    @property
    def prefix(self) -> Literal["<", ">"]:
        """The sign for struct and numpy formats."""
        return "<" if self.name == "little" else ">"

    def unpack(self, layout: str, data: bytes | memoryview, offset: int = 0) -> tuple[int, ...]:
        """`struct.unpack_from` in this order; `struct.error` beyond the end."""
        return struct.unpack_from(self.prefix + layout, data, offset)

    def words(self, data: bytes | memoryview) -> U8:
        """The whole 64-bit words of `data`, native; a view where the order is the machine's own."""
        stored = np.frombuffer(data, self.prefix + "u8", count=len(data) // WORD_BYTES)
        return stored.astype(np.uint64, copy=False)

    def halves(self, words: U8) -> tuple[I4, I4]:
        """The two 32-bit fields of each word, in the order of memory, as signed numbers."""
        low, high = (words & _LOW_HALF).astype(np.int32), (words >> np.uint64(32)).astype(np.int32)
        return (low, high) if self.name == "little" else (high, low)

    def without_misc(self, headers: U8) -> U8:
        """The words of struct perf_event_header without `misc`, which tells kernel from user."""
        return headers & (_LITTLE_BUT_MISC if self.name == "little" else _BIG_BUT_MISC)

    def record_type(self, headers: U8) -> U8:
        """`type` of struct perf_event_header, from its word."""
        return headers & _LOW_HALF if self.name == "little" else headers >> np.uint64(32)

    def record_misc(self, headers: U8) -> U8:
        """`misc` of struct perf_event_header, from its word."""
        return (headers >> np.uint64(32 if self.name == "little" else 16)) & _LOW_QUARTER

    def record_bytes(self, headers: U8) -> U8:
        """`size` of struct perf_event_header, from its word."""
        return headers >> np.uint64(48) if self.name == "little" else headers & _LOW_QUARTER

    def flags(self, word: int) -> int:
        """A word of C bit fields with the first field in bit 0: big-endian compilers begin at the top."""
        return word if self.name == "little" else int(f"{word:064b}"[::-1], 2)


LITTLE = ByteOrder("little")
BIG = ByteOrder("big")
