"""What `sweep` and `batch` share: make a grid, measure it, print what was found."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offloadbench.base.errors import OK, TrafficError
from offloadbench.base.settings import check_together
from offloadbench.base.units import format_rate
from offloadbench.commands import interrupted

if TYPE_CHECKING:
    from offloadbench.files.sweep_file import Sweep


def make(
    *,
    nics: dict[str, str],
    bed: dict[str, list[Any]],
    parameters: dict[str, list[str]],
    workloads: list[str],
    fixed: dict[str, Any],
    sysctls: dict[str, list[str]] | None = None,
) -> Sweep:
    """The sweep over these axes, each point's workloads and cases checked.

    Args:
        nics: NIC -> its load side.
        bed: bed axis -> values, without the NICs; sysctls and parameters likewise, values as written.
        workloads: names or paths of TOML files.
        fixed: field -> value of the settings that are the same at every point; a seed of None is drawn.

    Raises:
        UsageError: a definition, a case or a value is wrong.
    """
    import msgspec

    from offloadbench import traffic
    from offloadbench.definitions import catalog
    from offloadbench.files import sweep_file

    check_together(fixed)
    # definitions by path are found again by it, from wherever the sweep is resumed
    words = [str(Path(word).absolute()) if word.endswith(".toml") else word for word in workloads]
    definitions = [catalog.workload(word) for word in words]
    word_of = {definition.name: word for definition, word in zip(definitions, words, strict=True)}
    catalog.select_cases(fixed["cases"])
    places = {"nic": list(nics)} | bed
    points = sweep_file.grid(places, parameters, definitions, sysctls)
    for point in points:
        chosen = [definition for definition in definitions if definition.name in point.workloads]
        settings = [f"{key}={value}" for key, value in point.parameters.items()]
        for definition in catalog.override_parameters(chosen, settings):
            traffic.from_definition(definition)
    if fixed["seed"] is None:
        fixed = fixed | {"seed": random.SystemRandom().randrange(1, 2**31)}
    return sweep_file.begun(
        fixed,
        nics=nics,
        axes={axis: values for axis, values in (places | (sysctls or {}) | parameters).items() if len(values) > 1},
        points=[
            msgspec.structs.replace(point, workloads=[word_of[name] for name in point.workloads]) for point in points
        ],
    )


def measure(
    wanted: Sweep | None,
    output: Path,
    *,
    seed: int | None,
    resume: bool,
    dry_run: bool,
    again: str,
    touched: bool = False,
) -> int:
    """Run a sweep, or with `dry_run` tell what it would do; print its table.

    Args:
        wanted: None to go on with what lies in `output`.
        seed: what was asked for; None where it was left to be drawn.
        again: the command that goes on where points have failed.
        touched: the dry run looks at the NICs and tells every setting that would be touched.
    """
    from offloadbench.commands import progress
    from offloadbench.engine import sweep_run as engine

    folder = output.absolute()
    if dry_run:
        found = engine.open_sweep(wanted, folder, resume=True, seed=seed) if resume else wanted
        assert found is not None
        print("\n".join(engine.preview(found)))
        if touched:
            print("\n".join(engine.touched(found)))
        return OK
    found = engine.open_sweep(wanted, folder, resume=resume, seed=seed)
    with interrupted.with_the_way_on(lambda: again), progress.show() as emit:
        done = engine.execute(found, folder, emit, ["offloadbench", *sys.argv[1:]])
    print("\n".join([*table(folder), *answer(folder)]))
    failed = [point for point in done.points if not point.done]
    if failed:
        print(f"next: {again}")
    return TrafficError.exit_code if failed else OK


def answer(folder: Path) -> list[str]:
    """What the sweep found: from the point with the least goodput to the one with the most."""
    from offloadbench.analysis.findings.sweep_finding import sweep_finding
    from offloadbench.files import sweep_file

    found = sweep_file.load(folder)
    return [str(sentence) for sentence in sweep_finding(found, sweep_file.load_runs(found, folder))]


def table(folder: Path) -> list[str]:
    """Medians by place on the axes, and what is still missing."""
    from offloadbench.analysis.profile.contamination import FOREIGN_RATIO
    from offloadbench.analysis.tables import sweep_tables as analysis
    from offloadbench.base.words import module_label
    from offloadbench.definitions import catalog
    from offloadbench.files import sweep_file

    found = sweep_file.load(folder)
    runs = sweep_file.load_runs(found, folder)
    rows = analysis.medians(found, analysis.trials(found, runs))
    shares = analysis.biggest_modules(found, runs, catalog.profile("linux"))
    columns = dict(zip(analysis.axis_columns(found), found.axes, strict=True))
    head = [*map(sweep_file.title, found.axes), "workload", "case", "goodput", "CPU busy", "CPU s/GB", "trials"]
    head.append("biggest modules" if shares else "")
    lines = [head]
    for row in rows.to_dict("records"):
        place = [sweep_file.format_value(axis, row[column]) for column, axis in columns.items()]
        biggest = shares.get((*(row[column] for column in columns), row["workload"], row["case"]), [])
        told = ", ".join(f"{module_label(module)} {share:.0%}" for module, share in biggest)
        if row["foreign_share"] > FOREIGN_RATIO:
            # neither the cost nor the modules are the benchmark's own
            told = f"contaminated: other processes used {row['foreign_share']:.0%} of the busy time"
        lines.append(
            [
                *place, row["workload"], row["case"], format_rate(row["goodput_bits_per_s"]),
                f"{row['cpu_busy_ratio']:.1%}", f"{row['cpu_s_per_gb']:.3f}", str(row["trials"]),
                told,
            ]
        )  # fmt: skip
    widths = [max(len(line[number]) for line in lines) for number in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    missing = [point for point in found.points if not point.done]
    if missing:
        text.append(f"{len(missing)} of {len(found.points)} points are missing")
        text += [f"  {point.number}: {point.problem}" for point in missing if point.problem]
    return text
