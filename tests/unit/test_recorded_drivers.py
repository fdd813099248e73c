"""Runs recorded on drivers of a virtual machine: their counters agree with the packets, and are judged so."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.trial import metrics
from offloadbench.analysis.trial.toggle_proof import judge, toggle_proven
from offloadbench.definitions import nic_ability
from offloadbench.files import run_file
from offloadbench.model import Run, Trial
from tests.conftest import DATA

RECORDED = sorted((DATA / "drivers").glob("*-run.json"))
TSO_COUNTER, RX_COUNTER = "tx_tcp_seg_good", "rx_csum_offload_good"


@pytest.fixture(scope="module", params=RECORDED, ids=lambda path: path.stem)
def recorded(request: pytest.FixtureRequest) -> Run:
    path: Path = request.param
    return run_file.load(path)


def _by_case(run: Run) -> dict[str, Trial]:
    return {trial.case: trial for trial in run.trials}


def test_there_are_recorded_runs_of_both_drivers() -> None:
    assert {path.stem for path in RECORDED} >= {"e1000e-run", "igb-run"}


def test_every_toggle_was_proven_and_its_driver_agreed(recorded: Run) -> None:
    assert nic_ability.of_nic(recorded.nic).limits == []
    for trial in recorded.trials:
        proofs = judge(trial, counts_super_packets=recorded.bed.counts_super_packets)
        assert toggle_proven(proofs), trial.case
        tso = next(proof for proof in proofs if proof.subject == "tso")
        assert TSO_COUNTER in tso.detail


def test_the_counter_of_tso_grew_with_tso_alone(recorded: Run) -> None:
    grew = {case: trial.statistics[0].growth.get(TSO_COUNTER, 0) > 0 for case, trial in _by_case(recorded).items()}
    assert grew == {"tso": True, "gso": False, "csum": False, "none": False}


def test_the_counter_of_verified_checksums_stood_still_with_rx_checksum_off() -> None:
    # igb does not count them
    trials = _by_case(run_file.load(DATA / "drivers" / "e1000e-run.json"))
    assert RX_COUNTER in trials["none"].statistics[0].unmoved
    assert all(trials[case].statistics[0].growth[RX_COUNTER] > 0 for case in ("tso", "gso", "csum"))


def test_a_driver_that_had_not_toggled_would_have_been_found_out(recorded: Run) -> None:
    trials = _by_case(recorded)
    lying = msgspec.structs.replace(trials["csum"], statistics=trials["tso"].statistics)
    found = {p.subject: p for p in judge(lying, counts_super_packets=recorded.bed.counts_super_packets)}
    assert found["tso"].verdict == "contradicted"
    assert "but the driver says tx_tcp_seg_good grew by" in found["tso"].detail


def test_nothing_came_otherwise_than_foreseen(recorded: Run) -> None:
    assert [text for trial in recorded.trials for text in trial.warnings if "known rules" in text] == []


def test_throughput_is_above_goodput_however_the_nic_counts(recorded: Run) -> None:
    for trial in recorded.trials:
        figures = metrics.of_trial(recorded, trial)
        assert figures is not None
        # what the receivers had of the window lags behind what left by the data in flight
        assert figures.throughput_bits_per_s > 0.9 * figures.goodput_bits_per_s


def test_interrupts_of_the_nic_were_on_the_cpus_of_its_end(recorded: Run) -> None:
    queues = recorded.nic.queues
    assert queues is not None
    assert queues.interrupts
    assert {irq.cpus for irq in queues.interrupts} == {",".join(map(str, recorded.bed.dut_cpus))}
