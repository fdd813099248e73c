"""What a run would overwrite on a target that is not its own, and whether it may."""

from __future__ import annotations

from dataclasses import dataclass

from offloadbench.base.errors import OffloadbenchError, UsageError
from offloadbench.base.units import format_bytes, parse_size_bytes
from offloadbench.roles.messages import UnitInspected
from offloadbench.traffic.iscsi import extents
from offloadbench.traffic.iscsi.existing import FREE, Existing

# libblkid's names of what a volume manager takes over as soon as the kernel shows the disk
_TAKEN_OVER = "_member"


@dataclass(frozen=True, slots=True)
class Device:
    """A LUN, as it was found.

    Attributes:
        product: vendor, product and revision.
        serial: unit serial number, or the unit's NAA or EUI-64 name; empty where it has neither.
        longest_transfer_bytes: of one command; 0 where the target does not limit it.
        used: what lies on it.
        free: first byte and end of what lies beyond that; both 0 where `why_not` says why it cannot be known.
        blank: its edges (`extents.EDGE_BYTES`) are zeros.
    """

    product: str
    serial: str
    size_bytes: int
    block_bytes: int
    longest_transfer_bytes: int
    used: list[extents.Used]
    free: tuple[int, int]
    why_not: str
    blank: bool

    @classmethod
    def from_answer(cls, answer: UnitInspected) -> Device:
        """From the inspection's answer (inspection.py)."""
        return cls(
            product=answer.product,
            serial=answer.serial,
            size_bytes=answer.size_bytes,
            block_bytes=answer.block_bytes,
            longest_transfer_bytes=answer.longest_transfer_bytes,
            used=[extents.Used(kind, end) for kind, end in answer.used],
            free=answer.free,
            why_not=answer.why_not,
            blank=answer.blank,
        )

    @property
    def identity(self) -> str:
        """For a sentence."""
        serial = f"serial {self.serial}" if self.serial else "without a serial number"
        return f"{self.product}, {serial}, {format_bytes(self.size_bytes)} ({self.size_bytes} bytes)"

    @property
    def content(self) -> str:
        """What lies on it, for a sentence."""
        if not self.used:
            edge = format_bytes(extents.EDGE_BYTES)
            return f"nothing in its first and last {edge}" if self.blank else "data of no known kind"
        return ", ".join(
            one.kind + ("" if one.end_bytes is None else f" up to byte {one.end_bytes}") for one in self.used
        )

    def is_named_by(self, text: str) -> bool:
        """Whether this is the device's serial number, or its exact size."""
        if not text:
            return False
        if text == self.serial:
            return True
        try:
            return parse_size_bytes(text) == self.size_bytes
        except OffloadbenchError:
            return False


@dataclass(frozen=True, slots=True)
class Region:
    """The part of a LUN that a run uses."""

    start_bytes: int
    size_bytes: int

    @property
    def words(self) -> str:
        end = self.start_bytes + self.size_bytes
        return f"bytes {self.start_bytes} to {end - 1} ({format_bytes(self.size_bytes)})"


def region(existing: Existing, device: Device, *, write: bool, wanted_bytes: int, needed_bytes: int) -> Region:
    """Where the load goes.

    Args:
        wanted_bytes: at most so much.
        needed_bytes: with less, two commands would be on their way to one place.

    Raises:
        UsageError: it cannot be known what is free, or too little is.
    """
    lun = f"LUN {existing.lun} of {existing.portal.name}"
    start, end = (existing.start_bytes or 0), device.size_bytes
    if existing.start_bytes is None and write:
        if device.why_not:
            raise UsageError(
                f"{lun}: where it is free cannot be known: {device.why_not}",
                "name another LUN, or say where to write, whatever lies there: --set lun_start=OFFSET",
            )
        start, end = device.free
    available = max(0, end - start)
    size = min(wanted_bytes, available) // device.block_bytes * device.block_bytes
    if start % device.block_bytes or size < needed_bytes:
        raise UsageError(
            f"{lun}: {format_bytes(available)} of its {format_bytes(device.size_bytes)} are there to be used (it holds "
            f"{device.content}); the commands need {format_bytes(needed_bytes)}",
            f"use a smaller block_size or queue_depth, or another lun_start than {existing.start_bytes or FREE}",
        )
    return Region(start, size)


def require_first(existing: Existing, *, write: bool) -> None:
    """Raise UsageError unless the first of the two consents is there, where data would be overwritten."""
    if write and not existing.overwrite:
        raise UsageError(
            f"writing to {existing.portal}, LUN {existing.lun}, overwrites data there",
            "if that may be: --set overwrite=yes; or --set operation=read",
        )


def question(existing: Existing, device: Device, part: Region) -> str:
    """What a person is asked on a terminal."""
    beyond = ", beyond all of that" if existing.start_bytes is None else ", WHATEVER LIES THERE"
    name = "serial number" if device.serial else "size in bytes"
    return (
        "This run overwrites data of a target that is not its own:\n"
        f"  target      {existing.portal}, LUN {existing.lun}\n"
        f"  device      {device.identity}\n"
        f"  it holds    {device.content}\n"
        f"  overwritten {part.words}{beyond}\n"
        f"Type the device's {name} to go on, anything else to stop: "
    )


def require_second(existing: Existing, device: Device, part: Region, answer: str | None) -> None:
    """Raise UsageError unless the second consent names the device.

    Args:
        answer: what a person typed; None where nobody could be asked.
    """
    given = existing.confirm or (answer or "").strip()
    if device.is_named_by(given):
        return
    lun = f"LUN {existing.lun} of {existing.portal.name} ({device.identity}; it holds {device.content})"
    if given:
        raise UsageError(f"{given[:64]!r} is neither serial number nor size of {lun}", "nothing was written")
    raise UsageError(
        f"{lun}: overwriting {part.words} is to be confirmed",
        f"--set confirm={device.serial or device.size_bytes}, or run on a terminal to be asked",
    )


def require_untouched_by_kernel(device: Device) -> None:
    """Raise UsageError for a disk that this machine's volume managers would take over if its kernel saw it."""
    taken = [one.kind for one in device.used if one.kind.endswith(_TAKEN_OVER)]
    if taken:
        raise UsageError(
            f"initiator=kernel would show this machine a disk with {taken[0]}, which it might assemble and write to",
            "--set initiator=user",
        )
