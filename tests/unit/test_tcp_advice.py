"""What doctor says about TCP's parameters, from values that a test sets."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.tcp_tuning import kernel_defaults, tcp_advice
from offloadbench.analysis.tcp_tuning.needs import PathTarget
from offloadbench.analysis.tcp_tuning.tcp_advice import Found, ParameterAdvice
from offloadbench.analysis.tcp_tuning.tcp_advice_route import advice
from offloadbench.engine import machine_check
from offloadbench.kernel.netdev import link, route
from offloadbench.kernel.system import sysctl
from offloadbench.model import Route
from tests.conftest import CommandLine
from tests.unit.test_tcp_tuning import DEFAULTS

GIB = 1 << 30
SYSCTLS = {
    **DEFAULTS,
    "net.ipv4.tcp_adv_win_scale": "1",
    "net.ipv4.tcp_mem": "94500 126000 189000",
    "net.core.rmem_default": "212992",
    "net.core.wmem_default": "212992",
    "net.ipv4.tcp_slow_start_after_idle": "1",
    "net.ipv4.tcp_congestion_control": "cubic",
    "net.core.default_qdisc": "fq_codel",
    "net.ipv4.tcp_sack": "1",
    "net.ipv4.tcp_timestamps": "1",
    "net.ipv4.tcp_dsack": "1",
    "net.ipv4.tcp_recovery": "1",
    "net.ipv4.tcp_early_retrans": "3",
}
DEFAULT_ROUTE = Route(
    family="inet", destination="default", gateway="192.0.2.1", ifname="eth0", initcwnd=None, initrwnd=None
)
FOUND = Found("6.1.0-18-amd64", SYSCTLS, [DEFAULT_ROUTE], {"eth0": "fq_codel"}, 8 * GIB)
TARGET = PathTarget(10**9, 0.04, (6, 1))


def _found(release: str = FOUND.release, **sysctls: str) -> Found:
    """The machine with some sysctls changed: `tcp_rmem` stands for net.ipv4.tcp_rmem, `rmem_max` for net.core's."""
    full = {f"net.{'ipv4' if name.startswith('tcp') else 'core'}.{name}": value for name, value in sysctls.items()}
    return dataclasses.replace(FOUND, release=release, sysctls={**SYSCTLS, **full})


def _routed(initcwnd: int | None = None, initrwnd: int | None = None) -> Found:
    changed = msgspec.structs.replace(DEFAULT_ROUTE, initcwnd=initcwnd, initrwnd=initrwnd)
    return dataclasses.replace(FOUND, routes=[changed])


def _one(found: Found, name: str, target: PathTarget | None = TARGET) -> ParameterAdvice:
    return next(finding for finding in advice(found, target) if finding.name == name)


def test_without_a_path_a_default_machine_has_nothing_to_change() -> None:
    assert [finding for finding in advice(FOUND) if finding.level != "ok"] == []


def test_every_note_names_its_source_and_a_command_that_changes_it() -> None:
    for finding in advice(_found(tcp_window_scaling="0", tcp_moderate_rcvbuf="0"), TARGET):
        assert finding.source
        assert finding.level == "ok" or (finding.cost and finding.command)


@pytest.mark.parametrize(
    ("target", "cost"),
    [(TARGET, "at most 13.1 Mbit/s of 1 Gbit/s on one connection"), (None, "at most 65,535 B a round trip")],
)
def test_scaling_that_is_off_costs_what_64_kb_a_round_trip_carry(target: PathTarget | None, cost: str) -> None:
    finding = _one(_found(tcp_window_scaling="0"), "window scaling", target)
    assert cost in finding.cost
    assert finding.command == "sysctl -w net.ipv4.tcp_window_scaling='1'"


def test_autotuning_that_is_off_leaves_the_default_window() -> None:
    # 131072 / 2 bytes in 40 ms
    assert "13.1 Mbit/s" in _one(_found(tcp_moderate_rcvbuf="0"), "receive autotuning").cost


def test_buffers_are_judged_against_the_path() -> None:
    # 6291456 / 2 bytes in 40 ms
    finding = _one(FOUND, "tcp_rmem maximum")
    assert finding.level == "note"
    assert "good for 3,145,728 B of the path's 5,000,000 B" in finding.found
    assert finding.cost == "at most 629 Mbit/s of 1 Gbit/s on one connection"
    assert finding.command == "sysctl -w net.ipv4.tcp_rmem='4096 131072 10002432'"
    assert "only programs that set" in _one(FOUND, "net.core.rmem_max").cost
    enough = _found(tcp_rmem="4096 131072 16777216", tcp_wmem="4096 16384 16777216", rmem_max="8388608")
    assert {_one(enough, name).level for name in ("tcp_rmem maximum", "tcp_wmem maximum", "net.core.rmem_max")} == {
        "ok"
    }


def test_a_send_buffer_of_one_window_is_only_short_in_recovery() -> None:
    assert _one(_found(tcp_wmem="4096 16384 6000000"), "tcp_wmem maximum").cost.startswith("nothing without loss")


BLOG = {"tcp_rmem": "8388608 8388608 8388608", "tcp_wmem": "8388608 8388608 8388608"}


@pytest.mark.parametrize("target", [None, TARGET, PathTarget(10**10, 0.05, (6, 6))])
@pytest.mark.parametrize(
    "sysctls",
    [
        BLOG,
        {"tcp_rmem": "262144 131072 6291456"},
        {"tcp_rmem": "4096 16777216 253952"},
        {"tcp_rmem": "4096 131072 131072"},
        {"tcp_wmem": "4096 4096 4096", "rmem_default": "16777216"},
        {"rmem_default": "999999", "wmem_default": "999999"},
    ],
)
def test_no_two_notes_undo_each_other(sysctls: dict[str, str], target: PathTarget | None) -> None:
    found = _found("6.6.0", **sysctls)
    told = advice(found, target)
    lines = [finding.command for finding in told if finding.command.startswith("sysctl -w ")]
    values = dict(line.removeprefix("sysctl -w ").split("=", 1) for line in lines)
    assert len(values) == len(lines)
    # done as told, nothing is left to do
    after = {name: value.strip("'") for name, value in values.items()}
    done = dataclasses.replace(found, sysctls={**found.sysctls, **after})
    about = [one for one in advice(done, target) if one.level == "note" and ("mem" in one.name)]
    assert about == []
    for name in ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"):
        least, default, most = (int(value) for value in done.sysctls[name].split())
        assert least <= default < most


def test_the_triple_that_blogs_copy_is_put_right_in_one_line() -> None:
    told = advice(_found("6.6.0", **BLOG), PathTarget(10**10, 0.05, (6, 6)))
    commands = [one.command for one in told if one.name.startswith("tcp_rmem")]
    assert commands == ["sysctl -w net.ipv4.tcp_rmem='4096 131072 125001728'"] + ["the line of: tcp_rmem maximum"] * 2
    assert "granted to every socket" in _one(_found(tcp_rmem="262144 131072 6291456"), "tcp_rmem minimum", None).cost


FAR = PathTarget(10**10, 0.05, (6, 6))


@pytest.mark.parametrize(
    ("sysctl_name", "title", "cost"),
    [
        ("tcp_sack", "selective acknowledgements", "10 lost from one window take 10 RTT = 0.5 s instead of 1 or 2"),
        ("tcp_timestamps", "timestamps", "sequence numbers return after 3.44 s at 10 Gbit/s"),
        ("tcp_dsack", "duplicate SACKs", "keeps its reduced window for 31.9 s (Cubic)"),
        ("tcp_recovery", "RACK", "at least RTT + 0.2 s = 0.25 s"),
        ("tcp_early_retrans", "tail loss probes", "at least RTT + 0.2 s = 0.25 s instead of about 2 RTT"),
    ],
)
def test_loss_recovery_that_is_switched_off_is_judged_with_what_it_costs(
    sysctl_name: str, title: str, cost: str
) -> None:
    finding = _one(_found(**{sysctl_name: "0"}), title, FAR)
    assert finding.level == "note"
    assert cost in finding.cost
    assert finding.command.startswith(f"sysctl -w net.ipv4.{sysctl_name}=")
    assert _one(FOUND, title, FAR).level == "ok"
    assert _one(_found(**{sysctl_name: "0"}), title, None).cost


def test_timestamps_are_no_loss_on_a_slow_path() -> None:
    finding = _one(_found(tcp_timestamps="0"), "timestamps", PathTarget(10**7, 0.05, (6, 6)))
    assert (finding.level, "0.8%" in finding.found) == ("ok", True)


def test_a_kernel_that_knows_rack_only_is_told_of_no_cost() -> None:
    finding = _one(_found("6.18.0", tcp_recovery="0"), "RACK", FAR)
    assert (finding.level, finding.command) == ("ok", "")
    # the other bits of the value stay
    assert _one(_found(tcp_recovery="6"), "RACK", FAR).command == "sysctl -w net.ipv4.tcp_recovery='7'"


@given(
    st.floats(math.log10(56_000), math.log10(1.6e12)),
    st.floats(-5, 0),
    st.sampled_from([(2, 6), (3, 10), (6, 1), (6, 6), (6, 18)]),
    st.sampled_from(["reno", "cubic", "bbr"]),
)
def test_advice_is_finite_and_within_the_kernels_limits_on_any_path(
    rate: float, rtt: float, kernel: tuple[int, int], algorithm: str
) -> None:
    off = dict.fromkeys(("tcp_sack", "tcp_timestamps", "tcp_dsack", "tcp_recovery"), "0")
    found = _found(f"{kernel[0]}.{kernel[1]}.0", **BLOG, **off, tcp_congestion_control=algorithm)
    told = advice(found, PathTarget(round(10**rate), 10**rtt, kernel))
    for finding in told:
        assert not re.search(r"\b(inf|nan)\b|e[+-]\d", finding.cost + finding.found), finding
        for value in re.findall(r"mem[a-z_]*='([0-9 ]+)'", finding.command):
            assert all(0 < int(part) < 2**31 for part in value.split())


def test_tcp_mem_in_bytes_is_seen_by_its_size() -> None:
    finding = _one(_found(tcp_mem="8388608 8388608 8388608"), "tcp_mem", None)
    assert "8,388,608 pages = 32 GiB of 8 GiB" in finding.found
    assert finding.command == "sysctl -w net.ipv4.tcp_mem='98304 131072 196608'"
    assert "pages" in finding.source
    assert _one(FOUND, "tcp_mem", None).level == "ok"


def test_tcp_mem_that_one_full_buffer_exhausts_is_told() -> None:
    assert "pressure already" in _one(FOUND, "tcp_mem", PathTarget(10**11, 0.2, (6, 1))).cost


def test_defaults_and_maxima_that_were_taken_for_each_other() -> None:
    swapped = _one(_found(tcp_rmem="4096 16777216 253952"), "tcp_rmem default", None)
    assert "swapped" in swapped.cost
    huge = _one(_found(tcp_rmem="4096 16777216 33554432"), "tcp_rmem default", None)
    # 126000 pages of 4096 bytes
    assert "30 stalled ones are memory pressure" in huge.cost
    assert huge.command == "sysctl -w net.ipv4.tcp_rmem='4096 131072 33554432'"
    cautious = _one(_found(tcp_rmem="4096 253952 16777216"), "tcp_rmem default", None)
    assert cautious.level == "ok"
    assert _one(_found(rmem_default="16777216"), "net.core.rmem_default", None).level == "note"


def test_a_restart_after_idle_costs_the_start_again() -> None:
    # 3454 segments from 10: 9 doublings
    finding = _one(FOUND, "slow start after idle")
    assert (finding.level, finding.cost[:30]) == ("note", "after a long pause 9 RTT = 0.3")
    assert _one(_found(tcp_slow_start_after_idle="0"), "slow start after idle").level == "ok"


def test_a_small_initial_window_of_a_route_costs_round_trips() -> None:
    # 64 KiB: 6 round trips from 1, 3 from 10
    finding = _one(_routed(initcwnd=1), "route default")
    assert finding.cost == "65,536 B take 3 RTT = 0.12 s longer than from 10"
    assert finding.command.startswith("ip route change default via 192.0.2.1 dev eth0 initcwnd 10, ")
    assert "65,536 B take 3 RTT longer" in _one(_routed(initrwnd=1), "route default", None).cost


def test_the_line_for_a_route_keeps_its_other_window() -> None:
    both = _routed(initcwnd=4, initrwnd=5)
    commands = [finding.command for finding in advice(both) if finding.name == "route default"]
    assert commands[0].endswith("dev eth0 initcwnd 10, and what else `ip route show` has of it")
    assert commands[1] == "the line of: route default"
    kept = [finding.command for finding in advice(_routed(4, 20)) if finding.name == "route default"]
    assert "initcwnd 10 initrwnd 20," in kept[0]
    other = msgspec.structs.replace(both.routes[0], family="inet6", gateway="fe80::1")
    assert _one(dataclasses.replace(both, routes=[other]), "route default").command.startswith(
        "ip -6 route change default via fe80::1 dev eth0 "
    )


def test_an_initial_window_beyond_the_path_is_a_burst() -> None:
    small = PathTarget(10_000_000, 0.02, (6, 1))
    assert (
        "57,920 B leave at once on a path that holds 25,000 B"
        in _one(_routed(initcwnd=40), "route default", small).cost
    )
    assert _one(_routed(initcwnd=40), "route default").level == "ok"


def test_reno_is_told_how_long_one_loss_lasts() -> None:
    # half of 3453 segments, one a round trip of 40 ms
    finding = _one(_found(tcp_congestion_control="reno"), "default congestion control")
    assert finding.cost.startswith("69.1 s from one loss")
    # cbrt(3453 x 0.3 / 0.4)
    assert _one(FOUND, "default congestion control").cost.startswith("13.7 s from one loss")


@pytest.mark.parametrize(
    ("release", "root", "level", "cost"),
    [
        ("4.9.0", "pfifo_fast", "note", "not paced at all"),
        ("4.14.0", "pfifo_fast", "note", "did not work well"),
        # 65536 B, less than 1/1024 s, are the most that a packet holds
        ("6.1.0", "mq", "note", "once a packet: 1,907 times a second at 1 Gbit/s"),
        ("6.1.0", "fq", "ok", ""),
    ],
)
def test_bbr_wants_fq(release: str, root: str, level: str, cost: str) -> None:
    found = dataclasses.replace(_found(release, tcp_congestion_control="bbr"), qdiscs={"eth0": root})
    finding = _one(found, "eth0 qdisc")
    assert finding.level == level
    assert cost in finding.cost


@pytest.mark.parametrize(
    ("release", "marks"),
    [
        ("2.6.18", {"M0", "M1", "M3", "default"}),
        ("2.6.18-92.el5", {"M0", "M1", "M3", "default"}),
        ("2.6.18-128.el5", {"M0", "M1", "M2", "M3", "default"}),
        ("2.6.32-754.el6.x86_64", {"M2", "M3", "default"}),
        ("3.10.0-1160.el7.x86_64", {"M2", "M3"}),
        ("3.16.0-4-amd64", {"M1", "M2"}),
        ("4.2.0", {"M2"}),
        ("4.3.0", {"today"}),
        ("6.1.0-18-amd64", {"today"}),
        ("unknown", set()),
    ],
)
def test_the_rules_of_a_version(release: str, marks: set[str]) -> None:
    assert {rule.mark for rule in kernel_defaults.rules(release)} == marks


def test_a_rule_of_an_old_kernel_is_advice() -> None:
    finding = _one(_found("2.6.18-128.el5"), "initcwnd on this kernel (M2)", None)
    assert (finding.level, "backport" in finding.found, "6f021c62" in finding.source) == ("note", True, True)


@pytest.fixture
def only_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    """doctor without its other checks, on this file's machine."""
    monkeypatch.setattr(machine_check, "_CHECKS", ())
    monkeypatch.setattr(sysctl, "read", lambda name, namespace=None: SYSCTLS.get(name))
    monkeypatch.setattr(sysctl, "write", lambda *_: pytest.fail("doctor changes nothing"))
    monkeypatch.setattr(route, "read", lambda namespace=None: _routed(initcwnd=4).routes)
    monkeypatch.setattr(link, "default_route_nics", set)


@pytest.mark.usefixtures("only_tcp")
def test_doctor_prints_cost_command_and_source(command_line: CommandLine) -> None:
    done = command_line("doctor", "--bandwidth", "1gbit", "--rtt", "40ms")
    assert done.code == 0
    assert "(ip route change default via 192.0.2.1 dev eth0 initcwnd 10, " in done.out
    assert "      costs: " in done.out
    assert "      source: " in done.out
    # from the route's initcwnd 4, not from 10
    assert "after a long pause 10 RTT" in done.out


@pytest.mark.usefixtures("only_tcp")
def test_doctor_as_json_holds_the_same(command_line: CommandLine) -> None:
    checks = json.loads(command_line("doctor", "--format", "json").out)
    assert {"name", "level", "text", "hint", "cost", "source"} == set(checks[0])
    assert any(check["name"] == "tcp_mem" for check in checks)


@pytest.mark.usefixtures("only_tcp")
@pytest.mark.parametrize(
    "arguments", [("--rtt", "40ms"), ("--bandwidth", "1gbit"), ("--bandwidth", "1gbit", "--rtt", "0s")]
)
def test_half_a_path_is_a_usage_error(command_line: CommandLine, arguments: tuple[str, ...]) -> None:
    assert command_line("doctor", *arguments).code == 2


def test_everything_judged_is_read() -> None:
    assert set(SYSCTLS) == set(tcp_advice.READ)
