"""Parsers of what the kernel prints, fed with what it really printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.base.errors import FeatureError
from offloadbench.kernel.counters import network_counters
from offloadbench.kernel.netdev import steering
from offloadbench.kernel.system import cpu_idle, processes


def test_the_idle_time_of_each_cpu_is_read_in_seconds(data: Path) -> None:
    text = (data / "timer_list.txt").read_text()
    found = cpu_idle.parse_timer_list(text)
    slept, waited = (
        [int(line.split()[-2]) / 1e9 for line in text.splitlines() if f".{kind}_sleeptime" in line]
        for kind in ("idle", "iowait")
    )
    assert len(slept) == len(waited) == 2
    assert [found[cpu].iowait_s for cpu in (0, 1)] == pytest.approx(waited)
    # a CPU whose process waits for the disk runs no instruction: it is idle
    assert [found[cpu].idle_s for cpu in (0, 1)] == pytest.approx(
        [sum(both) for both in zip(slept, waited, strict=True)]
    )


def test_a_kernel_that_does_not_keep_idle_time_gives_none(data: Path) -> None:
    lines = (data / "timer_list.txt").read_text().splitlines()
    assert cpu_idle.parse_timer_list("\n".join(line for line in lines if "_sleeptime" not in line)) == {}
    assert cpu_idle.parse_timer_list("") == {}


def test_the_tick_clock_is_chosen_where_the_timer_list_is_hidden(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_idle, "TIMER_LIST", tmp_path / "absent")
    assert isinstance(cpu_idle.best_clock(), cpu_idle.TickIdleClock)
    monkeypatch.setattr(cpu_idle, "TIMER_LIST", data / "timer_list.txt")
    assert isinstance(cpu_idle.best_clock(), cpu_idle.NohzIdleClock)


def test_one_nic_is_read_from_net_dev(data: Path) -> None:
    text = (data / "net_dev.txt").read_text()
    numbers = next(line for line in text.splitlines() if "eth0:" in line).split(":")[1].split()
    values = network_counters.parse_net_dev(text, "eth0")
    # the header names 8 receive columns, then 8 transmit columns, each beginning bytes, packets, errs, drop
    received, sent = [float(n) for n in numbers[:4]], [float(n) for n in numbers[8:12]]
    assert [values[f"rx_{name}"] for name in ("bytes", "packets", "errors", "dropped")] == received
    assert [values[f"tx_{name}"] for name in ("bytes", "packets", "errors", "dropped")] == sent


def test_a_nic_name_matches_whole_and_without_a_blank_after_the_colon() -> None:
    row = "0 1 0 0 0 0 0 0 0 2 0 0 0 0 0 0"
    text = f"Inter-|\n face |\n eth0.7:{row}\n  eth0:{row.replace('1', '5')}\n"
    assert network_counters.parse_net_dev(text, "eth0")["rx_packets"] == 5
    assert network_counters.parse_net_dev(text, "eth0.7")["rx_packets"] == 1


def test_a_nic_that_is_gone_is_an_error_with_its_name(data: Path) -> None:
    with pytest.raises(FeatureError, match="obdut0 went away"):
        network_counters.parse_net_dev((data / "net_dev.txt").read_text(), "obdut0")


def test_tcp_counters_are_found_by_their_names(data: Path) -> None:
    text = (data / "net_snmp.txt").read_text()
    names, numbers = (line.split()[1:] for line in text.splitlines() if line.startswith("Tcp:"))
    printed = dict(zip(names, numbers, strict=True))
    assert network_counters.parse_snmp_tcp(text) == {
        "tcp_in_segments": float(printed["InSegs"]),
        "tcp_out_segments": float(printed["OutSegs"]),
        "tcp_retrans_segments": float(printed["RetransSegs"]),
        "tcp_in_csum_errors": float(printed["InCsumErrors"]),
    }


@pytest.mark.parametrize("cpus", [{0}, {1}, {0, 1}])
def test_softirqs_are_summed_over_the_chosen_cpus(data: Path, cpus: set[int]) -> None:
    text = (data / "softirqs.txt").read_text()
    rows = {line.split(":")[0].strip(): line.split()[1:] for line in text.splitlines() if ":" in line}
    values = network_counters.parse_softirqs(text, frozenset(cpus))
    assert values == {
        "softirq_net_tx": sum(float(rows["NET_TX"][cpu]) for cpu in cpus),
        "softirq_net_rx": sum(float(rows["NET_RX"][cpu]) for cpu in cpus),
    }


def test_an_offline_cpu_does_not_shift_the_columns() -> None:
    text = "       CPU0   CPU2   CPU3\n NET_TX:  1 2 3\n NET_RX:  10 20 30\n"
    assert network_counters.parse_softirqs(text, frozenset({2})) == {"softirq_net_tx": 2.0, "softirq_net_rx": 20.0}


def test_all_counters_read_here_grow_and_own_cpu_time_is_seen() -> None:
    before = processes.cpu_s()
    spent = sum(number * number for number in range(200_000))
    assert spent > 0
    assert processes.cpu_s() > before
    assert processes.cpu_s(2**22 + 1) == 0.0


# Documentation/core-api/irq/irq-affinity.rst: words of 32 CPUs, most significant first, comma separated
@pytest.mark.parametrize(
    ("cpus", "mask"),
    [
        ({0}, "1"),
        ({0, 1, 2, 3}, "f"),
        ({31}, "80000000"),
        ({32}, "1,00000000"),
        ({0, 33}, "2,00000001"),
        ({64}, "1,00000000,00000000"),
        (set(range(40)), "ff,ffffffff"),
        (set(), "0"),
    ],
)
def test_a_cpu_mask_is_written_as_the_kernel_writes_it(cpus: set[int], mask: str) -> None:
    assert steering.cpu_mask(frozenset(cpus)) == mask


@given(st.frozensets(st.integers(0, 255)))
def test_a_cpu_mask_without_commas_is_the_number_with_those_bits(cpus: frozenset[int]) -> None:
    words = steering.cpu_mask(cpus).split(",")
    assert all(len(word) == 8 for word in words[1:])
    assert int("".join(words), 16) == sum(1 << cpu for cpu in cpus)
