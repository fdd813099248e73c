"""An emulated link that was the limit by its emulation: known, and no finding rests on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from offloadbench.analysis.comparison import usable_trials
from offloadbench.analysis.findings import caveats, findings
from offloadbench.analysis.tables.results import gather
from offloadbench.analysis.trial import link_emulator
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import PeerReport, Run, WireDirection, WireReport

RATE_BITS_PER_S = 10**10
_QUIET = WireDirection(frames=0, segments=0, l2_bytes=0, dropped=0)


def _report(asleep_ratio: float | None, used_ratio: float) -> WireReport:
    """Of 5 s; full-size frames, 1538 bytes each on the link."""
    segments = round(used_ratio * RATE_BITS_PER_S * 5.0 / 8 / 1538)
    carried = WireDirection(frames=segments, segments=segments, l2_bytes=segments * 1514, dropped=0)
    return WireReport(
        interval_s=5.0,
        asleep_ratio=asleep_ratio,
        behind_s=0.0,
        late_max_s=0.02,
        late_p99_s=0.016,
        to_peer=carried,
        to_dut=_QUIET,
    )


def test_how_full_the_link_was() -> None:
    assert link_emulator.used_ratio(_report(0.5, 0.123), RATE_BITS_PER_S) == pytest.approx(0.123, abs=1e-4)


@pytest.mark.parametrize(("asleep", "used"), [(0.02, 0.055), (0.04, 0.13), (0.05, 0.7), (0.09, 0.53), (0.15, 0.014)])
def test_no_sleep_beside_room_on_the_link_is_saturation(asleep: float, used: float) -> None:
    report = _report(asleep, used)
    assert "was the limit" in link_emulator.saturated(report, RATE_BITS_PER_S)
    assert link_emulator.narrow(report, RATE_BITS_PER_S) == ""


@pytest.mark.parametrize(("asleep", "used"), [(0.02, 0.99), (0.16, 1.0), (0.5, 0.1), (0.98, 0.0), (None, 0.1)])
def test_a_full_link_an_idle_emulator_and_netem_are_not(asleep: float | None, used: float) -> None:
    report = _report(asleep, used)
    assert link_emulator.saturated(report, RATE_BITS_PER_S) == ""
    assert link_emulator.narrow(report, RATE_BITS_PER_S) == ""


def test_other_links_have_no_emulator() -> None:
    assert link_emulator.saturated(None, 0) == ""
    assert link_emulator.narrow(None, 0) == ""


def _saturated(run: Run, cases: Sequence[str]) -> Run:
    """The run as an older version would have recorded it: `ok`, with an emulator that had no time left in these."""
    trials = []
    for trial in run.trials:
        if trial.wire is not None and trial.case in cases:
            half = replace(trial.wire.to_peer, l2_bytes=trial.wire.to_peer.l2_bytes // 2)
            trial = replace(trial, wire=replace(trial.wire, asleep_ratio=0.02, to_peer=half))
        trials.append(trial)
    return replace(run, trials=trials)


def test_no_finding_rests_on_a_saturated_trial_of_an_older_file() -> None:
    run = run_file.load(Path(__file__).parents[1] / "data" / "report-lab-paper.json")
    assert any(
        "csum" in (finding.on, finding.off) for finding in findings.find(gather([run], catalog.profile("linux")))
    )
    spoilt = _saturated(run, ["csum"])
    results = gather([spoilt], catalog.profile("linux"))
    assert all("csum" not in (finding.on, finding.off) for finding in findings.find(results))
    said = [caveat.text for caveat in caveats.collect(results, {}) if "was the limit" in caveat.text]
    assert said
    assert all("case csum" in text and text.endswith("No finding rests on it.") for text in said)
    assert all(usable_trials.observe(spoilt, trial) is None for trial in spoilt.trials if trial.case == "csum")


@pytest.mark.parametrize(
    ("peer_s", "carried", "said"),
    [(4.95, 0.5, True), (4.95, 1.01, False), (2.5, 0.5, False), (None, 0.5, False)],
    ids=["full", "but so was the link", "idle", "not known"],
)
def test_which_end_was_full_is_said(peer_s: float | None, carried: float, said: bool) -> None:
    """The CPUs under test are a tenth busy in this run."""
    run = run_file.load(Path(__file__).parents[1] / "data" / "report-lab-paper.json")
    trials = []
    for trial in run.trials:
        if trial.wire is None or trial.case != "tso":
            continue
        segments = round(carried * run.bed.line_rate_bits_per_s * trial.wire.interval_s / 8 / 1538)
        way = replace(trial.wire.to_peer, segments=segments, l2_bytes=segments * 1514)
        peer = None
        if peer_s is not None:
            peer = PeerReport(interval_s=5.0, cpus=1, cpu_busy_s=peer_s, cpu_stolen_s=0.0)
        trials.append(replace(trial, wire=replace(trial.wire, asleep_ratio=0.5, to_peer=way), peer=peer))
    assert trials
    results = gather([replace(run, trials=trials)], catalog.profile("linux"))
    texts = [caveat.text for caveat in caveats.collect(results, {})]
    assert any("CPUs of the load side were 99 % busy" in text for text in texts) == said
