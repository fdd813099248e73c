"""The iSCSI kind of traffic: parameters, and the two roles that play it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from offloadbench.base.errors import HostError, UsageError
from offloadbench.base.units import format_bytes
from offloadbench.changes.change import Change
from offloadbench.kernel.system import processes
from offloadbench.model import WorkloadDefinition
from offloadbench.roles.ends import End
from offloadbench.roles.messages import ExpectedUnit, InitiatorReady, OpenInitiator, OpenTarget, TargetReady, UnitLogin
from offloadbench.traffic.changes.iscsi_sessions import IscsiSessions
from offloadbench.traffic.iscsi import consent, existing, granting, open_iscsi, tgt
from offloadbench.traffic.iscsi.checked import LARGEST_BYTES, Parameters
from offloadbench.traffic.iscsi.consent import Region
from offloadbench.traffic.iscsi.granting import Grant
from offloadbench.traffic.iscsi.measured import MARK_S, IscsiSession
from offloadbench.traffic.kind_of_traffic import Ask, Outside

__all__ = ["IscsiSession", "IscsiTraffic"]

_ROLES = {
    "user": "offloadbench.traffic.iscsi.initiator",
    "kernel": "offloadbench.traffic.iscsi.kernel_initiator",
}
_NAME_PREFIX = "iqn.2004-01.org.offloadbench"
# how long either side may be silent
_TIMEOUT_S = MARK_S
_START_TIMEOUT_S = 90.0
_SMALLEST_BYTES = 512
_PAGE_BYTES = 4096
# what the kernel, the sockets and the tool need besides the LUN
_SPARE_MEMORY_BYTES = 512 << 20


class IscsiTraffic:
    """Parameters of workloads/iscsi-write.toml, checked."""

    def __init__(self, definition: WorkloadDefinition) -> None:
        read = Parameters(definition)
        self.transfer_bytes = read.size("block_size", _PAGE_BYTES, 1 << 30)
        self.queue_depth = read.integer("queue_depth", 1, 128)
        self.max_burst_bytes = read.size("max_burst", _SMALLEST_BYTES, LARGEST_BYTES)
        self.first_burst_bytes = read.size("first_burst", _SMALLEST_BYTES, LARGEST_BYTES)
        self.initial_r2t = read.truth("initial_r2t")
        self.immediate_data = read.truth("immediate_data")
        self.max_segment_bytes = read.size("max_recv_data_segment", _SMALLEST_BYTES, LARGEST_BYTES)
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
        self.existing = existing.parse(definition.parameters, definition.name, os.environ)
        self._grant: Grant | None = None
        self._check(definition.name)

    def _check(self, name: str) -> None:
        """What the parameters must be to each other."""
        if self.transfer_bytes % _PAGE_BYTES:
            raise UsageError(f"workload {name}: block_size is no multiple of 4 KiB", "write 64KiB, 4MiB")
        if self.first_burst_bytes > self.max_burst_bytes:
            raise UsageError(f"workload {name}: first_burst is larger than max_burst", "RFC 7143, 13.14 forbids it")
        if self.existing:
            self._check_existing(name)
        elif self.verify and (self.operation != "write" or self.backing == "null"):
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
        needed = self._needed_bytes
        if self.lun_bytes < needed:
            raise UsageError(
                f"workload {name}: lun_size is too small",
                f"{self.sessions} sessions with {self.queue_depth} commands need {format_bytes(needed)}",
            )

    def _check_existing(self, name: str) -> None:
        """What cannot be asked of a target that is not ours."""
        if self.backing != "null":
            raise UsageError(f"workload {name}: backing is of the run's own target", "leave it or target out")
        if self.window_bytes and self.operation == "write":
            raise UsageError(
                f"workload {name}: window is that of whoever receives, and the target is not this run's",
                "set its receive buffer there, and leave window out",
            )
        if self.verify and self.operation != "write":
            raise UsageError(f"workload {name}: verify needs writes", "--set operation=write")

    @property
    def outside(self) -> Outside | None:
        """The existing target; the protocol is `offloadbench.traffic.kind_of_traffic.ToOutside`."""
        return Outside(self.existing.portal.host, self.existing.portal.port) if self.existing else None

    def consent(self, dut: End, peer: End, ask: Ask, tell: Callable[[str], None]) -> list[str]:
        """Look at the LUN of an existing target, and have it confirmed what is overwritten there."""
        target = self.existing
        if target is None:
            return []
        load = granting.LunLoad(
            initiator=self.initiator,
            write=self.operation == "write",
            transfer_bytes=self.transfer_bytes,
            wanted_bytes=self.lun_bytes,
            needed_bytes=self._needed_bytes,
            offers=self._offers(),
            timeout_s=_TIMEOUT_S,
        )
        self._grant = granting.grant(target, load, dut, peer, ask=ask, tell=tell)
        return [
            f"the target {target.portal}, LUN {target.lun} ({self._grant.device.identity}) is not this run's: its CPU "
            "time, its own count of bytes, and how it is set up (receive buffer, cache, disks) are not known"
        ]

    @property
    def _needed_bytes(self) -> int:
        """Of the LUN, so that no two commands are on their way to one place."""
        return self.sessions * self.queue_depth * self.transfer_bytes

    def prepare(self, tell: Callable[[str], None]) -> None:
        del tell
        if self.existing:
            consent.require_first(self.existing, write=self.operation == "write")
        if self.initiator == "kernel":
            open_iscsi.require()

    def check_peer(self, peer: End) -> None:
        if not peer.address:
            raise UsageError("iscsi-write has one target, and a fleet is many hosts", "--workloads ftp-get")
        # nothing of ours runs there
        if self.existing:
            return
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
        needed = 2 * self._needed_bytes
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
            "backing": self.backing if self.existing is None else "not known",
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

    def _offers(self) -> dict[str, str]:
        """What we offer in a login."""
        return {**self._keys(), "MaxConnections": "1", "ErrorRecoveryLevel": "0"}

    def may_leave(self, run_id: str) -> list[Change]:
        return [IscsiSessions(prefix=_target_prefix(run_id))] if self.initiator == "kernel" else []

    def start(self, dut: End, peer: End, in_flight_bytes: int) -> IscsiSession:
        if self.initiator == "kernel" and dut.namespace is not None:
            raise HostError(
                "the kernel's initiator lives in the first network namespace, and this device under test does not",
                "use a real NIC with --peer, or --set initiator=user",
            )
        window_bytes = self.window_bytes or in_flight_bytes // self.sessions
        name = f"{_target_prefix(os.environ.get(processes.MARKER, ''))}{secrets.token_hex(4)}"
        if self.existing:
            return self._start_on_existing(dut, peer, name, window_bytes)
        # made for this trial and known to its processes only; by pipe, but for the one tgtadm that makes the account
        initiator_name = f"{_NAME_PREFIX}:initiator-{secrets.token_hex(4)}"
        user, password = f"bench-{secrets.token_hex(4)}", secrets.token_hex(16)
        target = peer.launch("offloadbench.traffic.iscsi.target", "the iSCSI target")
        session = IscsiSession(target, self.settings())
        try:
            serving = target.request(
                OpenTarget(
                    address=peer.address,
                    target_name=name,
                    initiator_name=initiator_name,
                    user=user,
                    password=password,
                    backing=self.backing,
                    lun_bytes=self.lun_bytes,
                    receive_window_bytes=window_bytes if self.operation == "write" else 0,
                    congestion_control=self.congestion_control,
                    parameters=self._keys(),
                ),
                TargetReady,
            )
            session.settings |= {"target": serving.product, "window_bytes": window_bytes}
            if serving.receive_buffer_bytes is not None:
                session.settings["target_receive_buffer_bytes"] = serving.receive_buffer_bytes
            session.watched = [(peer.address, serving.port)]
            login = UnitLogin(
                address=peer.address,
                port=serving.port,
                target_name=name,
                initiator_name=initiator_name,
                user=user,
                password=password,
                lun=int(tgt.LUN),
                **self._transport(window_bytes),
            )
            self._begin(session, dut, self._order(login, name, Region(0, self.lun_bytes)))
        except BaseException:
            session.close()
            raise
        return session

    def _start_on_existing(self, dut: End, peer: End, name: str, window_bytes: int) -> IscsiSession:
        """The load on a target that is not ours, within what was confirmed."""
        assert self.existing is not None
        if self._grant is None:
            self.consent(dut, peer, lambda text: None, lambda text: None)
        grant = self._grant
        assert grant is not None
        session = IscsiSession(None, self.settings())
        try:
            session.settings |= {
                "existing_target": grant.facts(self.existing, peer.address),
                "lun_bytes": grant.region.size_bytes,
                # of a receiver that is not ours it cannot be set
                "window_bytes": window_bytes if self.operation == "read" else 0,
            }
            session.watched = [(peer.address, self.existing.portal.port)]
            login = granting.login(self.existing, peer.address, **self._transport(window_bytes))
            expected = ExpectedUnit(grant.device.serial, grant.device.size_bytes)
            self._begin(session, dut, self._order(login, name, grant.region, expected))
        except BaseException:
            session.close()
            raise
        return session

    def _transport(self, window_bytes: int) -> granting.Transport:
        """How the initiator's connections are set up."""
        return granting.Transport(
            offers=self._offers(),
            congestion_control=self.congestion_control,
            send_buffer_bytes=self.send_buffer_bytes,
            receive_window_bytes=window_bytes if self.operation == "read" else 0,
            timeout_s=_TIMEOUT_S,
        )

    def _order(
        self, login: UnitLogin, session_name: str, region: Region, expected: ExpectedUnit | None = None
    ) -> OpenInitiator:
        return OpenInitiator(
            login=login,
            session_name=session_name,
            sessions=self.sessions,
            operation=self.operation,
            transfer_bytes=self.transfer_bytes,
            queue_depth=self.queue_depth,
            fua=self.fua,
            verify=self.verify,
            lun_bytes=region.size_bytes,
            start_bytes=region.start_bytes,
            expected=expected,
        )

    def _begin(self, session: IscsiSession, dut: End, order: OpenInitiator) -> None:
        """Start the initiator, and wait until payload flows."""
        session.start_initiator(dut.launch(_ROLES[self.initiator], "the iSCSI initiator"))
        started = session.ask_initiator(order, InitiatorReady, _START_TIMEOUT_S)
        session.settings |= {name: value for name, value in vars(started).items() if value is not None}


def _target_prefix(run_id: str) -> str:
    return f"{_NAME_PREFIX}:target-{run_id}-"
