"""A journal is a file that anybody may have written: each line is believed as far as its kind and its run allow."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offloadbench.base.errors import HostError, RestoreError, UsageError
from offloadbench.bed.remote import ssh
from offloadbench.changes.change import Change
from offloadbench.changes.gso_segments import GsoMaxSegs
from offloadbench.changes.made_namespace import MadeNamespace
from offloadbench.changes.mtu_value import MtuValue
from offloadbench.changes.run_folder import RunFolder
from offloadbench.engine.putting_back import change_kinds, found_journal, journal_file
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.putting_back.left_behind import restore_left_behind
from offloadbench.engine.putting_back.nic_lock import NicLock
from offloadbench.kernel.netdev import irq, lending, link, neighbour, rings, route
from offloadbench.kernel.netdev.rings import Rings
from offloadbench.kernel.system import sysctl
from offloadbench.traffic.iscsi import open_iscsi
from tests.conftest import CommandLine
from tests.unit.machine import NIC, Machine

RUN = "0a1b2c3d"
SPACE = f"offloadbench-{RUN}-dut"
# one of each kind, as the version before this one wrote them
RECORDS: dict[str, dict[str, Any]] = {
    "folder": {"path": f"/tmp/offloadbench-{RUN}"},
    "tracefs": {},
    "namespace": {"namespace": SPACE},
    "features": {
        "ifname": NIC,
        "namespace": None,
        "wanted": {"tx-tcp-segmentation": True},
        "asked": {"tx-tcp-segmentation": False},
    },
    "gso_max_segs": {"ifname": NIC, "namespace": None, "max_segs": 65535, "asked": 1},
    "mtu": {"ifname": NIC, "namespace": SPACE, "mtu_bytes": 1400, "asked": 9000},
    "rings": {"ifname": NIC, "namespace": None, "rings": {"rx": 512, "tx": 256}, "asked": {"rx": 4096}},
    "sysctl": {"name": "net.ipv4.tcp_sack", "value": "1", "asked": "0", "namespace": None},
    "host_sysctl": {"where": "ssh://loader", "name": "net.ipv4.tcp_sack", "value": "1", "set_to": "0"},
    "lent_nic": {
        "ifname": "eth2",
        "namespace": f"offloadbench-{RUN}-peer",
        "was": {
            "up": True,
            "addresses": [[2, "192.0.2.2", 24], [10, "2001:db8::2", 64]],
            "routes": [
                {"family": 2, "dst": "default", "gateway": "192.0.2.1", "table": 254, "priority": None, "proto": 3}
            ],
        },
    },
    "address": {"ifname": NIC, "namespace": None, "address": "198.18.0.1", "up": True},
    "irq_affinity": {"irq": 27, "cpus": "0-3,8"},
    "iscsi_sessions": {"prefix": f"iqn.2004-01.org.offloadbench:target-{RUN}-"},
    "neighbour": {"address": "198.18.0.6", "ifname": NIC, "namespace": SPACE},
    "route": {"address": "198.18.0.6", "namespace": SPACE},
    "rule": {"address": "198.51.100.1", "port": 80, "local_port": 40000, "namespace": None},
}


def _header(**values: Any) -> dict[str, Any]:
    return {"run_id": RUN, "nic": NIC, "boot_id": journal_file.boot_id(), "pid": 1} | values


def _lines(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


class World:
    """The fakes of `Machine`, and of what else an undo may touch; `done` has everything that was undone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = Machine(monkeypatch)
        self.machine.namespaces |= {SPACE, f"offloadbench-{RUN}-peer"}
        self.done: list[str] = []

        def noted(name: str, answer: object) -> Callable[..., object]:
            def note(*arguments: object, **_: object) -> object:
                self.done.append(f"{name} {arguments[0]}")
                return answer

            return note

        monkeypatch.setattr(link, "set_mtu", noted("mtu", None))
        monkeypatch.setattr(link, "deconfigure", noted("address", True))
        monkeypatch.setattr(rings, "read", lambda *_: Rings(1, 1, 4096, 4096))
        monkeypatch.setattr(rings, "write", noted("rings", None))
        monkeypatch.setattr(sysctl, "read", lambda *_: "1")
        monkeypatch.setattr(sysctl, "write", noted("sysctl", None))
        monkeypatch.setattr(lending, "take_back", noted("lent", True))
        monkeypatch.setattr(irq, "affinity", lambda *_: "1")
        monkeypatch.setattr(irq, "exists", lambda _: True)
        monkeypatch.setattr(irq, "set_affinity", noted("irq", None))
        monkeypatch.setattr(route, "remove_host_route", noted("route", True))
        monkeypatch.setattr(neighbour, "remove", noted("neighbour", True))
        monkeypatch.setattr(route.SilencedTcp, "end", noted("rule", True))
        monkeypatch.setattr(open_iscsi, "leave_behind_nothing", noted("iscsi", []))
        monkeypatch.setattr(ssh, "parse", self._no_ssh)

    def _no_ssh(self, text: str, option: str = "") -> None:
        raise UsageError(f"{option} {text}: not here")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, state: Path) -> World:
    del state
    return World(monkeypatch)


def _restored() -> tuple[int, str, list[str]]:
    """Exit code, message with hint, and what was told."""
    told: list[str] = []
    try:
        restore_left_behind(told.append)
    except RestoreError as error:
        return error.exit_code, f"{error.message}\n{error.hint}", told
    return 0, "", told


def test_every_kind_of_record_of_the_version_before_is_taken_back(world: World, state: Path) -> None:
    assert RECORDS.keys() == change_kinds.kinds().keys() - {"processes"}
    records = [{"kind": kind, **values} for kind, values in RECORDS.items() if kind != "host_sysctl"]
    (state / f"{RUN}.journal").write_bytes(_lines(_header(), *records))
    world.machine.max_segs = 1
    assert _restored()[:2] == (0, "")
    assert [entry.split()[0] for entry in world.done] == [
        "rule", "route", "neighbour", "iscsi", "irq", "address", "lent", "rings", "mtu",
    ]  # fmt: skip
    assert world.machine.log == [f"end processes of {RUN}", "gso_max_segs 65535", f"remove {SPACE}", "umount"]


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_is_read_back_as_it_is_written(kind: str) -> None:
    change = change_kinds.from_record(json.dumps({"kind": kind, **RECORDS[kind]}).encode())
    assert change_kinds.from_record(change_kinds.record(change)) == change
    assert change.distrust(RUN) == ""
    assert change.distrust("another") == "" or kind in {"folder", "namespace", "lent_nic", "iscsi_sessions"}
    assert change.command


HEADERS: dict[str, bytes] = {
    "not UTF-8": b"\xff\n",
    "a number": b"5\n",
    "no NIC": b'{"run_id":"a"}\n',
    "a list": b'{"run_id": []}\n',
    "deep": b'{"x":' * 5000 + b"\n",
    "of a run that has its own": _lines(_header()),
    "of a run elsewhere": _lines(_header(run_id="../a")),
    "with an escape": _lines(_header(nic="e\x1b[31m")),
    "without a NIC's name": _lines(_header(nic="")),
    "with another key": _lines(_header() | {"\x1b[31m": 1}),
    "later": _lines(_header(version=99)),
    "of no version": _lines(_header(version=0)),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_journal_that_is_not_understood_is_named_and_the_next_is_taken_back(
    world: World, state: Path, name: str
) -> None:
    path = state / "0.journal"
    path.write_bytes(HEADERS[name] if "of a run" in name else HEADERS[name].replace(RUN.encode(), b"0"))
    (state / f"{RUN}.journal").write_bytes(_lines(_header(), {"kind": "namespace", "namespace": SPACE}))
    code, said, _ = _restored()
    assert code == 9
    assert "0.journal" in said
    assert ("version 99" in said) == (name == "later")
    assert all(character.isprintable() or character == "\n" for character in said)
    assert path.exists()
    assert f"remove {SPACE}" in world.machine.log
    # a run on another NIC is not held up by it
    assert restore_left_behind(lambda text: None, "eth9") == 0


def test_a_later_journal_of_the_nic_holds_up_its_next_run(world: World, state: Path) -> None:
    del world
    (state / f"{RUN}.journal").write_bytes(_lines(_header(version=99)))
    with pytest.raises(RestoreError, match="version 99"):
        restore_left_behind(lambda text: None, NIC)


STRANGE: list[tuple[bytes, str]] = [
    (b'{"kind":"from-the-future\\u001b[31m"}', "unknown kind of change 'from-the-future\\x1b[31m'"),
    (b'{"kind":"folder"}', "missing required field `path`"),
    (b'{"kind":"tracefs","more":1}', "unknown field `more`"),
    (b'{"undone_to":","}', "no record of a change"),
    (b'{"undone_to":99}', "no record of a change"),
    (b'{"undone_to":-1}', "no record of a change"),
    (b'{"undone_to":true}', "no record of a change"),
    (b'{"path":"/tmp/x"}', "no record of a change"),
    (b"5", "no record of a change"),
    (b"\xff\xfe", "no record of a change"),
    (b"[" * 5000, "no record of a change"),
    (b'{"kind":"mtu","ifname":"a/b","namespace":null,"mtu_bytes":1500}', "$.ifname"),
    (b'{"kind":"mtu","ifname":"-","namespace":"..","mtu_bytes":1500}', "$.namespace"),
    (b'{"kind":"mtu","ifname":"x0","namespace":"../../etc","mtu_bytes":1500}', "$.namespace"),
    (b'{"kind":"mtu","ifname":"x0","namespace":9223372036854775807,"mtu_bytes":1500}', "$.namespace"),
    (b'{"kind":"mtu","ifname":"x0","namespace":null,"mtu_bytes":true}', "$.mtu_bytes"),
    (b'{"kind":"sysctl","name":"/etc/passwd","value":"1","namespace":null}', "$.name"),
    (b'{"kind":"sysctl","name":"kernel.core_pattern","value":"|/x","namespace":null}', "$.name"),
    (b'{"kind":"sysctl","name":"net.ipv4.x","value":"1\\u001b","namespace":null}', "$.value"),
    (b'{"kind":"irq_affinity","irq":1,"cpus":"0; reboot"}', "$.cpus"),
    (b'{"kind":"rule","address":"1.2.3.4 x","port":1,"local_port":2,"namespace":null}', "$.address"),
    (b'{"kind":"rule","address":"1.2.3.4","port":65536,"local_port":2,"namespace":null}', "$.port"),
    (b'{"kind":"lent_nic","ifname":"x","namespace":"' + SPACE.encode() + b'","was":{}}', "$.was"),
    (b'{"kind":"features","ifname":"x0","namespace":null,"wanted":{"tx; reboot":true}}', "$.wanted"),
    # what only the run itself can have made
    (b'{"kind":"folder","path":"/etc"}', "/etc is not of run"),
    (b'{"kind":"folder","path":"/tmp/../etc/offloadbench-' + RUN.encode() + b'"}', "is not of run"),
    (b'{"kind":"folder","path":"/home/offloadbench-' + RUN.encode() + b'"}', "not a folder for temporary files"),
    (b'{"kind":"folder","path":"/tmp/offloadbench-ffffffff"}', "is not of run"),
    (b'{"kind":"namespace","namespace":"production"}', "production is not of run"),
    (b'{"kind":"namespace","namespace":"offloadbench-ffffffff-dut"}', "is not of run"),
    (b'{"kind":"processes","run_id":"ffffffff"}', "are not of run"),
    (b'{"kind":"iscsi_sessions","prefix":"iqn.2004-01.org.offloadbench:target-"}', "are not of run"),
    (b'{"kind":"address","ifname":"eth0","namespace":null,"address":"192.0.2.7","up":false}', "198.18.0.0/15"),
    (b'{"kind":"address","ifname":"eth0","namespace":null,"address":"999.1.1.1","up":false}', "198.18.0.0/15"),
    (b'{"kind":"route","address":"192.0.2.7","namespace":null}', "198.18.0.0/15"),
    (b'{"kind":"neighbour","address":"192.0.2.7","ifname":"eth0","namespace":null}', "198.18.0.0/15"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said"), STRANGE, ids=[text for _, text in STRANGE])
def test_a_line_that_cannot_be_believed_is_named_and_the_others_are_taken_back(
    world: World, state: Path, line: bytes, said: str
) -> None:
    path = state / f"{RUN}.journal"
    before, after = RECORDS["namespace"], RECORDS["gso_max_segs"]
    begin = _lines(_header(), {"kind": "namespace", **before})
    path.write_bytes(begin + line + b"\n" + _lines({"kind": "gso_max_segs", **after}))
    world.machine.max_segs = 1
    code, message, _ = _restored()
    assert code == 9
    assert said in message
    assert all(character.isprintable() or character == "\n" for character in message)
    assert world.machine.log == [f"end processes of {RUN}", "gso_max_segs 65535", f"remove {SPACE}"]
    assert world.done == []
    # no command of such a line is offered to be typed
    assert "rm -r" not in message
    assert "ip netns del" not in message
    # what was taken back is not taken back again
    assert path.read_bytes().splitlines()[1:] == [line]
    assert _restored()[0] == 9
    assert world.machine.log[3:] == [f"end processes of {RUN}"]


def test_a_position_after_a_damaged_line_is_not_believed(world: World, state: Path) -> None:
    records = [{"kind": kind, **RECORDS[kind]} for kind in ("namespace", "gso_max_segs")]
    text = _lines(_header(), records[0]) + b"\x00damaged\n" + _lines(records[1], {"undone_to": 2})
    (state / f"{RUN}.journal").write_bytes(text)
    world.machine.max_segs = 1
    assert _restored()[0] == 9
    assert "gso_max_segs 65535" in world.machine.log


@given(st.data())
@settings(max_examples=150)
def test_whatever_is_changed_in_a_journal_restore_ends_in_order(data: st.DataObject) -> None:
    text = bytearray(_lines(_header(), *({"kind": kind, **values} for kind, values in RECORDS.items())))
    for _ in range(data.draw(st.integers(1, 4))):
        if not text:
            break
        at = data.draw(st.integers(0, len(text) - 1))
        match data.draw(st.sampled_from(["byte", "cut", "twice", "gone"])):
            case "byte":
                text[at] = data.draw(st.integers(0, 255))
            case "cut":
                del text[at + 1 :]
            case "twice":
                text[at:at] = text[at : at + 60]
            case _:
                del text[at : at + data.draw(st.integers(1, 40))]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFLOADBENCH_STATE", folder)
        world = World(patch)
        (Path(folder) / f"{RUN}.journal").write_bytes(text)
        code, said, told = _restored()
        assert code in (0, 9)
        assert all(character.isprintable() for line in [*said.splitlines(), *told] for character in line)
        removed = [entry for entry in world.machine.log if entry.startswith("remove ")]
        assert all(entry.startswith(f"remove offloadbench-{RUN}-") for entry in removed)


# ---------------------------------------------------------------- files


def _namespace_journal(state: Path) -> Path:
    path = state / f"{RUN}.journal"
    path.write_bytes(_lines(_header(), {"kind": "namespace", "namespace": SPACE}))
    return path


def _linked(state: Path) -> None:
    path = _namespace_journal(state)
    path.rename(state / "elsewhere")
    path.symlink_to(state / "elsewhere")


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "of everybody": (lambda state: _namespace_journal(state).chmod(0o666), "can be written by other users"),
    "a folder": (lambda state: (state / f"{RUN}.journal").mkdir(), "no regular file"),
    "a pipe": (lambda state: os.mkfifo(state / f"{RUN}.journal"), "no regular file"),
    "a link": (_linked, "cannot be read"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_others_may_have_put_there_is_not_read(world: World, state: Path, name: str) -> None:
    make, said = FILES[name]
    make(state)
    code, message, _ = _restored()
    assert (code, said in message, f"{RUN}.journal" in message) == (9, True, True)
    assert world.machine.log == []


def test_a_journal_of_another_user_is_not_read(world: World, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _namespace_journal(state)
    real = os.fstat

    def fstat(file: int) -> os.stat_result:
        found = list(real(file))
        found[4] = 65534
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", fstat)
    code, message, _ = _restored()
    assert (code, "belongs to another user (uid 65534)" in message) == (9, True)
    assert world.machine.log == []


def test_a_folder_that_is_a_link_is_not_followed(
    state: Path, tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    del world
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    Path(RunFolder.of(RUN).path).symlink_to(tmp_path / "mine")
    (state / f"{RUN}.journal").write_bytes(_lines(_header(), {"kind": "folder", "path": RunFolder.of(RUN).path}))
    code, message, _ = _restored()
    assert (code, "is not the folder that the run has made" in message) == (9, True)
    assert (tmp_path / "mine" / "file").exists()


# ---------------------------------------------------------------- locks, creation, failures


def test_a_journal_appears_whole(world: World, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every moment of its making it is either not there, or there with its header."""
    del world
    seen: list[list[str]] = []

    def look() -> None:
        assert restore_left_behind(lambda text: None, "eth9") == 0
        seen.append([path.read_text().partition("\n")[1] for path in state.glob("*.journal")])

    for name in ("open", "write", "fsync", "rename"):
        real = getattr(os, name)

        def looking(*arguments: Any, real: Callable[..., Any] = real, **values: Any) -> Any:
            if len(seen) < 50 and not inside:
                inside.append(1)
                look()
                inside.clear()
            return real(*arguments, **values)

        monkeypatch.setattr(os, name, looking)
    inside: list[int] = []
    journal = Journal(RUN, NIC)
    monkeypatch.undo()
    assert len(seen) >= 3
    assert all(ends in ([], ["\n"]) for ends in seen)
    assert journal.path.exists()


def test_an_empty_file_of_a_run_that_just_begins_is_left_alone_by_others(world: World, state: Path) -> None:
    del world
    (state / "deadbeef.journal").touch()
    assert restore_left_behind(lambda text: None, "eth9") == 0
    assert (state / "deadbeef.journal").exists()


def test_restore_holds_the_lock_of_the_nic_while_it_works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    Journal(RUN, NIC).add(MadeNamespace(namespace=SPACE))
    refused: list[str] = []

    def remove(name: str) -> None:
        with pytest.raises(UsageError) as caught:
            NicLock(NIC)
        refused.append(name)
        assert f"pid {os.getpid()}" in caught.value.message

    monkeypatch.setattr("offloadbench.kernel.system.netns.remove", remove)
    assert restore_left_behind(lambda text: None) == 1
    assert refused == [SPACE]
    NicLock(NIC).release()
    del world


def test_every_failure_of_every_journal_is_named_with_its_command(world: World, command_line: CommandLine) -> None:
    for run, nic in (("a", "eth7"), ("b", "eth8")):
        journal = Journal(run, nic)
        journal.add(MadeNamespace(namespace=f"offloadbench-{run}-dut"))
        world.machine.namespaces.add(f"offloadbench-{run}-dut")
        journal.add(MtuValue(ifname=NIC, namespace=None, mtu_bytes=9000 if run == "a" else 1400))
    world.machine.failing["netns.remove"] = HostError("busy")
    finished = command_line("restore")
    assert finished.code == 9
    assert finished.err.count("busy") == 2
    assert "ip netns del offloadbench-a-dut" in finished.err
    assert "ip netns del offloadbench-b-dut" in finished.err
    # the rest was done, and is not left to do
    assert world.done == [f"mtu {NIC}"] * 2
    world.machine.failing.clear()
    assert command_line("restore").out.count("removed, with its links") == 2
    assert world.done == [f"mtu {NIC}"] * 2


def test_a_full_disk_keeps_the_lock_and_the_journal_in_order(
    world: World, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del world
    journal = Journal(RUN, NIC)
    real = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) > 10:
            return real(file, data[:10])
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(HostError, match="No space left"):
        journal.add(MadeNamespace(namespace=SPACE))
    with pytest.raises(HostError, match="No space left"):
        Journal("other", "eth8")
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, os.strerror(28))))
    with pytest.raises(HostError, match="No space left"):
        NicLock("eth7")
    monkeypatch.undo()
    monkeypatch.setenv("OFFLOADBENCH_STATE", str(state))
    # nothing of it is left: what is written next stands on a line of its own
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=1))
    found = found_journal.read(journal.path)
    assert found is not None
    assert found.changes == [GsoMaxSegs(ifname=NIC, namespace=None, max_segs=1)]
    assert [path.name for path in state.iterdir() if "partial" in path.name or "other" in path.name] == []


def test_after_a_failure_the_journal_names_what_is_left(world: World) -> None:
    journal = Journal(RUN, NIC)
    world.machine.namespaces.add(SPACE)
    for change in (
        MadeNamespace(namespace=SPACE),
        MtuValue(ifname=NIC, namespace=None, mtu_bytes=9000),
        MtuValue(ifname=NIC, namespace=None, mtu_bytes=1400),
    ):
        journal.add(change)
    world.machine.failing["netns.remove"] = HostError("busy")
    with pytest.raises(RestoreError):
        journal.undo_to(0, lambda text: None)
    assert journal.changes_since(0) == [MadeNamespace(namespace=SPACE)]
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=1))
    journal.undo_to(1, lambda text: None)
    found = found_journal.read(journal.path)
    assert found is not None
    assert found.changes == journal.changes_since(0) == [MadeNamespace(namespace=SPACE)]


def test_what_restore_would_not_take_back_is_not_begun(world: World) -> None:
    del world
    journal = Journal(RUN, NIC)
    with pytest.raises(HostError, match="production is not of run"):
        journal.make(MadeNamespace(namespace="production"))
    with pytest.raises(HostError, match="no record of a change"):
        journal.add(MtuValue(ifname="a/b", namespace=None, mtu_bytes=1500))
    assert journal.mark == 0
    with pytest.raises(HostError, match="no journal can be kept"):
        Journal("r2", "e\x1b[31m")


@pytest.mark.parametrize("kind", ["folder", "iscsi_sessions"])
def test_what_a_restart_does_not_take_away_is_taken_back_after_one(
    world: World, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    RunFolder.of(RUN).apply()
    records = [{"kind": name, **values} for name, values in RECORDS.items() if name != "folder"]
    records.append({"kind": "folder", "path": RunFolder.of(RUN).path})
    (state / f"{RUN}.journal").write_bytes(_lines(_header(boot_id="another"), *records, {"kind": "unknown"}))
    assert _restored()[0] == 0
    assert world.machine.log == []
    assert world.done == [f"iscsi {RECORDS['iscsi_sessions']['prefix']}"]
    assert Path(RunFolder.of(RUN).path).exists() is False
    del kind


# ---------------------------------------------------------------- a kind is one file


@pytest.fixture
def fresh_kinds() -> Iterator[None]:
    change_kinds.kinds.cache_clear()
    yield
    change_kinds.kinds.cache_clear()


def test_a_kind_of_change_is_one_file(
    world: World, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_kinds: None
) -> None:
    del world, fresh_kinds
    import offloadbench.changes

    (tmp_path / "made_file.py").write_text(
        "from pathlib import Path\n"
        "from offloadbench.changes.change import Change, Tell\n"
        "class MadeFile(Change, frozen=True, tag='file'):\n"
        "    path: str\n"
        "    def apply(self) -> None:\n"
        "        Path(self.path).touch()\n"
        "    def undo(self, tell: Tell) -> None:\n"
        "        Path(self.path).unlink()\n"
        "        tell(f'{self.path} removed')\n"
        "    @property\n"
        "    def command(self) -> str:\n"
        "        return f'rm {self.path}'\n"
    )
    monkeypatch.setattr(offloadbench.changes, "__path__", [*offloadbench.changes.__path__, str(tmp_path)])
    kind = change_kinds.kinds()["file"]
    Journal(RUN, NIC).make(kind(path=str(tmp_path / "it")))
    assert (tmp_path / "it").exists()
    assert _restored() == (0, "", ["ended python (pid 1)", f"{tmp_path / 'it'} removed"])
    assert not (tmp_path / "it").exists()
    assert list(state.glob("*.journal")) == []


@pytest.mark.parametrize("kind", change_kinds.kinds().values(), ids=change_kinds.kinds())
def test_every_kind_says_how_it_is_taken_back(kind: type[Change]) -> None:
    assert kind.undo is not Change.undo
    assert kind.command is not Change.command
    assert kind.__doc__


NASTY = "a$(x);'`b"


@pytest.mark.parametrize("kind", RECORDS)
def test_a_command_that_is_typed_does_what_it_says_whatever_the_names_are(kind: str) -> None:
    values = RECORDS[kind] | {key: NASTY for key in ("ifname", "namespace") if RECORDS[kind].get(key)}
    command = change_kinds.from_record(json.dumps({"kind": kind, **values}).encode()).command
    named = {key for key, value in values.items() if (value == NASTY and key != "ifname") or key == "ifname"}
    assert shlex.split(command).count(NASTY) == len(named)
