"""The iSCSI kind of traffic: parameters, and the two roles that play it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offloadbench.ends import End, Role
from offloadbench.errors import HostError, TrafficError, UsageError
from offloadbench.kernel import open_iscsi, processes, tgt
from offloadbench.model import Load, WorkloadDefinition
from offloadbench.traffic.base import Leftover, Mark
from offloadbench.traffic.iscsi.pdu import MAX_SEGMENT_BYTES
from offloadbench.units import format_bytes, parse_size_bytes

_ROLES = {
    "user": "offloadbench.traffic.iscsi.initiator",
    "kernel": "offloadbench.traffic.iscsi.kernel_initiator",
}
_NAME_PREFIX = "iqn.2004-01.org.offloadbench"
# how long either side may be silent
_TIMEOUT_S = 30.0
_START_TIMEOUT_S = 90.0
_DRAIN_TIMEOUT_S = 120.0
_VERIFY_TIMEOUT_S = 600.0
# lengths of segments and bursts have 24 bits: 16 MiB is the largest multiple of a disk block below that
_LARGEST_BYTES = MAX_SEGMENT_BYTES // 512 * 512
_SMALLEST_BYTES = 512
_PAGE_BYTES = 4096
# what the kernel, the sockets and the tool need besides the LUN
_SPARE_MEMORY_BYTES = 512 << 20


class _Parameters:
    """The parameters of a definition, read one by one; every mistake is a UsageError that names the key."""

    def __init__(self, definition: WorkloadDefinition) -> None:
        self._name = definition.name
        self._values = definition.parameters

    def _value(self, key: str) -> object:
        if key not in self._values:
            raise UsageError(f"workload {self._name}: {key} is missing", "see workloads/iscsi-write.toml")
        return self._values[key]

    def _wrong(self, key: str, expected: str) -> UsageError:
        return UsageError(f"workload {self._name}: {key} = {self._values[key]!r}", f"write {expected}")

    def integer(self, key: str, low: int, high: int) -> int:
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._wrong(key, f"a whole number from {low} to {high}")
        return value

    def truth(self, key: str) -> bool:
        value = self._value(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def word(self, key: str, *allowed: str) -> str:
        value = self._value(key)
        if not isinstance(value, str) or (allowed and value not in allowed):
            raise self._wrong(key, " or ".join(allowed) or "a word")
        return value

    def size(self, key: str, low: int, high: int) -> int:
        """Bytes; exactly 16 MiB is what the protocol's 24 bits hold of it."""
        value = parse_size_bytes(str(self._value(key)))
        if value == MAX_SEGMENT_BYTES + 1 and high == _LARGEST_BYTES:
            value = _LARGEST_BYTES
        if not low <= value <= high:
            raise self._wrong(key, f"a size from {format_bytes(low)} to {format_bytes(high)}")
        return value


class IscsiTraffic:
    """Parameters of workloads/iscsi-write.toml, checked."""

    def __init__(self, definition: WorkloadDefinition) -> None:
        read = _Parameters(definition)
        self.transfer_bytes = read.size("block_size", _PAGE_BYTES, 1 << 30)
        self.queue_depth = read.integer("queue_depth", 1, 128)
        self.max_burst_bytes = read.size("max_burst", _SMALLEST_BYTES, _LARGEST_BYTES)
        self.first_burst_bytes = read.size("first_burst", _SMALLEST_BYTES, _LARGEST_BYTES)
        self.initial_r2t = read.truth("initial_r2t")
        self.immediate_data = read.truth("immediate_data")
        self.max_segment_bytes = read.size("max_recv_data_segment", _SMALLEST_BYTES, _LARGEST_BYTES)
        self.header_digest = read.truth("header_digest")
        self.data_digest = read.truth("data_digest")
        self.congestion_control = read.word("congestion_control")
        self.send_buffer_bytes = read.size("sndbuf", 0, 1 << 30)
        self.window_bytes = read.size("window", 0, 1 << 29)
        self.operation = read.word("operation", "write", "read")
        self.sessions = read.integer("sessions", 1, 64)
        self.fua = read.truth("fua")
        self.backing = read.word("backing")
        self.lun_bytes = read.size("lun_size", 1 << 20, 1 << 40)
        self.verify = read.truth("verify")
        self.initiator = read.word("initiator", "user", "kernel")
        self._check(definition.name)

    def _check(self, name: str) -> None:
        """What the parameters must be to each other."""
        if self.transfer_bytes % _PAGE_BYTES:
            raise UsageError(f"workload {name}: block_size is no multiple of 4 KiB", "write 64KiB, 4MiB")
        if self.first_burst_bytes > self.max_burst_bytes:
            raise UsageError(f"workload {name}: first_burst is larger than max_burst", "RFC 7143, 13.14 forbids it")
        if self.verify and (self.operation != "write" or self.backing == "null"):
            raise UsageError(
                f"workload {name}: verify needs writes, and a backing that keeps them",
                "--set operation=write --set backing=memory",
            )
        if self.backing not in ("null", "memory") and not Path(self.backing).is_absolute():
            raise UsageError(
                f"workload {name}: backing = {self.backing!r}: neither null nor memory nor a folder of the load side",
                "write null, memory, or the folder's whole path",
            )
        if self.initiator == "kernel" and self.operation != "write":
            raise UsageError(f"workload {name}: the kernel's initiator is measured writing", "--set initiator=user")
        needed = self.sessions * self.queue_depth * self.transfer_bytes
        if self.lun_bytes < needed:
            raise UsageError(
                f"workload {name}: lun_size is too small",
                f"{self.sessions} sessions with {self.queue_depth} commands need {format_bytes(needed)}",
            )

    def prepare(self, tell: Callable[[str], None]) -> None:
        del tell
        if self.initiator == "kernel":
            open_iscsi.require()

    def check_peer(self, peer: End) -> None:
        if not peer.address:
            raise UsageError("iscsi-write has one target, and a fleet is many hosts", "--workloads ftp-get")
        missing = peer.missing(tgt.TOOLS)
        if missing:
            raise HostError(
                f"{peer.name}: {missing[0]} is not installed, which iscsi-write needs there",
                f"there: apt-get install {tgt.TOOLS[missing[0]]}; or --workloads ftp-get",
            )
        # the target opens it there
        if self.backing not in ("null", "memory") and not peer.is_folder(self.backing):
            raise UsageError(
                f"iscsi-write: backing = {self.backing!r}: the load side has no such folder",
                "make it there, or --set backing=memory",
            )
        available = peer.available_memory_bytes()
        # every command on its way has a buffer at either end
        needed = 2 * self.sessions * self.queue_depth * self.transfer_bytes
        needed += self.lun_bytes if self.backing == "memory" else 0
        if available < needed + _SPARE_MEMORY_BYTES:
            raise HostError(
                f"{peer.name}: {format_bytes(available)} of memory is available; the commands and the LUN need "
                f"{format_bytes(needed)} of it",
                "use a smaller LUN: --set lun_size=64MiB",
            )

    def settings(self) -> dict[str, Any]:
        return {
            "initiator": self.initiator,
            "transfer_bytes": self.transfer_bytes,
            "queue_depth": self.queue_depth,
            "operation": self.operation,
            "sessions": self.sessions,
            "fua": self.fua,
            "backing": self.backing,
            "lun_bytes": self.lun_bytes,
            "verify": self.verify,
            "congestion_control": self.congestion_control,
            "send_buffer_bytes": self.send_buffer_bytes,
            "offered": self._keys(),
        }

    def _keys(self) -> dict[str, str]:
        """Text keys that we offer, and set at the target so that it agrees (RFC 7143, 13)."""
        return {
            "HeaderDigest": "CRC32C" if self.header_digest else "None",
            "DataDigest": "CRC32C" if self.data_digest else "None",
            "InitialR2T": "Yes" if self.initial_r2t else "No",
            "ImmediateData": "Yes" if self.immediate_data else "No",
            "MaxRecvDataSegmentLength": str(self.max_segment_bytes),
            "MaxBurstLength": str(self.max_burst_bytes),
            "FirstBurstLength": str(self.first_burst_bytes),
            "MaxOutstandingR2T": "1",
        }

    def may_leave(self, run_id: str) -> list[Leftover]:
        return [("iscsi_sessions", {"prefix": _target_prefix(run_id)})] if self.initiator == "kernel" else []

    def start(self, dut: End, peer: End, in_flight_bytes: int) -> IscsiSession:
        if self.initiator == "kernel" and dut.namespace is not None:
            raise HostError(
                "the kernel's initiator lives in the first network namespace, and this device under test does not",
                "use a real NIC with --peer, or --set initiator=user",
            )
        window_bytes = self.window_bytes or in_flight_bytes // self.sessions
        # made for this trial and known to its processes only; by pipe, but for the one tgtadm that makes the account
        names = {
            "initiator_name": f"{_NAME_PREFIX}:initiator-{secrets.token_hex(4)}",
            "target_name": f"{_target_prefix(os.environ.get(processes.MARKER, ''))}{secrets.token_hex(4)}",
            "user": f"bench-{secrets.token_hex(4)}",
            "password": secrets.token_hex(16),
            "address": peer.address,
            "congestion_control": self.congestion_control,
            "lun_bytes": self.lun_bytes,
        }
        target = peer.launch("offloadbench.traffic.iscsi.target", "the iSCSI target")
        session = IscsiSession(target, self)
        try:
            serving = target.request(
                {
                    **names,
                    "backing": self.backing,
                    "receive_window_bytes": window_bytes if self.operation == "write" else 0,
                    "parameters": self._keys(),
                },
                "ready",
            )
            session.settings |= {**serving["settings"], "window_bytes": window_bytes}
            session.watched = [(peer.address, serving["port"])]
            session.initiator = dut.launch(_ROLES[self.initiator], "the iSCSI initiator")
            fixed = {"MaxConnections": "1", "ErrorRecoveryLevel": "0"}
            started = session.ask_initiator(
                {
                    **names,
                    "port": serving["port"],
                    "offers": {**self._keys(), **fixed},
                    "send_buffer_bytes": self.send_buffer_bytes,
                    "receive_window_bytes": window_bytes if self.operation == "read" else 0,
                    "transfer_bytes": self.transfer_bytes,
                    "queue_depth": self.queue_depth,
                    "sessions": self.sessions,
                    "operation": self.operation,
                    "fua": self.fua,
                    "verify": self.verify,
                    "timeout_s": _TIMEOUT_S,
                },
                "ready",
                _START_TIMEOUT_S,
            )
            session.settings |= started["settings"]
        except BaseException:
            session.close()
            raise
        return session


def _target_prefix(run_id: str) -> str:
    return f"{_NAME_PREFIX}:target-{run_id}-"


@dataclass(frozen=True, slots=True)
class _IscsiMark(Mark):
    """A mark that the initiator can find again."""

    t_ns: int


class IscsiSession:
    """An initiator that moves blocks. The protocol is `offloadbench.traffic.base.Session`."""

    def __init__(self, target: Role, traffic: IscsiTraffic) -> None:
        self.initiator: Role | None = None
        self.settings = traffic.settings()
        self.watched: list[tuple[str, int]] = []
        self._target = target
        self._traffic = traffic

    def ask_initiator(self, order: dict[str, Any], event: str, timeout_s: float) -> dict[str, Any]:
        """A request to the initiator; if it fails, the target's own words belong to the error."""
        assert self.initiator is not None
        try:
            return self.initiator.request(order, event, timeout_s)
        except TrafficError as error:
            words = self._words_of_target()
            raise TrafficError(f"{error.message} ({words})" if words else error.message, error.hint) from error

    def _words_of_target(self) -> str:
        try:
            said = str(self._target.request({"do": "words"}, "words", 5.0)["words"])
        except (TrafficError, OSError) as error:
            return str(error)
        return f"the target: {said}" if said else ""

    def mark(self) -> _IscsiMark:
        """Payload of the commands that have ended with status GOOD; the load side's CPU is tgtd's."""
        reply = self.ask_initiator({"do": "mark"}, "mark", _TIMEOUT_S)
        load_side = self._target.request({"do": "mark"}, "mark")
        return _IscsiMark(
            t_s=reply["t_ns"] * 1e-9,
            payload_bytes=reply["payload_bytes"],
            cpu_s=load_side["cpu_s"],
            t_ns=reply["t_ns"],
        )

    def finish(self, opened: Mark, closed: Mark) -> Load:
        assert isinstance(opened, _IscsiMark)
        assert isinstance(closed, _IscsiMark)
        drained = self.ask_initiator({"do": "drain"}, "drained", _DRAIN_TIMEOUT_S)
        counted = self._target.request({"do": "report"}, "report")
        order = {"do": "finish", "opened_ns": opened.t_ns, "closed_ns": closed.t_ns}
        finished = self.ask_initiator(order, "finished", _VERIFY_TIMEOUT_S)
        sent, received = drained["sent_bytes"], counted["written"]
        if self._traffic.operation == "read":
            # logging in has read a little from the LUN, too
            sent, received = counted["read"] - drained["set_up_bytes"], drained["received_bytes"]
        self._account(drained["payload_bytes"], sent, received)
        return Load(
            clients=self._traffic.sessions,
            payload_bytes=self._payload_in_window(
                closed.payload_bytes - opened.payload_bytes, drained, finished["tcp"]
            ),
            interval_s=closed.t_s - opened.t_s,
            bytes_sent=sent,
            bytes_received=received,
            transfers_complete=drained["complete"],
            transfers_cut=0,
            cpu_s=closed.cpu_s - opened.cpu_s,
            latency_us=finished["latency_us"],
            settings=self.settings
            | {
                "commands_in_window": finished["commands"],
                "verified_bytes": finished["verified_bytes"],
                "tcp_in_window": finished["tcp"],
            },
        )

    def _payload_in_window(self, by_commands: int, drained: dict[str, Any], window: dict[str, int]) -> int:
        """Payload that crossed the link between the marks: what TCP counted there, less the PDUs' share of headers.

        Commands alone are too coarse: one that ends just inside the window would count whole, and 4 MiB in 8 s is
        4 Mbit/s too much.
        """
        name = "tcp_acked_bytes" if self._traffic.operation == "write" else "tcp_received_bytes"
        moved = drained["tcp"].get(name, 0)
        return round(window[name] * drained["payload_bytes"] / moved) if moved else by_commands

    def _account(self, acknowledged: int, sent: int, received: int) -> None:
        """Three counts of the same bytes: by status GOOD, by the sockets' user, by the target."""
        if not acknowledged == sent == received:
            raise TrafficError(
                f"commands with status GOOD moved {acknowledged} bytes, {sent} were sent, {received} received",
                "data was lost or doubled on the way: do not trust this link or target",
            )

    def close(self) -> None:
        try:
            if self.initiator:
                self.initiator.close()
        finally:
            self._target.close()
