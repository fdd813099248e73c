"""A bed that stands: the NIC locked, what a killed run left cleared, everything taken back at the end."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from offloadbench.base.signals import deferred, uninterrupted
from offloadbench.bed import lab_bed, opening
from offloadbench.bed.testbed import Bed, Cable
from offloadbench.engine import mtu_and_rings
from offloadbench.engine.options import RunOptions, recorded_with_bed
from offloadbench.engine.progress_events import Emit, Note
from offloadbench.engine.putting_back.guardian import SILENCE_S, Guardian
from offloadbench.engine.putting_back.undo import Journal, NicLock, restore_left_behind
from offloadbench.engine.putting_back.undo_others import overwritten
from offloadbench.kernel.system import processes
from offloadbench.kernel.trace import tracefs
from offloadbench.model import BedRecord
from offloadbench.model.emulated_link import link_part


class Site:
    """A bed that stands, with what is needed to work on it.

    Attributes:
        folder: of the run, for what it needs while it lasts.
    """

    def __init__(self, options: RunOptions, journal: Journal, folder: Path, emit: Emit) -> None:
        self.run_id = journal.run_id
        self.journal = journal
        self.folder = folder
        self._options = options
        self._emit = emit
        self._home_cpus = os.sched_getaffinity(0)
        self._mark = journal.mark
        self._bed: Bed | None = None

    @property
    def bed(self) -> Bed:
        """The bed as it stands now; `rebuild` makes it another."""
        assert self._bed is not None
        return self._bed

    def build(self, draw: int = 0) -> None:
        """Build the bed; what is made of it is in the journal first.

        Args:
            draw: each has its own losses on an emulated cable, seeded by the run's seed.
        """
        options = self._options
        # who runs where is divided among all CPUs of this process, not among those left to it by the bed before
        os.sched_setaffinity(0, self._home_cpus)
        self._mark = self.journal.mark
        self._bed = opening.build(
            options.nic,
            options.peer,
            _drawn(options.cable, draw),
            self.run_id,
            self.journal.add,
            tell=self._tell,
            forget=self.journal.forget,
            on_lost_worker=options.on_lost_worker,
        )
        self._bed.settings |= recorded_with_bed(options)

    def furnish(self) -> None:
        """Set MTU and rings as asked for, and go to the CPUs that the bed leaves to the tool."""
        mtu_and_rings.apply(self.bed, self._options, self.journal.add)
        os.sched_setaffinity(0, self.bed.placement.tool)

    def rebuild(self, draw: int) -> str:
        """Tear down a bed that was made for the run, and build it again under the same names and addresses.

        The journal names what stands at every moment. Steps that were added to it since the bed was built go with it.

        Args:
            draw: as of `build`.

        Returns:
            "" when that was done; otherwise why the bed stays as it is.

        Raises:
            OffloadbenchError: it cannot be built again, or something of the old one does not go away.
        """
        if self._options.nic not in lab_bed.NAMES:
            return "the NIC is real: its driver, links and connections stay"
        with deferred():
            self.bed.close()
            self.journal.undo_to(self._mark, lambda _: None)
            self.build(draw)
            self.furnish()
        return ""

    def close(self) -> None:
        """End the bed's processes, and give back the CPUs. Safe to call twice."""
        os.sched_setaffinity(0, self._home_cpus)
        if self._bed is not None:
            self._bed.close()

    def _tell(self, text: str) -> None:
        self._emit(Note(text))


def _drawn(cable: Cable, draw: int) -> Cable:
    """The cable with the losses of this draw: built again with the same seed, it would lose the same ones again."""
    if not cable.loss_seed or not draw:
        return cable
    generator = random.Random(f"{cable.loss_seed} {draw}")  # noqa: S311 - losses that can be repeated, not a secret
    return msgspec.structs.replace(cable, loss_seed=generator.randrange(1, 2**31))


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
def open_site(options: RunOptions, emit: Emit, owner: str = "") -> Iterator[Site]:
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
        site: Site | None = None
        try:
            folder = processes.folder_of_run(run_id)
            journal.add("folder", path=str(folder))
            folder.mkdir(mode=0o700)
            # only a run's trials mount it; a bench that stands longer must not take it from them
            if owner == options.nic and not tracefs.tracefs_mounted():
                journal.add("tracefs")
            site = Site(options, journal, folder, emit)
            site.build()
            for problem in site.bed.problems:
                tell(problem)
            why = opening.in_use(options.nic)
            if why:
                tell(
                    f"{options.nic} {why}: a dead-man timer puts it back after {SILENCE_S:.0f} s without the load side"
                )
                # it lets go when the journal is empty
                guarding.callback(Guardian(owner, journal.path, site.bed).release)
            site.furnish()
            yield site
        finally:
            with uninterrupted():
                if site is not None:
                    site.close()
                # a tool that was in the foreground when an interrupt came
                processes.end_of_run(run_id)
                os.environ.pop(processes.MARKER, None)


def describe_bed(bed: Bed, counts_super_packets: bool) -> BedRecord:
    place = bed.placement
    return BedRecord(
        **link_part(bed.cable),
        kind=bed.kind,
        dut_cpus=sorted(place.dut),
        wire_cpus=sorted(place.wire),
        peer_cpus=sorted(place.peer),
        tool_cpus=sorted(place.tool),
        counts_super_packets=counts_super_packets,
        shared_cpus=place.shared,
        settings=bed.settings,
        peer=bed.peer_name,
    )
