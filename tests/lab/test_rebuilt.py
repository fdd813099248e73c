"""The testbed of a block is a new one: other namespaces and links under the same names, whole, and put back as ever."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offloadbench.changes.made_namespace import MadeNamespace
from offloadbench.engine.options import RunOptions
from offloadbench.engine.putting_back.left_behind import journalled
from offloadbench.engine.standing_bed import Site, open_site
from offloadbench.files import run_file
from offloadbench.kernel.netdev import link
from offloadbench.kernel.system import netns
from offloadbench.model import EmulatedLink
from tests.lab.conftest import Offloadbench

QUICK = ("--workloads", "ftp-get", "--duration", "2", "--warmup", "0", "--no-profile", "--set", "file_size=16MiB")


@pytest.fixture(params=["lab", "lab-veth"])
def site(
    request: pytest.FixtureRequest, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setenv("OFFLOADBENCH_STATE", environment["OFFLOADBENCH_STATE"])
    options = RunOptions(
        nic=request.param,
        cases="tso",
        workloads=[],
        output=Path(),
        profile=False,
        mtu_bytes=1400,
        link=EmulatedLink(line_rate_bits_per_s=10**9, loss_ratio=0.001),
    )
    with open_site(options, lambda _: None) as opened:
        yield opened


# SO_NETNS_COOKIE (Linux 5.14): counted up for every namespace, where an inode is given again
_COOKIE = "import socket; print(int.from_bytes(socket.socket().getsockopt(socket.SOL_SOCKET, 71, 8), 'little'))"


def _cookie(namespace: str | None) -> int:
    command = ["ip", "netns", "exec", str(namespace), sys.executable, "-I", "-c", _COOKIE]
    return int(subprocess.check_output(command, text=True))


def _identity(site: Site) -> tuple[object, ...]:
    """Cookies of both namespaces, and the MTUs of the links in them."""
    ends = (site.bed.dut, site.bed.peer)
    cookies = [_cookie(end.namespace) for end in ends]
    return (*cookies, *(link.read(end.ifname, end.namespace).mtu_bytes for end in ends))


def _answers(site: Site) -> bool:
    command = ["ip", "netns", "exec", str(site.bed.dut.namespace), "ping", "-c", "5", "-i", "0.05", "-q"]
    return subprocess.run([*command, site.bed.peer.address], capture_output=True, check=False).returncode == 0


def test_a_rebuilt_testbed_is_another_one_that_works_as_the_first(site: Site) -> None:
    first, ends, placement, steps = (
        _identity(site),
        (site.bed.dut, site.bed.peer),
        site.bed.placement,
        site.journal.mark,
    )
    settings, seed = site.bed.settings, site.bed.cable.loss_seed
    seen, seeds = {first[:2]}, {seed}
    for draw in (2, 3):
        began_s = time.monotonic()
        assert site.rebuild(draw) == ""
        took_s = time.monotonic() - began_s
        again = _identity(site)
        assert again[:2] not in seen
        assert again[2:] == (1400, 1400), "what was set on the links is set again"
        seen.add(again[:2])
        seeds.add(site.bed.cable.loss_seed)
        # same names, addresses and CPUs: a bed built on the tool's CPUs only would have all of them share one
        assert (site.bed.dut, site.bed.peer) == ends
        assert site.bed.placement == placement
        assert os.sched_getaffinity(0) == placement.tool
        assert site.bed.settings == settings
        assert site.journal.mark == steps, "the journal names what stands, once"
        assert _answers(site)
        assert took_s < 5, "a second at most on an idle machine; tests/benchmarks are for figures"
    assert len(seeds) == (3 if seed else 1), "the losses of an emulated cable are drawn anew"


def test_nothing_is_left_of_any_of_them(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, traces: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("OFFLOADBENCH_STATE", environment["OFFLOADBENCH_STATE"])
    cpus = os.sched_getaffinity(0)
    options = RunOptions(nic="lab", cases="tso", workloads=[], output=Path(), profile=False)
    with open_site(options, lambda _: None) as opened:
        opened.rebuild(2)
        opened.rebuild(3)
    assert traces() == []
    assert os.sched_getaffinity(0) == cpus


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_whatever_ends_a_process_in_the_middle_of_rebuilding_it_can_be_put_back(
    environment: dict[str, str],
    offloadbench: Offloadbench,
    traces: Callable[[], list[str]],
    number: signal.Signals,
) -> None:
    """At a random moment of a process that does nothing else, three times."""
    program = (
        "import itertools, signal\n"
        "from pathlib import Path\n"
        "from offloadbench.engine.options import RunOptions\n"
        "from offloadbench.engine.standing_bed import open_site\n"
        "def leave(*_): raise SystemExit(130)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "options = RunOptions(nic='lab', cases='tso', workloads=[], output=Path(), profile=False)\n"
        "with open_site(options, lambda _: None) as site:\n"
        "    for draw in itertools.count(2):\n"
        "        site.rebuild(draw)\n"
        "        print(draw, flush=True)\n"
    )
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "2"
        time.sleep(random.uniform(0, 0.5))
        process.send_signal(number)
        process.communicate(timeout=60)
        if number == signal.SIGKILL:
            restored = offloadbench("restore")
            assert restored.returncode == 0, restored.stderr
        assert traces() == []


def test_a_run_draws_its_testbed_anew_for_every_block_and_says_so(
    offloadbench: Offloadbench, tmp_path: Path, traces: Callable[[], list[str]]
) -> None:
    output = tmp_path / "run.json"
    done = offloadbench("run", "--nic", "lab-veth", "--cases", "tso", "--repeats", "3", *QUICK, "--output", str(output))
    assert done.returncode == 0, done.stderr
    run = run_file.load(output)
    assert [(block.repeat, block.testbed) for block in run.blocks] == [(1, "built"), (2, "rebuilt"), (3, "rebuilt")]
    assert all(0 < block.build_s < 5 for block in run.blocks[1:])
    assert {trial.outcome for trial in run.trials} == {"ok"}
    assert not any("came out otherwise" in text for text in run.warnings)
    assert traces() == []


def test_a_run_killed_in_its_second_block_goes_on(
    environment: dict[str, str], offloadbench: Offloadbench, tmp_path: Path, traces: Callable[[], list[str]]
) -> None:
    output = tmp_path / "run.json"
    arguments = ("run", "--nic", "lab", "--cases", "tso", "--repeats", "3", *QUICK, "--output", str(output))
    process = subprocess.Popen(
        [sys.executable, "-m", "offloadbench", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    with contextlib.closing(process.stderr) as lines:
        assert any(line.startswith("[2/3]") for line in lines)
        process.kill()
        process.wait(timeout=60)
    restored = offloadbench("restore")
    assert restored.returncode == 0, restored.stderr
    assert traces() == []
    resumed = offloadbench("run", "--resume", str(output))
    assert resumed.returncode == 0, resumed.stderr
    run = run_file.load(output)
    assert sorted(trial.repeat for trial in run.trials) == [1, 2, 3]
    assert [(block.repeat, block.testbed) for block in run.blocks][-2:] == [(2, "built"), (3, "rebuilt")]


def test_a_bench_that_stands_is_left_alone_by_a_run_that_rebuilds(
    environment: dict[str, str], offloadbench: Offloadbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFLOADBENCH_STATE", environment["OFFLOADBENCH_STATE"])
    assert offloadbench("lab", "up", "--name", "standing").returncode == 0
    try:
        (found,) = (one for one in journalled() if one.header.nic == "bench-standing")
        names = [change.namespace for change in found.changes if isinstance(change, MadeNamespace)]
        inodes = [(netns.RUN_NETNS / name).stat().st_ino for name in names]
        options = RunOptions(nic="lab", cases="tso", workloads=[], output=Path(), profile=False)
        with open_site(options, lambda _: None) as site:
            site.rebuild(2)
        assert [(netns.RUN_NETNS / name).stat().st_ino for name in names] == inodes
    finally:
        assert offloadbench("lab", "down", "--name", "standing").returncode == 0
