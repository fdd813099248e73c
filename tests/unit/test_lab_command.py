"""Benches by hand: their names, journals and keepers. No bed is built here."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from offloadbench.base.errors import RestoreError, UsageError
from offloadbench.base.setting import BENCH
from offloadbench.base.setting_values import parse_sysctls
from offloadbench.base.settings import chosen
from offloadbench.bed import lab_bed
from offloadbench.engine.putting_back import undo
from offloadbench.engine.standing_lab import bench
from offloadbench.engine.standing_lab.bench import Bench, BenchEnd, Reply
from offloadbench.kernel.system import capabilities
from offloadbench.model import WireDirection, WireReport
from offloadbench.model.emulated_link import EmulatedLink, with_link
from tests.conftest import CommandLine
from tests.unit.machine import Machine

_END = BenchEnd(namespace="ns", ifname="obx", address="198.18.0.1", cpus=[0])
_DIRECTION = WireDirection(frames=3, segments=30, l2_bytes=45420, dropped=1, lost_segments=2, overflow_segments=4)
_WIRE = WireReport(
    interval_s=5.0,
    asleep_ratio=1.0,
    behind_s=0.0,
    late_max_s=0.0,
    late_p99_s=0.0,
    to_peer=_DIRECTION,
    to_dut=_DIRECTION,
)
_BENCH = Bench(
    name="slow", run_id="r1", keeper_pid=1, line_rate_bits_per_s=10**8, rtt_s=0.02, loss_ratio=0.001, queue_bytes=65536,
    dut=_END, peer=_END, notes=[],
)  # fmt: skip


class Keeper:
    """A journal and a lock as a keeper holds them, and its socket, which answers each caller with one reply."""

    def __init__(self, folder: Path, name: str = "slow") -> None:
        folder.mkdir()
        self.lock = undo.NicLock(f"bench-{name}")
        self.journal = undo.Journal("r1", f"bench-{name}")
        self.journal.add("folder", path=str(folder))
        self.reply = Reply(bench=_BENCH, wire=_WIRE)
        self.asked: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "control"))
        self._listener.listen()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self.asked.append(caller.recv(64))
            caller.sendall(msgspec.json.encode(self.reply) + b"\n")
            caller.close()

    def kill(self) -> None:
        """As SIGKILL leaves it: nobody listens, the lock is free, journal and folder stay. Safe to call twice."""
        if not self._thread.is_alive():
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.lock.release()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, state: Path) -> Machine:
    del state
    return Machine(monkeypatch)


@pytest.fixture
def keeper(machine: Machine, tmp_path: Path) -> Iterator[Keeper]:
    del machine
    keeper = Keeper(tmp_path / "bench")
    yield keeper
    keeper.kill()


def test_status_shows_the_link_and_what_it_dropped_and_why(keeper: Keeper, command_line: CommandLine) -> None:
    finished = command_line("lab", "status")
    assert finished.code == 0, finished.err
    assert (
        "bench slow: line rate 100 Mbit/s, added RTT 20 ms, loss 0.1 % of segments, queue of 64 KiB before the cable"
        in finished.out
    )
    assert "lost 2, queue full 4, no room at the receiver 1" in finished.out
    assert keeper.asked == [b"status\n"]


def test_without_a_bench_status_says_so_and_the_others_are_usage_errors(
    machine: Machine, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    del machine
    monkeypatch.setattr(capabilities, "effective", lambda: frozenset({"net_admin", "sys_admin"}))
    assert command_line("lab", "status").out == "no bench stands\n"
    for words in (["down"], ["exec", "dut", "--", "true"]):
        finished = command_line("lab", *words)
        assert finished.code == 2
        assert "no bench named default" in finished.err


def test_a_standing_bench_is_left_alone_by_restore(keeper: Keeper, command_line: CommandLine) -> None:
    finished = command_line("restore")
    assert "left alone" in finished.out
    assert keeper.journal.path.exists()


def test_down_is_asked_of_the_keeper_and_what_it_could_not_take_back_is_told(keeper: Keeper) -> None:
    bench.down("slow", lambda text: None)
    assert keeper.asked == [b"down\n"]
    keeper.reply = Reply(message="could not put back everything", hint="ip netns del ns", exit_code=9)
    with pytest.raises(RestoreError, match="could not put back"):
        bench.down("slow", lambda text: None)


@pytest.mark.parametrize("by", ["down", "restore"])
def test_a_bench_whose_keeper_was_killed_is_told_and_taken_back(
    keeper: Keeper, machine: Machine, command_line: CommandLine, tmp_path: Path, by: str
) -> None:
    keeper.kill()
    finished = command_line("lab", "status")
    assert finished.code == 3
    assert "was killed" in finished.err
    assert "lab down --name slow" in finished.err
    done = command_line("restore") if by == "restore" else command_line("lab", "down", "--name", "slow")
    assert done.code == 0, done.err
    assert machine.log == ["end processes of r1"]
    assert not (tmp_path / "bench").exists()
    assert bench.names() == []


def test_a_second_bench_of_the_name_is_refused(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    del keeper
    monkeypatch.setattr(capabilities, "effective", lambda: frozenset({"net_admin", "sys_admin"}))
    monkeypatch.setattr(lab_bed, "require_tun", lambda: None)
    with pytest.raises(UsageError, match="stands already"):
        bench.up("slow", {})


@pytest.mark.parametrize("name", ["", "Slow", "a/b", "-x", "x" * 21, ".."])
def test_a_name_that_is_no_name_is_a_usage_error(name: str, command_line: CommandLine) -> None:
    finished = command_line("lab", "down", f"--name={name}")
    assert finished.code == 2
    assert "--name" in finished.err


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "no command"), (["--"], "no command"), (["--", "no-such-command-here"], "no command named")],
)
def test_exec_without_a_command_is_a_usage_error(command_line: CommandLine, words: list[str], said: str) -> None:
    finished = command_line("lab", "exec", "dut", *words)
    assert finished.code == 2
    assert said in finished.err


@pytest.mark.parametrize("name", ["up", "exec"])
def test_a_bench_needs_capabilities(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(capabilities, "effective", frozenset)
    finished = command_line("lab", name, *(["dut", "--", "true"] if name == "exec" else []))
    assert finished.code == 3
    assert "CAP_SYS_ADMIN" in finished.err


def test_a_seed_without_losses_to_draw_is_refused(command_line: CommandLine) -> None:
    finished = command_line("lab", "up", "--seed", "2")
    assert (finished.code, "--seed draws which segments are lost, and none is" in finished.err) == (2, True)


def _link(**words: str) -> EmulatedLink:
    link: EmulatedLink = with_link(chosen(words, BENCH))["link"]
    return link


def test_options_of_the_cable() -> None:
    assert [_link(loss=text).loss_ratio for text in ("0.1", "0.1%")] == [pytest.approx(0.001)] * 2
    assert [_link(queue=text).queue_bytes for text in ("0", "256KiB")] == [0, 1 << 18]
    assert parse_sysctls(["net.ipv4.tcp_wmem=4096 16384 67108864"]) == {"net.ipv4.tcp_wmem": "4096 16384 67108864"}


@pytest.mark.parametrize("word", ["kernel.panic=1", "net.ipv4.tcp_sack", "net./etc=1", "=1", "net.=1"])
def test_a_sysctl_that_belongs_to_no_namespace_is_a_usage_error(word: str) -> None:
    with pytest.raises(UsageError):
        parse_sysctls([word])
