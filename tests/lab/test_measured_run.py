"""A real run on both lab links: what it captured must be possible, complete, and proven."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from offloadbench.analysis.profile import module_tables
from offloadbench.analysis.tables import trial_tables
from offloadbench.analysis.trial import toggle_proof
from offloadbench.definitions import catalog
from offloadbench.model import Run
from tests.lab.conftest import Offloadbench

pytestmark = pytest.mark.quiet
# of 1 Gbit/s, layer 2 without FCS, preamble and gap: 1514 of 1538 bytes
CABLE_LIMIT_BITS_PER_S = 1e9 * 1514 / 1538


@pytest.fixture
def trials(cable_run: Run) -> pd.DataFrame:
    return trial_tables.trials([cable_run]).set_index("case")


def test_every_trial_is_ok_and_every_toggle_proven(cable_run: Run, veth_run: Run) -> None:
    rows = trial_tables.trials([cable_run, veth_run])
    assert set(rows["outcome"]) == {"ok"}
    assert rows["toggle_proven"].all(), rows[["nic", "case", "toggle_proven"]]


def test_the_cable_carries_no_more_than_its_rate(trials: pd.DataFrame) -> None:
    assert (trials["throughput_bits_per_s"] <= CABLE_LIMIT_BITS_PER_S * 1.005).all()
    assert (trials["goodput_bits_per_s"] < trials["throughput_bits_per_s"]).all()


def test_super_packets_reach_the_driver_only_with_tso(trials: pd.DataFrame) -> None:
    handed_down = trials["bytes_per_packet"].to_dict()
    assert handed_down["tso"] > 1514
    assert max(handed_down["csum"], handed_down["none"]) <= 1514


def test_the_wires_count_and_the_nics_count_agree(cable_run: Run) -> None:
    for trial in cable_run.trials:
        assert trial.wire is not None
        assert trial.samples is not None
        by_nic = trial_tables.samples([cable_run]).query("case == @trial.case")["tx_bits_per_s"].mean()
        by_wire = trial.wire.to_peer.l2_bytes * 8 / trial.wire.interval_s
        assert by_nic == pytest.approx(by_wire, rel=0.05)


def test_every_byte_sent_was_received(cable_run: Run, veth_run: Run) -> None:
    for trial in [*cable_run.trials, *veth_run.trials]:
        assert trial.load is not None
        assert trial.load.bytes_sent == trial.load.bytes_received > 0
        assert 0 < trial.load.payload_bytes < trial.load.bytes_received


def test_receive_checksum_is_never_called_proven_where_it_has_no_effect(cable_run: Run, veth_run: Run) -> None:
    for run, verdict in ((cable_run, toggle_proof.FIXED), (veth_run, toggle_proof.NO_EFFECT)):
        rows = trial_tables.features([run]).query("feature == 'rx-checksum'")
        assert set(rows["proof"]) == {verdict}


def test_dragged_and_refused_features_are_recorded(veth_run: Run) -> None:
    none = next(trial for trial in veth_run.trials if trial.case == "none")
    records = {record.feature: record for record in none.features}
    assert records["tx-tcp-segmentation"].requested is False
    assert not records["tx-tcp-segmentation"].active
    assert not any(record.refused for record in none.features)
    assert none.gso_max_segs == 1


def test_one_sample_a_second_each_with_its_own_interval(cable_run: Run) -> None:
    for trial in cable_run.trials:
        assert trial.samples is not None
        assert len(trial.samples.t_s) == cable_run.plan.duration_s
        assert sum(trial.samples.interval_s) == pytest.approx(trial.samples.t_s[-1], abs=1e-3)


def test_profile_holds_the_window_and_its_shares_sum_to_one(cable_run: Run, veth_run: Run) -> None:
    rows = module_tables.modules([cable_run, veth_run], catalog.profile("linux"))
    shares = rows.groupby(["run", "workload", "case", "repeat", "event"])["share_ratio"].sum()
    assert len(shares) == 7
    assert shares.to_numpy() == pytest.approx(1.0)
    # one CPU, sampled every millisecond of CPU time, can give no more than one sample a millisecond
    for trial in cable_run.trials:
        assert trial.profile is not None
        assert 0.5 * 1000 * trial.window_s < trial.profile.samples <= 1.01 * 1000 * trial.window_s


def test_software_work_shows_where_it_is_done(veth_run: Run) -> None:
    rows = module_tables.modules([veth_run], catalog.profile("linux")).set_index(["case", "module"])["value_per_byte"]
    assert rows["gso", "gso"] > rows["tso", "gso"]
    assert rows["none", "checksum"] > rows["csum", "checksum"]


def test_perf_data_is_kept_on_request_only(cable_run: Run, cable_path: Path) -> None:
    kept = sorted(path.name for path in cable_path.with_name("cable.json.perf").iterdir())
    assert kept == [f"1-ftp-get-{case}.perf.data" for case in ("csum", "none", "tso")]


def test_nothing_is_left_behind(cable_run: Run, veth_run: Run, traces: Callable[[], list[str]]) -> None:
    assert traces() == []


def test_reading_commands_work_on_a_real_file(
    offloadbench: Offloadbench, cable_run: Run, cable_path: Path, tmp_path: Path
) -> None:
    compared = offloadbench("compare", str(cable_path), str(cable_path))
    assert compared.returncode == 0, compared.stderr
    assert "it is the same run twice" in compared.stdout
    assert "indication, no verdict" in compared.stdout
    assert "changed," not in compared.stdout
    report = tmp_path / "report.html"
    drawn = offloadbench("report", str(cable_path), "--output", str(report))
    assert drawn.returncode == 0, drawn.stderr
    assert "<svg" in report.read_text()
