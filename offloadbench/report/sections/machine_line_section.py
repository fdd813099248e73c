"""Machine and NIC in a line: on what each run was measured, and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from offloadbench.analysis.comparison.change_words import whole
from offloadbench.base.sentence import Quantity, Sentence, Source, say
from offloadbench.base.units import format_rate
from offloadbench.model import Run
from offloadbench.report.material import Material
from offloadbench.report.section import Block, Paragraph, Section


def _line(run: Run, bench: str) -> Sentence:
    nic, host = run.nic, run.host

    def figure(column: str, value: float, form: Callable[[float], str] = whole) -> Quantity:
        return Quantity(value, form, Source("benches", column, {"run": run.run_id}))

    rate = run.bed.line_rate_bits_per_s
    speed = nic.speed_bits_per_s if nic.bus else 0
    link = (
        say(", emulated link of {rate}", rate=figure("line_rate_bits_per_s", rate, format_rate))
        if rate
        else say(", {speed}", speed=figure("speed_bits_per_s", speed, format_rate))
        if speed > 0
        else ""
    )
    return say(
        "{bench}: driver {driver}{link}; {cpus} \N{MULTIPLICATION SIGN} {cpu}, Linux {kernel}; {trials} of {planned} "
        "trials with windows of {window} s.",
        bench=bench,
        driver=nic.driver,
        link=link,
        cpus=figure("cpus", host.cpus),
        cpu=host.cpu_model,
        kernel=host.kernel,
        trials=figure("trials", len(run.trials)),
        planned=figure("trials_planned", len(run.plan.order)),
        window=figure("duration_s", run.plan.duration_s),
    )


def _write(material: Material) -> Iterator[Block]:
    for run in material.results.runs:
        yield Paragraph(_line(run, material.results.benches[run.run_id]), "basis")


SECTION = Section("machine", "Machine and NIC", 15, _write, rows=("benches",), top=True)
