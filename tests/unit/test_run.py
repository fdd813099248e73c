"""A run: every planned trial once, saved after each, resumed where it stopped. No bed is built here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from offloadbench import traffic
from offloadbench.analysis.comparison import precision
from offloadbench.analysis.profile import contamination
from offloadbench.base.errors import HostError, RunFileError, UsageError
from offloadbench.bed.testbed import Cable
from offloadbench.definitions import catalog
from offloadbench.definitions.plan import draw_order, make_plan
from offloadbench.engine.options import RunOptions
from offloadbench.engine.progress_events import Event, PlanExtended, RunStarted, TrialEnded, TrialStarted
from offloadbench.engine.run import execute as engine
from offloadbench.engine.run import trial_run as trials
from offloadbench.files import packed_columns, run_file
from offloadbench.kernel.system import capabilities
from offloadbench.kernel.trace import kallsyms, perf
from offloadbench.model import CpuUse, PlannedCase, PlannedTrial, Run, Trial
from tests.unit import builders, repeats
from tests.unit.repeats import ABLE

Ran = list[tuple[str, str]]


class Place:
    """A site whose beds are numbered by the draw that they were built for."""

    run_id = "r1"
    journal = None
    folder = Path()
    kept_reason = ""

    def __init__(self) -> None:
        self.bed = self._bed(0)

    def _bed(self, draw: int) -> Any:
        return SimpleNamespace(peer=None, cable=Cable(loss_seed=draw), settings={"push_back": True}, problems=[])

    def rebuild(self, draw: int) -> str:
        if not self.kept_reason:
            self.bed = self._bed(draw)
        return self.kept_reason


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, sample_run: Run) -> Ran:
    """Trials that were run, on a bed, a host and traffic that are not there."""
    log: Ran = []
    kind = SimpleNamespace(prepare=lambda tell: None, check_peer=lambda peer: None, may_leave=lambda run_id: [])

    @contextlib.contextmanager
    def site(options: object, emit: object) -> Iterator[Any]:
        del options, emit
        yield Place()

    def new_run(options: RunOptions, place: object, found: object, definitions: object, symbols: object) -> Run:
        del options, place, found, definitions
        return msgspec.structs.replace(sample_run, trials=[], finished_utc="")

    def run_trial(setting: object, planned: PlannedTrial, case: PlannedCase, load: object) -> Trial:
        del setting, load
        log.append((planned.workload, planned.case))
        assert case.definition.name == planned.case
        return builders.trial(repeat=planned.repeat, workload=planned.workload, case=planned.case)

    monkeypatch.setattr(engine, "check_machine", lambda options: None)
    monkeypatch.setattr(traffic, "from_definition", lambda definition: kind)
    monkeypatch.setattr(engine, "open_site", site)
    monkeypatch.setattr(engine, "describe_nic", lambda bed: sample_run.nic)
    monkeypatch.setattr(engine, "_new_run", new_run)
    monkeypatch.setattr(perf, "available_events", lambda: [])
    monkeypatch.setattr(kallsyms, "snapshot", lambda: packed_columns.unpack_text(sample_run.kallsyms.text))
    monkeypatch.setattr(trials, "run_trial", run_trial)
    return log


def _options(output: Path, *, resume: bool = False) -> RunOptions:
    return RunOptions(nic="lab", cases="tso,none", workloads=["ftp-get"], output=output, resume=resume)


def _ignore(event: Event) -> None:
    del event


def test_every_planned_trial_runs_once_in_the_planned_order(ran: Ran, sample_run: Run, tmp_path: Path) -> None:
    events: list[Event] = []
    done = engine.execute(_options(tmp_path / "run.json"), events.append)
    assert ran == [(trial.workload, trial.case) for trial in sample_run.plan.order]
    assert run_file.load(tmp_path / "run.json") == done
    assert done.finished_utc
    assert [type(event) for event in events] == [RunStarted, *[TrialStarted, TrialEnded] * len(ran)]


def test_a_trial_on_a_cpu_that_others_filled_says_so_without_a_profile(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_trial(setting: object, planned: PlannedTrial, case: PlannedCase, load: object) -> Trial:
        del setting, case, load
        return builders.trial(
            repeat=planned.repeat,
            workload=planned.workload,
            case=planned.case,
            samples=builders.samples(10, cpu_user_s=0.9),
            window_s=10.0,
            cpu_use=CpuUse(interval_s=10.0, own_s=1.0, others_s={"python3": 8.0}),
        )

    monkeypatch.setattr(trials, "run_trial", run_trial)
    done = engine.execute(_options(tmp_path / "run.json"), _ignore)
    assert [[text.partition("used")[0] for text in trial.warnings] for trial in done.trials] == [
        ["contaminated: other processes "]
    ] * 2
    recorded = [trial.foreign for trial in done.trials]
    assert recorded == [contamination.derived(done, trial) for trial in done.trials]
    # read from then on, not derived: a comparison of 1,000 trials has no second to unpack their samples
    altered = msgspec.structs.replace(done.trials[0], cpu_use=None)
    assert contamination.foreign(done, altered) == recorded[0] is not None


def test_what_was_captured_is_in_the_file_before_the_next_trial_begins(
    ran: Ran, sample_run: Run, tmp_path: Path
) -> None:
    output = tmp_path / "run.json"
    saved: list[int] = []

    def look(event: Event) -> None:
        if isinstance(event, TrialStarted | TrialEnded):
            saved.append(len(run_file.load(output).trials))

    engine.execute(_options(output), look)
    assert len(ran) == 2
    assert saved == [0, 1, 1, 2]


def test_a_run_that_was_stopped_goes_on_with_what_is_missing(ran: Ran, sample_run: Run, tmp_path: Path) -> None:
    output = tmp_path / "run.json"
    first = sample_run.plan.order[0]
    stopped = msgspec.structs.replace(
        sample_run,
        trials=[builders.trial(repeat=first.repeat, workload=first.workload, case=first.case)],
        finished_utc="",
    )
    run_file.save(stopped, output)
    done = engine.execute(_options(output, resume=True), _ignore)
    assert ran == [(trial.workload, trial.case) for trial in sample_run.plan.order[1:]]
    assert done.trials[0] == stopped.trials[0]
    assert len(done.trials) == len(sample_run.plan.order)


@pytest.mark.parametrize("change", ["features", "driver", "symbols"])
def test_a_run_does_not_go_on_where_the_machine_has_changed(
    ran: Ran, sample_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    output = tmp_path / "run.json"
    run_file.save(msgspec.structs.replace(sample_run, trials=[]), output)
    nic = sample_run.nic
    if change == "features":
        nic = msgspec.structs.replace(nic, features=nic.features | {"rx-gro": [False, False, False]})
    elif change == "driver":
        nic = msgspec.structs.replace(nic, driver="veth")
    else:
        monkeypatch.setattr(kallsyms, "snapshot", lambda: "ffffffff81000000 T moved\n")
    monkeypatch.setattr(engine, "describe_nic", lambda bed: nic)
    with pytest.raises(RunFileError) as caught:
        engine.execute(_options(output, resume=True), _ignore)
    assert caught.value.hint == "start a new run"
    assert ran == []


def test_when_the_disk_is_full_the_captured_run_is_kept_elsewhere_and_the_place_is_told(
    sample_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "full.json"
    saved: list[Path] = []

    def save(run: Run, path: Path) -> None:
        del run
        if path == output:
            raise RunFileError(f"{path}: No space left on device")
        saved.append(path)

    monkeypatch.setattr(run_file, "save", save)
    with pytest.raises(RunFileError, match="No space left") as caught:
        engine._save_or_rescue(sample_run, output)
    assert len(saved) == 1
    assert saved[0].parent != output.parent
    assert str(saved[0]) in caught.value.hint


def test_an_existing_output_needs_force(tmp_path: Path) -> None:
    output = tmp_path / "run.json"
    output.write_text("x")
    with pytest.raises(UsageError, match="exists"):
        engine.execute(_options(output), _ignore)


def test_nothing_is_measured_without_capabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "effective", frozenset)
    with pytest.raises(HostError, match=r"run needs CAP_NET_ADMIN .*, CAP_SYS_ADMIN"):
        engine.execute(_options(tmp_path / "run.json"), _ignore)
    assert list(tmp_path.iterdir()) == []


COSTS = {"tso": 0.6, "none": 3.0}


@pytest.fixture
def precise(ran: Ran, sample_run: Run, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """A run that asks for ±1 %, on a machine whose noise is 1 %."""
    plan = make_plan(
        [case for case in catalog.all_cases() if case.name in COSTS],
        [builders.workload()],
        ABLE,
        repeats=5,
        duration_s=5,
        warmup_s=1,
        seed=7,
        precision_ratio=0.01,
        max_repeats=30,
    )
    base = repeats.repeated(sample_run, [])

    def new_run(options: RunOptions, place: object, found: object, definitions: object, symbols: object) -> Run:
        del options, place, found, definitions
        return msgspec.structs.replace(base, trials=[], plan=plan, finished_utc="")

    def run_trial(setting: Any, planned: PlannedTrial, case: PlannedCase, load: object) -> Trial:
        del load
        assert planned in setting.plan.order
        ran.append((planned.workload, planned.case))
        seed = 10 * planned.repeat + len(planned.case)
        cost, rate = (repeats.noise(1, 0.01, seed + more)[0] for more in (0, 5000))
        return repeats.measured(case.definition, planned.repeat, COSTS[planned.case] * cost, rate_bits_per_s=1e9 * rate)

    monkeypatch.setattr(engine, "_new_run", new_run)
    monkeypatch.setattr(engine, "describe_nic", lambda bed: base.nic)
    monkeypatch.setattr(trials, "run_trial", run_trial)
    monkeypatch.setattr(kallsyms, "snapshot", lambda: packed_columns.unpack_text(base.kallsyms.text))
    return ran


def test_blocks_are_added_until_every_interval_is_narrow_enough(precise: Ran, tmp_path: Path) -> None:
    events: list[Event] = []
    done = engine.execute(_options(tmp_path / "run.json"), events.append)
    assert 5 < done.plan.repeats < 30
    assert len(precise) == 2 * done.plan.repeats
    assert precision.widths(done)[0].half_ratio <= 0.01
    shorter = msgspec.structs.replace(done, trials=[t for t in done.trials if t.repeat < done.plan.repeats])
    assert precision.widths(shorter)[0].half_ratio > 0.01
    extended = [event.plan.repeats for event in events if isinstance(event, PlanExtended)]
    assert extended == list(range(6, done.plan.repeats + 1))
    assert not any("precision" in text for text in done.warnings)


def test_the_order_is_the_one_that_so_many_repeats_would_have_had(precise: Ran, tmp_path: Path) -> None:
    done = engine.execute(_options(tmp_path / "run.json"), _ignore)
    assert done.plan.order == draw_order(done.plan.cases, done.plan.workloads, done.plan.repeats, 7)


def test_a_run_for_precision_that_was_stopped_ends_as_if_it_had_not_been(precise: Ran, tmp_path: Path) -> None:
    whole = engine.execute(_options(tmp_path / "whole.json"), _ignore)
    stopped = tmp_path / "stopped.json"

    def stop(event: Event) -> None:
        if isinstance(event, PlanExtended) and event.plan.repeats == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.execute(_options(stopped), stop)
    assert run_file.load(stopped).plan.repeats == 7
    assert len(run_file.load(stopped).trials) == 12
    resumed = engine.execute(_options(stopped, resume=True), _ignore)
    assert resumed.plan == whole.plan
    assert [(t.repeat, t.case) for t in resumed.trials] == [(t.repeat, t.case) for t in whole.trials]


def test_a_precision_that_is_out_of_reach_ends_at_the_maximum_and_says_so(
    precise: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = engine._new_run

    def harder(*arguments: Any) -> Run:
        run = made(*arguments)
        return msgspec.structs.replace(
            run, plan=msgspec.structs.replace(run.plan, precision_ratio=0.0001, max_repeats=6)
        )

    monkeypatch.setattr(engine, "_new_run", harder)
    done = engine.execute(_options(tmp_path / "run.json"), _ignore)
    assert done.plan.repeats == 6
    assert any(
        text.startswith("precision ±0.01 % was not reached in 6 repeats: the widest is ±") for text in done.warnings
    )


def test_trials_that_fail_never_count_as_precise(precise: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(setting: object, planned: PlannedTrial, case: PlannedCase, load: object) -> Trial:
        del setting, case, load
        return builders.trial(repeat=planned.repeat, case=planned.case, outcome="failed")

    monkeypatch.setattr(trials, "run_trial", fail)
    done = engine.execute(_options(tmp_path / "run.json"), _ignore)
    assert done.plan.repeats == 30
    assert any("the widest is not known" in text for text in done.warnings)


@pytest.fixture
def beds(precise: Ran, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(block, draw of the bed) of every trial."""
    found: list[tuple[int, int]] = []
    measured = trials.run_trial

    def run_trial(setting: Any, planned: PlannedTrial, case: PlannedCase, load: Any) -> Trial:
        found.append((planned.repeat, setting.bed.cable.loss_seed))
        return measured(setting, planned, case, load)

    monkeypatch.setattr(trials, "run_trial", run_trial)
    return found


def test_every_block_has_a_testbed_of_its_own_and_the_file_says_so(beds: list[tuple[int, int]], tmp_path: Path) -> None:
    done = engine.execute(_options(tmp_path / "run.json"), _ignore)
    blocks = range(1, done.plan.repeats + 1)
    assert len(blocks) > 5, "blocks that --precision added are drawn anew as well"
    # the first was built with the site, the others for their block
    assert sorted(set(beds)) == [(1, 0), *((block, block) for block in blocks[1:])]
    recorded = run_file.load(tmp_path / "run.json").blocks
    assert [block.repeat for block in recorded] == list(blocks)
    assert [block.testbed for block in recorded] == ["built", *["rebuilt"] * (len(blocks) - 1)]
    assert [block.loss_seed for block in recorded] == [0, *blocks[1:]]


def test_a_block_that_a_resumed_run_finished_has_an_entry_for_each_part(
    beds: list[tuple[int, int]], tmp_path: Path
) -> None:
    path = tmp_path / "stopped.json"

    def stop(event: Event) -> None:
        if isinstance(event, TrialStarted) and event.number == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.execute(_options(path), stop)
    # the first trial of block 2 is there, the second is not
    assert [block.repeat for block in run_file.load(path).blocks] == [1, 2]
    done = engine.execute(_options(path, resume=True), _ignore)
    assert [(block.repeat, block.testbed) for block in done.blocks[:4]] == [
        (1, "built"),
        (2, "rebuilt"),
        (2, "built"),
        (3, "rebuilt"),
    ]


def test_a_testbed_that_is_kept_says_why(
    beds: list[tuple[int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "kept_reason", "the NIC is real")
    done = engine.execute(_options(tmp_path / "run.json"), _ignore)
    assert {draw for _, draw in beds} == {0}
    assert {(block.testbed, block.kept_reason) for block in done.blocks[1:]} == {("kept", "the NIC is real")}


def test_a_testbed_that_comes_out_otherwise_is_a_warning(
    precise: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = Place._bed

    def other(place: Place, draw: int) -> Any:
        bed = built(place, draw)
        if draw == 3:
            bed.settings = {"push_back": False}
            bed.problems = ["no real time"]
        return bed

    monkeypatch.setattr(Place, "_bed", other)
    done = engine.execute(_options(tmp_path / "run.json"), _ignore)
    found = [text for text in done.warnings if "came out otherwise" in text]
    assert len(found) == 2
    assert found[0].startswith("block 3: ")
    assert found[0].endswith("push_back True -> False; no real time")


def test_a_run_records_the_content_of_what_defines_it(sample_run: Run) -> None:
    hashes = engine._definition_hashes(sample_run.plan)
    assert set(hashes) == {"case:tso", "case:none", "workload:ftp-get", "profile:linux"}
    assert hashes["case:tso"] == run_file.content_hash(sample_run.plan.cases[0].definition)
