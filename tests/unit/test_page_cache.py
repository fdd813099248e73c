"""Served files are in memory while they are served; if they are not, the trial says so."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offloadbench.base.errors import HostError
from offloadbench.definitions import catalog
from offloadbench.kernel.system import memory, page_cache
from offloadbench.model import WorkloadDefinition
from offloadbench.traffic.ftp.ftp_kind import FtpSession, FtpTraffic
from tests.unit.builders import workload
from tests.unit.loopback import LoopbackEnd
from tests.unit.served_files import UnlockingEnd, evict, memory_can_be_locked, require_disk, resident_bytes

pytestmark = pytest.mark.skipif(shutil.which("fincore") is None, reason="needs fincore of util-linux")
FILE_BYTES, FILES = 192 << 10, 2


def _definition(**changes: object) -> WorkloadDefinition:
    small = {"clients": 2, "files": FILES, "file_size": "192KiB", "congestion_control": "reno"}
    return workload(**(catalog.workload("ftp-get").parameters | small | changes))


@pytest.fixture
def kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FtpTraffic:
    monkeypatch.setenv("OFFLOADBENCH_CACHE", str(tmp_path))
    kind = FtpTraffic(_definition())
    kind.prepare(lambda text: None)
    return kind


@pytest.fixture
def files(kind: FtpTraffic, tmp_path: Path) -> Iterator[list[Path]]:
    found = sorted(tmp_path.rglob("*.bin"))
    assert len(found) == FILES
    require_disk(found[0])
    yield found


def _served(session: FtpSession, least_bytes: int) -> tuple[int | None, dict[str, object]]:
    """What the server read from the disk while so much was received, and the settings of the load."""
    opened = closed = session.mark()
    while closed.payload_bytes < opened.payload_bytes + least_bytes:
        time.sleep(0.01)
        closed = session.mark()
    load = session.finish(opened, closed)
    assert load.bytes_sent == load.bytes_received
    return load.disk_read_bytes, load.settings


@pytest.mark.skipif(not memory_can_be_locked(), reason="may not lock memory here")
def test_evicted_files_are_in_memory_when_the_server_is_ready_and_cannot_leave_it(
    kind: FtpTraffic, files: list[Path]
) -> None:
    evict(files)
    assert resident_bytes(files) == 0
    session = kind.start(LoopbackEnd(), LoopbackEnd(), 0)
    try:
        assert resident_bytes(files) == FILES * FILE_BYTES
        evict(files)
        assert resident_bytes(files) == FILES * FILE_BYTES
        read, settings = _served(session, 4 * FILES * FILE_BYTES)
    finally:
        session.close()
    assert read == 0
    assert settings["files_locked"] is True


def test_a_server_that_cannot_lock_them_reads_them_and_counts_what_left_meanwhile(
    kind: FtpTraffic, files: list[Path]
) -> None:
    evict(files)
    session = kind.start(UnlockingEnd(), LoopbackEnd(), 0)
    try:
        assert resident_bytes(files) == FILES * FILE_BYTES
        opened = closed = session.mark()
        deadline_s = time.monotonic() + 60
        # pages on their way to a client do not leave
        while closed.disk_read_bytes == opened.disk_read_bytes and time.monotonic() < deadline_s:
            evict(files)
            closed = session.mark()
        load = session.finish(opened, closed)
    finally:
        session.close()
    assert load.settings["files_locked"] is False
    assert load.settings["files_not_locked_because"]
    assert load.disk_read_bytes is not None
    assert load.disk_read_bytes > 0


def test_what_a_process_reads_from_the_disk_is_counted(files: list[Path]) -> None:
    before = page_cache.disk_read_bytes()
    if before is None:
        pytest.skip("this kernel does not count it (CONFIG_TASK_IO_ACCOUNTING)")
    evict(files)
    for path in files:
        path.read_bytes()
    after = page_cache.disk_read_bytes()
    assert after is not None
    assert after - before >= FILES * FILE_BYTES
    for path in files:
        path.read_bytes()
    assert page_cache.disk_read_bytes() == after


def test_a_trial_that_finds_no_room_for_its_files_any_more_says_so(
    kind: FtpTraffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 100 << 20)
    with pytest.raises(HostError, match=r"100 MiB of memory is available; the served files need 384 KiB"):
        kind.start(LoopbackEnd(), LoopbackEnd(), 0)


def test_a_memory_cgroup_counts_as_far_as_it_leaves_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    for folder, limit in ((inner, "max"), (inner.parent, "1000000")):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text("700000\n")
        (folder / "memory.stat").write_text("anon 300000\ninactive_file 300000\nactive_file 100000\n")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_own_cgroup", lambda: inner)
    assert memory.available_bytes() == 700000
