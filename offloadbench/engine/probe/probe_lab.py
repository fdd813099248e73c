"""The probe where both ends are ours: the route, the offloads, what TCP remembers, and how the server writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import msgspec

from offloadbench.base.errors import OffloadbenchError, UsageError
from offloadbench.changes.host_route import HostRoute
from offloadbench.changes.static_neighbour import StaticNeighbour
from offloadbench.definitions import catalog
from offloadbench.engine.probe.observe import MERGING, UNSCALED_BYTES, Looked, ample_window_bytes, flight
from offloadbench.engine.probe.probe_client import Client
from offloadbench.engine.probe.probe_frames import Endpoint
from offloadbench.engine.run import offloads
from offloadbench.engine.standing_bed import Site
from offloadbench.kernel.netdev import link, neighbour
from offloadbench.kernel.netdev.packet_socket import PacketSocket
from offloadbench.kernel.system import sysctl
from offloadbench.kernel.tcp import sock_diag
from offloadbench.model import FlightTrial, TcpState
from offloadbench.roles.ends import Role
from offloadbench.roles.messages import (
    EndFlight,
    FlightEnded,
    FlightListening,
    LookAtSocket,
    OpenProbeServer,
    ProbeServerReady,
    ServeFlight,
    SocketReading,
    SocketSeen,
)

CASES = ("tso", "gso", "csum")
PATTERNS = ("one", "two", "five", "exact", "idle")
# RFC 2544's range again, outside the lab's own /30; a locally administered MAC, which no stack takes for its own
ADDRESS, MAC = "198.18.0.6", "02:6f:62:00:00:01"
# never one of the server's: each connection of a probe has a port of its own
_FIRST_PORT, _PORTS = 20000, 10000
_MODULE = "offloadbench.engine.probe.probe_server"
_REQUEST = b"GET /flight".ljust(64)
_AVAILABLE = "net.ipv4.tcp_available_congestion_control"
_IP_TCP_BYTES = 40
# more than the window asked for, so that a larger one shows
_MORE_SEGMENTS = 4
# an idle restart: what grows cwnd before, and what may leave after it
_GROWTH, _BURST = 6, 8
_WARM_BYTES = 60_000
_ABSORB_S = 10.0
# the restart halves cwnd once for each RTO of silence
_SPARE_RTOS = 2


@dataclass(frozen=True, slots=True)
class Matrix:
    """What is varied, and what provokes a limit.

    Attributes:
        cases, patterns, metrics: of `CASES`, `PATTERNS` (or `given`) and cold, warm.
        window_bytes: the client's; 0: twice what is expected.
        response_bytes: of the pattern `given`, one write.
        sndbuf_bytes: SO_SNDBUF of the server, which the kernel doubles; 0: the kernel's own.
    """

    initcwnds: tuple[int, ...]
    congestion_controls: tuple[str, ...]
    cases: tuple[str, ...] = CASES
    patterns: tuple[str, ...] = PATTERNS
    metrics: tuple[Literal["cold", "warm"], ...] = ("cold", "warm")
    repeats: int = 5
    window_bytes: int = 0
    response_bytes: int = 0
    sndbuf_bytes: int = 0

    def trials(self) -> list[FlightTrial]:
        """All of them, in complete blocks; an idle restart has its own memories and is made cold only."""
        return [
            FlightTrial(
                repeat=repeat,
                case=case,
                congestion_control=algorithm,
                metrics=metrics,
                pattern=pattern,
                initcwnd=initcwnd,
            )
            for repeat in range(1, self.repeats + 1)
            for case in self.cases
            for initcwnd in self.initcwnds
            for algorithm in self.congestion_controls
            for metrics in self.metrics
            for pattern in self.patterns
            if pattern != "idle" or metrics == self.metrics[0]
        ]


def writes_bytes(pattern: str, initcwnd: int, mss_bytes: int, response_bytes: int) -> list[int]:
    """What the server writes; at initcwnd 10: one of 14 segments, 2 x 7, 5 x 2, exactly 10; idle: far more."""
    long = initcwnd + _MORE_SEGMENTS
    match pattern:
        case "given":
            return [response_bytes]
        case "two":
            return [-(-long // 2) * mss_bytes] * 2
        case "five":
            return [-(-initcwnd // 5) * mss_bytes] * 5
        case "exact":
            return [initcwnd * mss_bytes]
        case "idle":
            return [_BURST * initcwnd * mss_bytes]
        case _:
            return [long * mss_bytes]


class Laboratory:
    """The probe's two ends on a site."""

    def __init__(self, site: Site, matrix: Matrix) -> None:
        self._site, self._matrix = site, matrix
        self._dut, self._peer = site.bed.dut, site.bed.peer
        self._check_algorithms()
        for end in (self._dut, self._peer):
            state = link.read(end.ifname, end.namespace)
            self._offered_mss_bytes = state.mtu_bytes - _IP_TCP_BYTES
        offloads.ask(site.journal, self._peer.ifname, self._peer.namespace, MERGING)
        nic, namespace = self._dut.ifname, self._dut.namespace
        site.journal.make(StaticNeighbour(address=ADDRESS, ifname=nic, namespace=namespace, mac=MAC))
        # made anew for each trial
        site.journal.add(HostRoute(address=ADDRESS, namespace=namespace))
        self._server_mac = neighbour.mac_of(nic, namespace)
        self._connections = 0

    def _check_algorithms(self) -> None:
        available = (sysctl.read(_AVAILABLE, self._dut.namespace) or "").split()
        for name in self._matrix.congestion_controls:
            if name not in available:
                raise UsageError(f"--congestion-control {name}: not in this kernel", f"known: {', '.join(available)}")

    def measure(self, seen: Callable[[FlightTrial, int, int], None]) -> list[FlightTrial]:
        """Every trial of the matrix; `seen` gets each with its number and their total."""
        planned = self._matrix.trials()
        done: list[FlightTrial] = []
        role = self._dut.launch(_MODULE, "the server")
        journal, mark, case = self._site.journal, self._site.journal.mark, ""
        try:
            role.request(OpenProbeServer(self._dut.address), ProbeServerReady)
            for trial in planned:
                if trial.case != case:
                    journal.undo_to(mark, lambda _: None)
                    case = trial.case
                    self._apply(case)
                done.append(self._one(role, trial))
                seen(done[-1], len(done), len(planned))
            journal.undo_to(mark, lambda _: None)
        finally:
            role.close()
        return done

    def _apply(self, name: str) -> None:
        (definition,) = catalog.select_cases(name)
        applied = offloads.apply(self._dut, definition, self._site.journal)
        self._site.bed.settle()
        if applied.refused:
            raise UsageError(applied.refused, "leave it out")

    def _one(self, role: Role, planned: FlightTrial) -> FlightTrial:
        namespace, initcwnd = self._dut.namespace, planned.initcwnd
        assert initcwnd is not None
        HostRoute(
            address=ADDRESS,
            namespace=namespace,
            ifname=self._dut.ifname,
            source=self._dut.address,
            initcwnd=initcwnd,
        ).apply()
        try:
            if planned.metrics == "cold":
                neighbour.forget(ADDRESS, namespace)
            elif not neighbour.remembered(ADDRESS, namespace):
                self._warm(role, planned)
            planned = msgspec.structs.replace(planned, remembered=neighbour.remembered(ADDRESS, namespace))
            if planned.metrics == "warm" and not planned.remembered:
                return msgspec.structs.replace(planned, problem="TCP remembers nothing (tcp_no_metrics_save)")
            return self._flight(role, planned, initcwnd)
        except OffloadbenchError as error:
            return msgspec.structs.replace(planned, problem=error.message)

    def _warm(self, role: Role, planned: FlightTrial) -> None:
        """A connection that ends in order, from which TCP keeps RTT and threshold."""
        with self._connection(role, planned.congestion_control, [[_WARM_BYTES]], UNSCALED_BYTES) as (client, _):
            client.request(_REQUEST)
            client.absorb(_WARM_BYTES, _ABSORB_S)
            role.request(EndFlight(), FlightEnded)
            client.finish(_ABSORB_S)

    def _flight(self, role: Role, planned: FlightTrial, initcwnd: int) -> FlightTrial:
        mss_bytes = self._offered_mss_bytes - 12
        writes = writes_bytes(planned.pattern, initcwnd, mss_bytes, self._matrix.response_bytes)
        growth = [_GROWTH * initcwnd * mss_bytes] if planned.pattern == "idle" else []
        window_bytes = self._matrix.window_bytes or ample_window_bytes(initcwnd * mss_bytes, sum(growth), sum(writes))
        rounds = [growth, writes] if growth else [writes]
        with self._connection(role, planned.congestion_control, rounds, window_bytes) as (client, wire):
            idle_us = 0
            if growth:
                client.request(_REQUEST)
                client.absorb(sum(growth), _ABSORB_S)
                idle_us = self._be_silent(role, initcwnd)
            seen = flight(client, wire, planned, lambda: client.request(_REQUEST), lambda: _look(role))
            client.reset()
            role.request(EndFlight(), FlightEnded)
        return msgspec.structs.replace(seen, writes_bytes=writes, idle_us=idle_us)

    def _be_silent(self, role: Role, initcwnd: int) -> int:
        """Long enough for cwnd to come down to the initial window; returns microseconds."""
        state = _look(role).after
        assert state is not None
        halvings = max(0, (state.snd_cwnd_segments - 1) // initcwnd).bit_length()
        idle_us = (halvings + _SPARE_RTOS) * state.rto_us
        time.sleep(idle_us * 1e-6)
        return idle_us

    @contextmanager
    def _connection(
        self, role: Role, algorithm: str, rounds: list[list[int]], window_bytes: int
    ) -> Iterator[tuple[Client, PacketSocket]]:
        order = ServeFlight(
            congestion_control=algorithm,
            sndbuf_bytes=self._matrix.sndbuf_bytes,
            rounds=tuple(tuple(sizes) for sizes in rounds),
            request_bytes=len(_REQUEST),
        )
        port = role.request(order, FlightListening).port
        local_port = _FIRST_PORT + self._connections % _PORTS
        self._connections += 1
        wire = PacketSocket(self._peer.ifname, self._peer.namespace, (self._dut.address, port), local_port)
        try:
            client = Client(
                wire,
                Endpoint(MAC, ADDRESS, local_port),
                Endpoint(self._server_mac, self._dut.address, port),
                mss_bytes=self._offered_mss_bytes,
                window_bytes=window_bytes,
            )
            client.connect()
            yield client, wire
        finally:
            wire.close()


def _look(role: Role) -> Looked:
    found = role.request(LookAtSocket(), SocketSeen)
    return Looked(_state(found.before), _state(found.after), found.write_blocked)


def _state(found: SocketReading | None) -> TcpState | None:
    if found is None:
        return None
    decoded = sock_diag.decode_info(bytes.fromhex(found.tcp_info))
    return msgspec.convert(decoded | {"sndbuf_bytes": found.sndbuf_bytes}, TcpState)
