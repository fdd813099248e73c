"""Writing to a target that this program has not started: only where it may, and nothing is left."""

from __future__ import annotations

import hashlib
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offloadbench.analysis.sender import limit_tables
from offloadbench.bed.local import PEER_ADDRESS
from offloadbench.engine.standing_lab import bench
from offloadbench.engine.standing_lab.bench import Bench
from offloadbench.files import run_file
from offloadbench.kernel.system import netns, processes
from offloadbench.model import Run
from tests.lab.conftest import Offloadbench
from tests.lab.foreign_targets import NAME, SERIAL, Istgt, Tgt

pytestmark = pytest.mark.skipif(
    not (shutil.which("tgtd") or os.environ.get("OFFLOADBENCH_REQUIRE_ALL")), reason="needs tgt"
)
MIB = 1 << 20
SIZE = 96 * MIB
TARGET = ("--set", f"target={PEER_ADDRESS}/{NAME}", "--set", "lun=1")
CONSENT = ("--set", "overwrite=yes", "--set", f"confirm={SERIAL}")
SMALL = ("--set", "block_size=256KiB", "--set", "lun_size=16MiB")
_SHORT = ("--cases", "none", "--duration", "2", "--warmup", "1", "--no-profile", "--overwrite")
RUN = ("run", "--nic", "lab-veth", "--workloads", "iscsi-write", *_SHORT)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A disk: an ext4 file system on its first 32 MiB, and what somebody else has stored on all the rest."""
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(32 * MIB))
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True)
    with path.open("ab") as stream:
        stream.write(bytes(range(256)) * ((SIZE - 32 * MIB) // 256))
    return path


def _namespaces() -> set[str]:
    return {path.name for path in netns.RUN_NETNS.glob("*-peer")}


class Waiting:
    """Starts a target in the peer's namespace of the next run, as soon as there is one."""

    def __init__(self, image: Path, **settings: Any) -> None:
        self._make: Callable[..., Tgt | Istgt] = settings.pop("make", Tgt)
        self._image, self._settings = image, settings
        self._before = _namespaces()
        self.target: Tgt | Istgt | None = None
        self.left: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        while not self._over.wait(0.05):
            for name in _namespaces() - self._before:
                show = ["ip", "-n", name, "-4", "address"]
                if PEER_ADDRESS in subprocess.run(show, capture_output=True, text=True, check=False).stdout:
                    self.target = self._make(name, PEER_ADDRESS, self._image, self._image.parent, **self._settings)
                    return

    def close(self) -> None:
        self._over.set()
        self._thread.join(20)
        if self.target:
            self.left = self.target.sessions()
            self.target.close()


@pytest.fixture
def serve(image: Path) -> Iterator[Callable[..., Waiting]]:
    """Let a target come up on the next lab link."""
    waiting: list[Waiting] = []

    def begin(**settings: Any) -> Waiting:
        waiting.append(Waiting(image, **settings))
        return waiting[-1]

    yield begin
    for one in waiting:
        one.close()
        assert one.left == []


def _digests(path: Path) -> list[str]:
    """Of every 64 KiB."""
    data = path.read_bytes()
    return [hashlib.sha256(data[at : at + (64 << 10)]).hexdigest() for at in range(0, len(data), 64 << 10)]


def _changed(before: list[str], path: Path) -> tuple[int, int]:
    """First byte and end of what is otherwise now; (0, 0) where nothing is."""
    places = [number for number, (was, now) in enumerate(zip(before, _digests(path), strict=True)) if was != now]
    return (places[0] << 16, (places[-1] + 1) << 16) if places else (0, 0)


def _loaded(path: Path) -> Run:
    run = run_file.load(path)
    assert [trial.outcome for trial in run.trials] == ["ok"], [trial.reason for trial in run.trials]
    return run


def test_only_what_lies_beyond_the_file_system_is_overwritten(
    offloadbench: Offloadbench, serve: Callable[..., Waiting], image: Path, tmp_path: Path
) -> None:
    before = _digests(image)
    serve()
    output = tmp_path / "run.json"
    done = offloadbench(*RUN, *TARGET, *CONSENT, *SMALL, "--set", "verify=true", "--output", str(output))
    assert done.returncode == 0, done.stderr
    run = _loaded(output)
    load = run.trials[0].load
    assert load is not None
    found = load.settings["existing_target"]
    assert (found["serial"], found["size_bytes"], found["holds"]) == (SERIAL, SIZE, f"ext up to byte {32 * MIB}")
    assert (found["start_bytes"], found["used_bytes"]) == (32 * MIB, 16 * MIB)
    assert load.settings["verified_bytes"] == 16 * MIB
    assert load.cpu_s is None
    assert any("its CPU time, its own count of bytes" in warning for warning in run.warnings)
    assert run.trials[0].tcp
    assert _changed(before, image) == (32 * MIB, 48 * MIB)
    subprocess.run(["e2fsck", "-fn", str(image)], check=True, capture_output=True)


@pytest.mark.parametrize(
    "case",
    [
        ((), "overwrites data there", "--set overwrite=yes"),
        (("overwrite=yes",), "is to be confirmed", f"--set confirm={SERIAL}, or run on a terminal"),
        (("overwrite=yes", "confirm=another"), "neither serial number nor size", "nothing was written"),
        (("overwrite=yes", "confirm=32MiB"), "neither serial number nor size", "nothing was written"),
    ],
)
def test_it_is_asked_twice_and_no_terminal_is_no_consent(
    offloadbench: Offloadbench, serve: Callable[..., Waiting], image: Path, case: tuple[tuple[str, ...], str, str]
) -> None:
    settings, words, hint = case
    output = image.with_name("run.json")
    before = _digests(image)
    serve()
    chosen = [word for setting in settings for word in ("--set", setting)]
    done = offloadbench(*RUN, *TARGET, *chosen, *SMALL, "--output", str(output))
    assert done.returncode == 2
    error, told = done.stderr.strip().splitlines()[-2:]
    assert words in error
    assert hint in told
    assert _changed(before, image) == (0, 0)
    assert not output.exists()


@pytest.mark.parametrize("typed", [SERIAL, "yes", ""])
def test_a_terminal_is_asked_for_the_serial_number(
    environment: dict[str, str], serve: Callable[..., Waiting], image: Path, typed: str
) -> None:
    code = 0 if typed == SERIAL else 2
    before = _digests(image)
    serve()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "offloadbench", *RUN, *TARGET, "--set", "overwrite=yes", *SMALL]
    process = subprocess.Popen(
        [*command, "--output", str(image.with_name("run.json"))],
        stdin=theirs,
        stderr=theirs,
        stdout=theirs,
        env=environment,
    )
    os.close(theirs)
    said = _said(ours, b"to stop: ")
    for part in (SERIAL, f"ext up to byte {32 * MIB}", f"bytes {32 * MIB} to {48 * MIB - 1}", "LUN 1"):
        assert part in said
    os.write(ours, typed.encode() + b"\n")
    _said(ours, None)
    os.close(ours)
    assert process.wait(60) == code
    assert _changed(before, image) == ((32 * MIB, 48 * MIB) if code == 0 else (0, 0))


def _said(terminal: int, until: bytes | None) -> str:
    """What comes up to these bytes, or to the end."""
    data = b""
    deadline = time.monotonic() + 60
    while (until is None or until not in data) and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1.0)[0]:
            try:
                more = os.read(terminal, 4096)
            except OSError:
                break
            data += more
            if not more:
                break
    assert until is None or until in data, data.decode(errors="replace")
    return data.decode(errors="replace")


def test_reading_overwrites_nothing_and_needs_no_consent(
    offloadbench: Offloadbench, serve: Callable[..., Waiting], image: Path, tmp_path: Path
) -> None:
    before = _digests(image)
    serve()
    output = tmp_path / "run.json"
    done = offloadbench(*RUN, *TARGET, *SMALL, "--set", "operation=read", "--output", str(output))
    assert done.returncode == 0, done.stderr
    load = _loaded(output).trials[0].load
    assert load is not None
    assert load.bytes_received > 0
    assert _changed(before, image) == (0, 0)


def test_an_account_is_read_from_a_file_and_never_shown(
    offloadbench: Offloadbench, serve: Callable[..., Waiting], image: Path, tmp_path: Path
) -> None:
    before = _digests(image)
    secret = tmp_path / "chap"
    secret.write_text("user=alice\npassword=open-sesame-42\n")
    secret.chmod(0o600)
    serve(account=("alice", "open-sesame-42"))
    output = tmp_path / "run.json"
    chosen = (*TARGET, *CONSENT, *SMALL, "--set", f"chap_file={secret}")
    done = offloadbench(*RUN, *chosen, "--output", str(output))
    assert done.returncode == 0, done.stderr
    _loaded(output)
    assert b"open-sesame" not in output.read_bytes()
    assert "open-sesame" not in done.stderr + done.stdout
    assert _changed(before, image) == (32 * MIB, 48 * MIB)


def test_a_wrong_password_is_told_at_once(
    offloadbench: Offloadbench, environment: dict[str, str], serve: Callable[..., Waiting], tmp_path: Path
) -> None:
    serve(account=("alice", "open-sesame-42"))
    environment |= {"OFFLOADBENCH_CHAP_USER": "alice", "OFFLOADBENCH_CHAP_PASSWORD": "guessed-guessed"}
    try:
        done = offloadbench(*RUN, *TARGET, *CONSENT, *SMALL, "--output", str(tmp_path / "run.json"), timeout=40)
    finally:
        del environment["OFFLOADBENCH_CHAP_USER"], environment["OFFLOADBENCH_CHAP_PASSWORD"]
    assert done.returncode == 5
    assert "authentication failed" in done.stderr
    assert "guessed" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_logged_in_after_an_interrupt_or_a_kill(
    offloadbench: Offloadbench, environment: dict[str, str], serve: Callable[..., Waiting], image: Path, number: int
) -> None:
    before = _digests(image)
    waiting = serve()
    command = [sys.executable, "-m", "offloadbench", *RUN, "--duration", "60", *TARGET, *CONSENT, *SMALL]
    process = subprocess.Popen(
        [*command, "--output", str(image.with_name("run.json"))],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    try:
        _until(lambda: waiting.target is not None and _changed(before, image) != (0, 0))
        assert waiting.target is not None
        assert waiting.target.sessions() == ["iqn.2004-01.org.offloadbench:initiator"]
        journals = list(Path(environment["OFFLOADBENCH_STATE"]).glob("*.journal"))
        process.send_signal(number)
        assert process.wait(30) == (130 if number == signal.SIGINT else -number)
    finally:
        process.kill()
        process.wait(10)
    _until(lambda: waiting.target is not None and waiting.target.sessions() == [])
    assert offloadbench("restore").returncode == 0
    assert not any(path.exists() for path in journals)
    assert [pid for path in journals for pid in processes.of_run(path.stem)] == []
    assert _changed(before, image) == (32 * MIB, 48 * MIB)


def _until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.skipif(not (shutil.which("istgt") or os.environ.get("OFFLOADBENCH_REQUIRE_ALL")), reason="needs istgt")
def test_another_program_that_asks_for_every_burst(
    offloadbench: Offloadbench, serve: Callable[..., Waiting], image: Path, tmp_path: Path
) -> None:
    before = _digests(image)
    serve(make=Istgt)
    output = tmp_path / "run.json"
    target = ("--set", f"target={PEER_ADDRESS}:3260/{Istgt.name}", "--set", "lun=0", "--set", "verify=true")
    done = offloadbench(*RUN, *target, *CONSENT, *SMALL, "--output", str(output))
    assert done.returncode == 0, done.stderr
    load = _loaded(output).trials[0].load
    assert load is not None
    assert load.settings["existing_target"]["product"] == "ACME iSCSI Disk 0123"
    negotiated = load.settings["negotiated"]
    assert (negotiated["initial_r2t"], negotiated["max_burst_bytes"]) == (True, 256 << 10)
    assert load.settings["verified_bytes"] == 16 * MIB
    assert _changed(before, image) == (32 * MIB, 48 * MIB)


@pytest.fixture
def standing(offloadbench: Offloadbench, environment: dict[str, str]) -> Iterator[Bench]:
    """A lab link that stands, as somebody's network."""
    name = f"foreign{os.getpid()}"
    done = offloadbench("lab", "up", "--name", name)
    assert done.returncode == 0, done.stderr
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OFFLOADBENCH_STATE", environment["OFFLOADBENCH_STATE"])
            yield bench.status(name)[0]
    finally:
        offloadbench("lab", "down", "--name", name)


@pytest.mark.parametrize("version", [4, 6])
def test_a_real_nic_needs_no_load_side_beside_the_target(
    environment: dict[str, str], standing: Bench, image: Path, tmp_path: Path, version: int
) -> None:
    """The namespace of the device under test stands for a machine, its TAP for a NIC of that machine."""
    before = _digests(image)
    address, host = standing.peer.address, standing.peer.address
    if version == 6:
        address, host = "fd00::2", "[fd00::2]"
        for end, own in ((standing.dut, "fd00::1/64"), (standing.peer, "fd00::2/64")):
            inside = ["ip", "netns", "exec", end.namespace]
            for scope in ("all", end.ifname):
                subprocess.run([*inside, "sysctl", "-qw", f"net.ipv6.conf.{scope}.disable_ipv6=0"], check=True)
            subprocess.run([*inside, "ip", "address", "add", own, "dev", end.ifname, "nodad"], check=True)
    target = Tgt(standing.peer.namespace, address, image, tmp_path)
    output = tmp_path / "run.json"
    words = ["run", "--nic", standing.dut.ifname, "--workloads", "iscsi-write", "--cases", "none", "--duration", "2"]
    words += ["--warmup", "1", "--no-profile", "--set", f"target={host}/{NAME}", "--set", "lun=1", *CONSENT, *SMALL]
    inside = ["ip", "netns", "exec", standing.dut.namespace, sys.executable, "-m", "offloadbench", *words]
    try:
        done = subprocess.run(
            [*inside, "--output", str(output)], env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr
        run = _loaded(output)
        assert (run.bed.kind, run.bed.peer) == ("outside", f"target:{host}:3260")
        assert run.trials[0].peer is None
        load = run.trials[0].load
        assert load is not None
        assert load.settings["existing_target"]["address"] == address
        assert run.trials[0].tcp[0].connection.endswith(f"> {host}:3260")
        assert limit_tables.limits([run])["sentence"].tolist() != []
        assert _changed(before, image) == (32 * MIB, 48 * MIB)
        assert target.sessions() == []
        dry = subprocess.run([*inside, "--dry-run", "--output", str(tmp_path / "b.json")],
                             env=environment, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        assert f"an existing target at {address}, port 3260" in dry.stdout, dry.stderr
        assert target.sessions() == []
        other = subprocess.run([*inside, "--workloads", "tcp-stream,iscsi-write", "--output", str(tmp_path / "b.json")],
                               env=environment, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        assert other.returncode == 2
        assert "needs a load side" in other.stderr
    finally:
        target.close()
