"""iSCSI on the lab links with a real tgt: what is written is there, and whatever goes wrong is told in one line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offloadbench import traffic
from offloadbench.analysis.tables import trial_tables
from offloadbench.base.errors import TrafficError
from offloadbench.bed.lab_bed import LAB, LAB_VETH, Lab
from offloadbench.bed.local import dut_namespace, peer_namespace
from offloadbench.bed.testbed import Cable
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.kernel.system import netns, processes
from offloadbench.model import Load
from offloadbench.roles.ends import ProcessRole, Role
from offloadbench.roles.messages import OpenInitiator, Order
from offloadbench.traffic.iscsi.iscsi_kind import IscsiSession
from tests.lab.beds import Unwritten
from tests.lab.conftest import Offloadbench

pytestmark = pytest.mark.skipif(
    not (shutil.which("tgtd") or os.environ.get("OFFLOADBENCH_REQUIRE_ALL")), reason="needs tgt"
)
SMALL = ["block_size=256KiB", "lun_size=16MiB"]
Begin = Callable[..., IscsiSession]


class Spoiling:
    """An end whose roles are told something else."""

    def __init__(self, end: Any, spoil: Callable[[Order], Order]) -> None:
        self._end = end
        self._spoil = spoil

    def __getattr__(self, name: str) -> Any:
        return getattr(self._end, name)

    def launch(self, module: str, title: str, cpus: frozenset[int] | None = None) -> Role:
        role: Role = self._end.launch(module, title, cpus)
        send = role.send

        def spoiled(order: Order) -> None:
            send(self._spoil(order))

        role.send = spoiled  # type: ignore[method-assign]
        return role


class Bench:
    """A lab link and the sessions begun on it."""

    def __init__(self, lab: Lab, run_id: str) -> None:
        self.lab = lab
        self.run_id = run_id
        self.sessions: list[IscsiSession] = []

    def begin(self, *settings: str, spoil: Callable[[Order], Order] = lambda order: order) -> IscsiSession:
        definition = catalog.override_parameters([catalog.workload("iscsi-write")], list(settings))[0]
        kind = traffic.from_definition(definition)
        kind.prepare(lambda text: None)
        cable = self.lab.cable
        in_flight = 0 if self.lab.push_back else int(cable.line_rate_bits_per_s / 8 * cable.rtt_s) + (4 << 20)
        session = kind.start(Spoiling(self.lab.dut, spoil), self.lab.peer, in_flight)
        assert isinstance(session, IscsiSession)
        self.sessions.append(session)
        return session

    def measured(self, *settings: str, seconds: float = 0.5, warm_up_s: float = 0.2) -> Load:
        session = self.begin(*settings)
        time.sleep(warm_up_s)
        opened = session.mark()
        time.sleep(seconds)
        load = session.finish(opened, session.mark())
        session.close()
        assert load.bytes_sent == load.bytes_received > 0
        return load

    def left(self) -> list[str]:
        """Names of the processes of this bench that still run, but for the wire."""
        wire = 1 if self.lab.kind == LAB else 0
        pids = processes.of_run(self.run_id)
        return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids[wire:]]


def _bench(nic: str, rtt_s: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    run_id = f"{os.getpid():08x}"
    monkeypatch.setenv(processes.MARKER, run_id)
    folder = processes.folder_of_run(run_id)
    folder.mkdir()
    lab = Lab(nic, Cable(line_rate_bits_per_s=10**9, rtt_s=rtt_s), run_id, Unwritten())
    bench = Bench(lab, run_id)
    try:
        yield bench
        for session in bench.sessions:
            session.close()
        assert bench.left() == []
    finally:
        for session in bench.sessions:
            session.close()
        lab.close()
        processes.end_of_run(run_id)
        shutil.rmtree(folder)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    yield from _bench(LAB_VETH, 0.0, monkeypatch)


@pytest.fixture
def long_link(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    yield from _bench(LAB, 0.02, monkeypatch)


def test_what_is_written_is_there_with_both_digests(bench: Bench) -> None:
    load = bench.measured(*SMALL, "backing=memory", "verify=true", "header_digest=true", "data_digest=true")
    assert load.settings["verified_bytes"] == 16 << 20
    assert load.settings["negotiated"]["header_digest"]
    assert load.settings["negotiated"]["data_digest"]
    assert load.transfers_complete * (256 << 10) == load.bytes_sent


def test_bursts_that_the_target_asks_for(bench: Bench) -> None:
    bursts = ["initial_r2t=true", "max_burst=64KiB", "first_burst=32KiB", "max_recv_data_segment=8192"]
    load = bench.measured(*SMALL, *bursts, "backing=memory", "verify=true")
    assert load.settings["negotiated"] == {
        "header_digest": False,
        "data_digest": False,
        "initial_r2t": True,
        "immediate_data": True,
        "first_burst_bytes": 32 << 10,
        "max_burst_bytes": 64 << 10,
        "max_send_segment_bytes": 8192,
        "max_receive_segment_bytes": 8192,
    }
    assert load.settings["verified_bytes"] == 16 << 20


def test_sessions_write_to_parts_of_their_own(bench: Bench) -> None:
    load = bench.measured(*SMALL, "sessions=3", "immediate_data=false", "backing=memory", "verify=true")
    assert load.clients == 3
    # a third of 64 commands each
    assert load.settings["verified_bytes"] == 3 * 21 * (256 << 10)


def test_reads_are_counted_at_both_sides(bench: Bench) -> None:
    load = bench.measured(*SMALL, "operation=read", "backing=memory", "data_digest=true")
    assert load.payload_bytes > 0


def test_forced_unit_access_on_a_disk(bench: Bench, tmp_path: Path) -> None:
    load = bench.measured(*SMALL, "fua=true", f"backing={tmp_path}", "verify=true")
    assert load.settings["verified_bytes"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.quiet
def test_latencies_and_the_queue_depth_give_the_throughput(bench: Bench) -> None:
    load = bench.measured("block_size=1MiB", seconds=1.0)
    assert set(load.latency_us) == {"p50", "p90", "p99", "max"}
    assert 0 < load.latency_us["p50"] <= load.latency_us["p99"] <= load.latency_us["max"]
    # Little: throughput times latency is what is on its way
    on_its_way = load.payload_bytes / load.interval_s * load.latency_us["p50"] * 1e-6
    assert 0.5 * 4 < on_its_way / (1 << 20) < 1.5 * 4
    assert load.cpu_s is not None
    assert load.cpu_s > 0


@pytest.mark.quiet
def test_a_small_send_buffer_starves_a_long_link(long_link: Bench) -> None:
    """E3: the send buffer alone, everything above it tuned."""
    starved = long_link.measured("sndbuf=212992", seconds=1.5, warm_up_s=1.0)
    ample = long_link.measured("sndbuf=16MiB", seconds=1.5, warm_up_s=1.0)
    assert starved.settings["send_buffer_in_force_bytes"] == 2 * 212992
    assert ample.settings["send_buffer_in_force_bytes"] == 2 * (16 << 20)
    rates = [load.settings["tcp_in_window"]["tcp_acked_bytes"] * 8 / load.interval_s for load in (starved, ample)]
    assert rates[0] < 200e6
    assert rates[1] > 4.5 * rates[0]


@pytest.mark.quiet
def test_the_sender_sleeps_in_the_kernel_for_send_buffer_memory(long_link: Bench, tmp_path: Path) -> None:
    session = long_link.begin("sndbuf=212992")
    assert isinstance(session.initiator, ProcessRole)
    data = tmp_path / "perf.data"
    record = ["perf", "record", "-q", "-g", "-e", "sched:sched_switch", "-p", str(session.initiator.pid)]
    subprocess.run([*record, "-o", str(data), "--", "sleep", "1"], check=True, capture_output=True)
    stacks = subprocess.check_output(["perf", "script", "-i", str(data)], text=True, stderr=subprocess.DEVNULL)
    assert stacks.count("sk_stream_wait_memory") > 20


# ---------------------------------------------------------------- faults


def _pid_of(bench: Bench, name: str) -> int:
    pids = processes.of_run(bench.run_id)
    return next(pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == name)


def test_a_target_that_is_killed_is_told(bench: Bench) -> None:
    session = bench.begin(*SMALL)
    os.kill(_pid_of(bench, "tgtd"), signal.SIGKILL)
    time.sleep(0.2)
    with pytest.raises(
        TrafficError, match=r"session 1: the (target closed the connection|connection broke).*tgtd is gone"
    ):
        session.mark()


def test_the_kernel_ends_tgtd_with_its_keeper(bench: Bench) -> None:
    bench.begin(*SMALL)
    os.kill(_pid_of(bench, "ob-target"), signal.SIGKILL)
    deadline = time.monotonic() + 5
    while "tgtd" in bench.left() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "tgtd" not in bench.left()


def test_an_initiator_that_is_killed_is_told(bench: Bench) -> None:
    session = bench.begin(*SMALL)
    os.kill(_pid_of(bench, "ob-initiator"), signal.SIGKILL)
    with pytest.raises(TrafficError, match=r"the iSCSI initiator \(this host, device under test\) ended unasked"):
        session.mark()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("password", "guessed", "authentication failed"),
        ("user", "nobody", "authentication failed"),
        ("target_name", "iqn.2004-01.org.offloadbench:another", "does not exist"),
        ("initiator_name", "iqn.2004-01.org.offloadbench:stranger", "not for this initiator"),
        ("port", 1, "Connection refused"),
    ],
)
def test_a_login_that_cannot_be_is_told(bench: Bench, key: str, value: object, words: str) -> None:
    def spoil(order: Order) -> Order:
        if not isinstance(order, OpenInitiator):
            return order
        changes: dict[str, Any] = {key: value}
        return replace(order, login=replace(order.login, **changes))

    with pytest.raises(TrafficError, match=rf"session 1: .*{words}"):
        bench.begin(*SMALL, spoil=spoil)
    assert bench.left() == []


def test_a_disk_that_is_full_is_told_in_the_targets_own_words(bench: Bench, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=True)
    try:
        with pytest.raises(TrafficError, match=r"WRITE\(16\).*medium error.*No space left on device"):
            session = bench.begin(*SMALL, f"backing={tmp_path}")
            time.sleep(0.5)
            session.mark()
    finally:
        for session in bench.sessions:
            session.close()
        subprocess.run(["umount", str(tmp_path)], check=True)


# ---------------------------------------------------------------- as a user runs it

RUN = ("run", "--nic", "lab-veth", "--workloads", "iscsi-write", "--cases", "none", "--overwrite")


def _left_of(run_id: str) -> list[str]:
    """What a run has left; other runs may be at work on this machine."""
    left = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in processes.of_run(run_id)]
    left += [name for name in (dut_namespace(run_id), peer_namespace(run_id)) if netns.exists(name)]
    return left + [str(path) for path in [processes.folder_of_run(run_id)] if path.exists()]


# another test's initiator beside it would rightly be called another process
@pytest.mark.quiet
def test_a_run_proves_its_toggles_and_keeps_latencies(offloadbench: Offloadbench, tmp_path: Path) -> None:
    output = tmp_path / "run.json"
    done = offloadbench(*RUN, "--duration", "2", "--warmup", "1", "--output", str(output))
    assert done.returncode == 0, done.stderr
    run = run_file.load(output)
    rows = trial_tables.trials([run])
    assert set(rows["outcome"]) == {"ok"}
    assert rows["toggle_proven"].all()
    for trial in run.trials:
        assert trial.load is not None
        assert trial.load.latency_us["p50"] > 0
        assert not any("ob-initiator" in warning for warning in trial.warnings)
    assert _left_of(run.run_id) == []


def test_nothing_survives_a_killed_run(environment: dict[str, str], offloadbench: Offloadbench, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "offloadbench", *RUN, "--duration", "30", "--output", str(tmp_path / "run.json")],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    state = Path(environment["OFFLOADBENCH_STATE"])
    run_id = ""
    deadline = time.monotonic() + 30
    while "ob-initiator" not in _left_of(run_id) and time.monotonic() < deadline:
        time.sleep(0.2)
        run_id = next((path.stem for path in state.glob("*.journal")), "")
    time.sleep(1)
    assert "tgtd" in _left_of(run_id)
    process.kill()
    process.wait(10)
    assert offloadbench("restore").returncode == 0
    assert _left_of(run_id) == []
