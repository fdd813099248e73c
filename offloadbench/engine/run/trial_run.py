"""The life of one trial: apply the case, drive the load, prove the toggle, measure, account, put back."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from offloadbench.analysis.profile import plain_count
from offloadbench.analysis.sender import missed_ticks
from offloadbench.analysis.trial import link_emulator, metrics, standstill
from offloadbench.base.errors import OffloadbenchError, ProfilerError, TrafficError
from offloadbench.base.signals import uninterrupted
from offloadbench.base.units import format_bytes
from offloadbench.bed.testbed import Bed
from offloadbench.engine.progress_events import Emit, Note, Phase, Sampled
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.putting_back.taking_back import overwritten
from offloadbench.engine.run import offloads
from offloadbench.engine.run.cpu_use import ProcessWatch
from offloadbench.engine.run.fresh_start import forget_earlier_trials
from offloadbench.engine.run.instruments import Instruments
from offloadbench.engine.run.profiler import Wanted
from offloadbench.engine.run.readback import ReadBack, check_as_found
from offloadbench.engine.run.sampler import Reading, Sampler
from offloadbench.engine.run.window_counts import CountedWindow, WindowCounts
from offloadbench.engine.sender.account import SenderAccount, Told
from offloadbench.kernel.counters import network_counters
from offloadbench.kernel.netdev import link
from offloadbench.kernel.system import cpu_idle, processes
from offloadbench.model import (
    CpuUse,
    Evidence,
    Load,
    Nic,
    PeerReport,
    Plan,
    PlannedCase,
    PlannedTrial,
    ProfileCounts,
    Samples,
    ToolCost,
    Trial,
    WireReport,
)
from offloadbench.traffic.kind_of_traffic import Mark, Session, Traffic

EVIDENCE_S = 0.2
# what may wait on an emulated cable that cannot push back, besides the bandwidth-delay product: the queue of a
# host with pfifo_fast and 32 connections is of this size
QUEUE_BYTES = 4 << 20
# A cable that lost more of its time than this did not deliver its rate: half of the 4 % that E1's cases may differ.
# What it lost below that is missing from the throughput, truly, and is said from WIRE_NOTED_RATIO on.
WIRE_VOID_RATIO = 0.02
WIRE_NOTED_RATIO = 0.002
# more than what a library loaded late may take
DISK_VOID_BYTES = 1 << 20
STEAL_NOTED_RATIO = 0.01
Outcome = Literal["ok", "skipped", "failed"]
_REMEDY = "use a lower --line-rate, or a quieter machine"


@dataclass(frozen=True, slots=True)
class TrialSetting:
    """What stays the same for all trials of a run.

    Attributes:
        header_bytes: of a segment at layer 2, as far as that is known before a trial.
    """

    bed: Bed
    plan: Plan
    journal: Journal
    folder: Path
    profile: Wanted
    idle_clock: cpu_idle.IdleClock
    counts_super_packets: bool
    header_bytes: int
    emit: Emit
    # as the run found it; None: whatever a trial finds is right
    nic: Nic | None = None


class Skipped(Exception):
    """The trial cannot run under its name on this NIC."""


@dataclass(slots=True)
class _Capture:
    """What a trial has so far; a failure later on does not lose it."""

    applied: offloads.Applied = field(default_factory=offloads.Applied)
    counts: WindowCounts | None = None
    counted: CountedWindow = field(default_factory=CountedWindow)
    instruments: Instruments | None = None
    evidence: Evidence | None = None
    samples: Samples | None = None
    profile: ProfileCounts | None = None
    read_profile: Callable[[], ProfileCounts | None] | None = None
    load_marks: tuple[Mark, Mark] | None = None
    wire: WireReport | None = None
    peer: PeerReport | None = None
    tool: ToolCost | None = None
    cpu_use: CpuUse | None = None
    told: Told = field(default_factory=Told)
    readback: ReadBack | None = None
    changed: list[str] | None = None

    def watch(self, bed: Bed) -> None:
        """From now on: what others change, and what both ends count."""
        self.readback = ReadBack(bed, self.applied)
        self.counts = WindowCounts(bed.dut, bed.peer, self.applied.devices(bed.dut.ifname))

    def open(self) -> None:
        """The window opens."""
        assert self.readback is not None
        self.readback.open()

    def count_out(self, *, failed: bool) -> list[str]:
        """Judge what both ends counted, which traffic may have ended for; returns what a reader must know."""
        if self.counts is None:
            return []
        try:
            self.counted = self.counts.finish(failed=failed)
        finally:
            self.counts.close()
        return self.counted.warnings

    def read_back(self) -> None:
        """What somebody else has changed since the case was applied: asked once, when the window is over."""
        if self.readback is not None and self.changed is None:
            self.changed = self.readback.changes()
            self.readback.close()

    def finish_profile(self) -> None:
        """Read what perf recorded, once it has ended."""
        if self.read_profile is not None:
            self.profile = self.read_profile()

    def spoiled(self) -> list[str]:
        """Why the window's figures are not those of the case: what others changed, and when traffic stood still."""
        changed = "; ".join(self.changed or [])
        held = [f"not by this run, and while it lasted, was changed: {changed}"] if changed else []
        return held + self.counted.interruptions

    def ended(self, ifname: str, outcome: Outcome, reason: str, problem: str) -> tuple[Outcome, str, list[str]]:
        """How the trial ended after all and why, and what is only worth a warning.

        Args:
            reason: why it is not ok; problem: what could not be put back.
        """
        spoiled = self.spoiled()
        # what a watchdog saw after the window began seconds before
        hung = self.counted.after if self.samples and standstill.at_end(self.samples) else []
        spoiled += [f"the window's last second had no packet sent, and {text}" for text in hung]
        still = standstill.told(self.samples, ifname) if self.samples else ""
        # may have ended the traffic, and spoils no window by itself
        beside = [*(text for text in self.counted.outside if text not in hung), *([still] if still else [])]
        if not (spoiled or problem or outcome == "failed"):
            return outcome, reason, [*beside, *self.counted.logged]
        told = filter(None, (*spoiled, *beside, reason, problem, *self.counted.logged))
        return "failed", "; ".join(told), []


def run_trial(setting: TrialSetting, planned: PlannedTrial, case: PlannedCase, traffic: Traffic) -> Trial:
    """Run one trial to its end, whatever happens; only an interrupt leaves early, after putting back.

    Returns:
        The trial: ok, skipped with its reason, or failed with its reason and all that was captured.
    """
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    warnings: list[str] = []
    capture = _Capture()
    load = None
    outcome: Outcome = "ok"
    reason = ""
    mark = setting.journal.mark
    session: Session | None = None
    try:
        if case.skip_reason:
            raise Skipped(case.skip_reason)
        setting.emit(Phase("preparing"))
        _begin_alike(setting)
        capture.applied = offloads.apply(setting.bed.dut, case.definition, setting.journal)
        warnings += capture.applied.warnings
        setting.bed.settle()
        if capture.applied.refused:
            raise Skipped(capture.applied.refused)
        capture.watch(setting.bed)
        capture.instruments = _instruments(setting, planned, capture.applied)
        session = traffic.start(setting.bed.dut, setting.bed.peer, _in_flight_bytes(setting.bed))
        _warm_up(setting, capture.instruments, capture)
        _measure(setting, session, capture.instruments, capture, warnings)
        setting.emit(Phase("finishing"))
        load = _finish(session, capture)
        warnings += load.problems
        _judge_disk(load)
        if capture.profile:
            warnings += plain_count.warnings(capture.profile)
        _judge_wire(capture, setting.bed.cable.line_rate_bits_per_s, warnings)
    except Skipped as skip:
        outcome, reason = "skipped", str(skip)
    except OffloadbenchError as error:
        outcome, reason = "failed", error.message
    finally:
        with uninterrupted():
            try:
                capture.read_back()
                warnings += capture.count_out(failed=outcome == "failed")
                warnings += overwritten(setting.journal.changes_since(mark))
            finally:
                problem = _take_back(setting.journal, mark, session, capture.instruments)
    _read_evidence(capture, setting.emit)
    outcome, reason, told = capture.ended(setting.bed.dut.ifname, outcome, reason, problem)
    return Trial(
        repeat=planned.repeat,
        workload=planned.workload,
        case=planned.case,
        also_named=case.also_named,
        outcome=outcome,
        reason=reason,
        started_utc=started,
        warnings=[*warnings, *told],
        features=capture.applied.features,
        gso_max_segs=capture.applied.gso_max_segs,
        gso_max_size_bytes=capture.applied.gso_max_size_bytes,
        evidence=capture.evidence,
        window_s=capture.samples.t_s[-1] if capture.samples and capture.samples.t_s else 0.0,
        samples=capture.samples,
        profile=capture.profile,
        load=load,
        wire=capture.wire,
        peer=capture.peer,
        tool=capture.tool,
        cpu_use=capture.cpu_use,
        tcp=capture.told.tcp,
        waits=capture.told.waits,
        packets=capture.told.packets,
        lower_features=capture.applied.lower_features,
        statistics=capture.counted.statistics,
        peer_statistics=capture.counted.peer_statistics,
        tcp_counters=capture.counted.tcp,
        peer_tcp_counters=capture.counted.peer_tcp,
    )


def _begin_alike(setting: TrialSetting) -> None:
    """Nothing of the trials before may be left."""
    if setting.nic:
        check_as_found(setting.bed.dut, setting.nic)
    forget_earlier_trials(setting.bed)


def _instruments(setting: TrialSetting, planned: PlannedTrial, applied: offloads.Applied) -> Instruments:
    """They start beside the traffic, on the CPUs of the tool."""
    nic, name = setting.bed.dut.ifname, f"{planned.repeat}-{planned.workload}-{planned.case}"
    devices = [nic, *(applied.leaves or [nic])]
    return Instruments(setting.profile, setting.bed.placement.dut, devices, setting.folder, name)


def _finish(session: Session, capture: _Capture) -> Load:
    """Account for the traffic while perf ends; then read what it recorded, whatever the account says."""
    assert capture.load_marks is not None
    try:
        load = session.finish(*capture.load_marks)
    except OffloadbenchError:
        with contextlib.suppress(ProfilerError):
            capture.finish_profile()
        raise
    capture.finish_profile()
    return load


def _take_back(journal: Journal, mark: int, session: Session | None, instruments: Instruments | None) -> str:
    """End perf and the traffic, and undo the trial's changes, each tried whatever the other does; returns what failed.

    Changes that could not be taken back stay in the journal: the end of the run tries them again, and says so.
    """
    problems: list[str] = []

    def attempt(end: Callable[[], None]) -> None:
        try:
            end()
        except OffloadbenchError as error:
            problems.append(error.message)

    # the last first, and each of them whatever the others raise
    with contextlib.ExitStack() as ends:
        ends.callback(attempt, lambda: journal.undo_to(mark, lambda _: None))
        if session is not None:
            ends.callback(attempt, session.close)
        if instruments is not None:
            ends.callback(attempt, instruments.close)
    return "; ".join(problems)


def _in_flight_bytes(bed: Bed) -> int:
    """Bound for what may be in flight, where neither the NIC nor drops hold a sender back; 0: none is needed."""
    if bed.push_back or bed.cable.has_queue:
        return 0
    return bed.cable.capacity_bytes + QUEUE_BYTES


def _warm_up(setting: TrialSetting, instruments: Instruments, capture: _Capture) -> None:
    """Let the connections reach their pace; meanwhile look at a moment's packets for the proof of the toggle."""
    warmup_s = setting.plan.warmup_s
    setting.emit(Phase("warm-up", warmup_s))
    ends_s = time.monotonic() + warmup_s
    time.sleep(min(1.0, warmup_s / 2))
    mtu = link.read(setting.bed.dut.ifname, setting.bed.dut.namespace).mtu_bytes
    instruments.look(EVIDENCE_S)
    capture.evidence = Evidence(window_s=EVIDENCE_S, mtu_bytes=mtu, packets=[])
    time.sleep(max(0.0, ends_s - time.monotonic()))
    instruments.ready()


def _read_evidence(capture: _Capture, emit: Emit) -> None:
    """Only when the load has ended: beside it, on a full CPU, perf took twenty seconds for what takes it one."""
    instruments, evidence = capture.instruments, capture.evidence
    if instruments is None or evidence is None:
        return
    capture.evidence = replace(evidence, packets=instruments.packets())
    if instruments.problem:
        capture.evidence = replace(evidence, window_s=0.0, problem=instruments.problem)
        emit(Note(f"no evidence from tracepoints: {instruments.problem}"))


def _attend(sampler: Sampler, bed: Bed) -> None:
    """Wait for the end of the window, or for the loss of an end."""
    sampler.opened.wait()
    while sampler.is_alive():
        sampler.join(0.2)
        bed.check()


def _read(setting: TrialSetting, network: network_counters.NetworkCounters) -> Reading:
    """All counters now."""
    cpus = setting.bed.placement.dut
    idle_time = setting.idle_clock.times(cpus)
    return (
        {"cpu_idle_exact_s": idle_time.idle_s, "cpu_iowait_exact_s": idle_time.iowait_s}
        | network.read()
        | network_counters.system(cpus)
        | {"tool_cpu_s": processes.cpu_s()}
    )


def _show(setting: TrialSetting, t_s: float, difference: Reading, interval_s: float) -> None:
    """A sample, for whoever looks on."""
    available_s = interval_s * len(setting.bed.placement.dut)
    busy_s = metrics.busy(available_s, difference["cpu_idle_exact_s"], difference["cpu_steal_s"])
    segments = difference["tcp_out_segments"] + difference["tcp_retrans_segments"]
    on_cable = metrics.cable_bytes(
        difference["tx_bytes"],
        difference["tx_packets"],
        segments,
        setting.header_bytes,
        counts_super_packets=setting.counts_super_packets,
    )
    setting.emit(Sampled(t_s, on_cable * 8 / interval_s, float(busy_s) / available_s))


def _measure(
    setting: TrialSetting, session: Session, instruments: Instruments, capture: _Capture, warnings: list[str]
) -> None:
    """The measured window: perf between enable and disable, counters once a second, marks at both sides."""
    bed, seconds = setting.bed, setting.plan.duration_s
    cpus = bed.placement.dut
    network = network_counters.NetworkCounters(bed.dut.ifname, bed.dut.namespace)
    profiler = instruments.profiler
    account: SenderAccount | None = None
    try:
        account = SenderAccount(bed.dut, session.watched, bed.placement.tool, setting.folder, setting.plan)
        warnings += [account.problem] if account.problem else []
        setting.emit(Phase("measuring", seconds))
        # the driver is asked before perf starts and after it stops: a firmware may take its time to answer
        assert capture.counts is not None
        capture.counts.open()
        tool_cpu_s = processes.cpu_s()
        account.open()
        capture.open()
        use = ProcessWatch(setting.journal.run_id, cpus)
        profiler.enable()
        bed.mark()
        opened = session.mark()
        use.open()
        with Sampler(partial(_read, setting, network), seconds, partial(_show, setting)) as sampler:
            _attend(sampler, bed)
        capture.cpu_use = use.close()
        # the cable first: the load's processes may take their time to answer, and it would carry less meanwhile
        capture.wire = bed.report()
        # what it shows of a stall must outlive a load that does not answer
        capture.samples = sampler.result()
        closed = session.mark()
        capture.peer = bed.peer_report()
        perf_cpu_s = profiler.disable()
        capture.tool = ToolCost(
            cpu_s=processes.cpu_s() - tool_cpu_s,
            perf_cpu_s=perf_cpu_s,
            on_dut_cpus=bool(bed.placement.tool & cpus),
        )
        profiler.stop()
        capture.read_back()
        capture.counts.shut()
        # decoding what the sender told costs CPU: not before perf has stopped and the tool's cost is read
        capture.told = account.finish(float(seconds))
        warnings += missed_ticks.warnings(capture.told.tcp)
        capture.load_marks = (opened, closed)
        if not sampler.real_time:
            warnings.append("the sampler ran without real-time priority")
        capture.read_profile = partial(profiler.result, sampler.started_s, capture.samples.t_s[-1], use.own)
    finally:
        network.close()
        if account:
            account.close()


def _judge_disk(load: Load) -> None:
    """A server that waited for its disk measured the disk."""
    if load.disk_read_bytes is not None and load.disk_read_bytes > DISK_VOID_BYTES:
        raise TrafficError(
            f"void: the server read {format_bytes(load.disk_read_bytes)} of its files from the disk: they had left the "
            "memory",
            "free memory, or raise RLIMIT_MEMLOCK (`ulimit -l`) so that they can be locked there",
        )


def _judge_wire(capture: _Capture, line_rate_bits_per_s: int, warnings: list[str]) -> None:
    """An emulated link that was the limit or fell behind measured itself, not the device under test."""
    wire = capture.wire
    limit = link_emulator.saturated(wire, line_rate_bits_per_s)
    if limit:
        raise TrafficError(f"void: {limit}", _REMEDY)
    maybe = link_emulator.narrow(wire, line_rate_bits_per_s)
    warnings += [maybe] if maybe else []
    if wire is None or wire.behind_s is None or wire.behind_s <= WIRE_NOTED_RATIO * wire.interval_s:
        return
    text = (
        f"the link emulator could not keep up: it lost {wire.behind_s:.2f} s of {wire.interval_s:.0f} s "
        f"(asleep {wire.asleep_ratio:.0%} of the time)"
    )
    if capture.samples:
        stolen = sum(capture.samples.counters["cpu_steal_s"]) / (sum(capture.samples.counters["cpu_ticks_s"]) or 1.0)
        if stolen > STEAL_NOTED_RATIO:
            text += f"; the hypervisor took {stolen:.0%} of the CPU"
    if wire.behind_s > WIRE_VOID_RATIO * wire.interval_s:
        raise TrafficError(f"void: {text}", _REMEDY)
    warnings.append(text)
