"""The zstd stream inside COMPRESSED and COMPRESSED2 records (`perf record -z`): one stream over all of them."""

from __future__ import annotations

from collections.abc import Iterator

import zstandard

# a block of zstd may grow from 4 bytes to 128 KiB, so that 512 bytes yield 16 MiB at worst
_STEP_BYTES = 512
# ZSTD_WINDOWLOG_LIMIT_DEFAULT: the window of the highest level that perf offers
_WINDOW_MAX_BYTES = 1 << 27

DecompressionError = zstandard.ZstdError


class Inflater:
    """Unpacks payloads in the order of the file. Memory stays bounded whatever the payload says."""

    def __init__(self) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX_BYTES)
        self._stream = decompressor.decompressobj(read_across_frames=True)

    def inflate(self, payload: memoryview) -> Iterator[bytes]:
        """What a payload unpacks to, in pieces.

        Raises:
            DecompressionError: the payload does not continue the stream.
        """
        for at in range(0, len(payload), _STEP_BYTES):
            piece = self._stream.decompress(payload[at : at + _STEP_BYTES])
            if piece:
                yield piece
