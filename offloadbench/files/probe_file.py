"""The file of `probe initcwnd`: one JSON document beside the run file, told apart by its format.

Format versions are told beside `offloadbench.model.PROBE_FORMAT_VERSION`; `schema --of probe` describes the newest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from offloadbench.base.errors import RunFileError
from offloadbench.files import documents
from offloadbench.model import PROBE_FORMAT, PROBE_FORMAT_VERSION, FlightTrial, Probe


def is_probe(path: Path) -> bool:
    """Whether a file says that it is a probe's.

    Raises:
        RunFileError: missing, unreadable, not JSON, truncated or damaged.
    """
    return documents.header(path, documents.read(path)).format == PROBE_FORMAT


def load(path: Path) -> Probe:
    """Read a probe file, compressed or not.

    Raises:
        RunFileError: missing, unreadable, not a probe file, truncated, damaged, or of a newer format.
    """
    data = documents.read(path)
    header = documents.header(path, data)
    if header.format != PROBE_FORMAT:
        raise RunFileError(f"{path}: not a probe file", "give a file that `offloadbench probe --output` wrote")
    documents.check_version(path, header, PROBE_FORMAT_VERSION, "probe file")
    try:
        probe = msgspec.json.decode(data, type=Probe)
        for trial in probe.trials:
            _check(trial)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunFileError(f"{path}: damaged: {error}", "copy it again from the machine that made it") from error
    return probe


def _check(trial: FlightTrial) -> None:
    frames = trial.frames
    columns = (frames.t_us, frames.offset_bytes, frames.payload_bytes, frames.gso_bytes)
    if len({len(column) for column in columns}) > 1:
        raise msgspec.ValidationError(f"trial {trial.repeat} {trial.pattern}: columns of frames differ in length")
    if frames.t_us and trial.mss_bytes < 1:
        raise msgspec.ValidationError(f"trial {trial.repeat} {trial.pattern}: MSS of {trial.mss_bytes} bytes")
    if min(frames.payload_bytes, default=1) < 1 or min(frames.gso_bytes, default=0) < 0:
        raise msgspec.ValidationError(f"trial {trial.repeat} {trial.pattern}: a frame without payload")


def save(probe: Probe, path: Path) -> None:
    """Write the probe whole; what stood there before survives any failure.

    Raises:
        RunFileError: it cannot be written.
    """
    documents.save(probe, path, "the probe file")


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the probe file."""
    return documents.schema(Probe, PROBE_FORMAT, PROBE_FORMAT_VERSION)
