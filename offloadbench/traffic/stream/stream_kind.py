"""The stream kind of traffic: parameters, and the two roles that play it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from offloadbench.base.errors import TrafficError, UsageError
from offloadbench.changes.change import Change
from offloadbench.model import Load, WorkloadDefinition
from offloadbench.roles.ends import End, Role, accompany
from offloadbench.roles.messages import (
    CountNow,
    DrainSender,
    OpenSender,
    OpenSink,
    SenderReady,
    SenderReport,
    SinkCounted,
    SinkFinished,
    SinkListening,
    SinkReady,
)
from offloadbench.traffic.kind_of_traffic import Mark
from offloadbench.traffic.parameters import integer, size_bytes

_START_TIMEOUT_S = 60.0
_FINISH_TIMEOUT_S = 90.0
_LARGEST_BYTES = 1 << 30


class StreamTraffic:
    """Parameters of workloads/tcp-stream.toml, checked."""

    def __init__(self, definition: WorkloadDefinition) -> None:
        parameters = definition.parameters
        try:
            self.connections = integer(parameters, "connections", 1, 1000)
            self.block_bytes = size_bytes(parameters, "block_size")
            self.congestion_control = str(parameters["congestion_control"])
            self.send_buffer_bytes = size_bytes(parameters, "sndbuf")
            self.window_bytes = size_bytes(parameters, "window")
            self.wake_at_bytes = size_bytes(parameters, "wake_at")
        except KeyError as error:
            raise UsageError(
                f"workload {definition.name}: {error.args[0]} is missing", "see workloads/tcp-stream.toml"
            ) from error
        if not 1 <= self.block_bytes <= _LARGEST_BYTES:
            raise UsageError(f"block_size = {parameters['block_size']!r}: from 1 byte to 1 GiB", "write 256KiB")
        for key, value in (("sndbuf", self.send_buffer_bytes), ("window", self.window_bytes)):
            # the kernel doubles it, and keeps it in an int
            if value >= _LARGEST_BYTES:
                raise UsageError(f"{key} = {parameters[key]!r}: less than 1 GiB", "write 16MiB")

    def prepare(self, tell: Callable[[str], None]) -> None:
        """Nothing is needed before."""

    def settings(self) -> dict[str, Any]:
        return {
            "connections": self.connections,
            "block_bytes": self.block_bytes,
            "congestion_control": self.congestion_control,
            "sndbuf_bytes": self.send_buffer_bytes,
        }

    def check_peer(self, peer: End) -> None:
        if not peer.address:
            raise UsageError("tcp-stream sends to one load host, and a fleet is many", "--workloads ftp-get")

    def may_leave(self, run_id: str) -> list[Change]:
        del run_id
        return []

    def start(self, dut: End, peer: End, in_flight_bytes: int) -> StreamSession:
        window_bytes = self.window_bytes or in_flight_bytes // self.connections
        sink = peer.launch("offloadbench.traffic.stream.sink", "the sink")
        sender: Role | None = None
        try:
            receiving = OpenSink(
                address=peer.address,
                connections=self.connections,
                window_bytes=window_bytes,
                # a receiver that waits for more than its window holds would wait for ever
                wake_at_bytes=min(self.wake_at_bytes, window_bytes // 4) if window_bytes else self.wake_at_bytes,
            )
            port = sink.request(receiving, SinkListening).port
            sender = dut.launch("offloadbench.traffic.stream.stream_sender", "the sender")
            accompany(sender, sink)
            sending = OpenSender(
                address=peer.address,
                port=port,
                connections=self.connections,
                block_bytes=self.block_bytes,
                congestion_control=self.congestion_control,
                send_buffer_bytes=self.send_buffer_bytes,
            )
            sender.request(sending, SenderReady, _START_TIMEOUT_S)
            sink.receive(SinkReady, _START_TIMEOUT_S)
        except BaseException:
            for role in (sender, sink):
                if role:
                    role.close()
            raise
        settings = {**self.settings(), "window_bytes": window_bytes}
        return StreamSession(sender, sink, (peer.address, port), settings)


class StreamSession:
    """Streams that flow. The protocol is `offloadbench.traffic.kind_of_traffic.Session`."""

    def __init__(self, sender: Role, sink: Role, remote: tuple[str, int], settings: dict[str, Any]) -> None:
        self._sender = sender
        self._sink = sink
        self._settings = settings
        self.watched = [remote]

    def mark(self) -> Mark:
        counted = self._sink.request(CountNow(), SinkCounted)
        return Mark(t_s=counted.t_ns * 1e-9, payload_bytes=counted.payload_bytes, cpu_s=counted.cpu_s)

    def finish(self, opened: Mark, closed: Mark) -> Load:
        sent = self._sender.request(DrainSender(), SenderReport, _FINISH_TIMEOUT_S)
        received = self._sink.receive(SinkFinished, _FINISH_TIMEOUT_S)
        if sent.bytes_sent != received.payload_bytes:
            raise TrafficError(
                f"the sender sent {sent.bytes_sent} bytes, the sink received {received.payload_bytes}",
                "data was lost or doubled on the way: do not trust this link",
            )
        return Load(
            clients=self._settings["connections"],
            payload_bytes=closed.payload_bytes - opened.payload_bytes,
            interval_s=closed.t_s - opened.t_s,
            bytes_sent=sent.bytes_sent,
            bytes_received=received.payload_bytes,
            transfers_complete=received.complete,
            transfers_cut=0,
            cpu_s=closed.cpu_s - opened.cpu_s,
            # SO_SNDBUF at the end: twice what was asked for, or what the kernel has tuned it to
            settings={**self._settings, "sndbuf_at_end_bytes": max(sent.send_buffers_bytes)},
        )

    def close(self) -> None:
        try:
            self._sender.close()
        finally:
            self._sink.close()
