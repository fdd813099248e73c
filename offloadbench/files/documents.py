"""JSON documents as files: written whole, compressed where the name ends so, and told apart by their first fields."""

from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from offloadbench.base.errors import RunFileError


class FileHeader(msgspec.Struct):
    """By which a file of this house is known."""

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


def read(path: Path) -> bytes:
    """A document's text, decompressed.

    Raises:
        RunFileError: missing, unreadable, truncated or damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunFileError(f"{path}: {error.strerror}", "give the path of a run file") from error
    packing = next((packing for packing in _PACKINGS.values() if data.startswith(packing.magic)), _PLAIN)
    try:
        return packing.unpack(data)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        cut = "truncated" if isinstance(error, EOFError) else "damaged"
        raise RunFileError(f"{path}: {cut}: {error}", "copy it again from the machine that made it") from error


def header(path: Path, data: bytes) -> FileHeader:
    """What a document says it is; a pass over all of its text.

    Raises:
        RunFileError: not JSON, or truncated.
    """
    try:
        return msgspec.json.decode(data, type=FileHeader)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        cut = "truncated" if "truncated" in str(error) else "not JSON"
        raise RunFileError(f"{path}: {cut} ({error})", "copy it again from the machine that made it") from error


def check_version(path: Path, header: FileHeader, newest: int, what: str) -> None:
    """Raise RunFileError for a file that a newer offloadbench wrote."""
    if header.format_version > newest:
        raise RunFileError(
            f"{path}: {what} format {header.format_version}, this offloadbench reads up to {newest}",
            "install a newer offloadbench",
        )


def save(content: msgspec.Struct, path: Path, what: str) -> None:
    """Write a document whole, packed as the name's ending asks; what stood there before survives any failure.

    Raises:
        RunFileError: `what` cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(content), indent=1)
    write_whole(path, _PACKINGS.get(path.suffix, _PLAIN).pack(text), what)


def schema(content: type[msgspec.Struct], name: str, version: int) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a format."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{name} {version}",
        **msgspec.json.schema(content),
    }


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
