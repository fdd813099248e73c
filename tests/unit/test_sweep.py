"""A sweep: its grid, what is saved when, what resuming does, and the tables of its result. Nothing is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from offloadbench.analysis.tables import sweep_tables as analysis
from offloadbench.base.errors import HostError, RunFileError, TrafficError, UsageError
from offloadbench.engine import sweep_run as engine
from offloadbench.engine.options import RunOptions
from offloadbench.engine.progress_events import Emit, Event
from offloadbench.files import run_file, sweep_file
from offloadbench.files.sweep_file import Sweep
from offloadbench.model import Run
from offloadbench.model.emulated_link import link_part
from offloadbench.report.plots import rtt, style
from tests.conftest import CommandLine
from tests.unit import builders

BED: dict[str, list[Any]] = {
    "nic": ["lab"],
    "line_rate_bits_per_s": [10**9],
    "rtt_s": [0.0, 0.02],
    "loss_ratio": [0.0],
    "queue_bytes": [0],
}
DEFINITIONS = [builders.workload("tcp-stream", sndbuf=0), builders.workload("iscsi-write", sndbuf=0, queue_depth=4)]


def _sweep(**parameters: list[str]) -> Sweep:
    axes = {axis: values for axis, values in (BED | parameters).items() if len(values) > 1}
    return Sweep(
        format=sweep_file.FORMAT,
        format_version=sweep_file.FORMAT_VERSION,
        nics={"lab": ""},
        cases="tso",
        duration_s=2,
        warmup_s=0.0,
        repeats=1,
        seed=7,
        profile=False,
        sysctls={},
        axes=axes,
        points=sweep_file.grid(BED, parameters, DEFINITIONS),
    )


class Bench:
    """Runs that are made up; `failing` names the files of points that fail, and how."""

    def __init__(self, base: Run) -> None:
        self._base = base
        self.ran: list[RunOptions] = []
        self.failing: dict[str, Exception] = {}

    def __call__(self, options: RunOptions, emit: Emit) -> Run:
        del emit
        self.ran.append(options)
        if options.output.name in self.failing:
            raise self.failing[options.output.name]
        goodput = 10**8 * (1 + len(self.ran))
        values = dict(setting.split("=") for setting in options.settings)
        trials = [
            builders.trial(
                workload=name, samples=builders.samples(2, tx_bytes=1e6, tx_packets=1e3),
                window_s=2.0, load=builders.load(goodput // 8, 1.0),
            )
            for name in options.workloads
        ]  # fmt: skip
        run = msgspec.structs.replace(
            builders.run(self._base, trials),
            run_id=options.output.stem,
            sweep=options.sweep,
            bed=msgspec.structs.replace(self._base.bed, dut_cpus=[0], **link_part(options.link)),
            plan=msgspec.structs.replace(
                self._base.plan,
                workloads=[
                    msgspec.structs.replace(
                        definition,
                        parameters={key: values.get(key, value) for key, value in definition.parameters.items()},
                    )
                    for definition in DEFINITIONS
                    if definition.name in options.workloads
                ],
            ),
        )
        run_file.save(run, options.output)
        return run


@pytest.fixture
def bench(sample_run: Run) -> Bench:
    return Bench(sample_run)


def _ignore(event: Event) -> None:
    del event


def test_the_grid_is_every_combination_and_the_bed_moves_slowest() -> None:
    points = _sweep(sndbuf=["1MiB", "16MiB"]).points
    places = [(point.bed["rtt_s"], point.parameters["sndbuf"]) for point in points]
    assert places == [(0.0, "1MiB"), (0.0, "16MiB"), (0.02, "1MiB"), (0.02, "16MiB")]
    assert all(point.workloads == ["tcp-stream", "iscsi-write"] for point in points)
    assert len({point.file for point in points}) == 4


def test_a_workload_runs_once_over_the_values_of_a_parameter_that_it_does_not_know() -> None:
    points = _sweep(queue_depth=["1", "4", "16"]).points
    assert [point.workloads for point in points[:3]] == [
        ["tcp-stream", "iscsi-write"],
        ["iscsi-write"],
        ["iscsi-write"],
    ]
    assert sum("tcp-stream" in point.workloads for point in points) == 2


def test_a_parameter_that_no_workload_knows_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no chosen workload has this key"):
        _sweep(files=["1", "2"])


def test_every_point_is_a_run_of_its_own_that_bears_its_place(bench: Bench, tmp_path: Path) -> None:
    sweep = engine.open_sweep(_sweep(sndbuf=["1MiB", "16MiB"]), tmp_path, resume=False)
    done = engine.execute(sweep, tmp_path, _ignore, ["offloadbench"], bench)
    assert all(point.done for point in done.points)
    assert sweep_file.load(tmp_path) == done
    by_file = {options.output.name: options for options in bench.ran}
    assert len(by_file) == len(bench.ran) == 4
    last = by_file["004.json"]
    assert (last.link.rtt_s, last.settings) == (0.02, ["sndbuf=16MiB"])
    assert last.sweep == {"rtt_s": 0.02, "sndbuf": "16MiB"}
    assert len({options.seed for options in bench.ran}) == 4


def test_the_order_is_random_but_the_same_for_a_seed(bench: Bench, tmp_path: Path) -> None:
    sweep = _sweep(sndbuf=[str(number) for number in range(1, 6)])
    for name in ("one", "two"):
        folder = tmp_path / name
        engine.execute(engine.open_sweep(sweep, folder, resume=False), folder, _ignore, [], bench)
    order = [options.output.name for options in bench.ran]
    assert order[:10] == order[10:] != sorted(order[:10])


def test_a_point_that_fails_is_told_and_the_others_go_on_and_resuming_tries_it_again(
    bench: Bench, tmp_path: Path
) -> None:
    sweep = engine.open_sweep(_sweep(), tmp_path, resume=False)
    bench.failing["002.json"] = TrafficError("the target went away")
    done = engine.execute(sweep, tmp_path, _ignore, [], bench)
    assert [(point.done, point.problem) for point in done.points] == [(True, ""), (False, "the target went away")]
    bench.failing.clear()
    bench.ran.clear()
    again = engine.open_sweep(None, tmp_path, resume=True)
    done = engine.execute(again, tmp_path, _ignore, [], bench)
    assert [options.output.name for options in bench.ran] == ["002.json"]
    assert all(point.done and not point.problem for point in done.points)


def test_what_would_fail_every_point_stops_the_sweep_and_what_is_done_stays(bench: Bench, tmp_path: Path) -> None:
    sweep = engine.open_sweep(_sweep(), tmp_path, resume=False)
    bench.failing["002.json"] = HostError("no root")
    with pytest.raises(HostError):
        engine.execute(sweep, tmp_path, _ignore, [], bench)
    assert [point.problem for point in sweep_file.load(tmp_path).points] == ["", ""]


def test_a_point_that_was_cut_short_goes_on_and_one_that_cannot_begins_anew(bench: Bench, tmp_path: Path) -> None:
    sweep = engine.open_sweep(_sweep(), tmp_path, resume=False)
    engine.execute(sweep, tmp_path, _ignore, [], bench)
    engine_view = msgspec.structs.replace(
        sweep_file.load(tmp_path), points=[msgspec.structs.replace(point, done=False) for point in sweep.points]
    )
    bench.ran.clear()

    def moved(options: RunOptions, emit: Emit) -> Run:
        if options.resume and options.output.name == "001.json":
            raise RunFileError("the kernel's symbols have moved")
        return bench(options, emit)

    engine.execute(engine_view, tmp_path, _ignore, [], moved)
    assert {options.output.name: options.resume for options in bench.ran} == {"001.json": False, "002.json": True}


def test_a_folder_that_holds_a_sweep_is_not_overwritten_nor_taken_for_another(tmp_path: Path) -> None:
    engine.open_sweep(_sweep(), tmp_path, resume=False)
    with pytest.raises(UsageError, match="holds a sweep already"):
        engine.open_sweep(_sweep(), tmp_path, resume=False)
    with pytest.raises(UsageError, match="holds another sweep"):
        engine.open_sweep(_sweep(sndbuf=["1", "2"]), tmp_path, resume=True)
    assert engine.open_sweep(_sweep(), tmp_path, resume=True) == _sweep()


def test_nothing_to_resume_is_a_run_file_error(tmp_path: Path) -> None:
    with pytest.raises(RunFileError):
        engine.open_sweep(None, tmp_path, resume=True)
    (tmp_path / sweep_file.INDEX_NAME).write_text('{"format": "other"}')
    with pytest.raises(RunFileError, match="not the index of a sweep"):
        sweep_file.load(tmp_path)


def test_the_tidy_table_has_every_axis_and_tells_settings_apart(bench: Bench, tmp_path: Path) -> None:
    sweep = engine.open_sweep(_sweep(queue_depth=["1", "4"]), tmp_path, resume=False)
    done = engine.execute(sweep, tmp_path, _ignore, [], bench)
    rows = analysis.trials(done, sweep_file.load_runs(done, tmp_path))
    assert len(rows) == 6
    assert set(rows["rtt_s"]) == {0.0, 0.02}
    streams = rows[rows["workload"] == "tcp-stream"]
    assert set(streams["set_queue_depth"]) == {None}
    assert set(streams["setting"]) == {""}
    writes = rows[rows["workload"] == "iscsi-write"]
    assert set(writes["setting"]) == {"queue_depth 1", "queue_depth 4"}
    table = analysis.medians(done, rows)
    places = list(zip(table["rtt_s"], table["set_queue_depth"], table["workload"], strict=True))
    assert places == [
        (rtt_s, depth, name)
        for rtt_s in (0.0, 0.02)
        for depth, name in ((None, "tcp-stream"), ("1", "iscsi-write"), ("4", "iscsi-write"))
    ]


def test_the_plot_has_a_line_per_workload_and_setting_and_draws_theory_dashed(bench: Bench, tmp_path: Path) -> None:
    sweep = engine.open_sweep(_sweep(queue_depth=["1", "4"]), tmp_path, resume=False)
    done = engine.execute(sweep, tmp_path, _ignore, [], bench)
    rows = analysis.trials(done, sweep_file.load_runs(done, tmp_path))
    theory = {"tcp-stream": [(0.0, 9e8), (0.02, 9e8)], "line rate": [(0.0, 9.4e8), (0.02, 9.4e8)]}
    with style.drawing():
        (axes,) = rtt.rtt(rows, theory).axes
    labels = [line.get_label() for line in axes.get_lines()]
    assert labels == [
        "iscsi-write, queue_depth 1",
        "iscsi-write, queue_depth 4",
        "tcp-stream",
        "tcp-stream: theory",
        "line rate",
    ]
    assert axes.get_yscale() == "linear"
    with style.drawing():
        (axes,) = rtt.rtt(rows.assign(goodput_bits_per_s=[1e6, 1e7, 1e8, 1e9, 1e6, 1e7])).axes
    assert axes.get_yscale() == "log"


def test_the_command_prints_the_grid_without_touching_anything(command_line: CommandLine, tmp_path: Path) -> None:
    finished = command_line(
        "sweep", "--workloads", "tcp-stream", "--rtt", "0,10,20ms", "--line-rate", "100mbit,1gbit",
        "--set", "sndbuf=212992,16MiB", "--dry-run", "--output", str(tmp_path / "new"),
    )  # fmt: skip
    assert finished.code == 0, finished.err
    assert "12 of 12 points to measure on lab, 12 trials" in finished.out
    assert "RTT: 0 ms, 10 ms, 20 ms" in finished.out
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--workloads is needed"),
        (["--workloads", "tcp-stream", "--rtt", "0,10,"], "values are missing or twice"),
        (["--workloads", "tcp-stream", "--rtt", "0,10"], "is not a time"),
        (["--workloads", "tcp-stream", "--rtt", "0ms,0ms"], "values are missing or twice"),
        (["--workloads", "tcp-stream", "--loss", "0,60"], "TCP stands still"),
        (["--workloads", "tcp-stream", "--queue", "100"], "less than two full frames"),
        (["--workloads", "tcp-stream", "--sysctl", "vm.swappiness=1"], "--sysctl"),
        (["--workloads", "tcp-stream", "--set", "sndbuf=1,2", "--set", "sndbuf=3"], "its key twice"),
        (["--workloads", "tcp-stream", "--set", "sndbuf=1,many"], "'many' is not a size"),
        (["--workloads", "tcp-stream", "--set", "files=1,2"], "no chosen workload has this key"),
        (["--workloads", "tcp-stream", "--cases", "fast"], "no case or group"),
        (["--nic", "lab-veth", "--workloads", "tcp-stream", "--rtt", "0,1ms"], "lab-veth has no cable"),
    ],
)
def test_a_wrong_sweep_is_a_usage_error_before_anything_is_touched(
    command_line: CommandLine, tmp_path: Path, arguments: list[str], said: str
) -> None:
    finished = command_line("sweep", *arguments, "--output", str(tmp_path / "new"))
    assert finished.code == 2
    assert said in finished.err
    assert not (tmp_path / "new").exists()


def test_a_sweep_needs_a_folder(command_line: CommandLine) -> None:
    finished = command_line("sweep", "--workloads", "tcp-stream")
    assert finished.code == 2
    assert "--output FOLDER is needed" in finished.err


def test_show_prints_medians_and_what_is_missing(command_line: CommandLine, bench: Bench, tmp_path: Path) -> None:
    sweep = engine.open_sweep(_sweep(), tmp_path, resume=False)
    bench.failing["002.json"] = TrafficError("the target went away")
    engine.execute(sweep, tmp_path, _ignore, [], bench)
    finished = command_line("sweep", "--show", str(tmp_path))
    assert finished.code == 0, finished.err
    assert "RTT" in finished.out.splitlines()[0]
    assert "1 of 2 points are missing" in finished.out
    assert "2: the target went away" in finished.out


def test_runs_of_a_sweep_stand_on_a_grid_without_its_index(sample_run: Run) -> None:
    run = builders.run(sample_run, [])
    points = [
        msgspec.structs.replace(run, sweep={"rtt_s": rtt_s, "sndbuf": sndbuf})
        for rtt_s, sndbuf in ((0.0, "1"), (0.02, "1"), (0.0, "2"))
    ]
    found = analysis.grid(points)
    assert found is not None
    assert found.axes == {"rtt_s": [0.0, 0.02], "sndbuf": ["1", "2"]}
    assert analysis.grid(points[:1]) is None
    assert analysis.grid([run, run]) is None


def test_a_folder_stands_for_the_run_files_of_its_sweep(tmp_path: Path) -> None:
    sweep = _sweep()
    sweep_file.save(sweep, tmp_path)
    with pytest.raises(RunFileError, match="no point"):
        sweep_file.run_files(tmp_path)
    measured = tmp_path / sweep.points[1].file
    measured.touch()
    assert sweep_file.run_files(tmp_path) == sweep_file.run_files(tmp_path / "sweep.json") == [measured]
    assert sweep_file.run_files(measured) == [measured]
