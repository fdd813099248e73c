"""The live probe on the lab cable: verdicts, the captures beside it, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from offloadbench.analysis.capture.capture_file import CaptureFile
from offloadbench.analysis.initcwnd import live, verdict
from offloadbench.analysis.initcwnd.scoring import FlowScore, score_capture
from offloadbench.bed.local import LocalEnd
from offloadbench.engine.options import RunOptions
from offloadbench.engine.probe.probe_lab import ADDRESS, Laboratory, Matrix
from offloadbench.engine.putting_back.undo import Journal
from offloadbench.engine.standing_bed import open_site
from offloadbench.files import probe_file
from offloadbench.kernel.netdev import features, route
from offloadbench.kernel.system import netns, processes, sysctl
from offloadbench.model import EmulatedLink, FlightTrial
from tests.lab.conftest import Offloadbench
from tests.lab.test_initcwnd_capture import RTT_S, _tcpdump

BASE = Matrix(initcwnds=(10,), congestion_controls=("cubic",), patterns=("one",), metrics=("cold",), repeats=1)
ALGORITHMS = [
    name
    for name in (sysctl.read("net.ipv4.tcp_available_congestion_control") or "").split()
    if name in ("cubic", "bbr")
]


@dataclass(frozen=True)
class Observed:
    """Live trials, and the same connections as tcpdump saw them at both ends, in the same order."""

    trials: list[FlightTrial]
    words: list[str]
    flows: dict[str, list[FlowScore]]


def _measure(site_folder: Path, matrices: list[Matrix]) -> list[Observed]:
    options = RunOptions(
        nic="lab", cases="", workloads=[], output=Path(), link=EmulatedLink(line_rate_bits_per_s=10**9, rtt_s=RTT_S)
    )
    found = []
    with open_site(options, lambda _: None) as site:
        dut, peer = site.bed.dut, site.bed.peer
        assert isinstance(dut, LocalEnd)
        assert isinstance(peer, LocalEnd)
        for number, matrix in enumerate(matrices):
            paths = {"server": site_folder / f"{number}s.pcap", "client": site_folder / f"{number}c.pcap"}
            running = [_tcpdump(dut, paths["server"]), _tcpdump(peer, paths["client"])]
            mark = site.journal.mark
            trials = Laboratory(site, matrix).measure(lambda *_: None)
            time.sleep(10 * RTT_S)
            for capturing in running:
                capturing.terminate()
                capturing.communicate(timeout=10)
            flows = {side: _flows(path, trials) for side, path in paths.items()}
            found.append(Observed(trials, [one.verdict for one in live.judge(trials)], flows))
            site.journal.undo_to(mark, lambda _: None)
            assert route.read(dut.namespace) == []
            neighbours = subprocess.check_output(["ip", "-n", str(dut.namespace), "neigh", "show", ADDRESS])
            assert neighbours == b""
            assert features.read(peer.ifname, peer.namespace)["rx-gro"].wanted
    return found


def _flows(path: Path, trials: list[FlightTrial]) -> list[FlowScore]:
    """The connections of a capture, each scored against the window of its trial."""
    scored = []
    for number, trial in enumerate(trials):
        with path.open("rb") as stream:
            flows = score_capture(CaptureFile(stream), trial.initcwnd).flows
        assert len(flows) == len(trials)
        scored.append(flows[number])
    return scored


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Observed]]:
    folder = tmp_path_factory.mktemp("live")
    matrices = {
        "windows": replace(BASE, initcwnds=(4, 10, 20, 40), congestion_controls=tuple(ALGORITHMS)),
        "idle": replace(BASE, patterns=("idle",)),
        "small window": replace(BASE, window_bytes=5840),
        "short": replace(BASE, patterns=("given",), response_bytes=4000),
        "starved": replace(BASE, cases=("csum",), sndbuf_bytes=4096),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFLOADBENCH_STATE", str(folder))
        yield dict(zip(matrices, _measure(folder, list(matrices.values())), strict=True))
    assert list(folder.glob("*.journal")) == []


def test_every_window_is_honoured_with_tso_on_and_off_and_both_captures_say_so(observed: dict[str, Observed]) -> None:
    found = observed["windows"]
    assert len(found.trials) == 4 * 3 * len(ALGORITHMS)
    for number, trial in enumerate(found.trials):
        assert found.words[number] == verdict.HONOURED, live.evidence(trial)
        flight = live.count(trial)
        assert flight.all_segments == trial.initcwnd
        # autosizing under bbr may come down to one segment a packet
        if trial.case != "tso" or trial.congestion_control == "cubic":
            assert (flight.super_packets > 0) == (trial.case == "tso")
        assert trial.before is not None
        assert trial.before.snd_cwnd_segments == trial.initcwnd
        for side, flows in found.flows.items():
            assert flows[number].verdict == verdict.HONOURED, flows[number]
            # a machine that lets a process wait for a round trip hides where the capture ran
            rtt_ms = flows[number].rtt_ms
            assert rtt_ms is not None
            if rtt_ms < 1200 * RTT_S:
                assert flows[number].side == side
            assert flows[number].first_flight_segments == trial.initcwnd


@pytest.mark.parametrize(
    ("name", "word"),
    [("small window", verdict.CAPPED_BY_WINDOW), ("short", verdict.INCONCLUSIVE)],
)
def test_a_limit_is_named_by_the_probe_and_by_both_captures(
    observed: dict[str, Observed], name: str, word: str
) -> None:
    found = observed[name]
    assert found.words == [word] * 3
    for flows in found.flows.values():
        assert [flow.verdict for flow in flows] == [word] * 3


def test_a_starved_send_buffer_is_told_from_a_small_cwnd_by_the_servers_own_account(
    observed: dict[str, Observed],
) -> None:
    found = observed["starved"]
    (trial,) = found.trials
    assert found.words == [verdict.CAPPED_BY_SEND_BUFFER]
    assert trial.before is not None
    assert trial.before.snd_cwnd_segments == 10 > live.count(trial).all_segments
    # what no capture can see
    assert {flows[0].verdict for flows in found.flows.values()} != {verdict.HONOURED}


def test_a_connection_restarts_after_silence_with_the_initial_window(observed: dict[str, Observed]) -> None:
    found = observed["idle"]
    assert found.words == [verdict.HONOURED] * 3
    for trial in found.trials:
        assert trial.before is not None
        assert trial.before.snd_cwnd_segments > 20
        assert trial.idle_us > trial.before.rto_us


def test_the_command_writes_a_file_that_report_and_export_read(offloadbench: Offloadbench, tmp_path: Path) -> None:
    path, page = tmp_path / "probe.json.xz", tmp_path / "page.html"
    words = ("--repeats", "1", "--patterns", "one", "--output", str(path), "--format", "json")
    done = offloadbench("probe", "initcwnd", "--nic", "lab-veth", "--initcwnd", "10", *words)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["verdict"] for row in rows] == ["honoured"] * 6
    assert {row["metrics"] for row in rows} == {"cold", "warm"}
    warm = [trial for trial in probe_file.load(path).trials if trial.metrics == "warm"]
    assert all("rtt" in trial.remembered for trial in warm)
    assert offloadbench("report", str(path), "--output", str(page)).returncode == 0
    assert "10 segments leaves as it was asked for, with TSO on and off" in page.read_text()
    table = offloadbench("export", str(path), "--table", "flights").stdout
    assert len(table.splitlines()) == 7


def test_nothing_is_left_after_a_kill_and_restore(offloadbench: Offloadbench, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "offloadbench", "probe", "initcwnd", "--nic", "lab"]
    probing = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert probing.stderr is not None
    assert any("flight" in line for line in probing.stderr)
    probing.send_signal(signal.SIGKILL)
    probing.communicate(timeout=10)
    (journal,) = Path(environment["OFFLOADBENCH_STATE"]).glob("*.journal")
    header, *steps = map(json.loads, journal.read_text().splitlines())
    run_id, made = header["run_id"], [step["namespace"] for step in steps if step.get("kind") == "namespace"]
    assert len(made) == 2
    assert all(map(netns.exists, made))
    done = offloadbench("restore")
    assert done.returncode == 0, done.stderr
    assert not any(map(netns.exists, made))
    assert processes.of_run(run_id) == []
    assert not journal.exists()


def test_a_rule_that_a_killed_probe_left_is_removed(
    offloadbench: Offloadbench, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a namespace of the test's own, which stands for the machine of a user."""
    monkeypatch.setenv("OFFLOADBENCH_STATE", environment["OFFLOADBENCH_STATE"])
    name = f"ob-rule-{os.getpid()}"
    netns.create(name)
    try:
        silence = route.SilencedTcp("198.51.100.1", 80, 40000)
        journal = Journal("rule", name)
        journal.add("rule", address=silence.address, port=silence.port, local_port=silence.local_port, namespace=name)
        silence.begin(name)
        assert "blackhole" in subprocess.check_output(["ip", "-n", name, "rule"], text=True)
        assert offloadbench("restore").returncode == 0
        assert "blackhole" not in subprocess.check_output(["ip", "-n", name, "rule"], text=True)
    finally:
        netns.remove(name)


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[tuple[LocalEnd, LocalEnd]]:
    """A lab link with web and FTP servers of other people on its first end."""
    (tmp_path / "big").write_bytes(bytes(100_000))
    servers = [["http.server", "8080"], ["pyftpdlib", "-p", "2121"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFLOADBENCH_STATE", str(tmp_path / "state"))
        options = RunOptions(
            nic="lab", cases="", workloads=[], output=Path(), link=EmulatedLink(line_rate_bits_per_s=10**9, rtt_s=RTT_S)
        )
        with open_site(options, lambda _: None) as site:
            dut, peer = site.bed.dut, site.bed.peer
            assert isinstance(dut, LocalEnd)
            assert isinstance(peer, LocalEnd)
            with netns.entered(dut.namespace):
                running = [
                    subprocess.Popen([sys.executable, "-m", *words], cwd=tmp_path, stderr=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL)
                    for words in servers
                ]  # fmt: skip
            try:
                yield dut, peer
            finally:
                for server in running:
                    server.terminate()
                    server.wait(10)


def _until_it_listens(end: LocalEnd, port: int) -> None:
    for _ in range(200):
        if f":{port}" in subprocess.check_output(["ip", "netns", "exec", str(end.namespace), "ss", "-lnt"], text=True):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


@pytest.mark.parametrize(
    ("address", "port", "initcwnd"),
    [
        ("http://198.18.0.1:8080/big", 8080, 10),
        ("ftp://198.18.0.1:2121/big", 2121, 10),
        # more than fits a window of 65535 bytes
        ("http://198.18.0.1:8080/big", 8080, 60),
    ],
)
def test_a_foreign_server_is_observed_and_no_rule_stays(
    foreign: tuple[LocalEnd, LocalEnd], tmp_path: Path, address: str, port: int, initcwnd: int
) -> None:
    dut, peer = foreign
    _until_it_listens(dut, port)
    way = f"198.18.0.0/30 dev {dut.ifname} src {dut.address} scope link initcwnd {initcwnd}"
    subprocess.run(["ip", "-n", str(dut.namespace), "route", "change", *way.split()], check=True)
    words = ["probe", "initcwnd", "--nic", peer.ifname, "--server", address, "--initcwnd", str(initcwnd)]
    words += ["--repeats", "2"]
    done = subprocess.run(
        ["ip", "netns", "exec", str(peer.namespace), sys.executable, "-m", "offloadbench", *words, "--format", "json"],
        env=os.environ | {"OFFLOADBENCH_STATE": str(tmp_path / "inner")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["verdict"], row["all_segments"]) for row in rows] == [("honoured", initcwnd)] * 2
    assert {row["window_bytes"] for row in rows} == {max(65535, 2 * initcwnd * 1460)}
    rules = subprocess.check_output(["ip", "-n", str(peer.namespace), "rule"], text=True)
    assert "blackhole" not in rules
    assert features.read(peer.ifname, peer.namespace)["rx-gro"].wanted
    assert list((tmp_path / "inner").glob("*.journal")) == []
