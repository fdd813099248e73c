"""The one list of sections that every report is made of, written as HTML, as Markdown or as files of plots."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from offloadbench.analysis.sender import limit_tables
from offloadbench.analysis.tables.results import Profiled, gather, unique_runs
from offloadbench.model import Profile, Run
from offloadbench.report import sections
from offloadbench.report.material import Material
from offloadbench.report.plot import Plot, ahead
from offloadbench.report.section import Block, Section, WrittenSection


@cache
def listed() -> list[Section]:
    """Every section of the package, in the order of a page."""
    names = [module.name for module in pkgutil.iter_modules(sections.__path__, f"{sections.__name__}.")]
    found: list[Section] = [importlib.import_module(name).SECTION for name in names]
    return sorted(found, key=lambda section: section.place)


def collect(
    runs: Sequence[Run], profile: Profile, names: Sequence[str], sampled: Callable[[], Profiled] | None = None
) -> Material:
    """What a report of these runs is made of.

    Args:
        names: of the run files, as they were given.
        sampled: see `gather`.
    """
    watched = limit_tables.judged(unique_runs(runs))
    results = gather(runs, profile, sampled)
    by_id = {run.run_id: name for run, name in zip(runs, names, strict=True)}
    return Material(results, profile, list(names), [by_id[run.run_id] for run in results.runs], watched)


def written(material: Material) -> list[WrittenSection]:
    """The sections that have something to say, in order."""
    for section in listed():
        _blocks(material, section)
    return _assembled(material)


@contextmanager
def drawn(material: Material) -> Iterator[list[WrittenSection]]:
    """The same, with the plots of what was measured being drawn while the judge works on the others."""
    early = [block for section in listed() if section.measured for block in _blocks(material, section)]
    with ahead([block for block in early if isinstance(block, Plot)]):
        yield written(material)


def plots(found: Sequence[WrittenSection]) -> list[Plot]:
    """All of them, in the order of the page."""
    return [block for one in found for block in one.blocks if isinstance(block, Plot)]


def _blocks(material: Material, section: Section) -> list[Block]:
    """Written once for a report, whatever it is written as."""
    if section.key not in material.written:
        material.written[section.key] = list(section.write(material))
    return material.written[section.key]


def _assembled(material: Material) -> list[WrittenSection]:
    """In order; what has no title of its own goes on with what stands before it."""
    found: list[WrittenSection] = []
    for section in listed():
        blocks = _blocks(material, section)
        if section.title:
            found.append(WrittenSection(section, blocks, section.rows))
        else:
            last = found[-1]
            found[-1] = WrittenSection(last.section, last.blocks + blocks, last.rows + section.rows)
    return [one for one in found if one.blocks]
