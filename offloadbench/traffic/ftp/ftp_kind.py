"""The FTP kind of traffic: parameters, and the two roles that play it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offloadbench.base.errors import TrafficError, UsageError
from offloadbench.changes.change import Change
from offloadbench.model import Load, WorkloadDefinition
from offloadbench.roles.ends import End, Role, accompany
from offloadbench.roles.messages import (
    CountNow,
    DrainFtpServer,
    FinishFtpClients,
    FtpClientsCounted,
    FtpClientsFinished,
    FtpClientsReady,
    FtpClientsSettled,
    FtpServerReady,
    FtpServerReport,
    OpenFtpClients,
    OpenFtpServer,
    ReportFtpServer,
)
from offloadbench.traffic import files
from offloadbench.traffic.kind_of_traffic import Mark
from offloadbench.traffic.parameters import integer, size_bytes

_START_TIMEOUT_S = 90.0
_FINISH_TIMEOUT_S = 90.0
_DISCARDS = ("kernel", "copy")
# as they ship: with more clients the range goes on upwards, so that run files stay comparable whoever has how many
_SHIPPED_PORTS = "40000-40999"
# a client may take the next one before the server has given back its last
_PORTS_EACH = 2


def _ports(text: str, clients: int) -> tuple[int, int]:
    """First and last port that the server may take for data connections.

    Raises:
        ValueError: the text is no range.
    """
    first, _, last = text.partition("-")
    ports = int(first), int(last)
    return (ports[0], max(ports[1], ports[0] + _PORTS_EACH * clients)) if text == _SHIPPED_PORTS else ports


class FtpTraffic:
    """Parameters of workloads/ftp-get.toml, checked."""

    def __init__(self, definition: WorkloadDefinition) -> None:
        parameters = definition.parameters
        try:
            self.clients = integer(parameters, "clients", 1, 1000)
            self.file_count = integer(parameters, "files", 1, 1000)
            self.file_bytes = size_bytes(parameters, "file_size")
            self.discard = str(parameters["discard"])
            self.congestion_control = str(parameters["congestion_control"])
            self.sendfile_block_bytes = size_bytes(parameters, "sendfile_block")
            self.window_bytes = size_bytes(parameters, "window")
            self.wake_at_bytes = size_bytes(parameters, "wake_at")
            self.passive_ports = _ports(str(parameters["passive_ports"]), self.clients)
        except KeyError as error:
            raise UsageError(
                f"workload {definition.name}: {error.args[0]} is missing", "see workloads/ftp-get.toml"
            ) from error
        except ValueError as error:
            raise UsageError(f"workload {definition.name}: passive_ports: {error}", "write 40000-40999") from error
        if self.discard not in _DISCARDS:
            raise UsageError(f"discard = {self.discard!r}", f"write one of {', '.join(_DISCARDS)}")
        if not 1 <= self.passive_ports[0] <= self.passive_ports[1] <= 65535:
            raise UsageError(f"workload {definition.name}: passive_ports are not ports", "write 40000-40999")
        if self.file_bytes < 1:
            raise UsageError(f"file_size = {parameters['file_size']!r}: at least 1 byte", "write 128MiB")
        if self.passive_ports[1] - self.passive_ports[0] < _PORTS_EACH * self.clients:
            least = min(65535, self.passive_ports[0] + _PORTS_EACH * self.clients)
            raise UsageError(
                f"passive_ports = {parameters['passive_ports']!r}: {self.clients} clients need two ports each",
                f"write {self.passive_ports[0]}-{least}, or more",
            )
        self._folder = Path()
        self._names: list[str] = []

    def prepare(self, tell: Callable[[str], None]) -> None:
        self._folder, self._names = files.provide(self.file_count, self.file_bytes, tell)

    def settings(self) -> dict[str, Any]:
        return {
            "clients": self.clients,
            "files": self.file_count,
            "file_bytes": self.file_bytes,
            "discard": self.discard,
            "congestion_control": self.congestion_control,
            "sendfile_block_bytes": self.sendfile_block_bytes,
        }

    def check_peer(self, peer: End) -> None:
        """python3 is enough there."""

    def may_leave(self, run_id: str) -> list[Change]:
        del run_id
        return []

    def start(self, dut: End, peer: End, in_flight_bytes: int) -> FtpSession:
        window_bytes = self.window_bytes or in_flight_bytes // self.clients
        files.require_memory(self.file_count * self.file_bytes)
        # made for this trial and known to its two processes only; given by pipe, never on a command line
        user, password = f"bench-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
        server = dut.launch("offloadbench.traffic.ftp.ftp_server", "the FTP server")
        clients: Role | None = None
        try:
            # its interpreter starts while the server locks its files
            clients = peer.launch("offloadbench.traffic.ftp.ftp_clients", "the FTP clients")
            accompany(server, clients)
            serving = OpenFtpServer(
                address=dut.address,
                folder=str(self._folder),
                files=tuple(self._names),
                user=user,
                password=password,
                congestion_control=self.congestion_control,
                sendfile_block_bytes=self.sendfile_block_bytes,
                first_passive_port=self.passive_ports[0],
                last_passive_port=self.passive_ports[1],
            )
            ready = server.request(serving, FtpServerReady)
            receiving = OpenFtpClients(
                address=dut.address,
                port=ready.port,
                user=user,
                password=password,
                clients=self.clients,
                files=tuple(self._names),
                file_bytes=self.file_bytes,
                window_bytes=window_bytes,
                # a receiver that waits for more than its window holds would wait for ever
                wake_at_bytes=min(self.wake_at_bytes, window_bytes // 4) if window_bytes else self.wake_at_bytes,
                discard=self.discard,
            )
            clients.request(receiving, FtpClientsReady, _START_TIMEOUT_S)
        except BaseException:
            for role in (clients, server):
                if role:
                    role.close()
            raise
        settings = {**self.settings(), "window_bytes": window_bytes, "files_locked": not ready.unlocked}
        if ready.unlocked:
            settings["files_not_locked_because"] = ready.unlocked
        return FtpSession(server, clients, self.clients, settings)


@dataclass(frozen=True, slots=True)
class _FtpMark(Mark):
    """A mark that knows what the server had read from the disk so far."""

    disk_read_bytes: int | None


class FtpSession:
    """Clients that receive. The protocol is `offloadbench.traffic.kind_of_traffic.Session`."""

    def __init__(self, server: Role, clients: Role, count: int, settings: dict[str, Any]) -> None:
        self._server = server
        self._clients = clients
        self._count = count
        self._settings = settings
        self.watched: list[tuple[str, int]] = []

    def mark(self) -> _FtpMark:
        counted = self._clients.request(CountNow(), FtpClientsCounted)
        return _FtpMark(
            t_s=counted.t_ns * 1e-9,
            payload_bytes=counted.payload_bytes,
            cpu_s=counted.cpu_s,
            disk_read_bytes=self._server.request(ReportFtpServer(), FtpServerReport).disk_read_bytes,
        )

    def finish(self, opened: Mark, closed: Mark) -> Load:
        assert isinstance(opened, _FtpMark)
        assert isinstance(closed, _FtpMark)
        before, after = opened.disk_read_bytes, closed.disk_read_bytes
        self._clients.request(FinishFtpClients(), FtpClientsSettled, _FINISH_TIMEOUT_S)
        self._server.request(DrainFtpServer(), FtpServerReport)
        received = self._clients.receive(FtpClientsFinished, _FINISH_TIMEOUT_S)
        sent = self._server.request(ReportFtpServer(), FtpServerReport)
        # it unlocks its files, which takes a while
        self._server.release()
        # clients that were lost with their host have not told what they received last
        lost = received.lost
        difference = sent.bytes_sent - received.payload_bytes
        if difference < 0 or (difference and not lost):
            raise TrafficError(
                f"the server sent {sent.bytes_sent} bytes, the clients received {received.payload_bytes}",
                "data was lost or doubled on the way: do not trust this link",
            )
        return Load(
            clients=self._count,
            payload_bytes=closed.payload_bytes - opened.payload_bytes,
            interval_s=closed.t_s - opened.t_s,
            bytes_sent=sent.bytes_sent,
            bytes_received=received.payload_bytes,
            transfers_complete=received.complete,
            transfers_cut=received.cut,
            cpu_s=closed.cpu_s - opened.cpu_s,
            settings=self._settings,
            disk_read_bytes=None if before is None or after is None else after - before,
            problems=[f"{one}: what they received from then on is not counted" for one in lost],
        )

    def close(self) -> None:
        try:
            self._clients.close()
        finally:
            self._server.close()
