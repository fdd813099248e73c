"""The stage of one trial: bed, ends, traffic, recorder and counters made up, each able to fail, on a fake machine."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from offloadbench.bed.cpus import Placement
from offloadbench.bed.testbed import Cable
from offloadbench.engine.progress_events import Event
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.run import trial_run as trials
from offloadbench.engine.run.profiler import Wanted
from offloadbench.engine.run.sampler import Sampler
from offloadbench.engine.run.window_counts import CountedWindow
from offloadbench.kernel.counters import network_counters
from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.kernel.system import cpu_idle
from offloadbench.kernel.trace import perf, tracepoints
from offloadbench.model import (
    DriverStatistics,
    Load,
    Nic,
    PacketShapes,
    PeerReport,
    Plan,
    PlannedCase,
    PlannedTrial,
    Trial,
    WireDirection,
    WireReport,
)
from offloadbench.roles.ends import Role
from offloadbench.traffic.kind_of_traffic import Mark
from tests.unit import builders
from tests.unit.machine import NIC, Machine

CASE = builders.case(
    "csum",
    {"tx-tcp-segmentation": False, "tx-generic-segmentation": False, "rx-checksum": False, "tx-unknown": True},
    defining=("tx-tcp-segmentation",),
    gso_max_segs=1,
)
_DIRECTION = WireDirection(frames=1, segments=1, l2_bytes=1514, dropped=0)


class Stage:
    """Bed, traffic, session, recorder and counters of a trial, all made up, each able to fail."""

    kind = "fake"
    source = "made up"
    quantum_s = 1e-9
    nic_name = NIC
    push_back = True
    peer_name = ""
    cable = Cable(line_rate_bits_per_s=10**9, rtt_s=0.02)
    counts_super_packets = False
    placement = Placement(frozenset({0}), frozenset(), frozenset({1}), frozenset({1}))

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = Machine(monkeypatch)
        self.tmp_path = tmp_path
        self.settings: dict[str, Any] = {}
        self.problems: list[str] = []
        self.name, self.address, self.ifname, self.namespace = "device under test", "192.0.2.1", NIC, None
        self.server_cpus: frozenset[int] = frozenset({0})
        self.dut = self.peer = self
        self.failing: dict[str, BaseException] = {}
        self.done: list[str] = []
        self.events: list[Event] = []
        self.behind_s = 0.0
        self.disk_read_bytes: int | None = None
        self.asleep_ratio, self.used_ratio = 0.5, 0.001
        self.counted_per_s: dict[str, float] = {}
        self.watched: list[tuple[str, int]] = []
        self.in_flight_bytes = -1
        self.found: Nic | None = None
        self.statistics = DriverStatistics(ifname=NIC, driver="veth", interval_s=2.0, growth={}, unmoved=[])
        self.counted_window = CountedWindow()
        self.evidence = [PacketShapes(tracepoint="net:net_dev_queue", shapes=[[1514, -1, -1, 5]])]
        self._tick = itertools.count()
        monkeypatch.setattr(trials, "Sampler", functools.partial(Sampler, period_s=0.005))
        monkeypatch.setattr(trials, "EVIDENCE_S", 0.0)
        # the addresses of these ends are no neighbours of this machine
        monkeypatch.setattr(trials, "forget_earlier_trials", lambda _: self.done.append("forget earlier trials"))
        monkeypatch.setattr(tracepoints, "PacketRecorder", self._act("packet recorder", lambda *_: Packets(self)))
        monkeypatch.setattr(tracepoints, "shapes", self._act("read evidence", lambda *_: self.evidence))
        monkeypatch.setattr(network_counters, "NetworkCounters", self._act("open counters", lambda *_: self))
        monkeypatch.setattr(trials, "WindowCounts", self._act("ask the driver", lambda *_: Statistics(self)))
        monkeypatch.setattr(network_counters, "system", self._act("system counters", lambda *_: self._counts()))
        monkeypatch.setattr(perf, "PerfRecorder", self._act("recorder", lambda *_: Recorder(self)))
        monkeypatch.setattr(perf, "Counter", self._act("counter", lambda *_: Counter(self)))
        profile = builders.profile_counts([(16, "K", 0, 0, 0, 1, 1)], [builders.CLOCK])
        monkeypatch.setattr(perf, "read_counts", self._act("read profile", lambda *_: profile))
        self.journal = Journal("r1", NIC)

    def step(self, name: str) -> None:
        self.done.append(name)
        if name in self.failing:
            raise self.failing[name]

    def _act(self, name: str, result: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **_: Any) -> Any:
            self.step(name)
            return result(*arguments)

        return act

    def _counts(self) -> dict[str, float]:
        return dict.fromkeys(builders.COUNTER_NAMES, float(next(self._tick)))

    # idle clock, network counters, bed, traffic and session by their methods' names

    def times(self, cpus: frozenset[int]) -> cpu_idle.IdleTime:
        del cpus
        return cpu_idle.IdleTime(0.0, 0.0)

    def read(self) -> dict[str, float]:
        self.step("read counters")
        return {}

    def settle(self) -> None:
        self.step("settle")

    def mark(self) -> Any:
        self.step("mark")
        return Mark(t_s=0.0, payload_bytes=0, cpu_s=0.0)

    def report(self) -> WireReport | None:
        self.step("wire report")
        # full-size frames, 1538 bytes each on the link
        segments = round(self.used_ratio * self.cable.line_rate_bits_per_s * 10.0 / 8 / 1538)
        carried = WireDirection(frames=segments, segments=segments, l2_bytes=segments * 1514, dropped=0)
        return WireReport(
            interval_s=10.0,
            asleep_ratio=self.asleep_ratio,
            behind_s=self.behind_s,
            late_max_s=0.0,
            late_p99_s=0.0,
            to_peer=carried,
            to_dut=_DIRECTION,
        )

    def start(self, dut: object, peer: object, in_flight_bytes: int) -> Stage:
        del dut, peer
        self.in_flight_bytes = in_flight_bytes
        self.step("start traffic")
        return self

    def finish(self, opened: Mark, closed: Mark) -> Load:
        del opened, closed
        self.step("finish traffic")
        return replace(builders.load(1000, 1.0), disk_read_bytes=self.disk_read_bytes)

    def check(self) -> None:
        if "check" in self.failing:
            raise self.failing["check"]

    def peer_report(self) -> PeerReport | None:
        return None

    def close(self) -> None:
        self.done.append("close")

    def may_leave(self, run_id: str) -> list[tuple[str, dict[str, Any]]]:
        self.step("may leave")
        return []

    def prepare(self, tell: object) -> None:
        del tell

    def missing(self, tools: object) -> list[str]:
        del tools
        return []

    def is_folder(self, path: str) -> bool:
        return Path(path).is_dir()

    def state(self, sysctls: Iterable[str]) -> dict[str, str | int]:
        del sysctls
        return {}

    def counted(self) -> Reading:
        raise NotImplementedError

    def available_memory_bytes(self) -> int:
        return 1 << 40

    def check_peer(self, peer: object) -> None:
        del peer

    def launch(self, module: str, title: str, cpus: frozenset[int] | None = None) -> Role:
        raise NotImplementedError(module, title, cpus)

    def run(self, case: PlannedCase | None = None, *, profile: bool = True) -> Trial:
        plan = Plan(cases=[], workloads=[], repeats=1, duration_s=2, warmup_s=0.0, seed=1, order=[], profile=profile)
        setting = trials.TrialSetting(
            bed=self,
            idle_clock=self,
            counts_super_packets=self.counts_super_packets,
            header_bytes=66,
            plan=plan,
            journal=self.journal,
            folder=self.tmp_path,
            profile=Wanted([builders.CLOCK] if profile else []),
            emit=self.events.append,
            nic=self.found,
        )
        planned = PlannedTrial(repeat=1, workload="ftp-get", case="csum")
        traffic: Any = self
        return trials.run_trial(setting, planned, case or PlannedCase(definition=CASE, also_named=["x"]), traffic)

    def assert_put_back(self) -> None:
        assert self.machine.max_segs == 65535
        assert all(feature.wanted for feature in self.machine.features.values())
        assert self.journal.mark == 0


class Packets:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def ready(self) -> None:
        self._stage.step("packet recorder ready")

    def record(self, seconds: float) -> None:
        del seconds
        self._stage.step("evidence")

    def finish(self) -> Path:
        self._stage.step("finish packet recorder")
        return self._stage.tmp_path / "evidence"

    def close(self) -> None:
        self._stage.done.append("close packet recorder")


class Recorder:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.pid = 2**22 + 1

    def ready(self) -> None:
        self._stage.step("recorder ready")

    def stop(self) -> None:
        self._stage.step("stop recorder")

    def enable(self) -> None:
        self._stage.step("enable")

    def disable(self) -> None:
        self._stage.step("disable")

    def finish(self) -> Path:
        self._stage.step("finish recorder")
        path = self._stage.tmp_path / "x.perf.data"
        path.write_bytes(b"PERFILE2")
        return path

    def close(self) -> None:
        self._stage.done.append("close recorder")


class Statistics:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def open(self) -> None:
        self._stage.step("ask the driver at the window")

    def shut(self) -> None:
        self._stage.step("ask the driver again")

    def finish(self, *, failed: bool) -> CountedWindow:
        self._stage.step("ask the driver why" if failed else "judge the driver")
        return dataclasses.replace(self._stage.counted_window, statistics=[self._stage.statistics])

    def close(self) -> None:
        self._stage.done.append("close statistics")


class Counter:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.pid = 2**22 + 2

    def ready(self) -> None:
        self._stage.step("counter ready")

    def stop(self) -> None:
        self._stage.step("stop counter")

    def enable(self) -> None:
        self._stage.step("enable counter")

    def disable(self) -> None:
        self._stage.step("disable counter")

    def finish(self) -> tuple[dict[str, float], str]:
        self._stage.step("finish counter")
        return dict(self._stage.counted_per_s), ""

    def close(self) -> None:
        self._stage.done.append("close counter")
