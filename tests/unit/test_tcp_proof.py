"""The bound that theory sets for `tune --prove`, and what the command prints."""

from __future__ import annotations

import dataclasses
import json

import pytest

from offloadbench.analysis.sender import theory
from offloadbench.analysis.tcp_tuning import reachable
from offloadbench.analysis.tcp_tuning.needs import RMEM, WINDOW_SCALING, WMEM, PathTarget
from offloadbench.engine.tcp_tuning import prove as engine
from offloadbench.engine.tcp_tuning.apply import TunedSysctl
from tests.conftest import CommandLine

TARGET = PathTarget(bandwidth_bits_per_s=10**9, rtt_s=0.02, kernel=(6, 18))
LARGE = {RMEM: "4096 131072 6291456", WMEM: "4096 16384 5099520", WINDOW_SCALING: "1"}


@pytest.mark.parametrize("off", [0, 1])
def test_segments_without_timestamps_carry_more(off: int) -> None:
    ends = [LARGE, LARGE]
    ends[off] = LARGE | {"net.ipv4.tcp_timestamps": "0"}
    stamped, plain = reachable.bound(TARGET, LARGE, LARGE), reachable.bound(TARGET, *ends)
    rate = TARGET.bandwidth_bits_per_s
    assert (stamped.bits_per_s / rate, plain.bits_per_s / rate) == pytest.approx((1448 / 1538, 1460 / 1538))


def test_the_tightest_limit_is_the_bound() -> None:
    assert reachable.bound(TARGET, LARGE, LARGE).name == theory.LINE_RATE
    starved = reachable.bound(TARGET, LARGE | {WMEM: "4096 16384 131072"}, LARGE)
    assert starved.bits_per_s == pytest.approx(131072 * theory.payload_ratio() * 8 / 0.02)
    narrow = reachable.bound(TARGET, LARGE, LARGE | {RMEM: "4096 87380 174760"})
    assert narrow.bits_per_s == pytest.approx(174760 * theory.payload_ratio() * 8 / 0.02)


def test_the_buffers_of_the_other_end_do_not_count() -> None:
    assert reachable.bound(TARGET, LARGE | {RMEM: "1 1 1"}, LARGE | {WMEM: "1 1 1"}).name == theory.LINE_RATE


def test_a_window_without_scaling_is_64_kib_whoever_lacks_it() -> None:
    for sender, receiver in ((LARGE | {WINDOW_SCALING: "0"}, LARGE), (LARGE, LARGE | {WINDOW_SCALING: "0"})):
        assert reachable.bound(TARGET, sender, receiver).bits_per_s == pytest.approx(65535 * 8 / 0.02)


def test_older_kernels_offer_a_fixed_part_of_the_buffer() -> None:
    old = dataclasses.replace(TARGET, kernel=(5, 10), adv_win_scale=1)
    assert reachable.bound(old, LARGE, LARGE | {RMEM: "4096 87380 200000"}).bits_per_s == pytest.approx(
        100_000 * 8 / 0.02
    )


def test_before_and_after_stand_beside_theory(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    line = theory.line_rate(theory.Path(10.0**9, 0.02))
    slow = dataclasses.replace(line, bits_per_s=5e7, name="send buffer / RTT")
    proof = engine.TuningProof(
        reachable.Stretch(slow, 4.9e7, 5.0),
        reachable.Stretch(line, 9.4e8, 5.0),
        {"device under test": [TunedSysctl(WMEM, "1 2 3", "1 2 4")], "load side": []},
    )
    begun: list[dict[str, str]] = []

    def prove(target: PathTarget, sysctls: dict[str, str], emit: object) -> engine.TuningProof:
        del emit
        assert (target.bandwidth_bits_per_s, target.rtt_s) == (10**9, 0.02)
        begun.append(sysctls)
        return proof

    monkeypatch.setattr(engine, "prove", prove)
    words = ("tune", "--bandwidth", "1gbit", "--rtt", "20ms", "--prove")
    done = command_line(*words, "--sysctl", "net.ipv4.tcp_wmem=1 2 3")
    assert begun == [{"net.ipv4.tcp_wmem": "1 2 3"}]
    assert "device under test: net.ipv4.tcp_wmem: 1 2 3 -> 1 2 4" in done.out
    assert "load side: nothing to change" in done.out
    assert "before: 49 Mbit/s; theory allows 50 Mbit/s (send buffer / RTT" in done.out
    assert "after: 940 Mbit/s; theory allows 941 Mbit/s (line rate" in done.out
    told = json.loads(command_line(*words, "--format", "json").out)
    assert told["after"]["payload_bits_per_s"] == 9.4e8


def test_what_the_lab_begins_with_belongs_to_prove(command_line: CommandLine) -> None:
    done = command_line("tune", "--bandwidth", "1gbit", "--rtt", "20ms", "--sysctl", "net.core.somaxconn=1")
    assert (done.code, "--sysctl" in done.err) == (2, True)
    done = command_line("tune", "--bandwidth", "1gbit", "--rtt", "20ms", "--prove", "--namespace", "x")
    assert (done.code, "namespaces of its own" in done.err) == (2, True)
