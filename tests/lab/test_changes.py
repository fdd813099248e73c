"""Every kind of change made and taken back on a real kernel, in any order, and after SIGKILL at any moment."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from offloadbench.base.errors import HostError
from offloadbench.changes.change import Change
from offloadbench.changes.feature_bits import FeatureBits
from offloadbench.changes.gso_segments import GsoMaxSegs
from offloadbench.changes.host_route import HostRoute
from offloadbench.changes.irq_affinity import IrqAffinity
from offloadbench.changes.lent_nic import LentNic
from offloadbench.changes.link_address import LinkAddress
from offloadbench.changes.made_namespace import MadeNamespace
from offloadbench.changes.mounted_tracefs import MountedTracefs
from offloadbench.changes.mtu_value import MtuValue
from offloadbench.changes.reset_rule import ResetRule
from offloadbench.changes.run_folder import RunFolder
from offloadbench.changes.run_processes import RunProcesses
from offloadbench.changes.static_neighbour import StaticNeighbour
from offloadbench.changes.sysctl_value import SysctlValue
from offloadbench.engine.putting_back.change_kinds import kind_of
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.putting_back.left_behind import restore_left_behind
from offloadbench.kernel.netdev import features, irq, link
from offloadbench.kernel.system import netns, processes, sysctl
from offloadbench.kernel.trace import tracefs

NIC, SECOND = "obc0", "obc1"
SYSCTLS = {
    "net.ipv4.tcp_rmem": "4096 65536 {}",
    "net.ipv4.tcp_fin_timeout": "{}",
    "net.ipv4.ip_local_port_range": "{} 60999",
}
# what can be asked of a veth pair one by one
BITS = ("tx-tcp-segmentation", "tx-generic-segmentation", "rx-gro", "tx-scatter-gather", "tx-checksum-ip-generic")


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace that stands for a machine, with a veth pair; the thread of the test is in it."""

    name: str
    run_id: str

    def made(self, purpose: str) -> str:
        return f"offloadbench-{self.run_id}-{purpose}"

    def state(self) -> dict[str, Any]:
        """All that the changes of this file may touch."""

        def shown(*words: str) -> Any:
            return json.loads(subprocess.check_output(["ip", "-j", *words], text=True) or "[]")

        names = sorted(row["ifname"] for row in shown("link"))
        return {
            "features": {name: {bit: f.wanted for bit, f in features.read(name).items()} for name in names},
            "links": {
                name: (found.mtu_bytes, found.gso.max_segs, found.up) for name in names if (found := link.read(name))
            },
            "addresses": sorted(map(str, (row["addr_info"] for row in shown("-4", "address")))),
            # those of IPv6 the kernel makes by itself, a while later; it tells routes late that a link is down
            "routes": sorted(str(row | {"flags": 0}) for row in shown("-4", "route", "show", "table", "all")),
            "rules": shown("rule"),
            "neighbours": [row for row in shown("neigh") if "PERMANENT" in row["state"]],
            "sysctls": {name: sysctl.read(name) for name in SYSCTLS},
            "namespaces": [path.name for path in netns.RUN_NETNS.iterdir() if self.run_id in path.name],
            "folder": processes.folder_of_run(self.run_id).exists(),
        }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("OFFLOADBENCH_STATE", str(tmp_path))
    name, run_id = f"obchange-{os.getpid()}", secrets.token_hex(4)
    netns.create(name)
    try:
        with netns.entered(name):
            subprocess.run(["ip", "link", "add", NIC, "type", "veth", "peer", "name", SECOND], check=True)
            for nic in (NIC, SECOND, "lo"):
                subprocess.run(["ip", "link", "set", nic, "up"], check=True)
            subprocess.run(["ip", "address", "add", "192.0.2.1/24", "dev", SECOND], check=True)
            # an offload that the owner of the machine has turned off
            subprocess.run(["ethtool", "-K", NIC, "gso", "off"], check=True, stdout=subprocess.DEVNULL)
            yield Place(name, run_id)
    finally:
        netns.remove(name)
        for purpose in ("dut", "peer", "hop"):
            netns.remove(f"offloadbench-{run_id}-{purpose}")


def _draw(place: Place, draws: random.Random) -> list[Callable[[], Change]]:
    """Ways to a change, each asked for when its turn comes: it holds what is found then."""

    def bits() -> Change:
        found = features.read(NIC)
        asked = {bit: draws.random() < 0.5 for bit in draws.sample(BITS, draws.randint(1, len(BITS))) if bit in found}
        return FeatureBits.of(NIC, None, found, asked)

    def limit() -> Change:
        found = link.read(NIC).gso.max_segs
        return GsoMaxSegs(ifname=NIC, namespace=None, max_segs=found, asked=draws.randint(1, 65535))

    def value() -> Change:
        name, form = draws.choice(list(SYSCTLS.items()))
        return SysctlValue.of(name, form.format(draws.randint(20000, 40000)), None)

    neighbour = f"198.18.0.{draws.randint(9, 250)}"
    return [
        bits,
        limit,
        lambda: MtuValue.of(NIC, None, draws.randint(1280, 9000)),
        value,
        lambda: LinkAddress.of(NIC, None, "198.18.0.1", 24),
        lambda: StaticNeighbour(address=neighbour, ifname=NIC, namespace=None, mac="02:00:00:00:00:01"),
        lambda: HostRoute(address=neighbour, namespace=None, ifname=SECOND, source="192.0.2.1", initcwnd=7),
        lambda: ResetRule(address="198.51.100.1", port=80, local_port=draws.randint(1, 65535), namespace=None),
        lambda: RunFolder.of(place.run_id),
        lambda: MadeNamespace(namespace=place.made("dut")),
    ]


def _sequence(place: Place, seed: int) -> list[Callable[[], Change]]:
    """Changes in a random order, some of them several times; a NIC is lent to a namespace that was made before."""
    draws = random.Random(seed)
    ways = _draw(place, draws)
    chosen = [*ways, *draws.choices(ways[:4], k=6)]
    draws.shuffle(chosen)
    at = draws.randint(0, len(chosen))
    namespace = place.made("peer")
    chosen.insert(at, lambda: MadeNamespace(namespace=namespace))
    # routes and addresses of the second NIC go with it, so it is the last to be changed
    return [*chosen, lambda: LentNic.of(SECOND, namespace)]


def _is_changed(place: Place, before: dict[str, Any]) -> bool:
    return place.state() != before


@pytest.mark.parametrize("by", ["its own run", "another process"])
@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_taken_back_in_reverse_leaves_the_machine_as_it_was(place: Place, seed: int, by: str) -> None:
    before = place.state()
    journal = Journal(place.run_id, NIC)
    for way in _sequence(place, seed):
        journal.make(way())
    assert _is_changed(place, before)
    if by == "its own run":
        journal.close(lambda _: None)
    else:
        assert restore_left_behind(lambda _: None) == 1
    assert place.state() == before
    assert not journal.path.exists()


@pytest.mark.parametrize("kind", [
    "features", "gso_max_segs", "mtu", "sysctl", "address", "neighbour", "route", "rule", "folder", "namespace",
    "lent_nic",
])  # fmt: skip
def test_a_change_is_made_and_taken_back(place: Place, kind: str) -> None:
    draws = random.Random(1)
    ways = _draw(place, draws)
    made = MadeNamespace(namespace=place.made("peer"))
    if kind == "lent_nic":
        made.apply()
    before = place.state()
    change = (
        LentNic.of(SECOND, made.namespace)
        if kind == "lent_nic"
        else next(c for way in ways if kind_of(c := way()) == kind)
    )
    change.apply()
    assert _is_changed(place, before)
    told: list[str] = []
    change.undo(told.append)
    assert place.state() == before
    assert len(told) == 1
    # once more, without harm; a NIC that is at home is put in order once more
    change.undo(told.append)
    assert place.state() == before
    assert len(told) == 1


@pytest.mark.parametrize(
    "kind", ["features", "gso_max_segs", "mtu", "sysctl", "neighbour", "rule", "folder", "namespace"]
)
def test_what_a_person_types_takes_a_change_back(place: Place, kind: str) -> None:
    before = place.state()
    change = next(c for way in _draw(place, random.Random(1)) if kind_of(c := way()) == kind)
    change.apply()
    subprocess.run(["sh", "-c", change.command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # ethtool turns on what a bit that is on already had turned off with it: only what was asked for is compared
    assert place.state() == before


def _in_a_child(work: Callable[[], None]) -> int:
    """Status as of waitpid(2)."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(3)
    return os.waitpid(child, 0)[1]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_after_sigkill_at_any_moment_restore_puts_everything_back(place: Place) -> None:
    before = place.state()
    ways = _sequence(place, 11)
    for moment in range(2 * len(ways) + 1):

        def work(moment: int = moment) -> None:
            journal = Journal(place.run_id, NIC)
            for step, way in enumerate(ways):
                change = way()
                if moment == 2 * step:
                    _die()
                journal.add(change)
                if moment == 2 * step + 1:
                    _die()
                change.apply()
            _die()

        assert _in_a_child(work) == signal.SIGKILL
        assert restore_left_behind(lambda _: None) == 1, moment
        assert place.state() == before, moment
        assert restore_left_behind(lambda _: None) == 0


def test_after_sigkill_of_restore_at_any_moment_the_next_one_ends_it(place: Place) -> None:
    before = place.state()
    ways = _sequence(place, 12)
    for moment in range(0, len(ways), 3):
        journal = Journal(place.run_id, NIC)
        for way in ways:
            journal.make(way())
        journal.keep()

        def work(moment: int = moment) -> None:
            told: list[str] = []

            def tell(text: str) -> None:
                told.append(text)
                if len(told) > moment:
                    _die()

            restore_left_behind(tell)

        assert _in_a_child(work) == signal.SIGKILL
        assert restore_left_behind(lambda _: None) == 1
        assert place.state() == before, moment


def test_processes_of_a_run_are_ended_and_no_others(place: Place) -> None:
    sleep = [sys.executable, "-I", "-c", "import time; time.sleep(60)"]
    own = RunProcesses(run_id=place.run_id)
    own.apply()
    try:
        ours = subprocess.Popen(sleep)
    finally:
        os.environ.pop(processes.MARKER)
    other = subprocess.Popen(sleep, env=os.environ | {processes.MARKER: f"{place.run_id}x"})
    try:
        while processes.of_run(place.run_id) != [ours.pid]:
            pass
        told: list[str] = []
        own.undo(told.append)
        assert ours.wait(10) == -signal.SIGTERM
        assert [str(ours.pid) in text for text in told] == [True]
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_tracefs_is_unmounted_where_it_was_not_mounted() -> None:
    if tracefs.tracefs_mounted():
        pytest.skip("it is mounted here")
    subprocess.run(["mount", "-t", "tracefs", "nodev", str(tracefs.TRACEFS)], check=True)
    told: list[str] = []
    MountedTracefs().undo(told.append)
    assert (told, tracefs.tracefs_mounted()) == (["tracefs unmounted"], False)
    MountedTracefs().undo(told.append)
    assert len(told) == 1


def _free_interrupt() -> int:
    """One that serves no NIC and may be moved."""
    of_nics = {number for nic in Path("/sys/class/net").iterdir() for number in irq.of_device(irq.device_of(nic.name))}
    for folder in sorted(Path("/proc/irq").glob("[0-9]*"), key=lambda path: int(path.name)):
        number = int(folder.name)
        try:
            if number not in of_nics and irq.affinity(number) == f"0-{os.cpu_count() - 1}":  # type: ignore[operator]
                irq.set_affinity(number, irq.affinity(number))
                return number
        except HostError:
            continue
    pytest.skip("no interrupt can be moved here")


def test_an_interrupt_goes_back_to_its_cpus() -> None:
    number = _free_interrupt()
    before = irq.affinity(number)
    change = IrqAffinity.of(number, "0")
    change.apply()
    try:
        assert irq.affinity(number) == "0"
    finally:
        told: list[str] = []
        change.undo(told.append)
    assert (irq.affinity(number), len(told)) == (before, 1)


def test_entering_a_namespace_that_is_gone_does_not_make_it() -> None:
    name = f"obgone-{os.getpid()}"
    with pytest.raises(HostError, match=name), netns.entered(name):
        pass
    try:
        assert not netns.exists(name)
    finally:
        netns.remove(name)


def test_a_nic_that_has_not_the_address_is_not_taken_down(place: Place) -> None:
    before = place.state()
    LinkAddress(ifname=SECOND, namespace=None, address="198.18.0.1", up=False).undo(lambda _: None)
    assert place.state() == before


def test_a_nic_that_was_down_goes_down_again(place: Place) -> None:
    subprocess.run(["ip", "link", "set", NIC, "down"], check=True)
    before = place.state()
    change = LinkAddress.of(NIC, None, "198.18.0.1", 24)
    change.apply()
    assert link.read(NIC).up
    change.undo(lambda _: None)
    assert place.state() == before


def test_a_lent_nic_comes_back_with_addresses_and_routes_as_they_were(place: Place) -> None:
    for words in (
        f"address add 192.0.2.65/26 brd + dev {SECOND}",
        f"route add 203.0.113.9 dev {SECOND} src 192.0.2.1 initcwnd 20 mtu 1400",
        # through the one before, which the kernel lists behind it
        f"route add default via 203.0.113.9 dev {SECOND} metric 77",
        f"route add 10.0.0.0/8 via 192.0.2.7 dev {SECOND} table 100",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    before = place.state()
    namespace = place.made("peer")
    journal = Journal(place.run_id, NIC)
    journal.make(MadeNamespace(namespace=namespace))
    journal.make(LentNic.of(SECOND, namespace))
    journal.keep()
    assert restore_left_behind(lambda _: None) == 1
    assert place.state() == before
