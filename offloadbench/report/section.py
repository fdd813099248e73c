"""What a section of a report is, and the blocks it is made of, which every format writes in its own way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from offloadbench.analysis.findings.findings import Finding
from offloadbench.base.sentence import Sentence
from offloadbench.report.cells import Table
from offloadbench.report.flame import Flame
from offloadbench.report.machine import TermGroup
from offloadbench.report.material import Material
from offloadbench.report.plot import Plot


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sentence or two; `kind`: "" for plain text, `basis` for small print, `warning` for what spoils the rest."""

    text: Sentence
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Bullet:
    """A sentence in a list.

    Attributes:
        name: what it is about, "" where its own words say so.
        more: sentences that say the same of other trials, folded.
    """

    text: Sentence
    name: str = ""
    more: Sequence[Sentence] = ()


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences.

    Attributes:
        of: what all of them are about, where only the caption of a plot beside them says so.
        kind: as of `Paragraph`, or `boxed`.
    """

    bullets: Sequence[Bullet]
    of: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """What the report says first; the first sentence is the heading of a page, what it rests on is in `more`."""

    told: Sequence[Bullet]


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings with the commands that follow; `several`: each says of which bench and workload it is."""

    found: Sequence[Finding]
    several: bool


@dataclass(frozen=True, slots=True)
class NoFinding:
    """Why there is nothing to say."""

    text: Sentence
    reason: Sentence


@dataclass(frozen=True, slots=True)
class LimitVerdict:
    """One watched trial, in words."""

    title: str
    sentence: Sentence
    evidence: Sentence


@dataclass(frozen=True, slots=True)
class CaseVerdict:
    """The trials of one case and run that came to one limit.

    Attributes:
        first: of them; `others` follow in the order of the trials.
        again: that the others came to the same limit, "" without any.
    """

    first: LimitVerdict
    others: list[LimitVerdict]
    again: str


@dataclass(frozen=True, slots=True)
class SenderLimits:
    """What limits each sender, with the evidence folded."""

    found: Sequence[CaseVerdict]


@dataclass(frozen=True, slots=True)
class Subheading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True, slots=True)
class RowsFrom:
    """The command that prints the rows on which a section rests."""

    command: str


@dataclass(frozen=True, slots=True)
class FlameGraph:
    """For a page with a script; None: no call chains were recorded."""

    graph: Flame | None


Block = (
    ReportAnswer
    | Paragraph
    | Bullets
    | Findings
    | NoFinding
    | SenderLimits
    | Subheading
    | RowsFrom
    | FlameGraph
    | Plot
    | Table
    | TermGroup
)


class Layer(Enum):
    """For whom a section is: who decides, who works with it, who wants to check it. The last are folded."""

    TOP = "top"
    MAIN = "main"
    FOLDED = "folded"


@dataclass(frozen=True, slots=True)
class Section:
    """A section of every report that has something to say in it. Each file of `report/sections/` holds one.

    Attributes:
        key: its name in the address of a page.
        title: its heading; "" goes on with the section before it, which is how a plot is added to one.
        place: where it stands: sections are sorted by it.
        write: gives its blocks, in order; a section without any is left out.
        nav: the words that lead to it, "" for none; `{count}` is the number of its sentences.
        rows: tables of `offloadbench export` that it rests on.
        measured: it shows what was measured, and asks nothing of the judge: its plots are drawn while he works.
        layer: for whom it is.
    """

    key: str
    title: str
    place: int
    write: Callable[[Material], Iterator[Block]]
    nav: str = ""
    rows: tuple[str, ...] = ()
    measured: bool = False
    layer: Layer = Layer.MAIN


@dataclass(frozen=True, slots=True)
class WrittenSection:
    """A section of one report with its blocks."""

    section: Section
    blocks: list[Block]
    rows: tuple[str, ...]

    @property
    def nav(self) -> str:
        """The words that lead to it."""
        count = sum(len(block.bullets) for block in self.blocks if isinstance(block, Bullets))
        return self.section.nav.format(count=count)
