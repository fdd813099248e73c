"""Waits out of recorded scheduler switches, and what they add up to."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from offloadbench.analysis.sender import wait_tables as analysis
from offloadbench.base.errors import ProfilerError
from offloadbench.files.packed_columns import unpack_waits
from offloadbench.kernel.trace import scheduler_waits
from offloadbench.kernel.trace.perfdata.abi import CpuMode, RecordType, SampleField
from offloadbench.model import Waits
from tests.unit import perfdata_files as build
from tests.unit.perfdata_files import PLAIN, Attr, comm

MS = 1_000_000
OPENED_NS = 10**12
MEMORY = "__schedule schedule schedule_timeout wait_woken sk_stream_wait_memory tcp_sendmsg_locked.isra.0 tcp_sendmsg"
MEMORY += " __x64_sys_sendto do_syscall_64"
POLL = "__schedule schedule ep_poll __x64_sys_epoll_wait do_syscall_64"
FUNCTIONS = sorted({*MEMORY.split(), *POLL.split()})
_BASE = 0xFFFFFFFF81000000
KALLSYMS = "".join(f"{_BASE + 0x1000 * number:016x} t {name}\n" for number, name in enumerate(FUNCTIONS))
# include/uapi/linux/perf_event.h: PERF_CONTEXT_KERNEL
_CONTEXT_KERNEL = 2**64 - 128
_TYPE = PLAIN | SampleField.CALLCHAIN | SampleField.IDENTIFIER


def _switch(thread_of_event: int, leaving: int, at_ms: float, chain: str = "") -> bytes:
    """A sample of sched_switch: the thread that leaves, with its stack, the innermost function first."""
    ips = [_BASE + 0x1000 * FUNCTIONS.index(name) + 0x10 for name in chain.split()]
    body = struct.pack(
        "<QQiiQIIQ",
        100 + thread_of_event,
        ips[0] if ips else _BASE,
        leaving,
        leaving,
        OPENED_NS + int(at_ms * MS),
        0,
        0,
        1,
    )
    entries = [_CONTEXT_KERNEL, *ips]
    body += struct.pack(f"<Q{len(entries)}Q", len(entries), *entries)
    return struct.pack("<IHH", RecordType.SAMPLE, CpuMode.KERNEL, 8 + len(body)) + body


def _read(path: Path, threads: Sequence[int], switches: Sequence[bytes]) -> Waits:
    attrs = [Attr(sample_type=_TYPE, type=2, config=316, ids=(100 + thread,)) for thread in threads]
    path.write_bytes(build.file("<", switches, attrs))
    return scheduler_waits.read(path, threads, OPENED_NS, 1.0, KALLSYMS)


def test_a_wait_lasts_from_leaving_to_coming_back(tmp_path: Path) -> None:
    # files are not in the order of time: every CPU has its own buffer
    switches = [
        _switch(7, 0, 15),
        _switch(7, 7, 10, MEMORY),
        _switch(7, 7, 20, POLL),
        _switch(7, 0, 20.5),
        _switch(7, 7, 30, MEMORY),
        _switch(7, 99, 37),
        _switch(7, 7, 40, MEMORY),
    ]
    found = _read(tmp_path / "perf.data", [7], switches)
    columns = unpack_waits(found)
    assert columns["start_us"].tolist() == [10_000, 20_000, 30_000]
    assert columns["duration_us"].tolist() == [5000, 500, 7000]
    assert found.unfinished == 1
    memory, poll = analysis.summary(found)
    assert (memory.function, memory.count) == ("sk_stream_wait_memory", 2)
    assert memory.chain == ("__x64_sys_sendto", "tcp_sendmsg", "tcp_sendmsg_locked", "sk_stream_wait_memory")
    assert (memory.total_s, memory.median_s, memory.longest_s) == pytest.approx((0.012, 0.006, 0.007))
    assert (poll.function, poll.count) == ("ep_poll", 1)
    assert analysis.share(found) == pytest.approx(0.012)
    assert analysis.share(found, "ep_poll") == pytest.approx(0.0005)


def test_threads_are_told_apart_by_their_events(tmp_path: Path) -> None:
    switches = [
        # one goes, the other comes: a sample of each event
        _switch(7, 7, 10, MEMORY),
        _switch(8, 7, 10),
        _switch(8, 8, 12, POLL),
        _switch(7, 8, 12),
        _switch(8, 0, 16),
    ]
    columns = unpack_waits(_read(tmp_path / "perf.data", [7, 8], switches))
    assert columns["start_us"].tolist() == [10_000, 12_000]
    assert columns["duration_us"].tolist() == [2000, 4000]


def test_a_wait_that_began_before_the_window_is_left_out(tmp_path: Path) -> None:
    switches = [_switch(7, 0, 1), _switch(7, 7, -5, MEMORY), _switch(7, 7, 2, POLL), _switch(7, 0, 3)]
    found = _read(tmp_path / "perf.data", [7], switches)
    assert unpack_waits(found)["start_us"].tolist() == [2000]


def test_no_switches_are_no_waits(tmp_path: Path) -> None:
    found = _read(tmp_path / "perf.data", [7], [comm("<", 7, "sender", 0)])
    assert (found.rows, found.chains, analysis.summary(found), analysis.share(found)) == (0, [], [], 0.0)


def test_what_sleeps_is_not_what_is_waited_for() -> None:
    assert analysis.meaning(["__x64_sys_futex", "futex_wait_queue", "schedule", "__schedule"]) == "futex_wait_queue"
    assert analysis.meaning(["schedule"]) == "schedule"
    assert analysis.meaning([]) == ""


@pytest.mark.parametrize("threads", [[], list(range(1, 40)), [2**22 + 1]])
def test_threads_that_cannot_be_watched_are_refused(threads: list[int], tmp_path: Path) -> None:
    with pytest.raises(ProfilerError):
        scheduler_waits.WaitRecorder(threads, tmp_path, "none")
