"""The kernel's initiator: its node record, and the O_DIRECT load on a disk (here a file: a disk needs a session)."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from offloadbench import traffic
from offloadbench.base.errors import HostError, UsageError
from offloadbench.bed.local import LocalEnd
from offloadbench.definitions import catalog
from offloadbench.traffic.changes.iscsi_sessions import IscsiSessions
from offloadbench.traffic.iscsi import kernel_initiator
from offloadbench.traffic.iscsi.block_load import BlockLoad
from offloadbench.traffic.iscsi.pdu import IscsiError

BLOCK = 64 << 10
OFFERS = {
    "HeaderDigest": "CRC32C",
    "DataDigest": "None",
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxRecvDataSegmentLength": "262144",
    "MaxBurstLength": "16776704",
    "FirstBurstLength": "16776704",
}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file where O_DIRECT works: /tmp may lie in memory."""
    path = Path(__file__).with_name(f".disk-{os.getpid()}")
    path.write_bytes(bytes(16 * BLOCK))
    monkeypatch.setattr(BlockLoad, "written_bytes", lambda self: 0)
    return path


def _load(disk: Path, done: threading.Event, **changes: int) -> BlockLoad:
    shape = {"transfer_bytes": BLOCK, "queue_depth": 3, "bytes_used": 8 * BLOCK} | changes
    return BlockLoad(disk, **shape, fua=False, stamped=True, on_change=done.set)


def test_a_node_record_asks_for_what_the_workload_says() -> None:
    made = kernel_initiator.record(OFFERS, sessions=2)
    assert made["node.session.iscsi.InitialR2T"] == "No"
    assert made["node.session.iscsi.MaxBurstLength"] == "16776704"
    assert made["node.conn[0].iscsi.HeaderDigest"] == "CRC32C,None"
    assert made["node.conn[0].iscsi.DataDigest"] == "None"
    assert made["node.session.nr_sessions"] == "2"


def test_writes_go_round_and_are_read_back(disk: Path) -> None:
    done = threading.Event()
    load = _load(disk, done)
    try:
        load.start()
        assert done.wait(20)
        while load.complete < 20:
            assert not load.failure
        load.stop()
        while not load.drained:
            assert not load.failure
        assert load.payload_bytes == load.complete * BLOCK
        assert load.verify() == 8 * BLOCK
        with disk.open("r+b") as stream:
            stream.seek(5 * BLOCK + 17)
            stream.write(b"!")
        with pytest.raises(IscsiError, match=f"byte {5 * BLOCK} and on"):
            load.verify()
    finally:
        load.close()
        disk.unlink()


def test_no_write_overtakes_one_to_the_same_place(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done, others_went_round = threading.Event(), threading.Event()
    load = _load(disk, done)
    write, first = os.pwritev, threading.Lock()

    def stall_once(number: int, buffers: list[bytes], offset: int, flags: int) -> int:
        if offset == 0 and first.acquire(blocking=False):
            others_went_round.wait(1.0)
            return write(number, buffers, offset, flags)
        moved = write(number, buffers, offset, flags)
        if offset == 0:
            load.stop()
            others_went_round.set()
        return moved

    monkeypatch.setattr(os, "pwritev", stall_once)
    try:
        load.start()
        while not load.drained:
            assert not load.failure
        assert load.verify() == 8 * BLOCK
    finally:
        load.close()
        disk.unlink()


def test_a_disk_that_goes_away_is_told(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    load = _load(disk, done, bytes_used=BLOCK, queue_depth=1)
    disk.unlink()

    def refuse(*arguments: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pwritev", refuse)
    load.start()
    assert done.wait(20)
    load.close()
    assert load.failure.endswith("Input/output error")


def test_it_writes_only_and_in_the_first_namespace_only() -> None:
    definition = catalog.workload("iscsi-write")
    with pytest.raises(UsageError, match="measured writing"):
        traffic.from_definition(catalog.override_parameters([definition], ["initiator=kernel", "operation=read"])[0])
    kind = traffic.from_definition(catalog.override_parameters([definition], ["initiator=kernel"])[0])
    lab = LocalEnd("device under test", "198.18.0.1", "eth9", "somewhere", frozenset({0}))
    with pytest.raises(HostError, match="first network namespace"):
        kind.start(lab, lab, 0)
    assert kind.may_leave("r1") == [IscsiSessions(prefix="iqn.2004-01.org.offloadbench:target-r1-")]
