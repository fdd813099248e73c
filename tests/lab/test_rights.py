"""What works for a user who is not root, with the capabilities that each thing needs and no others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from offloadbench.analysis.tables import trial_tables
from offloadbench.files import run_file
from offloadbench.kernel.netdev import features
from tests.lab.remote_host import RemoteHost

NOBODY = 65534
# a run on a lab link with its profile
ENOUGH = "net_admin,sys_admin,dac_override,perfmon,syslog"


# where packages are; the standard library is that of the user's interpreter
_PATHS = [path for path in sys.path if path and not Path(path).is_relative_to(sysconfig.get_path("stdlib"))]


def _interpreter() -> str:
    """One that the user can start: ours may lie in a home that is closed to others."""
    found = Path(sys.executable).resolve()
    if all(folder.stat().st_mode & 0o001 for folder in found.parents):
        return sys.executable
    system = Path("/usr/bin") / f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert system.exists(), f"{found} is closed to other users, and {system} is missing"
    return str(system)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the user's own: pytest's are the caller's alone."""
    path = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def load_host(folder: Path) -> Iterator[RemoteHost]:
    """Reached with keys that belong to the user."""
    remote = RemoteHost(folder)
    try:
        remote.start_sshd()
        for path in folder.iterdir():
            os.chown(path, NOBODY, NOBODY)
        yield remote
    finally:
        remote.close()


def _as_nobody(folder: Path, capabilities: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    held = ",".join(["-all", *(f"+{name}" for name in capabilities.split(",") if name)])
    return subprocess.run(
        [
            "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", f"--inh-caps={held}",
            f"--ambient-caps={held}", f"--bounding-set={held}", "--", _interpreter(), "-m", "offloadbench", *words,
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ
        | {"OFFLOADBENCH_STATE": str(folder), "OFFLOADBENCH_CACHE": str(folder), "HOME": str(folder)}
        | {"PYTHONPATH": os.pathsep.join(_PATHS)}
        | variables,
    )  # fmt: skip


SHORT = ("--duration", "2", "--warmup", "1", "--set", "file_size=16MiB", "--set", "clients=8")
RUN = ("run", "--nic", "lab-veth", "--cases", "tso", "--workloads", "tcp-stream", "--duration", "2", "--warmup", "1")


def test_a_run_works_with_its_capabilities_and_no_others(folder: Path) -> None:
    done = _as_nobody(folder, ENOUGH, *RUN, "--output", "run.json")
    assert done.returncode == 0, done.stderr
    (trial,) = run_file.load(folder / "run.json").trials
    assert trial.outcome == "ok"
    assert trial.profile is not None
    assert trial.evidence is not None


@pytest.mark.parametrize(
    ("capabilities", "profiled"), [("net_admin,perfmon", ("--no-profile",)), ("net_admin,perfmon,syslog", ())]
)
def test_with_a_load_side_on_another_host_no_namespaces_are_asked_for(
    folder: Path, load_host: RemoteHost, capabilities: str, profiled: tuple[str, ...]
) -> None:
    words = ("run", "--nic", load_host.nic, "--peer", load_host.peer, "--cases", "tso,none", *SHORT, *profiled)
    before = features.read(load_host.nic)
    done = _as_nobody(folder, capabilities, *words, "--output", "run.json", OFFLOADBENCH_SSH=load_host.ssh)
    assert done.returncode == 0, done.stderr
    run = run_file.load(folder / "run.json")
    assert [trial.outcome for trial in run.trials] == ["ok"] * 4
    assert all((trial.profile is None) == bool(profiled) for trial in run.trials)
    # tracefs belongs to root, and a veth has no statistics: read back and set, but nothing here can prove it
    assert "no evidence from tracepoints: tracepoints cannot be recorded: No permissions to read" in done.stderr
    proofs = trial_tables.proofs([run])
    assert set(proofs[proofs["subject"] != "window"]["verdict"]) == {"not_shown"}
    assert features.read(load_host.nic) == before
    assert not list(folder.glob("*.journal"))


@pytest.mark.parametrize(
    ("capabilities", "code", "said"),
    [
        ("", 3, "run needs CAP_NET_ADMIN (sets features, MTU, addresses and sysctls), CAP_SYS_ADMIN (makes"),
        ("net_admin", 3, "run needs CAP_SYS_ADMIN"),
        ("net_admin,sys_admin", 3, "/run/netns cannot be written to"),
        ("net_admin,sys_admin,dac_override", 7, "/proc/kallsyms"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_touched(
    folder: Path, capabilities: str, code: int, said: str
) -> None:
    done = _as_nobody(folder, capabilities, *RUN, "--output", "run.json")
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert not list(folder.glob("*.json"))


def test_reading_judging_and_drawing_need_none(folder: Path, sample_path: Path) -> None:
    sample = folder / "sample.json"
    sample.write_bytes(sample_path.read_bytes())
    for words in (
        ("compare", "sample.json", "--within"),
        ("report", "sample.json", "--output", "report.html"),
        ("export", "sample.json", "--table", "trials"),
        ("modules", "sample.json"),
        ("tune", "--bandwidth", "1gbit", "--rtt", "20ms"),
        ("probe", "initcwnd", "--model", "2.6.18", "--initcwnd", "10"),
        ("schema",),
    ):
        done = _as_nobody(folder, "", *words)
        assert done.returncode == 0, (words, done.stderr)


def test_doctor_names_each_missing_capability(folder: Path) -> None:
    said = _as_nobody(folder, "net_admin,perfmon", "doctor").stdout
    assert "ok    CAP_NET_ADMIN:" in said
    assert "ok    CAP_PERFMON:" in said
    assert "note  CAP_SYS_ADMIN: missing: no --nic lab" in said
    assert "note  CAP_SYSLOG: missing:" in said
    assert "ok    without any: compare, report, export" in said


def test_sysctls_are_tuned_with_net_admin_alone(folder: Path) -> None:
    namespace = f"obtest-{folder.name[-6:].lower()}"
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        words = ("tune", "--bandwidth", "100gbit", "--rtt", "200ms", "--apply")
        inside = subprocess.run(
            [
                "nsenter", f"--net=/run/netns/{namespace}", "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                "--clear-groups", "--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin", "--",
                _interpreter(), "-m", "offloadbench", *words,
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=os.environ | {"OFFLOADBENCH_STATE": str(folder), "HOME": str(folder)}
            | {"PYTHONPATH": os.pathsep.join(_PATHS)},
        )  # fmt: skip
        assert inside.returncode == 0, inside.stderr
        assert " -> " in inside.stdout
    finally:
        subprocess.run(["ip", "netns", "del", namespace], check=True)
