"""The plain stream: its parameters, and both roles over the loopback device."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from offloadbench import traffic
from offloadbench.base.errors import TrafficError, UsageError
from offloadbench.definitions import catalog
from offloadbench.model import WorkloadDefinition
from offloadbench.roles import codec
from offloadbench.roles.messages import Failed, OpenSink, SinkListening, SinkReady
from offloadbench.traffic.stream import stream_kind
from offloadbench.traffic.stream.stream_kind import StreamSession, StreamTraffic
from tests.unit.loopback import ADDRESS, LoopbackEnd

# reno is compiled into every kernel
_SMALL = {"congestion_control": "reno", "block_size": "64KiB"}


def _definition(**changes: object) -> WorkloadDefinition:
    shipped = catalog.workload("tcp-stream")
    parameters = shipped.parameters | changes
    return WorkloadDefinition(name=shipped.name, kind=shipped.kind, title=shipped.title, parameters=parameters)


def test_the_shipped_workload_is_one_connection_left_to_the_kernel() -> None:
    settings = traffic.from_definition(catalog.workload("tcp-stream")).settings()
    assert (settings["connections"], settings["sndbuf_bytes"], settings["congestion_control"]) == (1, 0, "cubic")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("connections", 0),
        ("connections", "one"),
        ("block_size", 0),
        ("block_size", "big"),
        ("sndbuf", "-1"),
        ("sndbuf", "1GiB"),
        ("window", "2GiB"),
        ("wake_at", ""),
    ],
)
def test_a_wrong_parameter_is_a_usage_error(key: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        StreamTraffic(_definition(**{key: value}))
    assert caught.value.hint


@pytest.mark.parametrize("key", sorted(catalog.workload("tcp-stream").parameters))
def test_a_missing_parameter_is_named(key: str) -> None:
    definition = _definition()
    del definition.parameters[key]
    with pytest.raises(UsageError, match=f"{key} is missing"):
        StreamTraffic(definition)


Start = Callable[..., tuple[StreamSession, LoopbackEnd]]


@pytest.fixture
def start() -> Iterator[Start]:
    sessions: list[StreamSession] = []

    def begin(in_flight_bytes: int = 0, **changes: object) -> tuple[StreamSession, LoopbackEnd]:
        end = LoopbackEnd()
        sessions.append(StreamTraffic(_definition(**(_SMALL | changes))).start(end, end, in_flight_bytes))
        return sessions[-1], end

    yield begin
    for session in sessions:
        session.close()


@pytest.mark.parametrize("connections", [1, 3])
def test_every_byte_sent_is_received(start: Start, connections: int) -> None:
    session, end = start(connections=connections)
    opened = session.mark()
    time.sleep(0.1)
    closed = session.mark()
    load = session.finish(opened, closed)
    assert load.bytes_sent == load.bytes_received >= closed.payload_bytes
    assert load.payload_bytes == closed.payload_bytes - opened.payload_bytes > 0
    assert (load.clients, load.transfers_complete, load.transfers_cut) == (connections, connections, 0)
    session.close()
    session.close()
    assert not any(role.running() for role in end.roles)


def test_the_connections_to_watch_are_those_to_the_sink(start: Start) -> None:
    session, _ = start(connections=2)
    ((address, port),) = session.watched
    assert address == ADDRESS
    assert 0 < port < 65536


@pytest.mark.skipif(os.geteuid() != 0, reason="SO_SNDBUFFORCE needs CAP_NET_ADMIN")
def test_the_send_buffer_asked_for_and_what_the_kernel_made_of_it_are_recorded(start: Start) -> None:
    session, _ = start(sndbuf=212992)
    opened = session.mark()
    settings = session.finish(opened, session.mark()).settings
    assert settings["sndbuf_bytes"] == 212992
    # socket(7): the kernel doubles it
    assert settings["sndbuf_at_end_bytes"] == 2 * 212992


@pytest.mark.skipif(os.geteuid() != 0, reason="SO_RCVBUFFORCE needs CAP_NET_ADMIN")
def test_a_bound_on_what_is_in_flight_is_shared_by_the_connections(start: Start) -> None:
    session, _ = start(in_flight_bytes=1 << 20, connections=4)
    opened = session.mark()
    load = session.finish(opened, session.mark())
    assert load.settings["window_bytes"] == 1 << 18
    assert load.bytes_sent == load.bytes_received > 0


@pytest.mark.parametrize("role", [0, 1])
def test_a_role_that_is_killed_in_the_middle_is_a_traffic_error(start: Start, role: int) -> None:
    session, end = start()
    opened = session.mark()
    os.kill(end.roles[role].pid, signal.SIGKILL)
    with pytest.raises(TrafficError):
        session.finish(opened, opened)


def test_a_sender_that_hangs_is_named_with_what_it_was_to_do_and_what_was_last_heard(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, end = start(in_flight_bytes=1 << 16)
    sink, sender = end.roles
    opened = session.mark()
    # nobody reads: the window closes, and the last block stays in the send buffer
    os.kill(sink.pid, signal.SIGSTOP)
    time.sleep(0.5)
    monkeypatch.setattr(stream_kind, "_FINISH_TIMEOUT_S", 2.5)
    try:
        with pytest.raises(TrafficError) as caught:
            session.finish(opened, opened)
    finally:
        os.kill(sink.pid, signal.SIGCONT)
    message = caught.value.message
    assert message.startswith("the sender (this host) gave no 'sender report' within 2 s: it was to send what is left")
    assert "last heard 'sender ready'" in message
    assert f"its process {sender.pid} sleeps in " in message
    assert "; the sink (this host): it was to count what has arrived" in message
    assert "last heard 'sink counted'" in message
    assert "\n" not in message


def test_a_sender_that_dies_is_named_with_what_it_was_to_do(start: Start) -> None:
    session, end = start()
    opened = session.mark()
    os.kill(end.roles[1].pid, signal.SIGKILL)
    with pytest.raises(TrafficError, match=r"^the sender \(this host\) ended unasked: .*it was to send what is left"):
        session.finish(opened, opened)


def test_who_waits_for_the_sender_hears_that_the_sink_has_died(start: Start) -> None:
    session, end = start(in_flight_bytes=1 << 16)
    opened = session.mark()
    os.kill(end.roles[0].pid, signal.SIGKILL)
    # by the sender's own broken connection, or by the sink's end
    with pytest.raises(TrafficError, match=r"the (sender|sink) \(this host\)"):
        session.finish(opened, opened)


def test_a_congestion_control_that_this_kernel_lacks_fails_the_start() -> None:
    end = LoopbackEnd()
    with pytest.raises(TrafficError, match=r"the sender \(this host\): congestion_control = 'nonesuch': No such file"):
        StreamTraffic(_definition(**(_SMALL | {"congestion_control": "nonesuch"}))).start(end, end, 0)
    assert not any(role.running() for role in end.roles)


def test_a_sink_waits_for_a_sender_that_takes_its_time_to_start() -> None:
    program = "from offloadbench.traffic.stream import sink; sink.STALL_S = 0.2; sink.main()"
    words = [sys.executable, "-c", program]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sink:
        assert sink.stdin is not None
        assert sink.stdout is not None
        order = OpenSink(address=ADDRESS, connections=1, window_bytes=0, wake_at_bytes=1)
        sink.stdin.write(codec.encode(order) + b"\n")
        sink.stdin.flush()
        port = codec.decode(sink.stdout.readline(), SinkListening).port
        # its own look at the clock comes every 0.5 s
        time.sleep(1.5)
        with socket.create_connection((ADDRESS, port)) as sender:
            sender.sendall(b"x")
            codec.decode(sink.stdout.readline(), SinkReady)
            assert "nothing arrived" in codec.decode(sink.stdout.readline(), Failed).message
