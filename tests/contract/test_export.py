"""The columns of `export`: scripts of other people depend on these names."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis import table_index
from offloadbench.analysis.tables import folded
from offloadbench.commands.export import TABLE_NAMES
from offloadbench.files import run_file
from offloadbench.model import Profile, Run
from tests.conftest import DATA, CommandLine

COLUMNS = {
    "findings": "nic workload title on off trials_on trials_off cpu_s_per_gb_on cpu_s_per_gb_off saved_cpu_s_per_gb "
    "saved_ratio throughput_bits_per_s_on throughput_bits_per_s_off throughput_change_ratio sentence basis command",
    "waterfall": "nic workload dearer cheaper quantity module dearer_per_byte cheaper_per_byte change_per_byte "
    "share_of_change",
    "benches": "run created_utc tool_version nic driver mtu_bytes speed_bits_per_s kernel cpu_model cpus bed "
    "line_rate_bits_per_s rtt_s loss_ratio dut_cpus shared_cpus duration_s trials_planned trials trials_missing "
    "warnings",
    "trials": "run repeat nic driver kernel workload case outcome reason throughput_bits_per_s goodput_bits_per_s "
    "cpu_busy_ratio cpu_softirq_ratio cpu_s_per_gb packets_per_s bytes_per_packet retrans_segments csum_errors "
    "tool_cpu_ratio steal_ratio toggle_proven",
    "samples": "workload case repeat t_s interval_s tx_bits_per_s rx_bits_per_s cpu_busy_ratio cpu_user_ratio "
    "cpu_system_ratio cpu_softirq_ratio",
    "modules": "workload case repeat module floor ko event value value_per_byte share_ratio method",
    "features": "workload case repeat feature requested active dragged refused fixed",
    "statistics": "run workload case repeat device driver statistic growth growth_per_s",
    "proofs": "run workload case repeat subject verdict detail",
    "quality": "run workload case repeat window_s retrans_ratio tx_dropped_ratio csum_errors busy_s "
    "busy_low_s busy_high_s profile_busy_s wakeup_latency_s profile_samples profile_lost_samples profile_throttled "
    "wire_idle_ratio wire_behind_s wire_frames wire_dropped_frames",
    "counts": "run workload case repeat event quantity sampled counted relative_gap",
    "doubts": "run trouble where what figure value remedy",
    "methods": "workload case repeat event quantity method value share_ratio samples",
    "module_seconds": "workload case repeat second event module value share_ratio samples",
    "processes": "workload case repeat process own event value share_ratio user_ratio samples",
    "cpus": "workload case repeat cpu event module value share_ratio samples",
    "stacks": "workload case repeat event quantity stack module value samples",
    "limits": "run nic workload case repeat limit sentence evidence goodput_bits_per_s bound_bits_per_s bound "
    "gap_count gap_ratio",
    "bounds": "run nic workload case repeat bound bound_bits_per_s formula source goodput_bits_per_s of_bound_ratio",
    "evidence": "run nic workload case repeat limit figure value",
    "gaps": "run nic workload case repeat start_s length_s length_rtts",
    "write_commands": "run nic workload case repeat command start_s end_s packets segments payload_bytes",
    "effects": "run nic workload factor on off metric value_on value_off ratio ratio_low ratio_high ratio_low_95 "
    "ratio_high_95 difference difference_low difference_high level p p_holm verdict blocks trials_needed "
    "detectable_change method at reason",
    "effect_modules": "run nic workload factor on off module quantity blocks saved_per_byte saved_low saved_high "
    "share_of_saving share_low share_high",
}
# the two cases of the sample run differ in more than one factor, and nobody watched its senders
UNFILLED = {"counts", "effects", "effect_modules", "limits", "bounds", "evidence", "gaps", "write_commands"}


@pytest.mark.parametrize("name", sorted(COLUMNS.keys() - UNFILLED))
def test_a_table_has_every_promised_column_filled(
    name: str, sample_run: Run, chains_run: Run, linux_profile: Profile
) -> None:
    # the sample run has neither call chains nor a driver's statistics
    # nor anything that speaks against a steady state
    runs = {
        "stacks": chains_run,
        "doubts": chains_run,
        "statistics": run_file.load(DATA / "drivers" / "e1000e-run.json"),
    }
    table = table_index.TABLES[name]([runs.get(name, sample_run)], linux_profile)
    assert set(COLUMNS[name].split()) <= set(table.columns)
    assert not table.columns.duplicated().any()
    filled = [column for column in COLUMNS[name].split() if not table[column].isna().all()]
    assert filled == COLUMNS[name].split()


@pytest.mark.parametrize("name", sorted(UNFILLED))
def test_a_table_has_every_promised_column(name: str, sample_run: Run, linux_profile: Profile) -> None:
    table = table_index.TABLES[name]([sample_run], linux_profile)
    assert set(COLUMNS[name].split()) <= set(table.columns)
    assert not table.columns.duplicated().any()


def test_exactly_these_tables_are_offered() -> None:
    assert set(TABLE_NAMES) == set(COLUMNS) == set(table_index.TABLES)


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_names_say_their_units(name: str, sample_run: Run, linux_profile: Profile) -> None:
    table = table_index.TABLES[name]([sample_run], linux_profile)
    numbers = [column for column in table.select_dtypes("number").columns if column.endswith("_ratio")]
    for column in numbers:
        values = table[column].dropna()
        assert ((values >= 0) & (values <= 1)).all(), column


def test_a_module_has_one_row_per_event_of_a_trial(sample_run: Run, linux_profile: Profile) -> None:
    table = table_index.TABLES["modules"]([sample_run], linux_profile)
    assert not table.duplicated(["workload", "case", "repeat", "module", "event"]).any()
    assert set(table["floor"]) <= set(linux_profile.floors)


def test_folded_stacks_are_lines_that_flame_graph_tools_read(
    command_line: CommandLine, chains_path: Path, chains_run: Run, linux_profile: Profile
) -> None:
    done = command_line("export", str(chains_path), "--table", "stacks", "--format", "folded")
    assert done.code == 0
    lines = [re.fullmatch(r"(tso|csum);([^;]+(?:;[^;]+)*) (\d+)", line) for line in done.out.splitlines()]
    assert lines and all(lines)
    table = table_index.TABLES["stacks"]([chains_run], linux_profile)
    assert sum(int(line[3]) for line in lines if line) == table["value"].sum()


def test_folded_lines_of_two_runs_begin_with_the_run(chains_run: Run, linux_profile: Profile) -> None:
    runs = [chains_run, msgspec.structs.replace(chains_run, run_id="b")]
    text = folded.folded(table_index.TABLES["stacks"](runs, linux_profile))
    assert {line.split(";")[0] for line in text.splitlines()} == {chains_run.run_id, "b"}


def test_a_process_name_cannot_break_a_folded_line(chains_run: Run, linux_profile: Profile) -> None:
    first = chains_run.trials[0]
    assert first.profile is not None
    odd = msgspec.structs.replace(first.profile, comms=["a;b\nc"] * len(first.profile.comms))
    runs = [msgspec.structs.replace(chains_run, trials=[msgspec.structs.replace(first, profile=odd)])]
    text = folded.folded(table_index.TABLES["stacks"](runs, linux_profile))
    assert {line.split(";")[1].split(" 1")[0] for line in text.splitlines()} == {"a:b c"}


def test_only_stacks_can_be_folded(command_line: CommandLine, sample_path: Path) -> None:
    done = command_line("export", str(sample_path), "--table", "modules", "--format", "folded")
    assert done.code == 2
    assert "--table stacks" in done.err


def test_without_call_chains_nothing_is_folded(command_line: CommandLine, sample_path: Path) -> None:
    done = command_line("export", str(sample_path), "--table", "stacks", "--format", "folded")
    assert (done.code, done.out) == (0, "")
