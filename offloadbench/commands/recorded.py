"""The module table of anybody's perf.data file, or its objects where the symbols of its kernel are not known."""

from __future__ import annotations

import gzip
import lzma
import os
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from offloadbench.base.errors import OK, ProfilerError

if TYPE_CHECKING:
    import pandas as pd

    from offloadbench.analysis.profile.attribution import Rules
    from offloadbench.kernel.trace.perfdata import Recording
    from offloadbench.model import Profile

# the first bytes of a perf.data file: by the byte order of the machine that wrote it, and of before 2.6.33
_MAGICS = (b"PERFILE2", b"2ELIFREP", b"PERFFILE")
_MAGIC_BYTES = 8
_PACKERS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}
_UNPACK = {"gzip": "gunzip -k", "xz": "unxz -k", "zstd": "unzstd", "bzip2": "bunzip2 -k"}
# more than this share of the kernel's samples outside of all symbols is told
_TOLD_RATIO = 0.0005
_OUTSIDE_RATIO = 0.01


def is_recording(path: Path) -> bool:
    """Whether this is a perf.data file of any version, or the folder of one.

    Raises:
        ProfilerError: it is one that somebody compressed.
    """
    if path.is_dir():
        return (path / "data").is_file()
    try:
        with path.open("rb") as stream:
            start = stream.read(_MAGIC_BYTES)
    except OSError:
        return False
    packer = next((name for magic, name in _PACKERS.items() if start.startswith(magic)), "")
    if packer and (packer in ("zstd", "bzip2") or _packed_start(path, packer) in _MAGICS):
        what = "a perf.data file compressed by" if packer in ("gzip", "xz") else "compressed by"
        raise ProfilerError(f"{path}: {what} {packer}", f"unpack it first: {_UNPACK[packer]} {path}")
    return start in _MAGICS


def _packed_start(path: Path, packer: str) -> bytes:
    opened = gzip.open if packer == "gzip" else lzma.open
    try:
        with opened(path, "rb") as stream:
            return bytes(stream.read(_MAGIC_BYTES))
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return b""


def show(profile: Profile, path: Path, kallsyms: Path | None) -> int:
    """Print the samples of a recording by module, event by event."""
    from offloadbench.analysis.profile.attribution import attribute
    from offloadbench.commands import modules
    from offloadbench.kernel.trace import perf, perfdata, recorded_symbols

    recording = perfdata.read(path)
    if recording.problem:
        _note(f"{recording.problem}; what is readable is shown")
    if recording.total_lost:
        _note(f"{recording.total_lost} samples were lost when this was recorded")
    if not any(recording.samples):
        hint = (
            "copy it again from the machine that made it"
            if recording.problem
            else "record for longer, or another event"
        )
        raise ProfilerError(f"{path}: no samples{_instead(recording)}", hint)
    silent = [
        event.name
        for event, count in zip(recording.header.events, recording.samples, strict=True)
        if not count and not event.name.startswith("dummy")
    ]
    if silent:
        _note(f"no samples of {', '.join(silent[:_SILENT_MAX])}{_more(silent)}")
    source = kallsyms or (modules.RUNNING if _is_of_this_kernel(recording) else None)
    if source is None:
        _show_objects(recording, f"{_origin(recording)}, whose symbols are not known here")
        return OK
    text = modules.kallsyms_text(source)
    if kallsyms is None and not modules.has_addresses(text):
        _show_objects(recording, "/proc/kallsyms shows no addresses to this user")
        return OK
    fitted = recorded_symbols.fit(text, recording, str(source))
    for sentence in fitted.notes:
        _note(sentence)
    _tell_unplaced_programs(recording, fitted.text)
    verdicts = modules.verdicts_of(profile, fitted.text, source)
    profiles = perf.read_all(recording, verdicts.symbols.addresses)
    for counts in profiles:
        rows = attribute([counts], verdicts)
        _tell_outside(rows, source)
        _tell_softirq_entry(rows, verdicts.rules)
        modules.print_table(str(path), rows)
    return OK


_SILENT_MAX = 5


def _more(names: list[str]) -> str:
    return f" and {len(names) - _SILENT_MAX} others" if len(names) > _SILENT_MAX else ""


def _note(sentence: str) -> None:
    sys.stderr.write(f"note: {sentence}\n")


def _instead(recording: Recording) -> str:
    """What a recording without samples holds."""
    if "AUXTRACE" in recording.records:
        return ", but a hardware trace, which is not decoded"
    names = [event.name for event in recording.header.events]
    return f" of {', '.join(names[:_SILENT_MAX])}{_more(names)}" if names else ""


def _origin(recording: Recording) -> str:
    host, release = recording.header.hostname, recording.header.os_release
    return f"recorded on {host or 'a machine that it does not name'}" + (f" (Linux {release})" if release else "")


def _is_of_this_kernel(recording: Recording) -> bool:
    """Whether it was recorded under the very build of the kernel that runs here, on whichever boot."""
    from offloadbench.kernel.trace.debuginfo import running_build_id

    header, running = recording.header, running_build_id()
    if header.kernel_build_id and running:
        return header.kernel_build_id == running
    return (header.hostname, header.os_release) == (os.uname().nodename, os.uname().release)


def _tell_unplaced_programs(recording: Recording, kallsyms: str) -> None:
    """Say which BPF programs ran, or could have, at a place that is not known."""
    placed = {symbol.name for symbol in recording.kernel_symbols}
    tags = sorted(
        tag
        for tag in set(recording.program_tags.values())
        if f"bpf_prog_{tag}" not in kallsyms and not any(name.startswith(f"bpf_prog_{tag}") for name in placed)
    )
    if tags:
        were = "1 BPF program was" if len(tags) == 1 else f"{len(tags)} BPF programs were"
        _note(
            f"{were} loaded whose place neither the recording nor the symbols give: "
            f"tag {', '.join(tags[:_SILENT_MAX])}{_more(tags)}; samples in their code are in no module"
        )


def _tell_outside(rows: pd.DataFrame, source: Path) -> None:
    """Say how much of the kernel's samples no symbol covers."""
    kernel = rows[rows["mode"] == "K"]
    for event in kernel["event"].unique():
        chosen = kernel[kernel["event"] == event]
        outside = chosen[(chosen["symbol"] == "") & (chosen["ko"] == "")]
        share = outside["samples"].sum() / chosen["samples"].sum()
        if share > _OUTSIDE_RATIO:
            _note(f"{share:.1%} of the kernel's samples of {event} lie outside of all symbols of {source}")


def _tell_softirq_entry(rows: pd.DataFrame, rules: Rules) -> None:
    """Say how much of the busy time may be a halted CPU that was being woken: no idle clock was read beside it."""
    from offloadbench.analysis.profile import wakeups
    from offloadbench.analysis.profile.attributed_samples import is_busy

    entered = rows[wakeups.of_softirq_entry(rows, rules)]["weight"].sum()
    busy = rows[(rows["quantity"] == wakeups.CLOCK_QUANTITY) & is_busy(rows)]["weight"].sum()
    # less would be printed as 0.0%
    if busy and entered / busy >= _TOLD_RATIO:
        _note(
            f"{entered / busy:.1%} of the busy time are samples on the softirq entry in the idle task. No idle clock "
            "was read beside this recording: while a halted virtual CPU was being woken, they were not busy"
        )


def _show_objects(recording: Recording, why: str) -> None:
    """Print the samples by object file: the kernel, each module, programs and libraries."""
    from offloadbench.kernel.trace import perf
    from offloadbench.kernel.trace.perfdata.objects import ObjectCount, by_object

    _note(f"{why}: samples are shown by object; for modules give the /proc/kallsyms of that boot: --kallsyms FILE")
    counts = by_object(recording)
    names = perf.names_apart([event.name for event in recording.header.events])

    def lines(rows: Iterable[ObjectCount], total: int) -> Iterable[str]:
        for row in rows:
            yield f"  {row.name:<32}{row.weight / total if total else 0:>8.2%}{row.samples:>9}  {row.weight:>20}"

    for index, name in enumerate(names):
        rows = [row for row in counts if row.event == index]
        if rows:
            print(f"{recording.path}: {name}")
            quantity = perf.quantity(recording.header.events[index].name)
            print(f"  {'object':<32}{'share':>8}{'samples':>9}  {quantity:>20}")
            print("\n".join([*lines(rows, sum(row.weight for row in rows)), "  idle is in these shares", ""]))
