"""A real run tells what limited its sender, cures it, and records who called."""

from __future__ import annotations

from pathlib import Path

import pytest

from offloadbench.analysis.profile import module_tables, plain_count
from offloadbench.analysis.sender import limit_tables, sent_packets
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import Run
from tests.lab.conftest import Offloadbench

pytestmark = pytest.mark.quiet
LONG = ("run", "--nic", "lab", "--rtt", "20ms", "--cases", "tso", "--workloads", "iscsi-write", "--no-profile")


@pytest.fixture(scope="module")
def tuned(offloadbench: Offloadbench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """A starved send buffer and its tuned twin, with the sender's waits."""
    path = tmp_path_factory.mktemp("tuned") / "tuned.json"
    done = offloadbench(
        *LONG, "--set", "sndbuf=212992", "--tune", "sndbuf", "--waits", "--capture", "--duration", "3", "--warmup", "3",
        "--output", str(path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return run_file.load(path), done.stdout


def test_a_starved_send_buffer_is_found_and_raised(tuned: tuple[Run, str]) -> None:
    run, printed = tuned
    verdicts = limit_tables.limits([run]).set_index("workload")["limit"]
    assert verdicts["iscsi-write"] == "send buffer"
    assert verdicts["iscsi-write-tuned"] != "send buffer"
    goodput = limit_tables.limits([run]).set_index("workload")["goodput_bits_per_s"]
    assert goodput["iscsi-write-tuned"] > 3 * goodput["iscsi-write"]
    assert "send buffer raised: " in printed
    assert "Limited by the send buffer at " in printed


def test_the_monitor_keeps_its_pace_and_the_waits_show_the_chain_of_the_paper(tuned: tuple[Run, str]) -> None:
    run, _ = tuned
    trial = next(trial for trial in run.trials if trial.workload == "iscsi-write")
    (trace,) = trial.tcp
    assert trace.ticks_taken > 0.5 * trace.ticks_due
    assert trial.waits is not None
    assert any("sk_stream_wait_memory" in chain for chain in trial.waits.chains)


def test_the_capture_holds_what_was_sent_and_acknowledged_in_the_window(tuned: tuple[Run, str]) -> None:
    run, _ = tuned
    for trial in run.trials:
        assert trial.packets is not None
        assert trial.load is not None
        one = sent_packets.packets(trial.packets)
        acked = int(one.acked_bytes[-1] - one.acked_bytes[0])
        assert (one.sent_bytes >= one.acked_bytes).all()
        assert acked == pytest.approx(trial.load.payload_bytes, rel=0.1)


def test_a_64_kib_window_is_found(offloadbench: Offloadbench, tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    done = offloadbench(*LONG, "--set", "window=64KiB", "--duration", "2", "--warmup", "1", "--output", str(path))
    assert done.returncode == 0, done.stderr
    assert limit_tables.limits([run_file.load(path)])["limit"].tolist() == ["receive window"]


def test_call_chains_find_the_module_of_what_interrupts_hid(offloadbench: Offloadbench, tmp_path: Path) -> None:
    path = tmp_path / "chains.json"
    done = offloadbench(
        "run", "--nic", "lab-veth", "--cases", "csum", "--workloads", "ftp-get", "--set", "file_size=16MiB",
        "--call-graph", "--duration", "3", "--warmup", "1", "--output", str(path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = run_file.load(path)
    profile = catalog.profile("linux")
    stacks = module_tables.stacks([run], profile)
    assert stacks["stack"].str.contains("tcp_sendmsg").any()
    found = module_tables.methods([run], profile).set_index("method")["share_ratio"]
    # what stays is interrupted user mode
    assert found.get("irq_shadow", 0.0) < 0.05
    modules = module_tables.modules([run], profile)
    assert modules["share_ratio"].sum() == pytest.approx(1)
    assert modules["caller_value"].sum() == modules["value"].sum()
    (trial,) = run.trials
    assert trial.profile is not None
    assert trial.samples is not None
    (gap,) = plain_count.gaps(trial.profile)
    # the clock that samples stands still while the hypervisor has the CPU, and the plain count goes on
    stolen = sum(trial.samples.counters["cpu_steal_s"]) / sum(trial.samples.interval_s)
    assert -stolen - 0.1 < gap.ratio < 0.1
