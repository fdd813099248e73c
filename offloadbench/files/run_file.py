"""The run file: one JSON document, written whole after every trial, so that nothing captured is ever lost.

Format versions are told beside `offloadbench.model.FORMAT_VERSION`; `schema` describes the present one. A name that
ends in `.gz` or `.xz` is written compressed; what is read tells by its first bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from offloadbench.base.errors import RunFileError
from offloadbench.files import documents
from offloadbench.model import FORMAT, FORMAT_VERSION, Run, Trial

# what every analysis of a window reads (offloadbench.analysis.trial.metrics, tables)
REQUIRED_COUNTERS = frozenset(
    {"cpu_idle_exact_s", "cpu_ticks_s", "cpu_user_s", "cpu_system_s", "cpu_softirq_s", "cpu_steal_s", "tx_bytes"}
    | {"tx_packets", "tx_dropped", "rx_bytes", "tcp_out_segments", "tcp_retrans_segments", "tcp_in_csum_errors"}
    | {"context_switches"}
)


# version -> what makes a document of the next one of it; the present version has none
Migration = Callable[[dict[str, Any]], dict[str, Any]]
MIGRATIONS: dict[int, Migration] = {}


def load(path: Path | str) -> Run:
    """Read a run file, of this format or an older one, compressed or not.

    Raises:
        RunFileError: missing, unreadable, not a run file, truncated, damaged, or of a newer format.
    """
    path = Path(path)
    data = documents.read(path)
    try:
        run = _present(data) or _told(path, data)
        for trial in run.trials:
            _check(run, trial)
        return run
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunFileError(f"{path}: damaged: {error}", "copy it again from the machine that made it") from error


def _present(data: bytes) -> Run | None:
    """The run in a document of this version; None for any other document. Asking first would take a pass more."""
    try:
        run = msgspec.json.decode(data, type=Run)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return run if run.format_version == FORMAT_VERSION else None


def _told(path: Path, data: bytes) -> Run:
    """The run in a document that is no undamaged one of this version.

    Raises:
        RunFileError: not JSON, truncated, not a run file, or of a newer format.
        msgspec.DecodeError: damaged.
    """
    header = documents.header(path, data)
    if header.format != FORMAT:
        raise RunFileError(f"{path}: not an offloadbench run file", "give a file that `offloadbench run` wrote")
    documents.check_version(path, header, FORMAT_VERSION, "run file")
    version = header.format_version
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
    return documents.schema(Run, FORMAT, FORMAT_VERSION)


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
    if trial.foreign is not None and not 0 <= trial.foreign.ratio <= 1:
        problems.append(f"other processes used {trial.foreign.ratio} of the CPUs")
    if problems:
        raise msgspec.ValidationError(f"trial {trial.repeat} {trial.workload} {trial.case}: {'; '.join(problems)}")


def save(run: Run, path: Path) -> None:
    """Write the run whole; what stood there before survives any failure.

    Raises:
        RunFileError: it cannot be written.
    """
    documents.save(run, path, "the run file")
