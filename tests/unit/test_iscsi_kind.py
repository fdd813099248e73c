"""The iSCSI workload: its parameters, the load's numbers, and what tgt counts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest

from offloadbench import traffic
from offloadbench.base.errors import HostError, TrafficError, UsageError
from offloadbench.bed.local import LocalEnd
from offloadbench.definitions import catalog
from offloadbench.model import WorkloadDefinition
from offloadbench.traffic.iscsi import existing, tgt
from offloadbench.traffic.iscsi.command import Command
from offloadbench.traffic.iscsi.iscsi_kind import IscsiSession, IscsiTraffic
from offloadbench.traffic.iscsi.load import QueuedLoad, Shape, pattern, stamp
from offloadbench.traffic.iscsi.pdu import IscsiError
from offloadbench.traffic.iscsi.target import open_disk
from tests.unit.loopback import LoopbackEnd

SHIPPED = catalog.workload("iscsi-write")
PEER = LocalEnd("load side", "127.0.0.1", "lo", None, frozenset())


def _definition(**changes: object) -> WorkloadDefinition:
    return msgspec.structs.replace(SHIPPED, parameters=SHIPPED.parameters | changes)


def test_the_shipped_workload_is_the_origins_experiment() -> None:
    settings = traffic.from_definition(SHIPPED).settings()
    assert (settings["operation"], settings["transfer_bytes"], settings["queue_depth"]) == ("write", 4 << 20, 4)
    assert settings["offered"]["InitialR2T"] == "No"
    # 16 MiB, but for the protocol's 24 bits
    assert settings["offered"]["MaxBurstLength"] == str((16 << 20) - 512)


def test_the_protocols_defaults_can_be_set_from_the_command_line() -> None:
    words = ["initial_r2t=true", "max_burst=256KiB", "first_burst=64KiB", "max_recv_data_segment=8192"]
    definition = catalog.override_parameters([SHIPPED], words)[0]
    offered = IscsiTraffic(definition).settings()["offered"]
    assert offered["InitialR2T"] == "Yes"
    assert (offered["MaxBurstLength"], offered["FirstBurstLength"]) == ("262144", "65536")
    assert offered["MaxRecvDataSegmentLength"] == "8192"


def test_every_parameter_can_be_set_from_the_command_line(tmp_path: Path) -> None:
    words = (
        "sndbuf=212992 window=4MiB header_digest=true data_digest=true sessions=2 queue_depth=2 fua=true verify=true"
    )
    settings = catalog.override_parameters([SHIPPED], [*words.split(), f"backing={tmp_path}", "lun_size=64MiB"])[0]
    kind = IscsiTraffic(settings)
    assert kind.send_buffer_bytes == 212992
    assert kind.window_bytes == 4 << 20
    assert kind.verify
    assert kind.settings()["offered"]["DataDigest"] == "CRC32C"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("block_size", "6KiB"),
        ("block_size", "1KiB"),
        ("block_size", "big"),
        ("queue_depth", 0),
        ("queue_depth", True),
        ("queue_depth", "4"),
        ("max_burst", "17MiB"),
        ("max_burst", "1MiB"),
        ("first_burst", 511),
        ("initial_r2t", "no"),
        ("operation", "erase"),
        ("sessions", 65),
        ("sndbuf", "-1"),
        ("congestion_control", 5),
        ("backing", "no/whole/path"),
        ("lun_size", "12MiB"),
        ("verify", True),
    ],
)
def test_a_wrong_parameter_is_a_usage_error(key: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        IscsiTraffic(_definition(**{key: value}))
    assert caught.value.exit_code == 2
    assert caught.value.message
    assert caught.value.hint


# of an existing target: they came later than runs that can still be resumed
LATER = {"target", *existing.OPTIONS}


@pytest.mark.parametrize("key", sorted(SHIPPED.parameters.keys() - LATER))
def test_a_missing_parameter_is_named(key: str) -> None:
    parameters = {name: value for name, value in SHIPPED.parameters.items() if name != key}
    with pytest.raises(UsageError, match=f"{key} is missing"):
        IscsiTraffic(msgspec.structs.replace(SHIPPED, parameters=parameters))


def test_a_definition_of_before_there_were_existing_targets_has_the_runs_own() -> None:
    parameters = {name: value for name, value in SHIPPED.parameters.items() if name not in LATER}
    IscsiTraffic(msgspec.structs.replace(SHIPPED, parameters=parameters))
    assert existing.parse(parameters, "iscsi-write", {}) is None


def test_a_lun_that_does_not_fit_into_memory_is_told_before_the_first_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalEnd, "missing", lambda self, tools: [])
    enough = psutil.virtual_memory()._replace(available=1 << 30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: enough)
    IscsiTraffic(_definition(backing="memory")).check_peer(PEER)
    with pytest.raises(HostError, match=r"load side: .* memory is available"):
        IscsiTraffic(_definition(backing="memory", lun_size="1GiB")).check_peer(PEER)


def test_the_folder_of_the_disk_is_looked_for_at_the_load_side(tmp_path: Path) -> None:
    """The target opens it there: what this host has is no matter."""

    class Elsewhere(LocalEnd):
        def missing(self, tools: object) -> list[str]:
            del tools
            return []

        def is_folder(self, path: str) -> bool:
            return path == "/srv/disk-of-the-load-host"

    peer = Elsewhere("load side", "198.18.0.2", "eth1", None, frozenset())
    IscsiTraffic(_definition(backing="/srv/disk-of-the-load-host")).check_peer(peer)
    with pytest.raises(UsageError, match="the load side has no such folder"):
        IscsiTraffic(_definition(backing=str(tmp_path))).check_peer(peer)


def test_a_missing_target_is_told_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(HostError, match="tgtd is not installed") as caught:
        IscsiTraffic(SHIPPED).check_peer(PEER)
    assert caught.value.hint == "there: apt-get install tgt; or --workloads ftp-get"


def test_three_counts_of_the_same_bytes_must_agree() -> None:
    session = IscsiSession.__new__(IscsiSession)
    session._account(5, 5, 5)
    for counts in ((4, 5, 5), (5, 4, 5), (5, 5, 4)):
        with pytest.raises(TrafficError, match="status GOOD moved"):
            session._account(*counts)


# ---------------------------------------------------------------- the load


class InstantSession:
    """A session whose commands complete when they are told to, on a disk in memory."""

    def __init__(self) -> None:
        self.disk = bytearray(64 * 4096)
        self.commands: list[Command] = []

    def submit(self, command: Command) -> None:
        self.commands.append(command)

    def complete(self) -> None:
        """The oldest command."""
        command = self.commands.pop(0)
        self.call(command)
        assert command.on_done
        command.on_done(command)

    def call(self, command: Command) -> Command:
        at = int.from_bytes(command.cdb[2:10], "big") * 512
        if command.write is not None:
            self.disk[at : at + len(command.write)] = command.write
        if command.read is not None:
            command.read[:] = self.disk[at : at + len(command.read)]
            command.received_bytes = len(command.read)
        command.status = 0
        return command


def _load(session: Any, transfers: int = 5) -> tuple[QueuedLoad, list[str]]:
    shape = Shape(1, write=True, transfer_bytes=8192, queue_depth=2, fua=False, stamped=True)
    told: list[str] = []
    load = QueuedLoad(
        session, shape, first_block=16, block_bytes=512, transfers=transfers, on_change=lambda: told.append("changed")
    )
    load.start()
    return load, told


def test_a_load_keeps_its_queue_full_and_goes_round_its_part_of_the_lun() -> None:
    session = InstantSession()
    load, told = _load(session)
    first_blocks = []
    for _ in range(12):
        assert len(session.commands) == 2
        first_blocks.append(int.from_bytes(session.commands[0].cdb[2:10], "big"))
        session.complete()
    assert first_blocks == [16, 32, 48, 64, 80] * 2 + [16, 32]
    assert told == ["changed"]
    load.stop()
    assert not load.drained
    session.complete()
    session.complete()
    assert load.drained
    assert told == ["changed", "changed"]
    assert load.payload_bytes == 14 * 8192
    assert load.complete == 14
    assert load.verify() == 5 * 8192


@pytest.mark.parametrize("times", [1, 3, 7])
def test_reading_back_knows_the_last_write_of_every_place(times: int) -> None:
    session = InstantSession()
    load, _ = _load(session)
    load.stop()
    for _ in range(2):
        session.complete()
    for _ in range(times - 1):
        load._stopping = False
        load.start()
        load.stop()
        while session.commands:
            session.complete()
    assert load.verify() == min(2 * times, 5) * 8192


def test_a_lost_write_is_found_and_named() -> None:
    session = InstantSession()
    load, _ = _load(session)
    session.complete()
    older = bytes(session.disk)
    for _ in range(5):
        session.complete()
    load.stop()
    while session.commands:
        session.complete()
    session.disk[16 * 512 : 16 * 512 + 4096] = older[16 * 512 : 16 * 512 + 4096]
    with pytest.raises(IscsiError, match=r"block 16: byte \d .*page 0 bears number 0, written was 10"):
        load.verify()


def test_a_flipped_byte_is_found() -> None:
    session = InstantSession()
    load, _ = _load(session)
    load.stop()
    while session.commands:
        session.complete()
    session.disk[16 * 512 + 5000] ^= 1
    with pytest.raises(IscsiError, match=r"byte 5000 .*\(1 bytes differ\)"):
        load.verify()


def test_a_command_that_fails_says_where() -> None:
    session = InstantSession()
    _load(session)
    command = session.commands[1]
    command.status = 0x08
    assert command.on_done
    with pytest.raises(IscsiError, match=r"WRITE\(16\) of 16 blocks at 32: BUSY"):
        command.on_done(command)


def test_latencies_are_those_of_the_window() -> None:
    session = InstantSession()
    load, _ = _load(session)
    session.complete()
    opened_ns = load.completions._done_ns[-1]
    session.complete()
    closed_ns = load.completions._done_ns[-1]
    session.complete()
    inside = load.completions.latencies_ns(opened_ns, closed_ns)
    assert len(inside) == 1
    assert inside[0] == load.completions._latency_ns[1] >= 0


def test_no_two_pages_of_different_transfers_bear_the_same_number() -> None:
    buffer = pattern(16384)
    seen: set[int] = set()
    for transfer in range(3):
        stamp(buffer, transfer)
        seen |= set(np.frombuffer(buffer, np.uint64)[::512].tolist())
    assert len(seen) == 12
    assert pattern(16384)[8:4096] == buffer[8:4096]


# ---------------------------------------------------------------- the target


# `tgtadm --mode target --op stat`, tgt 1.0.85, two sessions; rows of LUN 0 are the controller's
_STATISTICS = """\
tgt lun sid rd_subm(bytes,cmds) rd_done(bytes,cmds) wr_subm(bytes,cmds) wr_done(bytes,cmds) errs
  1   0   1            0      0            0      0            0      0            0      0    0
  1   0   2            0      0            0      0            0      0            0      0    0
  1   1   1           68      2           68      2   3049259008    727   3045064704    726    1
  1   1   2      4194372      3           68      2      8388608      2      4194304      1    1
"""


def test_a_folder_that_takes_no_disk_is_refused_by_the_target_in_one_line() -> None:
    kind = IscsiTraffic(_definition(backing="/proc"))
    end = LoopbackEnd()
    with pytest.raises(TrafficError, match=r"^the iSCSI target \(this host\): backing = '/proc': ") as caught:
        kind.start(end, end, 0)
    assert "name a folder" in caught.value.hint
    assert not any(role.running() for role in end.roles)


def test_the_targets_own_count() -> None:
    assert tgt.count_moved_bytes(_STATISTICS) == (136, 3049259008)
    assert tgt.count_moved_bytes("") == (0, 0)


@pytest.mark.parametrize("backing", ["memory", "folder"])
def test_a_disk_has_no_name_and_can_be_opened_by_another_process(backing: str, tmp_path: Path) -> None:
    disk = open_disk("memory" if backing == "memory" else str(tmp_path), 1 << 20)
    assert disk is not None
    with disk:
        assert list(tmp_path.iterdir()) == []
        path = Path(f"/proc/{os.getpid()}/fd/{disk.fileno()}")
        assert path.stat().st_size == 1 << 20
        with path.open("r+b") as other:
            other.write(b"block")
        disk.seek(0)
        assert disk.read(5) == b"block"
    assert open_disk("null", 1 << 20) is None
