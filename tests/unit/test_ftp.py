"""FTP traffic: its parameters, and both roles over the loopback device with a real server."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from offloadbench import traffic
from offloadbench.base.errors import TrafficError, UsageError
from offloadbench.definitions import catalog
from offloadbench.model import WorkloadDefinition
from offloadbench.roles.messages import OpenFtpClients
from offloadbench.traffic.ftp.ftp_kind import FtpSession, FtpTraffic
from tests.unit.builders import workload
from tests.unit.loopback import LoopbackEnd


def _definition(**changes: object) -> WorkloadDefinition:
    return workload(**(catalog.workload("ftp-get").parameters | changes))


# reno is compiled into every kernel
_SMALL = {"clients": 3, "files": 2, "file_size": "96KiB", "congestion_control": "reno"}


def test_the_shipped_workload_is_the_origins_experiment() -> None:
    kind = traffic.from_definition(catalog.workload("ftp-get"))
    settings = kind.settings()
    assert (settings["clients"], settings["files"], settings["file_bytes"]) == (32, 8, 128 << 20)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clients", 0),
        ("clients", 1001),
        ("clients", "many"),
        ("clients", True),
        ("clients", 2.5),
        ("files", 0),
        ("file_size", "big"),
        ("file_size", 0),
        ("file_size", -1),
        ("discard", "keep"),
        ("sendfile_block", "4 MiBs"),
        ("window", "-1"),
        ("wake_at", ""),
        ("passive_ports", "many"),
        ("passive_ports", "40000"),
        ("passive_ports", "40999-40000"),
        ("passive_ports", "40000-40010"),
    ],
)
def test_a_wrong_parameter_is_a_usage_error(key: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        FtpTraffic(_definition(**{key: value}))
    assert caught.value.exit_code == 2
    assert caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("ports", ["70000-71000", "0-999"])
def test_ports_that_do_not_exist_are_a_usage_error(ports: str) -> None:
    with pytest.raises(UsageError, match="passive_ports"):
        FtpTraffic(_definition(passive_ports=ports))


@pytest.mark.parametrize(
    ("clients", "last"), [(1, 40999), (32, 40999), (499, 40999), (500, 41000), (750, 41500), (1000, 42000)]
)
def test_the_shipped_ports_follow_the_clients(clients: int, last: int) -> None:
    assert FtpTraffic(_definition(clients=clients)).passive_ports == (40000, last)


@pytest.mark.parametrize(("ports", "clients"), [("40000-40998", 500), ("30000-31999", 1000), ("64000-65535", 800)])
def test_ports_that_somebody_chose_are_taken_as_they_are(ports: str, clients: int) -> None:
    with pytest.raises(UsageError, match=f"{clients} clients need two ports each"):
        FtpTraffic(_definition(passive_ports=ports, clients=clients))


@pytest.mark.parametrize("key", sorted(catalog.workload("ftp-get").parameters))
def test_a_missing_parameter_is_named(key: str) -> None:
    parameters = catalog.workload("ftp-get").parameters
    with pytest.raises(UsageError, match=f"{key} is missing"):
        FtpTraffic(workload(**{name: value for name, value in parameters.items() if name != key}))


Start = Callable[..., tuple[FtpSession, LoopbackEnd]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("OFFLOADBENCH_CACHE", str(tmp_path))
    sessions: list[FtpSession] = []

    def begin(in_flight_bytes: int = 0, **changes: object) -> tuple[FtpSession, LoopbackEnd]:
        kind = FtpTraffic(_definition(**(_SMALL | changes)))
        kind.prepare(lambda text: None)
        end = LoopbackEnd()
        sessions.append(kind.start(end, end, in_flight_bytes))
        return sessions[-1], end

    yield begin
    for session in sessions:
        session.close()


def test_every_byte_sent_is_received_and_whole_files_are_counted(start: Start) -> None:
    session, end = start()
    opened = session.mark()
    closed = session.mark()
    while closed.payload_bytes < opened.payload_bytes + 10 * 96 * 1024:
        closed = session.mark()
    load = session.finish(opened, closed)
    assert load.bytes_sent == load.bytes_received > 0
    assert load.payload_bytes == closed.payload_bytes - opened.payload_bytes
    assert load.interval_s == pytest.approx(closed.t_s - opened.t_s)
    assert load.interval_s > 0
    assert load.transfers_complete >= 6
    assert load.transfers_complete * 96 * 1024 <= load.bytes_received
    assert load.clients == 3
    session.close()
    session.close()
    assert not any(role.running() for role in end.roles)


def test_both_ends_end_by_themselves_once_all_is_accounted_for(start: Start) -> None:
    session, end = start()
    opened = session.mark()
    session.finish(opened, session.mark())
    deadline = time.monotonic() + 30
    while any(role.running() for role in end.roles) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(role.running() for role in end.roles)


def test_copying_clients_with_small_windows_lose_nothing_either(start: Start) -> None:
    session, _ = start(in_flight_bytes=3 * 32768, discard="copy")
    opened = session.mark()
    load = session.finish(opened, session.mark())
    assert load.bytes_sent == load.bytes_received > 0
    assert load.settings["window_bytes"] == 32768


def test_a_transfer_in_flight_at_the_end_is_cut_and_not_counted_as_complete(start: Start) -> None:
    session, _ = start(clients=1, file_size="8MiB", files=1)
    opened = session.mark()
    load = session.finish(opened, session.mark())
    assert load.bytes_sent == load.bytes_received
    assert load.transfers_complete == load.bytes_received // (8 << 20)
    assert load.transfers_cut >= bool(load.bytes_received % (8 << 20))
    assert load.transfers_complete + load.transfers_cut >= 1


def test_a_server_that_is_killed_in_the_middle_is_a_traffic_error(start: Start) -> None:
    session, end = start()
    opened = session.mark()
    os.kill(end.roles[0].pid, signal.SIGKILL)
    with pytest.raises(TrafficError):
        session.finish(opened, opened)


def test_a_wrong_password_is_an_error_event_with_the_servers_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFLOADBENCH_CACHE", str(tmp_path))
    kind = FtpTraffic(_definition(**(_SMALL | {"clients": 1, "files": 1})))
    kind.prepare(lambda text: None)
    dut = LoopbackEnd()
    peer = LoopbackEnd(lambda order: replace(order, password="guessed") if isinstance(order, OpenFtpClients) else order)
    with pytest.raises(TrafficError, match="530"):
        kind.start(dut, peer, 0)
    assert not any(role.running() for role in dut.roles + peer.roles)


def test_a_congestion_control_that_this_kernel_lacks_fails_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFLOADBENCH_CACHE", str(tmp_path))
    kind = FtpTraffic(_definition(**(_SMALL | {"congestion_control": "nonesuch"})))
    kind.prepare(lambda text: None)
    end = LoopbackEnd()
    with pytest.raises(TrafficError, match="the FTP server"):
        kind.start(end, end, 0)
    assert not any(role.running() for role in end.roles)


@pytest.fixture
def few_open_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_open_files")
def test_more_clients_than_a_process_may_have_files_open_all_receive(start: Start) -> None:
    session, _ = start(clients=300, file_size="4KiB")
    opened = session.mark()
    load = session.finish(opened, session.mark())
    assert load.clients == 300
    assert load.bytes_sent == load.bytes_received >= 300 * 4096
