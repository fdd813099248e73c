"""Watching a real sender on the emulated cable: every limit for itself, the cost, the waits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest

from offloadbench.analysis.sender import wait_tables as wait_analysis
from offloadbench.analysis.sender.diagnosis import diagnose
from offloadbench.analysis.sender.send_queue import queue
from offloadbench.bed.lab_bed import Lab
from offloadbench.engine.sender.monitor import MODULE, TITLE, Monitor, Watched
from offloadbench.files.packed_columns import unpack_tcp
from offloadbench.kernel.trace import scheduler_waits
from offloadbench.model import TcpTrace, Waits
from tests.lab import limit_rows
from tests.lab.conftest import Offloadbench
from tests.lab.limits import CASES, lab_of, measure, traffic

pytestmark = pytest.mark.quiet
_WARM_UP_S, _WINDOW_S = 2.0, 1.5
# what the tests of other things leave of a machine with two CPUs
_TICKS_RATIO, _CPU_RATIO = 0.99, 0.05


@pytest.fixture
def small_buffer() -> Iterator[Lab]:
    with lab_of(CASES["send-buffer"]) as lab:
        yield lab


@pytest.mark.parametrize("name", ["send-buffer-blocks", "window", "congestion-window", "link", "rounds"])
def test_a_limit_set_on_purpose_is_found(name: str) -> None:
    case = CASES[name]
    with lab_of(case) as lab:
        measured = measure(lab, case, _WARM_UP_S, _WINDOW_S)
    (trace,) = measured.traces
    found = diagnose([trace], case.all_facts, cpu_busy_ratio=measured.cpu_busy_ratio)
    assert found.limit is case.limit, (found.sentence, found.evidence)


@pytest.mark.parametrize("number", range(len(limit_rows.SMALL_SET)), ids=lambda at: limit_rows.SMALL_SET[at].name)
def test_a_limit_under_another_congestion_control_is_found(number: int) -> None:
    """With the line's rate and without; the whole table is tests.benchmarks.limits."""
    row = limit_rows.SMALL_SET[number]
    with lab_of(row.case) as lab:
        measured = measure(lab, row.case, _WARM_UP_S, _WINDOW_S)
    for facts in ({"line_rate_bits_per_s": row.case.line_rate_bits_per_s}, {}):
        found = diagnose(measured.traces, facts, cpu_busy_ratio=measured.cpu_busy_ratio)
        assert found.limit in {row.case.limit, *row.also}, (facts, found.sentence, found.evidence)


def test_a_connection_that_closes_has_the_rate_that_it_had(
    small_buffer: Lab, offloadbench: Offloadbench, tmp_path: Path
) -> None:
    """Readings of a socket that is gone are none: they made the rate negative, and the CPU's share too."""
    output = tmp_path / "watch.json"
    address = small_buffer.peer.address
    arguments = ("--namespace", small_buffer.dut.namespace, "--remote", address, "--duration", "4")
    with ThreadPoolExecutor() as executor:
        with traffic(small_buffer, CASES["send-buffer"]):
            time.sleep(1.0)
            watching = executor.submit(offloadbench, "watch", *arguments, "--output", str(output))
            time.sleep(3.0)
        done = watching.result()
    assert done.returncode == 0, done.stderr
    assert "Limited by the send buffer at " in done.stdout
    assert " -" not in done.stdout.partition("  it waits")[0]
    assert "busy -" not in done.stdout
    (recorded,) = msgspec.convert(json.loads(output.read_text())["tcp"], list[TcpTrace])
    assert recorded.ticks_taken < 3900
    assert (np.diff(unpack_tcp(recorded)["acked_bytes"]) >= 0).all()


def test_watching_is_cheap_and_takes_its_ticks(small_buffer: Lab) -> None:
    """The best of three windows: the machine may have other work."""
    found = [measure(small_buffer, CASES["send-buffer"], 0.5, 1.0).traces[0] for _ in range(3)]
    assert min(trace.cpu_s / trace.window_s for trace in found) < _CPU_RATIO
    assert max(trace.ticks_taken / trace.ticks_due for trace in found) >= _TICKS_RATIO


def test_the_queue_agrees_with_the_bytes_that_were_acknowledged(small_buffer: Lab) -> None:
    measured = measure(small_buffer, CASES["send-buffer"], 1.0, _WINDOW_S)
    one = queue(measured.traces[0])
    assert measured.wire is not None
    wire_payload = measured.wire.to_peer.segments * 1448
    assert one.change("sent_bytes") == pytest.approx(wire_payload, rel=0.1)
    assert (one["wmem_queued_bytes"] <= one["sndbuf_bytes"] + 2 * 65536).all()
    assert one.payload_ratio == pytest.approx(0.98, abs=0.02)


def test_a_connection_that_comes_while_the_window_is_open_is_found(small_buffer: Lab) -> None:
    watched = Watched(remote_address=small_buffer.peer.address)
    monitor = Monitor(small_buffer.dut.launch(MODULE, TITLE, small_buffer.placement.tool), watched)
    try:
        monitor.open()
        assert monitor.connections == 0
        with traffic(small_buffer, CASES["send-buffer"]):
            time.sleep(1.5)
        time.sleep(0.5)
        (trace,) = monitor.finish()
    finally:
        monitor.close()
    assert 0.8 * trace.ticks_due <= trace.ticks_taken <= trace.ticks_due < 5000


def test_waits_for_send_memory_have_the_chain_of_the_papers_figure(small_buffer: Lab, tmp_path: Path) -> None:
    with traffic(small_buffer, CASES["send-buffer"]) as (_, pid):
        recorder = scheduler_waits.WaitRecorder([pid], tmp_path, "sender")
        try:
            time.sleep(1.0)
            recorder.enable()
            opened_ns = time.monotonic_ns()
            time.sleep(1.0)
            recorder.disable()
            found = recorder.result(opened_ns, 1.0)
        finally:
            recorder.close()
    assert list(tmp_path.iterdir()) == [] or all(path.suffix == ".log" for path in tmp_path.iterdir())
    longest = wait_analysis.summary(found)[0]
    assert longest.function == wait_analysis.SEND_MEMORY
    assert longest.chain[-3:] == ("tcp_sendmsg", "tcp_sendmsg_locked", wait_analysis.SEND_MEMORY)
    # three bursts a round trip of 20 ms, or fewer
    assert 20 <= longest.count <= 200
    assert wait_analysis.share(found) > 0.5
    assert found.lost_switches == 0


def test_the_command_line_finds_and_names_it(small_buffer: Lab, offloadbench: Offloadbench, tmp_path: Path) -> None:
    output = tmp_path / "watch.json"
    namespace, address = small_buffer.dut.namespace, small_buffer.peer.address
    with traffic(small_buffer, CASES["send-buffer"]):
        time.sleep(1.0)
        arguments = ("--namespace", namespace, "--remote", address, "--duration", "2", "--waits")
        done = offloadbench("watch", *arguments, "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert "Limited by the send buffer at " in done.stdout
    assert "> tcp_sendmsg > tcp_sendmsg_locked > sk_stream_wait_memory" in done.stdout
    document = json.loads(output.read_text())
    assert msgspec.convert(document["tcp"][0], TcpTrace).connection.endswith(f" > {address}:{_port(document)}")
    assert msgspec.convert(document["waits"], Waits).rows > 0


def _port(document: dict[str, list[dict[str, str]]]) -> str:
    return document["tcp"][0]["connection"].rpartition(":")[2]


def test_nobody_there_is_a_traffic_error(offloadbench: Offloadbench) -> None:
    done = offloadbench("watch", "--remote", "198.18.0.77", "--duration", "1")
    assert done.returncode == 5
    assert "none of 0 connections sent anything" in done.stderr
