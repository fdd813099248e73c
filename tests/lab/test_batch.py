"""A batch over two NICs, MTU and a sysctl that is refused, on a machine of veth pairs; several NICs in turn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from offloadbench.files import run_file, sweep_file
from tests.lab.conftest import Offloadbench
from tests.lab.test_pair import Machine, machine

__all__ = ["machine"]

PLAN = """
nics = [{ nic = "port0", peer = "nic:port1" }, "lab-veth"]
workloads = ["tcp-stream"]
cases = "tso"
duration_s = 2
warmup_s = 1
profile = false
seed = 3
mtu = [1500, 4000]

[sysctls]
"net.ipv4.tcp_sack" = [1, "many"]
"""


def _batch(machine: Machine, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = machine.call(sys.executable, "-m", "offloadbench", "batch", *words)
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_a_matrix_is_measured_and_a_refused_value_leaves_the_others(
    machine: Machine, environment: dict[str, str], tmp_path: Path
) -> None:
    plan, folder = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text(PLAN)
    before = machine.state()
    told = _batch(machine, environment, str(plan), "--dry-run", "--output", str(folder))
    assert told.returncode == 0, told.stderr
    assert "8 of 8 points to measure on port0, lab-veth" in told.stdout
    assert "  MTU: 1500 -> 1500, 4000" in told.stdout
    assert "port0 tx-tcp-segmentation: on -> on" in told.stdout
    assert not folder.exists()
    done = _batch(machine, environment, str(plan), "--output", str(folder))
    assert done.returncode == 5, done.stderr
    sweep = sweep_file.load(folder)
    for point in sweep.points:
        refused = point.sysctls["net.ipv4.tcp_sack"] == "many"
        assert point.done != refused
        if refused:
            assert "sysctl net.ipv4.tcp_sack = 'many'" in point.problem
            continue
        run = run_file.load(folder / point.file)
        assert (run.nic.name, run.nic.mtu_bytes) == (point.bed["nic"], point.bed["mtu_bytes"])
        assert [trial.outcome for trial in run.trials] == ["ok"]
    report = (folder / "report.html").read_text()
    assert "port0, MTU 4000" in report
    assert "lab-veth, MTU 1500" in report
    assert machine.state() == before
    # nothing but what failed is tried again
    again = _batch(machine, environment, "--resume", "--output", str(folder))
    assert again.returncode == 5
    assert "point 4 of 4" in again.stderr
    assert machine.state() == before


def test_the_mtu_of_a_killed_batch_is_put_back_by_restore(
    machine: Machine, environment: dict[str, str], tmp_path: Path
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.replace(', "lab-veth"', "").replace("[1500, 4000]", "4000").replace(', "many"', ""))
    before = machine.state()
    command = machine.call(sys.executable, "-m", "offloadbench", "batch", str(plan), "--output", str(tmp_path / "out"))
    batch = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)
    assert batch.stderr is not None
    with batch.stderr:
        assert any(line.startswith("[1/1]") for line in batch.stderr), "it ended before its trial"
        batch.kill()
        batch.wait()
    shown = subprocess.check_output(machine.call("ip", "link", "show", "port0"), text=True)
    assert "mtu 4000" in shown
    words = machine.call(sys.executable, "-m", "offloadbench", "restore")
    told = subprocess.run(words, check=True, capture_output=True, text=True, env=environment).stdout
    assert "port0: MTU put back to 1500" in told
    assert "port1: MTU put back to 1500" in told
    assert machine.state() == before


def test_two_nics_in_turn_make_a_file_each_and_one_report(offloadbench: Offloadbench, tmp_path: Path) -> None:
    done = offloadbench(
        "run", "--nic", "lab-veth,obnone", "--peer", "nic:obnone1", "--cases", "tso", "--workloads", "tcp-stream",
        "--duration", "2", "--warmup", "1", "--no-profile", "--output", f"{tmp_path}/runs/",
    )  # fmt: skip
    assert done.returncode == 3
    assert "no NIC named 'obnone'" in done.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["lab-veth.json"]
    assert run_file.load(tmp_path / "runs" / "lab-veth.json").trials[0].outcome == "ok"
