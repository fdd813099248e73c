"""The run file: one JSON document, written whole after every trial, so that nothing captured is ever lost.

Format versions are told beside `offloadbench.model.FORMAT_VERSION`; `schema` describes the present one. A name that
ends in `.gz` or `.xz` is written compressed; what is read tells by its first bytes.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import lzma
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from offloadbench.errors import RunFileError
from offloadbench.model import FORMAT, FORMAT_VERSION, ProfileCounts, Run, TcpTrace, Trial, Waits

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
# index into the call chains; stored only where they were recorded
CHAIN_COLUMN = {"chain": "<u4"}

# what a model.TcpTrace holds of every tick, all int64: struct tcp_info and the socket's memory as
# offloadbench.kernel.tcpdiag names them, behind the time since the window opened
TCP_COLUMNS = (
    "t_us", "wmem_queued_bytes", "sndbuf_bytes", "wqueue_bytes", "notsent_bytes", "unacked_segments", "sacked_segments",
    "lost_segments", "retrans_segments", "ca_state", "snd_cwnd_segments", "snd_ssthresh_segments", "snd_wnd_bytes",
    "snd_mss_bytes", "srtt_us", "min_rtt_us", "pacing_rate_bytes_per_s", "delivery_rate_bytes_per_s", "busy_us",
    "rwnd_limited_us", "sndbuf_limited_us", "acked_bytes", "sent_bytes", "data_out_segments", "total_retrans_segments",
)  # fmt: skip
# the columns of model.Waits: since the window opened, and an index into the chains
WAIT_COLUMNS: dict[str, str] = {"start_us": "<u4", "duration_us": "<u4", "chain": "<u2"}

# what every analysis of a window reads (offloadbench.analysis.metrics, tables)
REQUIRED_COUNTERS = frozenset(
    {"cpu_idle_exact_s", "cpu_ticks_s", "cpu_user_s", "cpu_system_s", "cpu_softirq_s", "cpu_steal_s", "tx_bytes"}
    | {"tx_packets", "tx_dropped", "rx_bytes", "tcp_out_segments", "tcp_retrans_segments", "tcp_in_csum_errors"}
    | {"context_switches"}
)

Columns = dict[str, npt.NDArray[np.generic]]
TcpColumns = dict[str, npt.NDArray[np.int64]]


class _Header(msgspec.Struct):
    format: str = ""
    format_version: int = 0


def _identity(data: bytes) -> bytes:
    return data


@dataclass(frozen=True, slots=True)
class _Packing:
    """How a file of this ending is written, and the first bytes by which it is known."""

    magic: bytes
    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes], bytes]


# written again after every trial: the quick levels
_PACKINGS = {
    ".gz": _Packing(b"\x1f\x8b", lambda data: gzip.compress(data, 6, mtime=0), gzip.decompress),
    ".xz": _Packing(b"\xfd7zXZ\0", lambda data: lzma.compress(data, preset=1), lzma.decompress),
}
_PLAIN = _Packing(b"", _identity, _identity)

# version -> what makes a document of the next one of it; the present version has none
Migration = Callable[[dict[str, Any]], dict[str, Any]]
MIGRATIONS: dict[int, Migration] = {}


def load(path: Path | str) -> Run:
    """Read a run file, of this format or an older one, compressed or not.

    Raises:
        RunFileError: missing, unreadable, not a run file, truncated, damaged, or of a newer format.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunFileError(f"{path}: {error.strerror}", "give the path of a run file") from error
    packing = next((packing for packing in _PACKINGS.values() if data.startswith(packing.magic)), _PLAIN)
    try:
        data = packing.unpack(data)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        cut = "truncated" if isinstance(error, EOFError) else "damaged"
        raise RunFileError(f"{path}: {cut}: {error}", "copy it again from the machine that made it") from error
    try:
        header = msgspec.json.decode(data, type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        cut = "truncated" if "truncated" in str(error) else "not JSON"
        raise RunFileError(f"{path}: {cut} ({error})", "copy it again from the machine that made it") from error
    if header.format != FORMAT:
        raise RunFileError(f"{path}: not an offloadbench run file", "give a file that `offloadbench run` wrote")
    if header.format_version > FORMAT_VERSION:
        raise RunFileError(
            f"{path}: run file format {header.format_version}, this offloadbench reads up to {FORMAT_VERSION}",
            "install a newer offloadbench",
        )
    try:
        run = _decode(data, header.format_version)
        for trial in run.trials:
            _check(run, trial)
        return run
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunFileError(f"{path}: damaged: {error}", "copy it again from the machine that made it") from error


def _decode(data: bytes, version: int) -> Run:
    """The run in a document of this or an older version.

    Raises:
        msgspec.DecodeError: it is none.
    """
    if version == FORMAT_VERSION:
        return msgspec.json.decode(data, type=Run)
    document = msgspec.json.decode(data, type=dict[str, Any])
    for step in range(version, FORMAT_VERSION):
        if step not in MIGRATIONS:
            raise msgspec.ValidationError(f"there never was a format {step}")
        try:
            document = MIGRATIONS[step](document) | {"format_version": step + 1}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise msgspec.ValidationError(f"no file of format {step}: {error!r}") from error
    return msgspec.convert(document, type=Run)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the run file; `offloadbench schema` prints it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{FORMAT} {FORMAT_VERSION}",
        **msgspec.json.schema(Run),
    }


def content_hash(definition: msgspec.Struct) -> str:
    """sha256 of a definition's content: the same for equal definitions, whatever file they come from."""
    return hashlib.sha256(msgspec.json.encode(definition, order="sorted")).hexdigest()


def _check(run: Run, trial: Trial) -> None:
    """What types cannot say: columns of equal length, the counters that every analysis reads, known events and cases.

    Raises:
        msgspec.ValidationError: the trial contradicts itself or its run.
    """
    problems = []
    if trial.case not in {case.definition.name for case in run.plan.cases}:
        problems.append(f"case {trial.case!r} is not in the plan")
    if trial.window_s < 0:
        problems.append(f"window of {trial.window_s} s")
    if trial.samples is not None:
        columns = [trial.samples.interval_s, trial.samples.late_s, *trial.samples.counters.values()]
        if any(len(column) != len(trial.samples.t_s) for column in columns):
            problems.append("columns of samples differ in length")
        missing = REQUIRED_COUNTERS - trial.samples.counters.keys()
        if missing and trial.samples.t_s:
            problems.append(f"counters are missing: {', '.join(sorted(missing))}")
    if trial.profile is not None and trial.profile.rows and not trial.profile.events:
        problems.append("a profile without events")
    if problems:
        raise msgspec.ValidationError(f"trial {trial.repeat} {trial.workload} {trial.case}: {'; '.join(problems)}")


def save(run: Run, path: Path) -> None:
    """Write the run whole; what stood there before survives any failure.

    Raises:
        RunFileError: it cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(run), indent=1)
    write_whole(path, _PACKINGS.get(path.suffix, _PLAIN).pack(text), "the run file")


def write_whole(path: Path, data: bytes, what: str) -> None:
    """A temporary file, fsync, rename, fsync of the folder.

    Raises:
        RunFileError: `what` cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RunFileError(
            f"{path}: cannot write {what}: {error.strerror}", "free space or choose another --output"
        ) from error


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
    return base64.b64encode(zlib.compress(b"".join(part.tobytes() for part in parts), 6)).decode()


def _unpack(text: str) -> bytes:
    try:
        return zlib.decompress(base64.b64decode(text))
    except (ValueError, zlib.error) as error:
        raise _damaged(str(error)) from error


def _damaged(why: str) -> RunFileError:
    return RunFileError(f"packed columns in the run file are damaged: {why}", "copy the file again")


def pack_text(text: str) -> str:
    """Long text (kallsyms) as base64 of lzma."""
    return base64.b64encode(lzma.compress(text.encode(), preset=6)).decode()


def unpack_text(packed: str) -> str:
    """Inverse of `pack_text`."""
    try:
        return lzma.decompress(base64.b64decode(packed)).decode()
    except (ValueError, lzma.LZMAError) as error:
        raise RunFileError(f"the kernel symbols in the run file are damaged: {error}", "copy the file again") from error
