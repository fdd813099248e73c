"""Columns of numbers and long texts as the short texts that stand for them in a run file."""

from __future__ import annotations

import base64
import lzma
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from offloadbench.base.errors import RunFileError
from offloadbench.model import ProfileCounts, TcpTrace, Waits

# of a profile, a twentieth more bytes than at zlib's own level 6, in a third of the time
_LEVEL = 4
# the columns of model.ProfileCounts, in the order in which they are stored, all little-endian
PROFILE_COLUMNS: dict[str, str] = {
    "address": "<u8",
    "mode": "S1",
    "process": "<u2",
    "cpu": "<u2",
    "second": "<u2",
    "event": "u1",
    "count": "<u4",
    "weight": "<u8",
}
# in the column of CPUs: the recording does not say which; Linux knows no more than 8192
NO_CPU = (1 << 16) - 1
# index into the call chains; stored only where they were recorded
CHAIN_COLUMN = {"chain": "<u4"}

# those that older files lack
ADDED_TCP_COLUMNS = (
    "wmem_alloc_bytes", "last_data_sent_ms", "options", "app_limited", "max_pacing_rate_bytes_per_s",
    "bbr_bytes_per_s", "bbr_min_rtt_us", "bbr_pacing_gain_256ths",
)  # fmt: skip
# what a model.TcpTrace holds of every tick, all int64: struct tcp_info and the socket's memory as
# offloadbench.kernel.tcp.sock_diag names them, behind the time since the window opened
TCP_COLUMNS = (
    "t_us", "wmem_queued_bytes", "sndbuf_bytes", "wqueue_bytes", "notsent_bytes", "unacked_segments", "sacked_segments",
    "lost_segments", "retrans_segments", "ca_state", "snd_cwnd_segments", "snd_ssthresh_segments", "snd_wnd_bytes",
    "snd_mss_bytes", "srtt_us", "min_rtt_us", "pacing_rate_bytes_per_s", "delivery_rate_bytes_per_s", "busy_us",
    "rwnd_limited_us", "sndbuf_limited_us", "acked_bytes", "sent_bytes", "data_out_segments", "total_retrans_segments",
    *ADDED_TCP_COLUMNS,
)  # fmt: skip
# the columns of model.Waits: since the window opened, and an index into the chains
WAIT_COLUMNS: dict[str, str] = {"start_us": "<u4", "duration_us": "<u4", "chain": "<u2"}

Columns = dict[str, npt.NDArray[np.generic]]
TcpColumns = dict[str, npt.NDArray[np.int64]]


def pack_profile(columns: Columns) -> str:
    """The columns of a profile as text; inverse of `unpack_profile`. `chain` is stored where it is given."""
    stored = PROFILE_COLUMNS | (CHAIN_COLUMN if "chain" in columns else {})
    return _pack([np.ascontiguousarray(columns[name], dtype=dtype) for name, dtype in stored.items()])


def unpack_profile(counts: ProfileCounts) -> Columns:
    """The columns of a profile, each of length `counts.rows`.

    Raises:
        RunFileError: the text is damaged.
    """
    stored = PROFILE_COLUMNS | (CHAIN_COLUMN if counts.chain_count else {})
    return _split(_unpack(counts.columns), stored, counts.rows)


def _split(data: bytes, stored: dict[str, str], rows: int) -> Columns:
    row_bytes = sum(np.dtype(code).itemsize for code in stored.values())
    if len(data) != rows * row_bytes:
        raise _damaged(f"{len(data)} bytes instead of {rows} rows of {row_bytes}")
    columns: Columns = {}
    offset = 0
    for name, code in stored.items():
        dtype = np.dtype(code)
        columns[name] = np.frombuffer(data, dtype, count=rows, offset=offset)
        offset += rows * dtype.itemsize
    return columns


def pack_chains(chains: Sequence[Sequence[int]]) -> str:
    """Call chains as text; inverse of `unpack_chains`."""
    lengths = np.array([len(chain) for chain in chains], dtype="<u2")
    return _pack([lengths, np.array([address for chain in chains for address in chain], dtype="<u8")])


def unpack_chains(counts: ProfileCounts) -> list[npt.NDArray[np.uint64]]:
    """The call chains of a profile, nearest caller first; empty where none were recorded.

    Raises:
        RunFileError: the text is damaged.
    """
    if not counts.chain_count:
        return []
    data = _unpack(counts.chains)
    if len(data) < 2 * counts.chain_count:
        raise _damaged("call chains are missing")
    lengths = np.frombuffer(data, "<u2", count=counts.chain_count)
    if len(data) != 2 * counts.chain_count + 8 * int(lengths.sum()):
        raise _damaged("call chains are cut")
    flat = np.frombuffer(data, "<u8", offset=2 * counts.chain_count)
    return np.split(flat, np.cumsum(lengths, dtype=np.int64)[:-1])


def pack_columns(columns: TcpColumns) -> str:
    """Whole numbers that change little from row to row, as text; inverse of `unpack_columns`.

    Differences, those below zero folded in between the others, their lowest bytes first, then all the second bytes, and
    so on. A minute of one connection at 1 kHz comes to less than a megabyte so.
    """
    planes = []
    for column in columns.values():
        difference = np.diff(column, prepend=np.int64(0))
        folded = ((difference << 1) ^ (difference >> 63)).astype("<u8")
        planes.append(folded.view(np.uint8).reshape(-1, 8).T)
    return _pack([np.ascontiguousarray(plane) for plane in planes])


def unpack_columns(names: Sequence[str], rows: int, text: str) -> TcpColumns:
    """The columns by name, each of shape (rows,).

    Raises:
        RunFileError: the text is damaged.
    """
    data = _unpack(text)
    if len(data) != 8 * rows * len(names):
        raise _damaged(f"{len(data)} bytes instead of {rows} rows of {len(names)} columns")
    planes = np.frombuffer(data, np.uint8).reshape(len(names), 8, rows)
    folded = np.ascontiguousarray(planes.transpose(0, 2, 1)).view("<u8")[:, :, 0].astype(np.uint64)
    difference = (folded >> np.uint64(1)).astype(np.int64) ^ -(folded & np.uint64(1)).astype(np.int64)
    return dict(zip(names, np.cumsum(difference, axis=1), strict=True))


def unpack_tcp(trace: TcpTrace) -> TcpColumns:
    """The columns of a trace by name, each of shape (trace.rows,).

    Raises:
        RunFileError: the text is damaged.
    """
    return unpack_columns(trace.names, trace.rows, trace.columns)


def pack_waits(columns: Columns) -> str:
    """The columns of recorded waits as text; inverse of `unpack_waits`."""
    return _pack([np.ascontiguousarray(columns[name], dtype=dtype) for name, dtype in WAIT_COLUMNS.items()])


def unpack_waits(waits: Waits) -> Columns:
    """The columns of recorded waits, each of shape (waits.rows,).

    Raises:
        RunFileError: the text is damaged.
    """
    return _split(_unpack(waits.columns), WAIT_COLUMNS, waits.rows)


def _pack(parts: Sequence[npt.NDArray[Any]]) -> str:
    return base64.b64encode(zlib.compress(b"".join(part.tobytes() for part in parts), _LEVEL)).decode()


def _unpack(text: str) -> bytes:
    try:
        return zlib.decompress(base64.b64decode(text))
    except (ValueError, zlib.error) as error:
        raise _damaged(str(error)) from error


def _damaged(why: str) -> RunFileError:
    return RunFileError(f"packed columns in the run file are damaged: {why}", "copy the file again")


# the symbols of a kernel: 0.2 s of CPU and 0.8 MB; preset 6 takes 1.7 s for 0.6 MB, before every run
_FAST = 1


def pack_text(text: str) -> str:
    """Long text (kallsyms) as base64 of lzma."""
    return base64.b64encode(lzma.compress(text.encode(), preset=_FAST)).decode()


def unpack_text(packed: str) -> str:
    """Inverse of `pack_text`."""
    try:
        return lzma.decompress(base64.b64decode(packed)).decode()
    except (ValueError, lzma.LZMAError) as error:
        raise RunFileError(f"the kernel symbols in the run file are damaged: {error}", "copy the file again") from error
