"""Nothing that lies in the current folder is run: roles and sent programs start apart from it, as root or not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import offloadbench
from offloadbench.bed.remote import child, sources, ssh, wait
from offloadbench.engine.putting_back import guardian
from offloadbench.roles.ends import python_role
from offloadbench.roles.messages import AskMemory, MemoryThere

PACKAGE = Path(offloadbench.__file__).parent
# every module that is played as a process
ROLES = sorted(
    f"offloadbench.{path.relative_to(PACKAGE).with_suffix('').as_posix().replace('/', '.')}"
    for path in PACKAGE.rglob("*.py")
    if '__name__ == "__main__"' in path.read_text() and path.name != "__main__.py"
)
# of the standard library and of what it is installed with
TRAPS = (
    "argparse", "asyncio", "ast", "base64", "bisect", "calendar", "collections", "contextlib", "copy", "ctypes",
    "dataclasses", "datetime", "enum", "fcntl_", "functools", "hashlib", "heapq", "importlib", "inspect", "ipaddress",
    "json", "logging", "msgspec", "numpy", "offloadbench", "pathlib", "psutil", "pyroute2", "random", "re", "runpy",
    "secrets", "select_", "selectors", "shlex", "shutil", "signal", "sitecustomize", "socket", "ssl", "string",
    "struct", "subprocess", "tempfile", "threading", "tokenize", "traceback", "types", "typing", "usercustomize",
    "warnings", "weakref", "zlib_",
)  # fmt: skip
# loaded by `python -m` before anything of ours: they cannot be kept out by us (docs/explanation/safety.md)
BEFORE_MAIN = {"collections", "contextlib", "enum", "functools", "types", "warnings", "offloadbench", "importlib"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose every file leaves a mark when it is run."""
    folder = tmp_path / "traps"
    folder.mkdir()
    for name in TRAPS:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'a').write({name!r} + ' ')\n")
    return folder


@pytest.fixture
def sprung(folder: Path) -> Callable[[], str]:
    def found() -> str:
        mark = folder.parent / "run"
        return mark.read_text() if mark.exists() else ""

    return found


def test_the_traps_work(folder: Path, sprung: Callable[[], str]) -> None:
    subprocess.run([sys.executable, "-c", "import json"], cwd=folder, check=False, capture_output=True)
    assert "json" in sprung()


@pytest.mark.parametrize("module", ROLES)
def test_a_role_runs_nothing_of_the_current_folder(module: str, folder: Path, sprung: Callable[[], str]) -> None:
    arguments = ["x", str(folder / "none"), "1"] if module == guardian.__name__ else []
    done = subprocess.run([*python_role(module), *arguments], cwd=folder, input=b"", capture_output=True, check=False)
    assert sprung() == ""
    # it has come as far as its own code
    assert done.returncode == 0 or str(PACKAGE) in done.stderr.decode()


def test_a_role_is_of_the_very_package_that_starts_it(tmp_path: Path) -> None:
    other = tmp_path / "offloadbench"
    other.mkdir()
    (other / "__init__.py").write_text("")
    (other / "version.py").write_text("print('another')\n")
    done = subprocess.run(
        python_role("offloadbench.version"), cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)},
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == b""


def test_the_script_runs_nothing_of_the_current_folder(folder: Path, sprung: Callable[[], str]) -> None:
    script = Path(sys.executable).with_name("offloadbench")
    done = subprocess.run([script, "cases"], cwd=folder, capture_output=True, text=True, check=False)
    assert (sprung(), done.returncode) == ("", 0)


def test_python_m_runs_only_what_python_itself_loads_before_it(folder: Path, sprung: Callable[[], str]) -> None:
    for name in BEFORE_MAIN:
        (folder / f"{name}.py").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "offloadbench", "cases"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (sprung(), done.returncode, done.stderr) == ("", 0, "")


def test_python_p_m_runs_nothing_of_it(folder: Path, sprung: Callable[[], str]) -> None:
    done = subprocess.run([sys.executable, "-P", "-m", "offloadbench", "cases"], cwd=folder, check=False)
    assert (sprung(), done.returncode) == ("", 0)


def test_what_is_printed_for_the_load_host_runs_nothing_of_its_folder(folder: Path, sprung: Callable[[], str]) -> None:
    # nobody listens at port 1: it has imported all that it needs when it finds out
    done = subprocess.run(["sh", "-c", wait.line("127.0.0.1", 1, "x")], cwd=folder, capture_output=True, check=False)
    assert b"ConnectionRefusedError" in done.stderr
    assert sprung() == ""


def test_what_ssh_starts_runs_nothing_of_its_folder(
    folder: Path, sprung: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = tmp_path / "ssh"
    shell.write_text(f'#!/bin/sh\nfor last; do :; done\ncd {folder}\nexec sh -c "$last"\n')
    shell.chmod(0o755)
    monkeypatch.setenv(ssh.COMMAND, str(shell))
    connection = ssh.parse("ssh://loader").connect()
    try:
        assert connection.ask(AskMemory(), MemoryThere).available_bytes > 0
        role = connection.launch("offloadbench.traffic.ftp.ftp_clients", "the FTP clients", "")
        role.close()
    finally:
        connection.close()
    assert sprung() == ""


def test_a_process_of_an_agent_or_a_fleet_runs_nothing_of_its_folder(
    folder: Path, sprung: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    module = "offloadbench.traffic.ftp.ftp_clients"
    one = child.Child(sources.importer(), module, sources.closure(module), [], "")
    one.end()
    assert sprung() == ""


@pytest.fixture
def starts() -> Iterator[tuple[Path, int, str]]:
    return (
        (path, number, line)
        for path in PACKAGE.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"sys\.executable|\.python,|python3 ", line) and '"""' not in line
    )


def test_every_place_that_starts_python_keeps_it_apart(starts: Iterator[tuple[Path, int, str]]) -> None:
    careless = [
        f"{path}:{number}: {line.strip()}"
        for path, number, line in starts
        if re.search(r"-c\b|-m\b|\[sys\.executable|\.python,", line) and not re.search(r'[ "]-[IP]\b', line)
    ]
    # who asks python for its version starts nothing
    assert [line for line in careless if '"-V"' not in line and "'-V'" not in line] == []
