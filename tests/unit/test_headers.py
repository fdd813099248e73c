"""Header bytes follow the connection: the line's bound, and the frames of a counter of super-packets."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from offloadbench.analysis.sender import limit_tables, theory
from offloadbench.analysis.sender.diagnosis import diagnose
from offloadbench.analysis.trial import headers, metrics
from offloadbench.model import Evidence, LowerDevice, PacketShapes, Run, TcpTrace
from tests.unit.builders import load, run, samples, trial
from tests.unit.tcp_sender import Sender, trace

TIMESTAMPS, NONE = 1, 0


def _trace(mss_bytes: int, options: int | None, ipv6: bool = False) -> TcpTrace:
    columns = Sender().run(50, 0)
    columns["snd_mss_bytes"][:] = mss_bytes
    if options is None:
        del columns["options"]
    else:
        columns["options"] = np.full_like(columns["t_us"], options)
    one = trace(columns)
    name = "[fd00::1]:40000 > [fd00::2]:3260" if ipv6 else one.connection
    return msgspec.structs.replace(one, connection=name)


@pytest.mark.parametrize(
    ("mss_bytes", "options", "ipv6", "megabits_per_s"),
    [
        (1448, TIMESTAMPS, False, 941.5),
        (1460, NONE, False, 949.3),
        (1428, TIMESTAMPS, True, 928.5),
        (1440, NONE, True, 936.3),
        (8948, TIMESTAMPS, False, 990.0),
        # an older file: a full segment tells
        (1448, None, False, 941.5),
        (1460, None, False, 949.3),
    ],
)
def test_the_line_carries_what_the_headers_leave(
    mss_bytes: int, options: int | None, ipv6: bool, megabits_per_s: float
) -> None:
    facts = {"line_rate_bits_per_s": 10**9, "mtu_bytes": 9000 if mss_bytes > 1460 else 1500}
    found = diagnose([_trace(mss_bytes, options, ipv6)], facts)
    (line,) = (bound for bound in found.bounds if bound.name == theory.LINE_RATE)
    assert line.bits_per_s == pytest.approx(megabits_per_s * 1e6, rel=1e-4)


def test_a_vlan_tag_takes_four_bytes() -> None:
    facts = {"line_rate_bits_per_s": 10**9, "vlan_bytes": 4}
    (line,) = (one for one in diagnose([_trace(1448, TIMESTAMPS)], facts).bounds if one.name == theory.LINE_RATE)
    assert line.bits_per_s == pytest.approx(1e9 * 1448 / 1542)


def _measured(sample_run: Run, sysctls: dict[str, str] | None = None, **values: Any) -> metrics.Metrics:
    """100 packets of 700 segments: 600 headers are missing in the counter."""
    counted = samples(rows=1, interval_s=1.0, tx_bytes=1_000_000.0, tx_packets=100.0, tcp_out_segments=700.0)
    one = trial(samples=counted, window_s=1.0, load=load(payload_bytes=990_000, interval_s=1.0), **values)
    bed = run(sample_run, [one], counts_super_packets=True)
    settings = {**bed.bed.settings, **({"sysctls": sysctls} if sysctls else {})}
    bed = msgspec.structs.replace(bed, bed=msgspec.structs.replace(bed.bed, settings=settings))
    found = metrics.of_trial(bed, one)
    assert found is not None
    return found


def _seen(gso_size_bytes: int) -> Evidence:
    shapes = [[66, 0, 3, 5], [30_000, gso_size_bytes, 3, 9]]
    return Evidence(
        window_s=1.0, mtu_bytes=1500, packets=[PacketShapes(tracepoint="net_dev_start_xmit", shapes=shapes)]
    )


@pytest.mark.parametrize(
    ("values", "header_bytes"),
    [
        ({}, 66),
        ({"sysctls": {headers.TIMESTAMPS_SYSCTL: "0"}}, 54),
        ({"evidence": _seen(1448)}, 66),
        ({"evidence": _seen(1460)}, 54),
        # IPv6 with timestamps
        ({"evidence": _seen(1428)}, 86),
        ({"tcp": [_trace(1460, NONE)]}, 54),
        # what the connection itself has counts, not what a sysctl allows
        ({"tcp": [_trace(1448, TIMESTAMPS)], "sysctls": {headers.TIMESTAMPS_SYSCTL: "0"}}, 66),
        # a segment size that another limit set tells nothing
        ({"evidence": _seen(1000)}, 66),
    ],
)
def test_further_segments_have_the_headers_of_the_trial(
    sample_run: Run, values: dict[str, Any], header_bytes: int
) -> None:
    found = _measured(sample_run, **values)
    assert found.throughput_bits_per_s == pytest.approx((1_000_000 + 600 * header_bytes) * 8)


def test_a_vlan_above_a_vlan_has_two_tags(sample_run: Run) -> None:
    lower = LowerDevice(
        ifname="eth1.7", upper="eth1.7.8", kind="vlan", driver=headers.VLAN_DRIVER, driver_version="", firmware="",
        bus="", speed_bits_per_s=0, duplex="", features={}, settings={}, problems=[],
    )  # fmt: skip
    nic = msgspec.structs.replace(sample_run.nic, driver=headers.VLAN_DRIVER, lowers=[lower])
    assert headers.vlan_bytes(nic) == 8
    assert headers.vlan_bytes(sample_run.nic) == 0
    known = limit_tables.facts(msgspec.structs.replace(sample_run, nic=nic), trial())
    assert known["vlan_bytes"] == 8
