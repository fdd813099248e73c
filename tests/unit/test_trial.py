"""The life of one trial on a machine of fakes: what fails where, and that everything is put back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.trial import standstill
from offloadbench.base.errors import (
    FeatureError,
    HostError,
    Interrupted,
    OffloadbenchError,
    ProfilerError,
    TrafficError,
)
from offloadbench.engine.progress_events import Note, Phase, Sampled
from offloadbench.engine.run import trial_run as trials
from offloadbench.engine.run.window_counts import CountedWindow
from offloadbench.kernel.counters import network_counters
from offloadbench.kernel.netdev.features import Feature
from offloadbench.model import Nic, PlannedCase
from tests.unit import builders
from tests.unit.machine import NIC
from tests.unit.stage import CASE, Stage


@pytest.fixture
def stage(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    del state
    return Stage(tmp_path, monkeypatch)


def test_a_trial_that_goes_well_captures_everything_and_is_put_back(stage: Stage) -> None:
    trial = stage.run()
    assert (trial.outcome, trial.reason, trial.also_named) == ("ok", "", ["x"])
    assert trial.samples is not None
    assert len(trial.samples.t_s) == 2
    assert trial.window_s == trial.samples.t_s[-1]
    assert None not in (trial.evidence, trial.profile, trial.load, trial.wire, trial.tool)
    assert trial.gso_max_segs == 1
    stage.assert_put_back()
    # perf reads its recording when no load is disturbed by it
    assert stage.done[-2:] == ["close", "read evidence"]
    assert trial.evidence is not None
    assert trial.evidence.packets == stage.evidence
    assert [e.name for e in stage.events if isinstance(e, Phase)] == ["preparing", "warm-up", "measuring", "finishing"]
    assert sum(isinstance(event, Sampled) for event in stage.events) == 2


@pytest.mark.parametrize("counts_super_packets", [True, False])
def test_the_live_view_is_told_the_same_throughput_as_the_tables_will_show(
    stage: Stage, counts_super_packets: bool
) -> None:
    stage.counts_super_packets = counts_super_packets
    trial = stage.run()
    assert trial.samples is not None
    # every counter grows by one a sample: one packet of one byte, and two segments with the retransmitted one
    bytes_on_cable = 1 + 66 if counts_super_packets else 1
    told = [event.tx_bits_per_s for event in stage.events if isinstance(event, Sampled)]
    assert told == pytest.approx([bytes_on_cable * 8 / seconds for seconds in trial.samples.interval_s], rel=0.01)


def test_the_record_tells_requested_fixed_and_unknown_features_apart(stage: Stage) -> None:
    records = {record.feature: record for record in stage.run().features}
    assert "tx-unknown" not in records
    tso = records["tx-tcp-segmentation"]
    assert (tso.requested, tso.before, tso.active, tso.refused, tso.fixed) == (False, True, False, False, False)
    assert (records["rx-checksum"].fixed, records["rx-checksum"].active) == (True, True)
    assert not records["rx-checksum"].refused


def test_traffic_starts_without_what_tcp_learned_in_earlier_trials(stage: Stage) -> None:
    # a threshold that a case with losses left would hold back the next
    stage.run()
    assert stage.done.index("forget earlier trials") < stage.done.index("start traffic")


def test_perf_starts_beside_the_traffic_and_has_nothing_left_to_do_when_the_window_opens(stage: Stage) -> None:
    stage.run()
    done = stage.done
    window = done.index("enable")
    assert done.index("recorder") < done.index("packet recorder") < done.index("start traffic")
    for step in ("finish packet recorder", "recorder ready", "counter ready"):
        assert done.index("start traffic") < done.index(step) < window
    assert done.index("disable") < done.index("stop recorder") < done.index("finish traffic")
    assert done.index("finish traffic") < done.index("finish recorder") < done.index("read profile")


def test_perf_that_fails_while_traffic_fails_hides_no_reason(stage: Stage) -> None:
    stage.failing["finish traffic"] = TrafficError("bytes were lost")
    stage.failing["finish recorder"] = ProfilerError("perf failed")
    trial = stage.run()
    assert (trial.outcome, trial.reason, trial.profile) == ("failed", "bytes were lost", None)


def test_the_machine_is_set_before_traffic_starts_and_put_back_after_it_ended(stage: Stage) -> None:
    stage.run()
    assert stage.machine.log[:2] == [
        "features {'tx-tcp-segmentation': False, 'tx-generic-segmentation': False}",
        "gso_max_segs 1",
    ]
    assert stage.machine.log[2] == "gso_max_segs 65535"


def test_the_journal_knows_each_change_before_it_is_made(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    write = stage.machine.log.append

    class Log(list[str]):
        def append(self, entry: str) -> None:
            seen.append((entry.split(maxsplit=1)[0], stage.journal.path.read_text()))
            write(entry)

    monkeypatch.setattr(stage.machine, "log", Log())
    stage.run()
    assert {kind for kind, _ in seen} == {"features", "gso_max_segs"}
    for kind, on_disk in seen:
        assert f'"kind":"{kind}"' in on_disk


# what a trial does before there is traffic
BEFORE_TRAFFIC = ("recorder", "counter", "start traffic")
STEPS = [
    *BEFORE_TRAFFIC,
    "recorder ready",
    "counter ready",
    "open counters",
    "enable",
    "mark",
    "read counters",
    "system counters",
    "wire report",
    "disable",
    "stop recorder",
    "finish traffic",
    "finish recorder",
    "read profile",
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [TrafficError("out of luck"), HostError("out of luck")])
def test_a_failure_at_any_step_fails_the_trial_with_its_reason(
    stage: Stage, step: str, error: OffloadbenchError
) -> None:
    stage.failing[step] = error
    trial = stage.run()
    assert (trial.outcome, trial.reason) == ("failed", "out of luck")
    assert step in stage.done
    stage.assert_put_back()
    if step not in BEFORE_TRAFFIC:
        assert [done for done in stage.done if done != "read evidence"][-1] == "close"
    if "recorder" in stage.done and step != "recorder":
        assert "close recorder" in stage.done


@pytest.mark.parametrize("operation", ["features.read", "features.write", "link.read", "link.set_gso_max_segs"])
def test_a_failure_to_apply_the_case_fails_the_trial_and_starts_no_traffic(stage: Stage, operation: str) -> None:
    stage.machine.failing_once[operation] = FeatureError("will not")
    trial = stage.run()
    assert (trial.outcome, trial.reason) == ("failed", "will not")
    assert "start traffic" not in stage.done
    stage.assert_put_back()


def test_a_late_failure_keeps_what_was_captured(stage: Stage) -> None:
    stage.failing["finish traffic"] = TrafficError("bytes were lost")
    trial = stage.run()
    assert trial.outcome == "failed"
    assert None not in (trial.evidence, trial.samples, trial.profile)
    assert trial.evidence is not None
    assert trial.evidence.packets == stage.evidence
    assert trial.load is None


def test_a_nic_that_goes_away_while_it_is_measured_fails_the_trial(stage: Stage) -> None:
    text = "Inter-|\n face |\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
    with pytest.raises(FeatureError) as gone:
        network_counters.parse_net_dev(text, NIC)
    stage.failing["read counters"] = gone.value
    trial = stage.run()
    assert (trial.outcome, trial.reason) == ("failed", f"the NIC {NIC} went away during the trial")


@pytest.mark.parametrize("step", [step for step in STEPS if step not in ("start traffic", "finish traffic")])
def test_a_bug_at_any_step_is_not_taken_for_a_nic_that_went_away(stage: Stage, step: str) -> None:
    stage.failing[step] = KeyError("some_dict_key")
    with pytest.raises(KeyError, match="some_dict_key"):
        stage.run()
    stage.assert_put_back()


def _during_the_window(stage: Stage, change: Callable[[], None]) -> None:
    """Let somebody else act when the first of two samples has been taken."""
    read = stage.read

    def act() -> dict[str, float]:
        if stage.done.count("read counters") == 1:
            change()
        return read()

    stage.read = act  # type: ignore[method-assign]


@pytest.mark.parametrize("name", ["rx-gro", "tx-generic-segmentation"])
def test_a_feature_that_somebody_else_toggles_in_the_window_fails_the_trial(stage: Stage, name: str) -> None:
    stage.machine.features["rx-gro"] = Feature(active=True, wanted=True, fixed=False)
    before = stage.machine.features[name].active and name not in CASE.features

    def toggle() -> None:
        stage.machine.features[name] = Feature(active=not before, wanted=not before, fixed=False)

    _during_the_window(stage, toggle)
    trial = stage.run()
    assert trial.outcome == "failed"
    words = {True: "on", False: "off"}
    assert f"{NIC}: {name} {words[before]} -> {words[not before]}" in trial.reason
    # what was captured is kept
    assert None not in (trial.samples, trial.load, trial.wire, trial.profile)
    assert len(trial.samples.t_s if trial.samples else []) == 2
    stage.assert_put_back()


@pytest.mark.parametrize(
    ("attribute", "value", "told"),
    [
        ("mtu_bytes", 1400, "MTU 1500 -> 1400"),
        ("max_segs", 7, "gso_max_segs 1 -> 7"),
        ("carrier_changes", 4, "carrier changes 2 -> 4"),
    ],
)
def test_link_and_limits_are_read_back_at_the_end_of_the_window(
    stage: Stage, attribute: str, value: int, told: str
) -> None:
    _during_the_window(stage, lambda: setattr(stage.machine, attribute, value))
    trial = stage.run()
    assert (trial.outcome, f"{NIC}: {told}" in trial.reason) == ("failed", True)


def test_what_the_toggle_itself_did_to_the_link_is_no_change(stage: Stage) -> None:
    settle = stage.settle

    def reset() -> None:
        stage.machine.carrier_changes += 2
        settle()

    stage.settle = reset  # type: ignore[method-assign]
    assert stage.run().outcome == "ok"


def test_putting_back_says_what_of_others_it_overwrites(stage: Stage) -> None:
    stage.machine.features["rx-gro"] = Feature(active=True, wanted=True, fixed=False)
    _during_the_window(
        stage, lambda: stage.machine.features.update({"rx-gro": Feature(active=False, wanted=False, fixed=False)})
    )
    trial = stage.run()
    assert f"{NIC}: rx-gro is off, which this run did not set: it goes back to on, as it was before" in trial.warnings
    assert stage.machine.features["rx-gro"].wanted


def test_a_nic_changed_between_two_trials_is_not_measured_as_found(stage: Stage) -> None:
    stage.found = Nic(
        name=NIC, ifname=NIC, driver="veth", driver_version="", firmware="", bus="", mtu_bytes=1500,
        speed_bits_per_s=0, gso_max_segs=65535, gso_max_size_bytes=65536, tso_max_segs=65535, qdisc="fq",
        features={"rx-gro": [True, True, False]}, settings={}, problems=[],
    )  # fmt: skip
    stage.machine.features["rx-gro"] = Feature(active=True, wanted=True, fixed=False)
    assert stage.run().outcome == "ok"
    stage.machine.features["rx-gro"] = Feature(active=False, wanted=False, fixed=False)
    stage.machine.mtu_bytes = 9000
    trial = stage.run()
    assert trial.outcome == "failed"
    assert trial.reason == f"{NIC} is not as this run found it: MTU 1500 -> 9000, rx-gro on -> off"
    assert "start traffic" not in stage.done[stage.done.index("close") :]


def test_an_interrupt_leaves_early_after_putting_back(stage: Stage) -> None:
    stage.failing["mark"] = Interrupted("interrupted by SIGINT")
    with pytest.raises(Interrupted):
        stage.run()
    stage.assert_put_back()
    assert "close" in stage.done


def test_a_bug_is_not_a_failed_trial_and_the_machine_is_put_back_all_the_same(stage: Stage) -> None:
    stage.failing["mark"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        stage.run()
    stage.assert_put_back()
    assert "close" in stage.done


def test_a_case_that_would_run_under_a_false_name_is_skipped_untouched(stage: Stage) -> None:
    trial = stage.run(PlannedCase(definition=CASE, also_named=[], skip_reason="tso is fixed off"))
    assert (trial.outcome, trial.reason) == ("skipped", "tso is fixed off")
    assert stage.machine.log == stage.done == []


def test_a_refused_defining_feature_skips_the_trial_with_its_name(stage: Stage) -> None:
    stage.machine.deaf = {"tx-tcp-segmentation"}
    trial = stage.run()
    assert trial.outcome == "skipped"
    assert "refused tx-tcp-segmentation" in trial.reason
    assert [record.refused for record in trial.features if record.feature == "tx-tcp-segmentation"] == [True]
    assert "start traffic" not in stage.done
    stage.assert_put_back()


def test_another_refused_feature_is_only_a_warning(stage: Stage) -> None:
    stage.machine.deaf = {"tx-generic-segmentation"}
    trial = stage.run()
    assert trial.outcome == "ok"
    assert any("refused tx-generic-segmentation" in warning for warning in trial.warnings)


def test_a_cable_that_fell_behind_makes_the_trial_void(stage: Stage) -> None:
    stage.behind_s = 10.0 * trials.WIRE_VOID_RATIO * 1.1
    trial = stage.run()
    assert trial.outcome == "failed"
    assert trial.reason.startswith("void")
    assert trial.load is not None


def test_a_cable_that_fell_behind_a_little_is_a_warning(stage: Stage) -> None:
    stage.behind_s = 10.0 * trials.WIRE_VOID_RATIO * 0.9
    trial = stage.run()
    assert trial.outcome == "ok"
    assert any("could not keep up" in warning for warning in trial.warnings)


def test_a_cable_within_its_margin_is_no_warning(stage: Stage) -> None:
    stage.behind_s = 10.0 * trials.WIRE_NOTED_RATIO * 0.9
    trial = stage.run()
    assert (trial.outcome, trial.warnings) == ("ok", [])


def test_a_server_that_waited_for_its_disk_makes_the_trial_void(stage: Stage) -> None:
    stage.disk_read_bytes = 300 << 20
    trial = stage.run()
    assert trial.outcome == "failed"
    assert trial.reason == "void: the server read 300 MiB of its files from the disk: they had left the memory"
    assert trial.load is not None


@pytest.mark.parametrize("read_bytes", [None, 0, trials.DISK_VOID_BYTES])
def test_a_server_whose_files_were_in_memory_is_fine(stage: Stage, read_bytes: int | None) -> None:
    stage.disk_read_bytes = read_bytes
    trial = stage.run()
    assert (trial.outcome, trial.warnings) == ("ok", [])


def test_an_emulator_that_never_slept_beside_a_half_empty_link_was_the_limit(stage: Stage) -> None:
    """Nothing was ever behind schedule: what is in flight waits for the emulator, and nothing else comes meanwhile."""
    stage.asleep_ratio, stage.used_ratio = 0.02, 0.14
    trial = stage.run()
    assert trial.outcome == "failed"
    assert trial.reason == "void: the link emulator was the limit (idle 2% of the time, the link 14% full)"
    assert trial.load is not None


def test_an_emulator_without_margin_on_a_full_link_is_not_the_limit(stage: Stage) -> None:
    stage.asleep_ratio, stage.used_ratio = 0.02, 0.999
    trial = stage.run()
    assert (trial.outcome, trial.warnings) == ("ok", [])


def test_an_emulator_that_may_have_been_the_limit_is_a_warning(stage: Stage) -> None:
    stage.asleep_ratio, stage.used_ratio = 0.22, 0.75
    trial = stage.run()
    assert trial.outcome == "ok"
    assert trial.warnings == [
        "the link emulator may have limited the throughput (idle 22% of the time, the link 75% full)"
    ]


@pytest.mark.parametrize(
    "step", ["packet recorder", "packet recorder ready", "evidence", "finish packet recorder", "read evidence"]
)
def test_a_machine_without_tracepoints_runs_on_without_evidence(stage: Stage, step: str) -> None:
    stage.failing[step] = ProfilerError("no tracefs")
    trial = stage.run()
    assert trial.outcome == "ok"
    assert trial.evidence is not None
    assert (trial.evidence.packets, trial.evidence.problem) == ([], "no tracefs")
    assert any(isinstance(event, Note) and "no tracefs" in event.text for event in stage.events)


def test_evidence_that_cannot_be_read_is_said_and_ends_no_trial(stage: Stage) -> None:
    stage.failing["read evidence"] = ProfilerError("perf cannot read its own recording")
    trial = stage.run()
    assert trial.outcome == "ok"
    assert trial.evidence is not None
    assert (trial.evidence.packets, trial.evidence.window_s) == ([], 0.0)
    assert trial.evidence.problem == "perf cannot read its own recording"
    assert any(isinstance(event, Note) and "cannot read" in event.text for event in stage.events)


def test_without_profile_no_recorder_is_started(stage: Stage) -> None:
    trial = stage.run(profile=False)
    assert (trial.outcome, trial.profile) == ("ok", None)
    assert "recorder" not in stage.done


@pytest.mark.parametrize("profile", [True, False])
def test_whose_cpu_time_it_was_is_known_without_a_profile_too(stage: Stage, *, profile: bool) -> None:
    trial = stage.run(profile=profile)
    assert trial.cpu_use is not None
    assert trial.cpu_use.interval_s > 0


@pytest.mark.parametrize(("push_back", "bound"), [(True, 0), (False, 10**9 // 8 // 50 + trials.QUEUE_BYTES)])
def test_data_in_flight_is_bounded_only_where_the_nic_cannot_push_back(
    stage: Stage, push_back: bool, bound: int
) -> None:
    stage.push_back = push_back
    stage.run()
    assert stage.in_flight_bytes == bound


def test_a_case_without_a_segment_limit_leaves_it_as_found(stage: Stage) -> None:
    definition = msgspec.structs.replace(CASE, gso_max_segs=0)
    assert stage.run(PlannedCase(definition=definition, also_named=[])).gso_max_segs == 65535
    assert not any(entry.startswith("gso_max_segs") for entry in stage.machine.log)


def test_samples_that_do_not_add_up_to_the_count_are_a_warning(stage: Stage) -> None:
    stage.counted_per_s = {"cpu-clock": 1e9}
    trial = stage.run()
    assert trial.outcome == "ok"
    assert trial.profile is not None
    assert trial.profile.counted["cpu-clock"] > 0
    assert any("than a plain count" in warning for warning in trial.warnings)
    assert {"close recorder", "close counter"} <= set(stage.done)


_LOST = "traffic stood still in the window: eth9: the link was lost (link.carrier_down_count +1)"
_LATER = "after the window closed: eth9: transmission hung (tx_timeout_count +1)"
_LOGGED = 'the kernel logged after the window closed: "e1000e 0000:00:03.0 eth9: Reset adapter unexpectedly"'


def test_a_trial_whose_nic_was_reset_says_so_and_proves_nothing(stage: Stage) -> None:
    stage.counted_window = CountedWindow(interruptions=[_LOST], logged=[_LOGGED])
    trial = stage.run()
    assert (trial.outcome, trial.reason) == ("failed", f"{_LOST}; {_LOGGED}")
    assert trial.samples is not None
    stage.assert_put_back()


def test_traffic_that_ends_with_the_link_names_both(stage: Stage) -> None:
    stage.counted_window = CountedWindow(interruptions=[_LOST])
    stage.failing["wire report"] = TrafficError("the sender gave no 'report' within 90 s", "look at it")
    trial = stage.run()
    assert trial.outcome == "failed"
    assert trial.reason == f"{_LOST}; the sender gave no 'report' within 90 s"
    stage.assert_put_back()


@pytest.mark.parametrize("step", ["start traffic", "mark", "finish traffic"])
def test_traffic_that_dies_beside_the_window_names_what_the_nic_did_then(stage: Stage, step: str) -> None:
    stage.counted_window = CountedWindow(outside=[_LATER], logged=[_LOGGED])
    stage.failing[step] = TrafficError("the sender gave no 'report' within 90 s", "look at it")
    trial = stage.run()
    assert trial.outcome == "failed"
    assert trial.reason == f"{_LATER}; the sender gave no 'report' within 90 s; {_LOGGED}"
    # when all was over, and before anything was put back
    assert stage.done.index("ask the driver why") > stage.done.index(step)
    stage.assert_put_back()


def test_what_happened_beside_the_window_of_a_good_trial_is_a_warning(stage: Stage) -> None:
    stage.counted_window = CountedWindow(outside=[_LATER], logged=[_LOGGED])
    trial = stage.run()
    assert (trial.outcome, trial.reason) == ("ok", "")
    assert {_LATER, _LOGGED} <= set(trial.warnings)
    assert "ask the driver why" not in stage.done


def test_a_nic_that_hung_as_the_window_ended_fails_the_trial(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = dict.fromkeys(builders.COUNTER_NAMES, 7.0)
    monkeypatch.setattr(network_counters, "system", lambda *_: counts)
    stage.counted_window = CountedWindow(outside=[_LATER], after=[_LATER], logged=[_LOGGED])
    trial = stage.run()
    assert trial.outcome == "failed"
    assert trial.reason == f"the window's last second had no packet sent, and {_LATER}; {_LOGGED}"


def test_a_stall_that_no_counter_tells_of_is_told_from_the_samples(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "_LEAST_S", 0.001)
    counts = dict.fromkeys(builders.COUNTER_NAMES, 7.0)
    monkeypatch.setattr(network_counters, "system", lambda *_: counts)
    stage.failing["finish traffic"] = TrafficError("the sender gave no 'report' within 90 s", "look at it")
    trial = stage.run()
    assert trial.outcome == "failed"
    assert trial.reason == (
        f"{NIC} counted no packet sent from second 0 to 0 of the window; the sender gave no 'report' within 90 s"
    )


def test_samples_outlive_a_load_that_does_not_answer(stage: Stage) -> None:
    # of the bed, and of the session at both sides of the window
    marks = iter([None, None, TrafficError("the sink: nothing arrived for 30 s")])
    mark = stage.mark

    def silent() -> object:
        error = next(marks, None) if stage.done.count("enable") else None
        if error:
            raise error
        return mark()

    stage.mark = silent  # type: ignore[method-assign]
    trial = stage.run()
    assert (trial.outcome, trial.reason) == ("failed", "the sink: nothing arrived for 30 s")
    assert trial.samples is not None
    assert len(trial.samples.t_s) == 2
    stage.assert_put_back()
