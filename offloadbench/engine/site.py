"""A bed that stands: the NIC locked, what a killed run left cleared, everything taken back at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from offloadbench.bed import opening
from offloadbench.bed.base import Bed
from offloadbench.engine import nic_settings
from offloadbench.engine.events import Emit, Note
from offloadbench.engine.guardian import SILENCE_S, Guardian
from offloadbench.engine.options import Options
from offloadbench.engine.undo import Journal, NicLock, restore_left_behind
from offloadbench.engine.undo_others import overwritten
from offloadbench.kernel import mounts, processes
from offloadbench.model import BedRecord
from offloadbench.signals import uninterrupted


@dataclass(frozen=True, slots=True)
class Site:
    """A bed that stands, with what is needed to work on it."""

    run_id: str
    bed: Bed
    journal: Journal
    folder: Path


@contextlib.contextmanager
def open_journal(owner: str, emit: Emit) -> Iterator[Journal]:
    """Lock a NIC, clear what a killed run left there, and keep a journal; take back all that is in it at the end."""

    def tell(text: str) -> None:
        emit(Note(text))

    lock = NicLock(owner)
    try:
        if restore_left_behind(tell, owner):
            tell("a run that was killed has been cleaned up")
        journal = Journal(secrets.token_hex(4), owner)
        try:
            yield journal
        finally:
            with uninterrupted():
                try:
                    for text in overwritten(journal.steps_since(0)):
                        tell(text)
                finally:
                    journal.close(lambda _: None)
    finally:
        lock.release()


@contextlib.contextmanager
def open_site(options: Options, emit: Emit, owner: str = "") -> Iterator[Site]:
    """Build the bed under a lock and a journal; take all of it back at the end.

    Args:
        owner: name of lock and journal, where it is not the NIC's: several benches of one kind may stand at a time.
    """

    def tell(text: str) -> None:
        emit(Note(text))

    owner = owner or options.nic
    with contextlib.ExitStack() as guarding, open_journal(owner, emit) as journal:
        run_id = journal.run_id
        os.environ[processes.MARKER] = run_id
        home_cpus = os.sched_getaffinity(0)
        bed: Bed | None = None
        try:
            folder = processes.folder_of_run(run_id)
            journal.add("folder", path=str(folder))
            folder.mkdir(mode=0o700)
            # only a run's trials mount it; a bench that stands longer must not take it from them
            if owner == options.nic and not mounts.tracefs_mounted():
                journal.add("tracefs")
            bed = opening.build(
                options.nic,
                options.peer,
                options.cable,
                run_id,
                journal.add,
                tell=tell,
                forget=journal.forget,
                on_lost_worker=options.on_lost_worker,
            )
            for problem in bed.problems:
                tell(problem)
            why = opening.in_use(options.nic)
            if why:
                tell(
                    f"{options.nic} {why}: a dead-man timer puts it back after {SILENCE_S:.0f} s without the load side"
                )
                # it lets go when the journal is empty
                guarding.callback(Guardian(owner, journal.path, bed).release)
            nic_settings.apply(bed, options, journal.add)
            os.sched_setaffinity(0, bed.placement.tool)
            yield Site(run_id, bed, journal, folder)
        finally:
            with uninterrupted():
                os.sched_setaffinity(0, home_cpus)
                if bed is not None:
                    bed.close()
                # a tool that was in the foreground when an interrupt came
                processes.end_of_run(run_id)
                os.environ.pop(processes.MARKER, None)


def describe_bed(bed: Bed, counts_super_packets: bool) -> BedRecord:
    place = bed.placement
    return BedRecord(
        kind=bed.kind,
        line_rate_bits_per_s=bed.cable.line_rate_bits_per_s,
        rtt_s=bed.cable.rtt_s,
        dut_cpus=sorted(place.dut),
        wire_cpus=sorted(place.wire),
        peer_cpus=sorted(place.peer),
        tool_cpus=sorted(place.tool),
        counts_super_packets=counts_super_packets,
        shared_cpus=place.shared,
        settings=bed.settings,
        loss_ratio=bed.cable.loss_ratio,
        loss_seed=bed.cable.loss_seed,
        queue_bytes=bed.cable.queue_bytes,
        peer=bed.peer_name,
    )
