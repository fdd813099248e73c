"""`probe initcwnd --nic`: what is asked for, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest

from offloadbench.base.errors import HostError, TrafficError, UsageError
from offloadbench.engine.probe import probe_session
from offloadbench.engine.probe.probe_lab import Matrix, writes_bytes
from offloadbench.engine.probe.remote import ProbeTarget, RemoteServer, target
from offloadbench.kernel.system import capabilities
from tests.conftest import CommandLine

MSS = 1448


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--repeats", "0"), "--repeats 0 is too small"),
        (("--server", "198.51.100.1"), "the lab has a server of its own"),
        (("--cases", "tso,none"), "--cases none: not one of tso, gso, csum"),
        (("--patterns", ","), "--patterns names nothing"),
        (("--metrics", "hot"), "--metrics hot: not one of cold, warm"),
        (("--response", "4000", "--patterns", "one"), "--response is a pattern of its own"),
        (("--response", "0"), "says nothing"),
        (("--initcwnd", "0"), "0"),
    ],
)
def test_the_lab_refuses_in_one_line(command_line: CommandLine, words: tuple[str, ...], message: str) -> None:
    done = command_line("probe", "initcwnd", "--nic", "lab", *words)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "needs a server to observe"),
        (("--server", "192.0.2.1", "--rtt", "20ms"), "--rtt: a server that is not ours is only observed"),
        (("--server", "192.0.2.1", "--initcwnd", "4,10"), "a foreign server has one window"),
        (("--server", "https://192.0.2.1/"), "not a server that can be asked"),
    ],
)
def test_a_foreign_server_too(command_line: CommandLine, words: tuple[str, ...], message: str) -> None:
    done = command_line("probe", "initcwnd", "--nic", "eth9", *words)
    assert done.code == 2
    assert message in done.err


def test_the_veth_pair_has_no_cable_and_a_file_is_not_overwritten(command_line: CommandLine, tmp_path: Path) -> None:
    done = command_line("probe", "initcwnd", "--nic", "lab-veth", "--rtt", "20ms")
    assert (done.code, "has no cable" in done.err) == (2, True)
    path = tmp_path / "there.json"
    path.write_text("mine")
    done = command_line("probe", "initcwnd", "--nic", "lab", "--output", str(path))
    assert (done.code, path.read_text()) == (2, "mine")


def test_capabilities_are_needed(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "effective", frozenset)
    done = command_line("probe", "initcwnd", "--nic", "lab")
    assert (done.code, "CAP_NET_RAW" in done.err) == (HostError.exit_code, True)


def test_a_list_of_windows_is_for_the_lab_only(command_line: CommandLine) -> None:
    done = command_line("probe", "initcwnd", "--model", "2.6.18", "--initcwnd", "4,10")
    assert (done.code, "a list is for --nic lab" in done.err) == (2, True)


def test_options_become_a_matrix(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Matrix] = []

    def stop(options: object, matrix: Matrix, *_: object) -> None:
        del options
        asked.append(matrix)
        raise HostError("far enough")

    monkeypatch.setattr(probe_session, "in_the_lab", stop)
    command_line("probe", "initcwnd", "--nic", "lab", "--initcwnd", "40,4", "--congestion-control", "bbr,cubic")
    command_line("probe", "initcwnd", "--nic", "lab", "--window", "5840", "--metrics", "warm", "--cases", "csum,tso")
    command_line("probe", "initcwnd", "--nic", "lab", "--response", "4KiB", "--repeats", "2")
    first, second, third = asked
    assert (first.initcwnds, first.congestion_controls, first.repeats) == ((40, 4), ("bbr", "cubic"), 5)
    assert first.patterns == ("one", "two", "five", "exact", "idle")
    assert (second.patterns, second.window_bytes, second.metrics, second.cases) == (
        ("one",), 5840, ("warm",), ("tso", "csum"),
    )  # fmt: skip
    assert (third.patterns, third.response_bytes, third.repeats) == (("given",), 4096, 2)


@pytest.mark.parametrize(
    ("expected", "asked", "window_bytes"),
    [(None, 0, 65535), (10, 0, 65535), (40, 0, 2 * 40 * 1460), (40, 65535, 65535), (10, 130_000, 130_000)],
)
def test_a_foreign_server_is_offered_twice_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, expected: int | None, asked: int, window_bytes: int
) -> None:
    """65535 bytes, as it was before, are 45 segments: they bound a flight of 40 and all that exceed it."""
    offered: list[int] = []

    @contextmanager
    def connection(_: RemoteServer, port: int, window_bytes: int) -> Iterator[None]:
        del port
        offered.append(window_bytes)
        raise TrafficError("far enough")
        yield

    def made(self: RemoteServer, *_: object) -> None:
        self._journal, self._offered_mss_bytes = Mock(), 1460
        self._asked = target("http://192.0.2.1/big")

    monkeypatch.setattr(RemoteServer, "__init__", made)
    monkeypatch.setattr(RemoteServer, "_connection", connection)
    trial = RemoteServer(Mock(), "eth9", target("http://192.0.2.1/big")).observe(1, expected, asked)
    assert (offered, trial.problem) == ([window_bytes], "far enough")


def test_the_matrix_holds_every_setting_in_complete_blocks() -> None:
    trials = Matrix(initcwnds=(4, 10), congestion_controls=("cubic", "bbr"), repeats=2).trials()
    assert len(trials) == len(set(map(repr, trials))) == 2 * 2 * 2 * 3 * (2 * 4 + 1)
    assert [trial.repeat for trial in trials] == [1] * 108 + [2] * 108
    assert {trial.metrics for trial in trials if trial.pattern == "idle"} == {"cold"}


@pytest.mark.parametrize(
    ("pattern", "writes"),
    [
        ("one", [14 * MSS]),
        ("two", [7 * MSS] * 2),
        ("five", [2 * MSS] * 5),
        ("exact", [10 * MSS]),
        ("idle", [80 * MSS]),
        ("given", [123]),
    ],
)
def test_the_server_writes_as_the_pattern_says(pattern: str, writes: list[int]) -> None:
    assert writes_bytes(pattern, 10, MSS, 123) == writes


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.1", ProbeTarget("http", "192.0.2.1", 80, "/")),
        ("192.0.2.1:8080", ProbeTarget("http", "192.0.2.1", 8080, "/")),
        ("http://host/big?x=1", ProbeTarget("http", "host", 80, "/big?x=1")),
        ("ftp://host/pub/big", ProbeTarget("ftp", "host", 21, "/pub/big")),
        ("ftp://me:secret@host:2121/big", ProbeTarget("ftp", "host", 2121, "/big", "me", "secret")),
    ],
)
def test_a_server_is_read_as_typed(text: str, found: ProbeTarget) -> None:
    assert target(text) == found
    assert "secret" not in found.name


@pytest.mark.parametrize(
    "text", ["host:port", "host:21", "ftp://host/", "gopher://host/x", "http:///x", "http://h/a b"]
)
def test_what_cannot_be_asked_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        target(text)
