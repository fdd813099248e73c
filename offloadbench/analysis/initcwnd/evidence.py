"""What real kernels sent before an ACK could act, with TSO on and off: the evidence of the story, as one table.

Linux 2.6.18, 2.6.18-274.el5 and 2.6.27 ran under QEMU with a TSO e1000 at an RTT of 20 ms and were asked by the live
probe (first flights of the two 2.6.18) and by an ordinary client beside tcpdump (the rest): four or five repeats of
each setting, none of which differs. Captures of most of these settings lie in tests/data/initcwnd/kernel-2.6.18, and
the tests count them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

VANILLA, EL5, LATER = "2.6.18", "2.6.18-274.el5", "2.6.27"
KERNELS = (VANILLA, EL5, LATER)
_DASH = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Pair:
    """Segments with TSO on and off; None where that was not run."""

    on: int
    off: int | None

    def __str__(self) -> str:
        return f"{self.on} / {_DASH if self.off is None else self.off}"


@dataclass(frozen=True, slots=True)
class KernelEvidence:
    """One setting.

    Attributes:
        mark: the mechanism that it shows, M0 to M4; "" where nothing is in the way.
        setting: what the server did, in a few words, and the window where it is not 10; `code` in backticks.
        initcwnd: of the route, in segments.
        seen: by kernel; those that are missing were not run.
    """

    mark: str
    setting: str
    initcwnd: int
    seen: dict[str, Pair]

    def cell(self, kernel: str) -> str:
        return str(self.seen[kernel]) if kernel in self.seen else _DASH


AS_SHIPPED = (
    KernelEvidence(
        "M2", "10 s of silence, then 100000 B", 10, {VANILLA: Pair(10, 10), EL5: Pair(45, 10), LATER: Pair(45, 45)}
    ),
    KernelEvidence("M0", "first connection to the host", 10, {VANILLA: Pair(2, 2), EL5: Pair(2, 2), LATER: Pair(2, 2)}),
    KernelEvidence("M3", "RTT cached, 100000 B", 10, {VANILLA: Pair(10, 9), EL5: Pair(10, 9), LATER: Pair(10, 10)}),
    KernelEvidence("M3", "RTT cached, 100000 B, initcwnd 40", 40, {VANILLA: Pair(23, 9), EL5: Pair(22, 9)}),
    KernelEvidence(
        "M1", "RTT cached, 14480 B, stays open", 10, {VANILLA: Pair(8, 9), EL5: Pair(10, 9), LATER: Pair(10, None)}
    ),
    KernelEvidence("M1", "RTT cached, two writes of 10136 B", 10, {VANILLA: Pair(10, 9), EL5: Pair(7, 9)}),
    KernelEvidence("", "RTT cached, 14480 B, closed at once", 10, {VANILLA: Pair(10, 9)}),
    KernelEvidence("M4", "RTT cached, client's window 5840 B", 10, {VANILLA: Pair(4, 4)}),
)
CURED = (
    KernelEvidence("M0", "first connection, `rtt 20ms` on the route", 10, {VANILLA: Pair(10, 9)}),
    KernelEvidence("M1", "14480 B, `tcp_tso_win_divisor` 10, buffer 128 KiB", 10, {VANILLA: Pair(10, 10)}),
    KernelEvidence("M3", "100000 B, send buffer 128 KiB", 10, {VANILLA: Pair(10, 10)}),
    KernelEvidence("M3", "100000 B, initcwnd 40, send buffer 128 KiB", 40, {VANILLA: Pair(40, 40)}),
)
_HEADS = ("", "what the server did", *KERNELS)


def _cells(row: KernelEvidence) -> list[str]:
    return [row.mark, row.setting, *(row.cell(kernel) for kernel in KERNELS)]


def text() -> list[str]:
    """The table in lines of plain text: segments with TSO on / off."""
    groups = [("as shipped", AS_SHIPPED), ("with the cure", CURED)]
    bodies = [(title, [[cell.replace("`", "") for cell in _cells(row)] for row in rows]) for title, rows in groups]
    every = [list(_HEADS), *(row for _, rows in bodies for row in rows)]
    widths = [max(len(row[column]) for row in every) for column in range(len(_HEADS))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    lines = [line(_HEADS)]
    for title, rows in bodies:
        lines += [line(["", f"- {title}", *[""] * len(KERNELS)]), *map(line, rows)]
    return lines


def markdown() -> list[str]:
    """The same for a page of the documentation."""
    lines = ["| " + " | ".join(_HEADS) + " |", "|---" * len(_HEADS) + "|"]
    for title, rows in (("", AS_SHIPPED), ("cured: ", CURED)):
        lines += ["| " + " | ".join([row.mark, title + row.setting, *_cells(row)[2:]]) + " |" for row in rows]
    return lines
