"""The bed whose load side is the workers of a Dask cluster: this machine is the device under test, with all its CPUs.

Dask schedules, transports, and secures (its own configuration holds certificates); this starts roles with it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offloadbench.base.errors import HostError, TrafficError
from offloadbench.base.settings import FLEET_PREFIX
from offloadbench.bed import cpus, reach
from offloadbench.bed.fleet import shard
from offloadbench.bed.fleet.client_role import FleetRole, RoleShare
from offloadbench.bed.local import LocalEnd
from offloadbench.bed.remote import addresses, child, host_facts, sources
from offloadbench.bed.remote.counted import of_several
from offloadbench.bed.testbed import Cable
from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.kernel.netdev import link, route
from offloadbench.kernel.system import processes
from offloadbench.model import PeerReport, WireReport
from offloadbench.roles.ends import Role

if TYPE_CHECKING:
    from distributed import Client

PREFIX = FLEET_PREFIX
# rows of the table that Dask warns with
_PACKAGE = re.compile(r"^\| (\w[\w.-]*) +\|", re.MULTILINE)
# what Dask compares besides itself; the roles need none of them
_UNUSED = frozenset({"numpy", "pandas", "lz4"})
FAIL, SHRINK = "fail", "shrink"
_CONNECT_S = 15.0
_CALL_S = 20.0
_LOOK_S = 1.0
# a nanny starts a worker again within seconds
_RETURN_S = 20.0


def require() -> None:
    """Raise HostError unless Dask is installed."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise HostError("--fleet needs Dask", "pip install 'offloadbench[fleet]'") from error


@dataclass(frozen=True, slots=True)
class FleetEnd:
    """The `End` whose roles are divided among the workers."""

    bed: FleetBed
    name: str = "load side"
    address: str = ""
    ifname: str = ""
    namespace: str | None = None
    server_cpus: frozenset[int] = frozenset()

    def launch(self, module: str, title: str, cpus: frozenset[int] | None = None) -> Role:
        del cpus  # of this machine
        return self.bed.launch(module, title)

    def missing(self, tools: Iterable[str]) -> list[str]:
        del tools  # what a fleet is asked to run needs none
        return []

    def available_memory_bytes(self) -> int:
        return int(min(self.bed.ask(host_facts.memory_bytes).values()))

    def is_folder(self, path: str) -> bool:
        del path  # what asks for one has one load host
        return False

    def state(self, sysctls: Iterable[str]) -> dict[str, str | int]:
        del sysctls  # none is set at a fleet
        return {}

    def counted(self) -> Reading:
        return of_several(self.bed.of_hosts(host_facts.counted, "").values())


class FleetBed:
    """This machine's NIC and a Dask cluster, as a `Bed`.

    Args:
        on_lost_worker: `fail` ends the trial when a worker is lost, `shrink` goes on without it.

    Raises:
        HostError: no scheduler, no workers, or workers that the NIC under test does not lead to.
    """

    kind = "fleet"

    def __init__(self, nic_name: str, scheduler: str, on_lost_worker: str) -> None:
        self.nic_name, self.peer_name = nic_name, f"{PREFIX}{scheduler}"
        self.placement = cpus.whole()
        self.push_back = True
        self.cable = Cable()
        self.problems: list[str] = []
        self._shrink = on_lost_worker == SHRINK
        self._role: FleetRole | None = None
        self._mark: dict[str, dict[str, Any]] = {}
        self._over = threading.Event()
        self._client = _connect(scheduler)
        try:
            self._workers = self._known()
            if not self._workers:
                raise HostError(f"{scheduler} has no workers", f"on every load host: dask worker {scheduler}")
            self._count = len(self._workers)
            own = str(addresses.own_networks(nic_name)[0].ip)
            self.dut = LocalEnd("device under test", own, nic_name, None, self.placement.dut)
            self.peer = FleetEnd(self)
            self._check_routes(own)
            self.settings: dict[str, Any] = {
                "scheduler": scheduler,
                "on_lost_worker": on_lost_worker,
                "workers": self.ask(host_facts.about),
                "dut_address": own,
            }
            self.settle()
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._look, name="fleet", daemon=True).start()

    def _check_routes(self, own: str) -> None:
        for worker, source in self.ask(host_facts.source_address, own).items():
            leaves_by = route.leaves_by(source)
            if leaves_by != self.nic_name:
                raise HostError(
                    f"worker {worker} would come from {source}, and answers to it leave by {leaves_by or 'no NIC'}",
                    f"give it an address in the network of {self.nic_name}",
                )

    def _known(self) -> set[str]:
        return set(self._client.scheduler_info(n_workers=-1)["workers"])

    def _look(self) -> None:
        """Keep an eye on the workers: Dask tells of a lost one only who asks it something."""
        while not self._over.wait(_LOOK_S):
            with contextlib.suppress(Exception):
                self._workers = self._known()

    def ask(self, function: Any, *arguments: Any) -> dict[str, Any]:
        """Worker -> what the function says there.

        Raises:
            TrafficError: a worker does not answer.
        """
        try:
            found: dict[str, Any] = self._client.run(function, *arguments)
        # Dask and its transports raise what they like when a worker goes
        except Exception as error:
            raise TrafficError(f"the fleet does not answer: {error}", "see the log of its scheduler") from error
        return found

    def launch(self, module: str, title: str) -> FleetRole:
        """Start a role at every worker."""
        marker = os.environ.get(processes.MARKER, "")
        given = (sources.importer(), module, sources.closure(module), marker)
        workers = sorted(self._workers)
        name = f"offloadbench-{marker}-{secrets.token_hex(4)}"
        futures = {
            worker: self._client.submit(
                shard.Shard, *given, actor=True, workers=[worker], pure=False, key=f"{name}-{number}"
            )
            for number, worker in enumerate(workers)
        }
        shares = [_share(worker, future) for worker, future in futures.items()]
        unable = [share.lost for share in shares if share.lost]
        if unable and (not self._shrink or len(unable) == len(shares)):
            raise TrafficError(f"{title} could not be started: {unable[0]}", "see the log of the worker")
        self._role = FleetRole(title, shares, lambda worker: worker in self._workers, shrink=self._shrink)
        return self._role

    def settle(self) -> None:
        """Wait for the link, and for the workers that there were at first."""
        link.wait_for_carrier(self.dut.ifname, None, reach.LINK_TIMEOUT_S)
        deadline_s = time.monotonic() + _RETURN_S
        while len(found := self._known()) < (1 if self._shrink else self._count):
            if time.monotonic() > deadline_s:
                raise TrafficError(
                    f"{len(found)} of {self._count} workers are there", "--on-lost-worker shrink goes on with fewer"
                )
            time.sleep(_LOOK_S)
        self._workers = found
        deadline_s = time.monotonic() + reach.LINK_TIMEOUT_S
        while problems := {one: why for one, why in self.ask(host_facts.reaches, self.dut.address).items() if why}:
            if time.monotonic() > deadline_s:
                worker, why = next(iter(problems.items()))
                raise TrafficError(f"worker {worker} cannot reach {self.dut.address}: {why}", "see its firewall")

    def check(self) -> None:
        """Raise TrafficError when a worker is gone, and that ends the trial."""
        if self._role:
            self._role.check()

    def mark(self) -> None:
        self._mark = self._cpu()

    def _cpu(self) -> dict[str, dict[str, Any]]:
        """Worker -> CPU of its host."""
        return self.of_hosts(host_facts.cpu)

    def of_hosts(self, question: Any, *arguments: Any) -> dict[str, dict[str, Any]]:
        """Worker -> answer; of several workers on one host, one."""
        hosts = {worker.rpartition(":")[0]: worker for worker in self._workers}
        found = self.ask(question, *arguments)
        return {worker: found[worker] for worker in hosts.values() if worker in found}

    def report(self) -> WireReport | None:
        """There is no emulated cable."""
        return None

    def peer_report(self) -> PeerReport | None:
        last = self._cpu()
        both = [(self._mark[worker], last[worker]) for worker in last if worker in self._mark]
        if not both:
            return None
        return PeerReport(
            interval_s=sum(then["t_ns"] - first["t_ns"] for first, then in both) * 1e-9 / len(both),
            cpus=sum(then["cpus"] for _, then in both),
            cpu_busy_s=sum(then["busy_s"] - first["busy_s"] for first, then in both),
            cpu_stolen_s=sum(then["stolen_s"] - first["stolen_s"] for first, then in both),
        )

    def close(self) -> None:
        self._over.set()
        self._client.close()


def _share(worker: str, future: Any) -> RoleShare:
    """A worker's share of a role, or word of its loss."""
    try:
        return RoleShare(worker, future.result(timeout=_CALL_S))
    # Dask and its transports raise what they like when a worker goes
    except Exception as error:
        return RoleShare(worker, None, lost=f"worker {worker} was lost before it began ({error})")


def _connect(scheduler: str) -> Client:
    require()
    import cloudpickle
    from distributed import Client

    # the workers have none of these modules
    for module in (shard, child, host_facts):
        cloudpickle.register_pickle_by_value(module)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            # actors look for their client among the defaults
            client = Client(scheduler, timeout=_CONNECT_S)
    except (OSError, ValueError, TypeError) as error:
        raise HostError(
            f"--fleet {scheduler}: {error}", "dask scheduler starts one; see Dask's docs for TLS"
        ) from error
    for warning in said:
        if not only_unused(str(warning.message)):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return client


def only_unused(warning: str) -> bool:
    """Whether Dask's table of mismatched versions names only packages that load hosts do not need."""
    named = set(_PACKAGE.findall(warning)) - {"Package"}
    return bool(named) and named <= _UNUSED
