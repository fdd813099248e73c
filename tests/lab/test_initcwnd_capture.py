"""Real first flights of this machine's kernel at an RTT of 20 ms, captured at both ends of the lab cable."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from offloadbench.analysis.capture.capture_file import CaptureFile
from offloadbench.analysis.initcwnd.scoring import FlowScore, score_capture
from offloadbench.bed.local import LocalEnd
from offloadbench.engine.options import RunOptions
from offloadbench.engine.standing_bed import open_site
from offloadbench.kernel.netdev import features
from offloadbench.kernel.system import netns
from offloadbench.model import EmulatedLink

PORT = 8080
RTT_S = 0.02
LONG_BYTES, SHORT_BYTES = 100_000, 4_000
# TCP_WINDOW_CLAMP of linux/tcp.h
_WINDOW_CLAMP = 10
OLD_WINDOW_BYTES = 5840


@dataclass(frozen=True)
class Trial:
    """One connection; `verdict` is what both captures must say when compared with its initcwnd."""

    initcwnd: int
    tso: bool
    verdict: str
    response_bytes: int = LONG_BYTES
    window_bytes: int = 0


TRIALS = [
    Trial(10, True, "honoured"),
    Trial(10, False, "honoured"),
    Trial(20, True, "honoured"),
    Trial(20, False, "honoured"),
    Trial(4, True, "honoured"),
    Trial(10, True, "capped by window", window_bytes=OLD_WINDOW_BYTES),
    Trial(10, False, "capped by window", window_bytes=OLD_WINDOW_BYTES),
    Trial(10, True, "inconclusive", response_bytes=SHORT_BYTES),
]


def _tcpdump(end: LocalEnd, path: Path) -> subprocess.Popen[str]:
    with netns.entered(end.namespace):
        capturing = subprocess.Popen(
            ["tcpdump", "--immediate-mode", "-U", "-i", end.ifname, "-s", "128", "-w", str(path), "tcp"],
            stderr=subprocess.PIPE,
            text=True,
        )
    assert capturing.stderr is not None
    for line in capturing.stderr:
        if "listening on" in line:
            return capturing
    raise AssertionError("tcpdump did not start")


def _serve(listener: socket.socket, trial: Trial) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(100)
        connection.sendall(bytes(trial.response_bytes))


def _converse(trial: Trial, dut: LocalEnd, peer: LocalEnd) -> None:
    with netns.entered(dut.namespace):
        route = f"198.18.0.0/30 dev {dut.ifname} src {dut.address} scope link initcwnd {trial.initcwnd}"
        subprocess.run(["ip", "route", "change", *route.split()], check=True)
        listener = socket.create_server((dut.address, PORT))
    features.write_wanted(
        dut.ifname, {"tx-tcp-segmentation": trial.tso, "tx-generic-segmentation": trial.tso}, dut.namespace
    )
    with listener:
        serving = threading.Thread(target=_serve, args=(listener, trial))
        serving.start()
        with netns.entered(peer.namespace):
            client = socket.socket()
        with client:
            if trial.window_bytes:
                client.setsockopt(socket.IPPROTO_TCP, _WINDOW_CLAMP, trial.window_bytes)
            client.connect((dut.address, PORT))
            client.sendall(b"please")
            while client.recv(65536):
                pass
        serving.join()


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("initcwnd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFLOADBENCH_STATE", str(folder))
        options = RunOptions(
            nic="lab",
            cases="tso",
            workloads=[],
            output=Path(),
            link=EmulatedLink(line_rate_bits_per_s=10**9, rtt_s=RTT_S),
        )
        with open_site(options, lambda _: None) as site:
            dut, peer = site.bed.dut, site.bed.peer
            assert isinstance(dut, LocalEnd)
            assert isinstance(peer, LocalEnd)
            paths = {"server": folder / "server.pcap", "client": folder / "client.pcap"}
            running = [_tcpdump(dut, paths["server"]), _tcpdump(peer, paths["client"])]
            for trial in TRIALS:
                _converse(trial, dut, peer)
            # the last ACK is still on the cable
            time.sleep(10 * RTT_S)
            for capturing in running:
                capturing.terminate()
                capturing.communicate(timeout=10)
    yield paths


def _flow(path: Path, number: int) -> FlowScore:
    with path.open("rb") as stream:
        capture = CaptureFile(stream)
        scored = score_capture(capture, TRIALS[number].initcwnd)
    assert capture.damage == ""
    assert len(scored.flows) == len(TRIALS)
    return scored.flows[number]


@pytest.mark.parametrize("number", range(len(TRIALS)))
@pytest.mark.parametrize("side", ["server", "client"])
def test_both_ends_of_the_cable_show_what_the_kernel_did(captures: dict[str, Path], side: str, number: int) -> None:
    trial, flow = TRIALS[number], _flow(captures[side], number)
    assert (flow.verdict, flow.side) == (trial.verdict, side), flow
    assert flow.server == f"198.18.0.1:{PORT}"
    assert flow.mss_bytes == 1448
    assert flow.rtt_ms is not None
    # tcpdump stamps a frame a little after the stack has sent it
    assert flow.rtt_ms >= 900 * RTT_S
    if trial.verdict == "honoured":
        assert flow.first_flight_segments == trial.initcwnd
    if trial.verdict == "capped by window":
        assert flow.first_flight_segments == OLD_WINDOW_BYTES // 1448
    if side == "server":
        assert bool(flow.super_packets) == trial.tso
