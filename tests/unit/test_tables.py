"""Tidy tables of the sample run and of runs made by hand."""

from __future__ import annotations

import math

import msgspec
import pytest

from offloadbench.analysis import table_index
from offloadbench.analysis.profile import module_tables
from offloadbench.analysis.profile.attributed_samples import batches
from offloadbench.analysis.tables import trial_tables
from offloadbench.model import Profile, Run
from tests.unit.builders import CLOCK, INSTRUCTIONS, feature, load, profile_counts, run, samples, trial

KALLSYMS = "0000000000001000 T tcp_sendmsg\n0000000000002000 T default_idle\n0000000000003000 T do_csum\n"
_ROWS = [
    (0x1001, "K", 0, 0, 0, 3, 3_000_000),
    (0x2001, "K", 0, 0, 0, 90, 90_000_000),
    (0x3001, "K", 0, 1, 0, 1, 1_000_000),
    (0x1001, "K", 0, 1, 1, 2, 600),
    (0x3001, "K", 0, 1, 1, 2, 400),
]
_PROFILED = trial(
    profile=profile_counts(_ROWS, [CLOCK, INSTRUCTIONS]),
    samples=samples(rows=2),
    window_s=2.0,
    load=load(payload_bytes=1000, interval_s=1.0),
)


def test_one_row_a_trial_in_the_order_of_the_run(sample_run: Run) -> None:
    table = trial_tables.trials([sample_run, sample_run])
    assert table["case"].tolist() == [captured.case for captured in sample_run.trials] * 2
    assert set(table["run"]) == {sample_run.run_id}


def test_the_sample_run_proves_its_toggles_and_lost_nothing(sample_run: Run) -> None:
    table = trial_tables.trials([sample_run])
    assert table["toggle_proven"].all()
    assert (table["csum_errors"] == 0).all()
    assert table["cpu_busy_ratio"].between(0, 1).all()
    assert (table["goodput_bits_per_s"] < table["throughput_bits_per_s"]).all()


def test_one_row_a_second_whose_intervals_are_the_captured_ones(sample_run: Run) -> None:
    table = trial_tables.samples([sample_run])
    for captured in sample_run.trials:
        assert captured.samples is not None
        rows = table[table["case"] == captured.case]
        assert rows["t_s"].tolist() == captured.samples.t_s
        assert rows["interval_s"].tolist() == captured.samples.interval_s
    ratios = table[[name for name in table.columns if name.startswith("cpu_")]]
    assert ((ratios >= 0) & (ratios <= 1)).all(axis=None)


def test_the_mean_of_the_samples_is_the_figure_of_the_trial(sample_run: Run) -> None:
    rows = trial_tables.samples([sample_run]).groupby("case")
    figures = trial_tables.trials([sample_run]).set_index("case")
    for case, seconds in rows:
        whole = (seconds["cpu_busy_ratio"] * seconds["interval_s"]).sum() / seconds["interval_s"].sum()
        assert whole == pytest.approx(figures["cpu_busy_ratio"][case], rel=1e-6)


def test_shares_sum_to_one_per_trial_and_event(sample_run: Run, linux_profile: Profile) -> None:
    made = run(sample_run, [_PROFILED], kallsyms=KALLSYMS)
    for runs in ([sample_run], [made]):
        table = module_tables.modules(runs, linux_profile)
        sums = table.groupby(["run", "case", "repeat", "event"])["share_ratio"].sum()
        assert sums.tolist() == pytest.approx([1.0] * len(sums))
        assert (table["share_low_ratio"] <= table["share_ratio"]).sum() == table["share_ratio"].notna().sum()


def test_one_row_per_leaf_and_event(sample_run: Run, linux_profile: Profile) -> None:
    for runs in ([sample_run], [run(sample_run, [_PROFILED], kallsyms=KALLSYMS)]):
        table = module_tables.modules(runs, linux_profile)
        assert not table.duplicated(["run", "workload", "case", "repeat", "module", "event"]).any()


def test_values_are_weights_and_idle_has_no_share(sample_run: Run, linux_profile: Profile) -> None:
    table = module_tables.modules([run(sample_run, [_PROFILED], kallsyms=KALLSYMS)], linux_profile)
    found = table.set_index(["event", "module"])
    assert found.loc[("cpu-clock", "tcp"), "value"] == 3_000_000
    assert found.loc[("cpu-clock", "tcp"), "share_ratio"] == pytest.approx(0.75)
    assert found.loc[("instructions", "checksum"), "share_ratio"] == pytest.approx(0.4)
    assert found["share_ratio"].isna()[("cpu-clock", "idle")]
    # 1000 bytes a second for two seconds
    assert found.loc[("instructions", "tcp"), "value_per_byte"] == pytest.approx(600 / 2000)


def test_no_weight_is_lost_on_the_way_to_the_modules(sample_run: Run, linux_profile: Profile) -> None:
    table = module_tables.modules([sample_run], linux_profile)
    for captured in sample_run.trials:
        assert captured.profile is not None
        rows = table[table["case"] == captured.case]
        assert rows["samples"].sum() == captured.profile.samples
        assert rows["value"].sum() == captured.profile.samples * captured.profile.events[0].period


def test_software_checksums_show_in_the_case_without_offloads_only(sample_run: Run, linux_profile: Profile) -> None:
    found = module_tables.modules([sample_run], linux_profile).set_index(["case", "module"])["value"]
    assert found["none", "checksum"] > 10 * found.get(("tso", "checksum"), 0)


def test_a_profile_without_samples_or_without_busy_ones_gives_no_shares(
    sample_run: Run, linux_profile: Profile
) -> None:
    empty = trial(profile=profile_counts([], [CLOCK]), samples=samples(), window_s=2.0)
    idle = trial(profile=profile_counts([_ROWS[1]], [CLOCK]), samples=samples(), window_s=2.0, case="none")
    table = module_tables.modules([run(sample_run, [empty, idle], kallsyms=KALLSYMS)], linux_profile)
    assert table["module"].tolist() == ["idle"]
    assert table["share_ratio"].isna().all()


def test_features_keep_what_was_asked_for_and_the_verdict(sample_run: Run) -> None:
    table = trial_tables.features([sample_run])
    assert len(table) == sum(len(captured.features) for captured in sample_run.trials)
    tso = table[(table["case"] == "none") & (table["feature"] == "tx-tcp-segmentation")].iloc[0]
    assert (tso["requested"], tso["active"], tso["proof"]) == (False, False, "proven")
    fixed = table[table["fixed"]]
    assert set(fixed["proof"]) == {"fixed"}


def test_a_dragged_feature_was_not_requested(sample_run: Run) -> None:
    moved = msgspec.structs.replace(feature("tx-gso-list", active=False), requested=None, dragged=True)
    table = trial_tables.features([run(sample_run, [trial(features=[moved])])])
    assert table["requested"].tolist() == [None]
    assert table["dragged"].tolist() == [True]


# a run without trials has a bench all the same
@pytest.mark.parametrize("name", sorted(table_index.TABLES.keys() - {"benches"}))
def test_a_run_without_trials_gives_an_empty_table_with_all_columns(
    name: str, sample_run: Run, linux_profile: Profile
) -> None:
    empty = table_index.TABLES[name]([run(sample_run, [])], linux_profile)
    assert empty.empty
    assert list(empty.columns) == list(table_index.TABLES[name]([sample_run], linux_profile).columns)


@pytest.mark.parametrize(("share", "total"), [(0.0, 10.0), (1.0, 10.0), (0.5, 1.0), (0.01, 60_000.0)])
def test_the_interval_of_a_share_holds_it_and_stays_within_zero_and_one(share: float, total: float) -> None:
    low, high = module_tables.wilson_interval(share, total)
    assert 0 <= low < high <= 1
    # the last bit of a float is no statement
    assert low - 1e-12 <= share <= high + 1e-12


def test_at_sixty_thousand_samples_a_share_of_one_percent_is_known_to_a_tenth_of_itself() -> None:
    low, high = module_tables.wilson_interval(0.01, 60_000)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.01 * 0.99 / 60_000), rel=0.01)
    assert all(math.isnan(bound) for bound in module_tables.wilson_interval(0.5, 0))


def test_the_sample_runs_symbols_cover_its_kernel_samples(sample_run: Run, linux_profile: Profile) -> None:
    items = [item for batch in batches(sample_run, linux_profile) for item in batch.items]
    assert [item.trial for item in items] == sample_run.trials
    for item in items:
        kernel = item.rows[item.rows["mode"] == "K"]
        assert not kernel.empty
        assert (kernel["symbol"] != "").all()
