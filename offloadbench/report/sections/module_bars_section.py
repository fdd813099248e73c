"""What every module and layer costs per byte of payload, case by case: goes on with where it is saved."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from offloadbench.analysis.profile.attribution import SHADOW
from offloadbench.base import words
from offloadbench.base.sentence import Quantity, Sentence, join, say
from offloadbench.base.words import figure
from offloadbench.model import Profile
from offloadbench.report.material import Material, benches
from offloadbench.report.plot import Plot
from offloadbench.report.plots import modules_plot as module_bars
from offloadbench.report.plots.modules_plot import modules as draw_modules
from offloadbench.report.section import Block, Section


def _write(material: Material) -> Iterator[Block]:
    yield from by_module(material)
    yield from _by_floor(material)


def by_module(material: Material) -> Iterator[Plot]:
    """E2, by module; and what the profile takes apart or splits, alone and whole."""
    profile = material.profile
    for bench, rows in benches(material.results.busy_modules):
        yield _stacked(material, bench, rows, what="cost by module", caption=_caption(profile, rows))
        apart = rows[rows["module"].isin(_apart(profile))]
        if apart["module"].nunique() > 1:
            caption = say(
                "of the same cost what profile {profile} takes apart, every part of it.", profile=profile.name
            )
            yield _stacked(material, bench, apart, what="cost of what is taken apart", caption=caption, top=len(apart))


def _apart(profile: Profile) -> set[str]:
    """What parts of leaves, and leaves that are split, are shown under, and what no part takes of their floors."""
    parts = {part.leaf for part in profile.parts}
    shares = {share.name for leaf in profile.split for share in profile.splits[leaf]}
    floors = {leaf.floor for leaf in profile.leaves if leaf.name in parts}
    return parts | shares | ({leaf.name for leaf in profile.leaves if leaf.floor in floors} if parts else set())


def _caption(profile: Profile, rows: pd.DataFrame) -> Sentence:
    several = rows["module"].nunique() > module_bars.TOP
    what = say("the five biggest modules, and the rest as other modules" if several else "every module")
    caption = say("{what}. Idle time and wake-up latency are left out.", what=what)
    if not module_bars.has_callers(rows):
        return caption
    own, charged = (
        f"\N{LEFT DOUBLE QUOTATION MARK}{title}\N{RIGHT DOUBLE QUOTATION MARK}" for title in module_bars.VIEWS.values()
    )
    generic = ", ".join(words.SKID if leaf == SHADOW else words.module_label(leaf) for leaf in profile.generic)
    return say(
        "{caption} {own} is where the CPU was. {charged} is the same time with work that is done for others "
        "({generic}) added to the first module on its call chain that is none of these; the sums are equal.",
        caption=caption,
        own=own,
        charged=charged,
        generic=generic,
    )


def _by_floor(material: Material) -> Iterator[Plot]:
    """E2, by floor; nothing where the profile's modules are the floors already."""
    profile, modules = material.profile, material.results.busy_modules
    pairs = modules[["module", "floor"]].drop_duplicates()
    if profile.groups and pairs["module"].is_unique and pairs["floor"].is_unique:
        return
    caption = say("the same cost on the three floors of the network stack.")
    for bench, rows in benches(modules):
        yield _stacked(material, bench, rows, what="cost by floor", caption=caption, floors=profile.floors)


def _stacked(
    material: Material,
    bench: tuple[str, str],
    rows: pd.DataFrame,
    *,
    what: str,
    caption: Sentence,
    floors: dict[str, str] | None = None,
    top: int = module_bars.TOP,
) -> Plot:
    nic, workload = bench
    results = material.results
    modules = list(dict.fromkeys(rows["module"]))
    totals = rows.groupby("case")["value_per_byte"].sum()
    told = [
        say(
            "{case} {total}",
            case=case,
            total=Quantity(float(totals[case]), figure, results.costs(nic, workload, case, modules)),
        )
        for case in results.cases
        if case in totals
    ]
    names = {"nic": nic, "workload": workload}
    return material.plot(
        partial(draw_modules, rows, results.cases, floors=floors, top=top),
        say("Stacked bars of {what}, {nic}, {workload}: {told}", what=what, told=join(", ", told), **names),
        say("{nic}, {workload}: {caption}", caption=caption, **names),
    )


SECTION = Section("module-bars", "", 61, _write, measured=True)
