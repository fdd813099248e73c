"""`offloadbench tune` against sysctls that are a dictionary."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from offloadbench.base.errors import RefusedError, RestoreError
from offloadbench.changes.sysctl_value import SysctlValue
from offloadbench.engine.putting_back import journal_file
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.putting_back.left_behind import journalled
from offloadbench.kernel.system import capabilities, netns, sysctl
from tests.conftest import CommandLine
from tests.unit.test_tcp_tuning import DEFAULTS

PATH = ("--bandwidth", "10gbit", "--rtt", "40ms")


class Sysctls:
    """The values, and which of them refuse (`failing`) or silently keep theirs (`deaf`)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.values = dict(DEFAULTS)
        self.failing: set[str] = set()
        self.deaf: set[str] = set()
        self.read_only: set[str] = set()
        monkeypatch.setattr(sysctl, "read", lambda name, namespace=None: self.values.get(name))
        monkeypatch.setattr(sysctl, "write", self._write)
        monkeypatch.setattr(sysctl, "writable", lambda name, namespace=None: name not in self.read_only)

    def _write(self, name: str, value: str, namespace: str | None = None) -> None:
        del namespace
        if name in self.failing:
            raise RefusedError(f"sysctl {name} = {value!r}: Invalid argument")
        if name not in self.deaf:
            self.values[name] = value


@pytest.fixture
def sysctls(monkeypatch: pytest.MonkeyPatch, state: Path) -> Sysctls:
    del state
    monkeypatch.setattr(capabilities, "effective", lambda: frozenset({"net_admin", "sys_admin"}))
    return Sysctls(monkeypatch)


def test_apply_says_before_and_after_and_undo_restores_exactly(command_line: CommandLine, sysctls: Sysctls) -> None:
    done = command_line("tune", *PATH, "--apply")
    assert (done.code, done.err) == (0, "")
    assert "net.ipv4.tcp_rmem: 4096 131072 6291456 -> 4096 131072 100003840" in done.out
    assert sysctls.values != DEFAULTS
    assert command_line("tune", *PATH, "--apply").out.startswith("nothing to change")
    done = command_line("tune", "--undo")
    assert "net.core.rmem_max put back to 212992" in done.out
    assert sysctls.values == DEFAULTS
    assert command_line("tune", "--undo").out == "nothing to undo\n"


def test_a_tuned_machine_is_not_restored_with_killed_runs(command_line: CommandLine, sysctls: Sysctls) -> None:
    command_line("tune", *PATH, "--apply")
    tuned = dict(sysctls.values)
    assert command_line("restore").out == "nothing to restore\n"
    assert journalled() == []
    assert sysctls.values == tuned


def test_the_step_is_on_disk_before_the_value_changes(
    command_line: CommandLine, sysctls: Sysctls, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(name: str, value: str, namespace: str | None = None) -> None:
        del namespace
        last = json.loads((state / "tune.tuned").read_text().splitlines()[-1])
        assert last == {
            "kind": "sysctl",
            "name": name,
            "namespace": None,
            "value": sysctls.values[name],
            "asked": value,
        }
        sysctls.values[name] = value

    monkeypatch.setattr(sysctl, "write", write)
    assert command_line("tune", *PATH, "--apply").code == 0


def test_a_second_apply_that_would_change_more_asks_for_undo(command_line: CommandLine, sysctls: Sysctls) -> None:
    command_line("tune", *PATH, "--apply")
    tuned = dict(sysctls.values)
    refused = command_line("tune", "--bandwidth", "100gbit", "--rtt", "40ms", "--apply")
    assert refused.code == 2
    assert "tune --undo" in refused.err
    assert sysctls.values == tuned


@pytest.mark.parametrize("way", ["failing", "deaf"])
def test_a_value_that_does_not_take_brings_everything_back(
    command_line: CommandLine, sysctls: Sysctls, state: Path, way: str
) -> None:
    getattr(sysctls, way).add("net.core.wmem_max")
    done = command_line("tune", *PATH, "--apply")
    assert done.code == 3
    assert "net.core.wmem_max" in done.err
    assert sysctls.values == DEFAULTS
    assert not (state / "tune.tuned").exists()


def test_what_cannot_be_put_back_is_told_as_a_command(command_line: CommandLine, sysctls: Sysctls) -> None:
    command_line("tune", *PATH, "--apply")
    sysctls.failing.add("net.ipv4.tcp_rmem")
    done = command_line("tune", "--undo")
    assert done.code == 9
    assert "sysctl -w net.ipv4.tcp_rmem='4096 131072 6291456'" in done.err
    sysctls.failing.clear()
    assert command_line("tune", "--undo").code == 0
    assert sysctls.values == DEFAULTS


@pytest.mark.parametrize(("namespace", "prefix"), [(None, ""), ("other", "ip netns exec other ")])
def test_a_value_that_does_not_go_back_is_told_as_a_command_where_it_belongs(
    sysctls: Sysctls, monkeypatch: pytest.MonkeyPatch, namespace: str | None, prefix: str
) -> None:
    monkeypatch.setattr(netns, "exists", lambda name: True)
    sysctls.deaf.add("net.core.rmem_max")
    journal = Journal("r1", "r1")
    journal.add(SysctlValue(name="net.core.rmem_max", namespace=namespace, value="1"))
    with pytest.raises(RestoreError, match="did not go back") as caught:
        journal.close(lambda told: None)
    assert caught.value.hint == f"still needed: {prefix}sysctl -w net.core.rmem_max='1'"


def test_a_namespace_that_is_gone_took_its_values_with_it(command_line: CommandLine, sysctls: Sysctls) -> None:
    journal = Journal("tune-gone", "tune-gone", "tuned")
    journal.add(SysctlValue(name="net.ipv4.tcp_rmem", namespace="gone", value="1 2 3"))
    journal.keep()
    done = command_line("tune", "--undo", "--namespace", "gone")
    assert (done.code, done.out) == (0, "namespace gone is gone, and its net.ipv4.tcp_rmem with it\n")
    assert sysctls.values == DEFAULTS


def test_what_a_namespace_shows_read_only_is_not_tuned(
    command_line: CommandLine, sysctls: Sysctls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netns, "exists", lambda name: True)
    monkeypatch.setattr(netns, "entered", lambda name: contextlib.nullcontext())
    sysctls.read_only = {"net.core.rmem_max", "net.core.wmem_max"}
    done = command_line("tune", *PATH, "--apply", "--namespace", "other")
    assert "net.core" not in done.out
    assert command_line("tune", "--undo").out == "nothing to undo\n"
    command_line("tune", "--undo", "--namespace", "other")
    assert sysctls.values == DEFAULTS


def test_a_namespace_that_cannot_be_entered_is_a_host_error(
    command_line: CommandLine, sysctls: Sysctls, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def entered(name: str | None) -> Iterator[None]:
        raise PermissionError(1, os.strerror(1))
        yield

    monkeypatch.setattr(netns, "exists", lambda name: True)
    monkeypatch.setattr(netns, "entered", entered)
    done = command_line("tune", *PATH, "--namespace", "other")
    assert (done.code, done.err.splitlines()[0]) == (3, "error: namespace other: Operation not permitted")
    assert sysctls.values == DEFAULTS


def test_after_a_restart_there_is_nothing_to_put_back(
    command_line: CommandLine, sysctls: Sysctls, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command_line("tune", *PATH, "--apply")
    sysctls.values = {**DEFAULTS, "net.core.rmem_max": "300000"}
    monkeypatch.setattr(journal_file, "boot_id", lambda: "another")
    done = command_line("tune", "--undo")
    assert (done.code, "restarted" in done.out) == (0, True)
    assert sysctls.values["net.core.rmem_max"] == "300000"
    assert not (state / "tune.tuned").exists()


@pytest.mark.parametrize("arguments", [(*PATH, "--apply"), ("--undo",)])
def test_changing_needs_a_capability(
    command_line: CommandLine, sysctls: Sysctls, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(capabilities, "effective", frozenset)
    done = command_line("tune", *arguments)
    assert done.code == 3
    assert "CAP_NET_ADMIN" in done.err
    assert sysctls.values == DEFAULTS


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--bandwidth", "1gbit"),
        ("--bandwidth", "1gbit", "--rtt", "0ms"),
        ("--bandwidth", "1gbit", "--rtt", "2min"),
        (*PATH, "--initcwnd", "0"),
        (*PATH, "--mss", "-1"),
        (*PATH, "--apply", "--undo"),
        (*PATH, "--namespace", "not-a-namespace"),
        (*PATH, "--namespace", ".."),
        ("--undo", "--namespace", "../../somewhere"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    command_line: CommandLine, sysctls: Sysctls, arguments: tuple[str, ...]
) -> None:
    assert command_line("tune", *arguments).code == 2
    assert sysctls.values == DEFAULTS


def test_json_holds_needs_and_commands(command_line: CommandLine, sysctls: Sysctls) -> None:
    done = command_line("tune", "--bandwidth", "100mbit", "--rtt", "2s", "--format", "json")
    document = json.loads(done.out)
    assert document["needs"]["bdp_bytes"] == 25_000_000
    assert any(line.startswith("ip route change") for line in document["commands"])
    assert set(document["sysctls"]) <= set(DEFAULTS)
    assert sysctls.values == DEFAULTS


@pytest.mark.parametrize(
    ("rate", "rtt"), [("56kbit", "1s"), ("56kbit", "10us"), ("1.6tbit", "10us"), ("1.6tbit", "1s")]
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_any_rate_can_be_asked_for(command_line: CommandLine, sysctls: Sysctls, rate: str, rtt: str, form: str) -> None:
    del sysctls
    done = command_line("tune", "--bandwidth", rate, "--rtt", rtt, "--format", form)
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "words", [("--streams", "0"), ("--prove", "--streams", "4"), ("--initcwnd", "9" * 30), ("--mss", "70000")]
)
def test_what_no_connection_can_have_is_refused(command_line: CommandLine, words: tuple[str, ...]) -> None:
    assert command_line("tune", *PATH, *words).code == 2


def test_a_link_too_slow_to_measure_is_not_proven(command_line: CommandLine, sysctls: Sysctls) -> None:
    del sysctls
    done = command_line("tune", "--bandwidth", "56kbit", "--rtt", "40ms", "--prove")
    assert (done.code, "too few segments" in done.err) == (2, True)
