"""A batch: its plan file, bad plans, what its points set and put back. Nothing is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from offloadbench.base.errors import FeatureError, UsageError
from offloadbench.bed.local import LocalEnd
from offloadbench.changes.change import Change
from offloadbench.commands import plan_file
from offloadbench.engine import mtu_and_rings
from offloadbench.engine import sweep_run as engine
from offloadbench.engine.options import RunOptions
from offloadbench.engine.putting_back import taking_back
from offloadbench.kernel.netdev import link, rings
from offloadbench.kernel.system import netns, sysctl
from tests.conftest import CommandLine

PLAN = """
nics = [{ nic = "eth1", peer = "nic:eth3" }, { nic = "eth2", peer = "nic:eth4" }]
workloads = ["tcp-stream", "ftp-get"]
cases = "paper"
duration_s = 10
seed = 7
mtu = [1500, 9000]
rx_ring = 4096

[sysctls]
net.ipv4.tcp_congestion_control = ["cubic", "reno"]
"net.ipv4.tcp_sack" = 1

[parameters]
sndbuf = [212992, "16MiB"]
"""


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return path


def test_a_plan_is_every_combination_and_a_value_alone_holds_everywhere(tmp_path: Path) -> None:
    sweep, _ = plan_file.read(_written(tmp_path, PLAN))
    assert sweep.nics == {"eth1": "nic:eth3", "eth2": "nic:eth4"}
    assert list(sweep.axes) == ["nic", "mtu_bytes", "net.ipv4.tcp_congestion_control", "sndbuf"]
    assert len(sweep.points) == 2 * 2 * 2 * 2
    options = [engine.options_of(sweep, point, tmp_path, []) for point in sweep.points]
    assert {one.rx_ring for one in options} == {4096}
    assert {one.sysctls["net.ipv4.tcp_sack"] for one in options} == {"1"}
    last = options[-1]
    assert (last.nic, last.peer, last.mtu_bytes) == ("eth2", "nic:eth4", 9000)
    assert (last.sysctls["net.ipv4.tcp_congestion_control"], last.settings) == ("reno", ["sndbuf=16MiB"])
    # a workload that does not know the parameter runs once for all of its values
    assert sum("ftp-get" in one.workloads for one in options) == 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("mtu =", "mtuu =", "unknown field `mtuu`"),
        ("mtu = [1500, 9000]", 'mtu = "big"', "- at `mtu`"),
        ("mtu = [1500, 9000]", "mtu = [1500, 90]", "mtu: 90 is no MTU"),
        ("mtu = [1500, 9000]", "mtu = [1500, 1500]", "mtu: a value is twice there"),
        ("rx_ring = 4096", "rx_ring = -1", "rx_ring: -1 is no number"),
        ("duration_s = 10", "duration_s = 1", "duration_s = 1 is too small"),
        ("duration_s = 10", 'rtt = "20ms"', "rtt is of the emulated cable, which eth1 does not have"),
        ('cases = "paper"', 'cases = "fast"', "no case or group named 'fast'"),
        ('"ftp-get"]', '"ftp-put"]', "no workload named 'ftp-put'"),
        ('["tcp-stream", "ftp-get"]', "[]", "workloads names none"),
        ('sndbuf = [212992, "16MiB"]', "sndbuf = []", "parameters.sndbuf has no value"),
        ('sndbuf = [212992, "16MiB"]', 'sndbuf = "much"', "'much' is not a size"),
        ('sndbuf = [212992, "16MiB"]', "speed = 1", "--set speed: no chosen workload has this key"),
        ("net.ipv4.tcp_congestion_control", "vm.swappiness", "--sysctl"),
        ('{ nic = "eth2", peer = "nic:eth4" }', '"eth2"', "nics: eth2 needs a load side"),
        ('{ nic = "eth2", peer = "nic:eth4" }', '{ nic = "lab", peer = "nic:eth4" }', "lab is its own load side"),
        ('nic = "eth2"', 'nic = "eth1"', "nics: 'eth1' is twice there"),
        ('nic = "eth2"', 'nick = "eth2"', "unknown field `nick`"),
        ("mtu = [1500, 9000]", "mtu = [1500, 9000", "not TOML"),
        ("seed = 7", 'seed = "x"', "- at `seed`"),
    ],
)
def test_a_bad_plan_is_one_line_that_names_file_and_key(
    command_line: CommandLine, tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in PLAN
    path = _written(tmp_path, PLAN.replace(old, new, 1))
    finished = command_line("batch", str(path), "--output", str(tmp_path / "out"))
    assert finished.code == 2
    assert finished.err.startswith(f"error: {path}: ")
    assert said in finished.err
    assert len(finished.err.splitlines()) == 2
    assert "\nhint: " in finished.err
    assert not (tmp_path / "out").exists()
    assert finished.out == ""


def test_a_misspelt_key_is_answered_with_the_one_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        plan_file.read(_written(tmp_path, PLAN.replace("rx_ring", "rx_rings")))
    assert caught.value.hint.startswith("did you mean rx_ring? keys: ")


def test_the_dry_run_tells_order_and_duration_and_which_nic_cannot_be(
    command_line: CommandLine, tmp_path: Path
) -> None:
    path = _written(tmp_path, PLAN.replace("eth1", "obnone1").replace("eth2", "obnone2"))
    finished = command_line("batch", str(path), "--dry-run", "--output", str(tmp_path / "out"))
    assert finished.code == 0, finished.err
    assert "16 of 16 points to measure on obnone1, obnone2, 72 trials, about " in finished.out
    assert "points are measured in this order" in finished.out
    assert "obnone2, load side nic:eth4:" in finished.out
    assert "cannot be measured: no NIC named 'obnone1'" in finished.out
    assert not (tmp_path / "out").exists()


def test_without_a_plan_and_without_a_folder_there_is_nothing_to_do(command_line: CommandLine, tmp_path: Path) -> None:
    finished = command_line("batch")
    assert (finished.code, "a plan is needed" in finished.err) == (2, True)
    finished = command_line("batch", str(tmp_path / "absent.toml"))
    assert (finished.code, "absent.toml: No such file" in finished.err) == (2, True)


# ---------------------------------------------------------------- MTU and rings


DUT = LocalEnd("device under test", "198.18.0.1", "eth1", None, frozenset())
PEER = LocalEnd("load side", "198.18.0.2", "eth2", "there", frozenset())


@dataclass
class _Bed:
    """Two NICs of this machine, as far as settings go."""

    dut: Any = DUT
    peer: Any = PEER
    peer_name: str = "nic:eth2"
    settings: dict[str, Any] = field(default_factory=dict)
    settled: int = 0

    def settle(self) -> None:
        self.settled += 1


class _Nics:
    """MTU and rings of both NICs; `least` is the smallest MTU that a driver refuses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refused_mtu: int = 10000) -> None:
        self.mtu = {"eth1": 1500, "eth2": 1500}
        self.rings = rings.Rings(256, 256, 4096, 4096)
        self.refused_mtu = refused_mtu
        monkeypatch.setattr(netns, "exists", lambda name: True)
        monkeypatch.setattr(link, "read", self._link)
        monkeypatch.setattr(link, "set_mtu", self._set_mtu)
        monkeypatch.setattr(rings, "read", lambda ifname, namespace=None: self.rings)
        monkeypatch.setattr(rings, "write", self._set_rings)

    def _link(self, ifname: str, namespace: str | None = None) -> link.Link:
        del namespace
        return link.Link(2, ifname, self.mtu[ifname], "", "fq", True, link.GsoLimits(0, 0, 0))

    def _set_mtu(self, ifname: str, mtu_bytes: int, namespace: str | None = None) -> None:
        del namespace
        if mtu_bytes >= self.refused_mtu:
            raise FeatureError(f"{ifname}: MTU {mtu_bytes} refused")
        self.mtu[ifname] = mtu_bytes

    def _set_rings(self, ifname: str, wanted: dict[str, int], namespace: str | None = None) -> None:
        del ifname, namespace
        self.rings = rings.Rings(wanted.get("rx", self.rings.rx), wanted.get("tx", self.rings.tx), 4096, 4096)


def _options(**values: Any) -> RunOptions:
    return RunOptions(nic="eth1", cases="tso", workloads=[], output=Path("x.json"), **values)


class _Changes:
    """A `ChangeLog` in memory."""

    def __init__(self) -> None:
        self.made: list[Change] = []

    def add(self, change: Change) -> None:
        self.made.append(change)

    def make(self, change: Change) -> None:
        self.add(change)
        change.apply()

    def forget(self, change: Change) -> None:
        self.made.remove(change)


def _apply(bed: _Bed, options: RunOptions) -> list[Change]:
    changes = _Changes()
    mtu_and_rings.apply(bed, options, changes)  # type: ignore[arg-type]
    return changes.made


def test_what_is_set_is_remembered_before_and_put_back_after(monkeypatch: pytest.MonkeyPatch) -> None:
    nics, bed = _Nics(monkeypatch), _Bed()
    steps = _apply(bed, _options(mtu_bytes=9000, rx_ring=4096))
    assert nics.mtu == {"eth1": 9000, "eth2": 9000}
    assert (nics.rings.rx, nics.rings.tx) == (4096, 256)
    assert bed.settled == 1
    assert not taking_back.take_back(steps, lambda text: None).changes
    assert nics.mtu == {"eth1": 1500, "eth2": 1500}
    assert (nics.rings.rx, nics.rings.tx) == (256, 256)


def test_a_dry_run_tells_present_value_and_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _Nics(monkeypatch)
    monkeypatch.setattr(sysctl, "read", lambda name: "1")
    asked = [_options(mtu_bytes=9000, sysctls={"net.ipv4.tcp_sack": "0"}), _options(mtu_bytes=4000, rx_ring=512)]
    lines = [mtu_and_rings.asked_of(one) for one in asked]
    assert mtu_and_rings.told("eth1", lines) == [
        "  MTU: 1500 -> 9000, 4000", "  net.ipv4.tcp_sack: 1 -> 0", "  rx ring: 256 -> 512"
    ]  # fmt: skip
    # its namespaces are not there yet
    assert mtu_and_rings.told("lab", lines[:1]) == ["  MTU: as built -> 9000", "  net.ipv4.tcp_sack: as built -> 0"]
    assert mtu_and_rings.told("eth1", [mtu_and_rings.asked_of(_options())]) == []


def test_nothing_asked_for_touches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _Nics(monkeypatch)
    bed = _Bed()
    assert _apply(bed, _options()) == []
    assert (bed.settings, bed.settled) == ({}, 0)


def test_a_refused_value_leaves_steps_that_put_the_first_end_back(monkeypatch: pytest.MonkeyPatch) -> None:
    nics = _Nics(monkeypatch, refused_mtu=9000)
    changes = _Changes()
    with pytest.raises(FeatureError, match="MTU 9000 refused"):
        mtu_and_rings.apply(_Bed(), _options(mtu_bytes=9000), changes)  # type: ignore[arg-type]
    assert not taking_back.take_back(changes.made, lambda text: None).changes
    assert nics.mtu == {"eth1": 1500, "eth2": 1500}


@pytest.mark.parametrize(("there", "fits"), [({}, False), ({"mtu_bytes": 1500}, False), ({"mtu_bytes": 9000}, True)])
def test_the_mtu_of_another_host_must_be_set_there(
    monkeypatch: pytest.MonkeyPatch, there: dict[str, int], fits: bool
) -> None:
    @dataclass
    class Elsewhere:
        ifname: str = "eth2"

    nics, bed = _Nics(monkeypatch), _Bed(peer=Elsewhere(), peer_name="ssh://host", settings={"load_nic": there})
    if fits:
        _apply(bed, _options(mtu_bytes=9000))
    else:
        with pytest.raises(FeatureError, match="MTU 9000: eth2 of the load side ssh://host has") as caught:
            _apply(bed, _options(mtu_bytes=9000))
        assert "ip link set eth2 mtu 9000" in caught.value.hint
    # this machine may have a NIC of that name too, which is another one
    assert nics.mtu == {"eth1": 9000 if fits else 1500, "eth2": 1500}


def test_what_could_not_be_put_back_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    nics, bed = _Nics(monkeypatch), _Bed()
    steps = _apply(bed, _options(mtu_bytes=4000, tx_ring=512))
    nics.refused_mtu = 0
    monkeypatch.setattr(rings, "write", lambda *_: (_ for _ in ()).throw(FeatureError("busy")))
    left = taking_back.take_back(steps, lambda text: None).commands
    assert "ethtool -G eth1 rx 256 tx 256" in left
    assert "ip link set dev eth1 mtu 1500" in left
    assert "ip netns exec there ip link set dev eth2 mtu 1500" in left


def test_a_seed_of_the_plan_is_not_dropped_by_resume(command_line: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    begun, seed = plan_file.read(_written(tmp_path, PLAN))
    assert engine.open_sweep(begun, folder, resume=False).seed == seed == 7
    path = _written(tmp_path, PLAN.replace("seed = 7", "seed = 8"))
    finished = command_line("batch", str(path), "--resume", "--dry-run", "--output", str(folder))
    assert (finished.code, f"seed 8: the sweep in {folder} was begun with 7" in finished.err) == (2, True)
    path = _written(tmp_path, PLAN)
    assert command_line("batch", str(path), "--resume", "--dry-run", "--output", str(folder)).code == 0
