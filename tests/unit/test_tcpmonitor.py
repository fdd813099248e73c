"""The monitor's ticks, on a made-up clock and made-up connections."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest

from offloadbench.analysis.sender import missed_ticks
from offloadbench.files.packed_columns import TCP_COLUMNS, unpack_tcp
from offloadbench.kernel.tcp import sock_diag
from offloadbench.kernel.tcp.sock_diag import TcpConnection
from offloadbench.kernel.tcp.tcp_monitor import Window
from offloadbench.roles import codec, monitor_role
from offloadbench.roles.messages import TcpGlance, TcpGlances

REPLY = bytes.fromhex(
    json.loads((Path(__file__).resolve().parents[1] / "data" / "tcp" / "replies.json").read_text())["replies"][1]
)
MS = 1_000_000


class Machine:
    """A clock that moves when somebody sleeps or reads, and the connections that are there."""

    def __init__(self) -> None:
        self.now_ns = 10**12
        self.read_ns = 10_000
        self.sleeps_longer_ns: list[int] = []
        self.connections: list[TcpConnection] = []
        self.gone: set[int] = set()

    def add(self, port: int) -> None:
        identity = port.to_bytes(48, "big")
        one = TcpConnection(
            socket.AF_INET, ("198.18.0.1", port), ("198.18.0.2", 3260), "established", 1, "cubic", identity
        )
        self.connections.append(one)

    def sleep(self, seconds: float) -> None:
        longer_ns = self.sleeps_longer_ns.pop(0) if self.sleeps_longer_ns else 0
        self.now_ns += round(seconds * 1e9) + longer_ns


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    world = Machine()

    class Watch:
        def __init__(self, connection: TcpConnection) -> None:
            self.connection = connection
            self.replies = 0

        def read(self) -> bool:
            world.now_ns += world.read_ns
            if self.connection.local[1] in world.gone:
                return False
            self.replies += 1
            return True

        def decode(self, last: int | None = None) -> dict[str, sock_diag.Column]:
            return sock_diag.decode([REPLY] * (last or self.replies))

        def close(self) -> None:
            pass

    monkeypatch.setattr(sock_diag, "connections", lambda: list(world.connections))
    monkeypatch.setattr(sock_diag, "SocketWatch", Watch)
    monkeypatch.setattr(time, "monotonic_ns", lambda: world.now_ns)
    monkeypatch.setattr(time, "sleep", world.sleep)
    return world


def test_every_tick_is_read_at_its_time(machine: Machine) -> None:
    machine.add(40000)
    window = Window(MS)
    for _ in range(100):
        window.tick()
    window.close()
    (trace,) = window.traces("dut")
    assert (trace.ticks_due, trace.ticks_taken, trace.rows) == (100, 100, 100)
    assert (trace.side, trace.connection) == ("dut", "198.18.0.1:40000 > 198.18.0.2:3260")
    columns = unpack_tcp(trace)
    assert tuple(columns) == TCP_COLUMNS
    assert columns["t_us"].tolist() == [1000 * number for number in range(100)]
    assert set(columns["sndbuf_bytes"].tolist()) == {425984}


def test_ticks_that_were_slept_through_are_missed_and_counted(machine: Machine) -> None:
    machine.add(40000)
    machine.sleeps_longer_ns = [0, 0, 3 * MS + 200_000, 400_000]
    window = Window(MS)
    for _ in range(10):
        window.tick()
    window.close()
    (trace,) = window.traces("")
    assert (trace.ticks_due, trace.ticks_taken) == (13, 10)
    times_us = unpack_tcp(trace)["t_us"].tolist()
    assert times_us[:6] == [0, 1000, 2000, 6200, 7400, 8000]
    assert trace.late_max_us == pytest.approx(3200)
    assert (trace.missed_asleep, trace.missed_reading) == (3, 0)


def test_ticks_that_a_reading_took_are_told_from_those_slept_through(machine: Machine) -> None:
    machine.add(40000)
    machine.read_ns = 2 * MS + 500_000
    window = Window(MS)
    for _ in range(10):
        window.tick()
    window.close()
    (trace,) = window.traces("")
    assert trace.missed_asleep == 0
    assert trace.missed_reading == trace.ticks_due - trace.ticks_taken > 10
    (sentence,) = missed_ticks.warnings([trace])
    assert f"{trace.missed_reading} because the sender held its socket's lock" in sentence
    assert "because its CPU" not in sentence


def test_a_trace_with_all_but_one_in_a_hundred_ticks_needs_no_warning(machine: Machine) -> None:
    machine.add(40000)
    machine.sleeps_longer_ns = [0] * 50 + [MS + 100_000]
    window = Window(MS)
    for _ in range(120):
        window.tick()
    window.close()
    assert missed_ticks.warnings(window.traces("")) == missed_ticks.warnings([]) == []


def test_a_connection_that_comes_later_is_found_and_counts_its_own_ticks(machine: Machine) -> None:
    machine.add(40000)
    window = Window(MS, connections_max=2)
    for number in range(100):
        if number == 60:
            machine.add(40001)
            window.look()
        window.tick()
    window.close()
    traces = window.traces("dut")
    assert [(one.ticks_due, one.ticks_taken) for one in traces] == [(100, 100), (40, 40)]
    assert unpack_tcp(traces[1])["t_us"][0] == pytest.approx(60_010, abs=20)


def test_a_connection_that_goes_leaves_the_others_alone(machine: Machine) -> None:
    machine.add(40000)
    machine.add(40001)
    window = Window(MS, connections_max=2)
    for number in range(50):
        if number == 20:
            machine.gone = {40000}
        window.tick()
    assert len(window) == 1
    window.close()
    assert [(one.ticks_due, one.ticks_taken) for one in window.traces("")] == [(20, 20), (50, 50)]


def test_of_a_long_window_the_middle_is_kept(machine: Machine) -> None:
    machine.add(40000)
    window = Window(MS)
    for _ in range(5000):
        window.tick()
    window.close()
    (whole,), (trace,) = window.traces("dut"), window.traces("dut", rows_max=10)
    assert (trace.rows, trace.ticks_taken) == (2000, 5000)
    assert trace.sent_segments == whole.sent_segments
    every = unpack_tcp(whole)
    assert {name: column.tolist() for name, column in unpack_tcp(trace).items()} == {
        name: column[1500:3500].tolist() for name, column in every.items()
    }


def test_no_more_connections_than_wanted_and_none_of_others(machine: Machine) -> None:
    for port in range(40000, 40010):
        machine.add(port)
    assert len(Window(MS, connections_max=4)) == 4
    assert len(Window(MS, local_port=40003, connections_max=4)) == 1
    assert len(Window(MS, remote=("198.18.0.9", 0), connections_max=4)) == 0


def test_looking_for_connections_takes_a_bounded_share_of_the_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def slow() -> list[TcpConnection]:
        looks.append(machine.now_ns)
        machine.now_ns += MS
        return []

    monkeypatch.setattr(sock_diag, "connections", slow)
    window = Window(MS, connections_max=4)
    for _ in range(2000):
        window.tick()
        window.look()
    assert len(looks) * MS <= 0.01 * 2000 * MS
    window.close()
    assert window.traces("") == []


def test_a_glance_is_the_last_reading(machine: Machine) -> None:
    machine.add(40000)
    window = Window(MS)
    assert window.glance() == []
    window.tick()
    ((name, values),) = window.glance()
    assert name.startswith("198.18.0.1:40000")
    assert values["sndbuf_bytes"] == 425984
    assert (
        codec.decode(codec.encode(TcpGlances((TcpGlance(name, values),))), TcpGlances).connections[0].values == values
    )


def test_a_priority_that_is_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.sched_setscheduler", refuse)
    assert "Operation not permitted" in monitor_role.real_time(20)
    assert monitor_role.real_time(0) == ""
