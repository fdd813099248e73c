"""Lab tests run the real thing: root, namespaces, perf, traffic. State, cache and mounts of their own.

Several processes (pytest-xdist) run them at a time, which leaves each a part of the CPUs: what holds whatever that
part is. A test that asserts a figure of the machine (a rate, a share of a CPU, a delay, the limit of a sender) is
marked `quiet` and runs by itself, in a last stage. A bed that several tests share is a fixture of their module.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offloadbench.files import run_file
from offloadbench.kernel.system import processes
from offloadbench.model import Run
from tests.lab import own_machine

REQUIRED_TOOLS = ("perf", "ip", "ping", "ethtool", "tcpdump")
Offloadbench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """`--dist loadscope` of lab tests."""
    if config.getoption("dist") != "loadscope":
        return None
    from tests.lab.sharing_out import BedScheduling

    return BedScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [tool for tool in REQUIRED_TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if missing and not os.environ.get("OFFLOADBENCH_REQUIRE_ALL"):
        for item in items:
            if "/tests/lab/" in str(item.path):
                item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}"))


@pytest.fixture(scope="session", autouse=True)
def own_mounts() -> None:
    """Several of these processes may go on at a time, and other people's."""
    if os.geteuid() == 0:
        own_machine.leave_shared_mounts()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Served files of this process's own: another one may be making the same."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFLOADBENCH_CACHE", str(folder))
        yield
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def environment(own_mounts: None, own_cache: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Journals apart from the machine's own; a page for every run would take as long as the run."""
    return os.environ | {
        "OFFLOADBENCH_STATE": str(tmp_path_factory.mktemp("state")),
        "OFFLOADBENCH_NO_REPORT": "1",
    }


@pytest.fixture(scope="session")
def offloadbench(environment: dict[str, str]) -> Offloadbench:
    """Call the command line as a user does."""

    def call(*arguments: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "offloadbench", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            check=False,
        )

    return call


def _measured(offloadbench: Offloadbench, path: Path, *arguments: str) -> Run:
    """A run; once more if the machine was too busy for the link emulator, which voids a trial and says so."""
    for attempt in ("first", "second"):
        done = offloadbench(
            "run",
            *arguments,
            "--workloads",
            "ftp-get",
            "--set",
            "file_size=16MiB",
            "--overwrite",
            "--no-report",
            "--output",
            str(path),
        )
        if done.returncode == 0 or attempt == "second" or "void: the " not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    return run_file.load(path)


@pytest.fixture(scope="session")
def cable_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cable") / "cable.json"


@pytest.fixture(scope="session")
def cable_run(offloadbench: Offloadbench, cable_path: Path) -> Run:
    """E1's three cases on the emulated cable, in short windows."""
    return _measured(
        offloadbench, cable_path, "--nic", "lab", "--cases", "paper", "--duration", "3", "--warmup", "1", "--keep-perf"
    )


@pytest.fixture(scope="session")
def veth_run(offloadbench: Offloadbench, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All four cases on the veth pair."""
    path = tmp_path_factory.mktemp("veth") / "veth.json"
    return _measured(
        offloadbench, path, "--nic", "lab-veth", "--cases", "ladder", "--duration", "3", "--warmup", "1", "--seed", "7"
    )


@pytest.fixture
def traces(environment: dict[str, str]) -> Iterator[Callable[[], list[str]]]:
    """What the runs of this process have left: journals, namespaces, processes."""

    def found() -> list[str]:
        state = Path(environment["OFFLOADBENCH_STATE"])
        left = [str(path) for path in state.glob("*.journal")]
        namespaces = json.loads(subprocess.check_output(["ip", "-j", "netns", "list"]) or b"[]")
        left += [row["name"] for row in namespaces if row["name"].startswith("offloadbench-")]
        return left + [processes.name(pid) for pid in own_machine.runs_of_ours()]

    yield found
