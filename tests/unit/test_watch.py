"""`offloadbench watch`: arguments, what it prints, what it writes."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import msgspec
import pytest

from offloadbench.base.errors import HostError, Interrupted, UsageError
from offloadbench.commands import watch
from offloadbench.engine.sender import sender_watch as engine
from offloadbench.engine.sender.monitor import Watched
from offloadbench.engine.sender.sender_watch import WatchOptions, WatchResult
from offloadbench.files.packed_columns import unpack_tcp
from offloadbench.kernel.system import processes
from offloadbench.kernel.tcp import sock_diag
from offloadbench.model import TcpTrace, Waits
from offloadbench.roles.messages import TcpGlance
from tests.conftest import CommandLine
from tests.unit.test_diagnosis import _waits, recorded


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[WatchOptions]:
    """What the engine was asked; it has seen a sender with a small buffer."""
    options: list[WatchOptions] = []

    def seen(chosen: WatchOptions, *_: object) -> WatchResult:
        options.append(chosen)
        waited: Waits | None = _waits(950_000) if chosen.waits else None
        return WatchResult([recorded("send-buffer").trace], 2, waited, 0.05, ["no real-time priority"], False)

    monkeypatch.setattr(engine, "watch", seen)
    return options


def test_the_verdict_comes_with_its_evidence(command_line: CommandLine, asked: list[WatchOptions]) -> None:
    done = command_line(
        "watch", "--remote", "198.18.0.2:3260", "--period", "2ms", "--duration", "3", "--namespace", "n"
    )
    assert done.code == 0
    assert "Limited by the send buffer at " in done.out
    assert "and 2 that sent nothing" in done.out
    assert "note: no real-time priority" in done.out
    assert "watching took " in done.out
    (options,) = asked
    assert (options.namespace, options.period_us, options.duration_s, options.waits) == ("n", 2000, 3.0, False)
    assert (options.watched.remote_address, options.watched.remote_port) == ("198.18.0.2", 3260)


def test_waits_are_shown_as_chains(command_line: CommandLine, asked: list[WatchOptions]) -> None:
    done = command_line("watch", "--waits")
    assert "1 x 950.00 ms (median), 0.95 s in all: tcp_sendmsg > sk_stream_wait_memory" in done.out
    assert "stacks: 95 % of the time in sk_stream_wait_memory" in done.out


def test_a_known_line_rate_is_used(command_line: CommandLine, asked: list[WatchOptions]) -> None:
    assert "Limited by the link at " in command_line("watch", "--line-rate", "140mbit").out


def test_readings_are_written_whole(command_line: CommandLine, asked: list[WatchOptions], tmp_path: Path) -> None:
    assert command_line("watch", "--output", str(tmp_path / "a.json")).code == 0
    document = json.loads((tmp_path / "a.json").read_text())
    assert (document["format"], document["limit"]) == ("offloadbench-watch", "send buffer")
    trace = recorded("send-buffer").trace
    assert msgspec.convert(document["tcp"][0], TcpTrace) == trace
    assert command_line("watch", "--output", str(tmp_path / "a.csv")).code == 0
    with (tmp_path / "a.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == trace.rows
    assert [int(row["acked_bytes"]) for row in rows] == unpack_tcp(trace)["acked_bytes"].tolist()
    assert rows[0]["connection"] == trace.connection


@pytest.mark.parametrize(
    "arguments",
    [
        ("--period", "1us"),
        ("--duration", "0"),
        ("--output", "a.txt"),
        ("--remote", "host:1"),
        ("--remote", "1.2.3.4:x"),
    ],
)
def test_wrong_arguments_are_usage_errors(
    command_line: CommandLine, asked: list[WatchOptions], arguments: tuple[str, str]
) -> None:
    assert command_line("watch", *arguments).code == UsageError.exit_code
    assert asked == []


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("", ("", 0)),
        ("198.18.0.2", ("198.18.0.2", 0)),
        ("198.18.0.2:80", ("198.18.0.2", 80)),
        ("fd00::2", ("fd00::2", 0)),
        ("[fd00::2]", ("fd00::2", 0)),
        ("[fd00::2]:80", ("fd00::2", 80)),
    ],
)
def test_ends_are_read_as_people_write_them(text: str, end: tuple[str, int]) -> None:
    assert watch._remote(text) == end


def test_the_live_line_is_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    reading = {"acked_bytes": 0, "wmem_queued_bytes": 4096, "sndbuf_bytes": 8192}
    reading |= {"notsent_bytes": 0, "snd_cwnd_segments": 10, "srtt_us": 20_000}
    for on in (True, False):
        live = watch._LiveLine(on)
        live.show(1.0, [TcpGlance("a > b", reading)])
        live.show(2.0, [TcpGlance("a > b", reading | {"acked_bytes": 125_000})])
        live.clear()
        shown = capsys.readouterr().err
        assert ("1 Mbit/s" in shown) is on
    assert shown == ""


def test_a_namespace_that_is_not_there_is_named() -> None:
    with pytest.raises(HostError, match="no network namespace nowhere"), engine._inside("nowhere"):
        pass


def test_a_connection_has_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = sock_diag.TcpConnection(2, ("10.0.0.1", 1), ("10.0.0.2", 2), "established", 77, "cubic", bytes(48))
    monkeypatch.setattr(sock_diag, "connections", lambda: [one])
    monkeypatch.setattr(processes, "holding_socket", lambda inode: [inode, 5])
    assert engine._senders(WatchOptions(Watched())) == [5, 77]


class _Monitor:
    """A monitor at whose second glance somebody presses Ctrl-C."""

    def __init__(self) -> None:
        self.glances = 0

    def glance(self) -> list[dict[str, object]]:
        self.glances += 1
        return []


def test_an_interrupt_ends_the_window_and_not_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor, shown = _Monitor(), list[float]()

    def sleep(_: float) -> None:
        if monitor.glances == 2:
            raise Interrupted("interrupted by SIGINT")

    monkeypatch.setattr(time, "sleep", sleep)
    assert engine._look(monitor, 60.0, lambda t_s, _: shown.append(t_s))  # type: ignore[arg-type]
    assert len(shown) == 2


def test_the_cpu_time_of_a_process_that_ends_is_that_of_its_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is gone has used 0 s, which made the share negative."""
    seconds = [0.0]
    used_s = {7: [100.0, 100.5, 101.0, 0.0], 8: [5.0, 5.1, 5.2, 5.3]}
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(processes, "cpu_s", lambda pid: used_s[pid][int(seconds[0])])
    used = engine._Used([7, 8])
    for seconds[0] in (1.0, 2.0, 3.0):
        used.look()
    assert used.busy_ratio() == pytest.approx(0.5 + 0.1)
    assert engine._Used([7]).busy_ratio() is None


def test_connections_from_one_address_share_the_link(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = recorded("window").trace
    other = msgspec.structs.replace(one, connection="10.0.0.1:40000 > 198.18.0.2:3260")
    traces = [one, one, other]
    monkeypatch.setattr(engine, "watch", lambda *_: WatchResult(traces, 0, None, 0.05, [], False))
    # 24.7 Mbit/s each: two of the three fill this line
    done = command_line("watch", "--line-rate", "53mbit")
    assert "Limited by the link at 49.4 Mbit/s: it reaches 99 % of what the line carries" in done.out
    assert "Limited by the receive window" in command_line("watch", "--line-rate", "90mbit").out
