"""A lab link that stands until it is taken down (`offloadbench lab`), for whatever other tool is to run on it.

Its keeper (see keeper.py) holds lock and journal as a run does, and answers on a Unix socket in the bench's folder.
Nobody signals it by pid, so no other process can be hit. When it is killed the wire ends with it (its input closes) and
the lock is free: `down`, `restore` and the next `up` of that name take back the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from offloadbench.base.errors import HostError, OffloadbenchError, UsageError
from offloadbench.engine import rights
from offloadbench.engine.putting_back import undo
from offloadbench.kernel.system import processes
from offloadbench.model import EmulatedLink, Frozen, WireReport
from offloadbench.roles.ends import python_role

_OWNER_PREFIX = "bench-"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
_ANSWER_S = 60.0
_ERRORS = {kind.exit_code: kind for kind in OffloadbenchError.__subclasses__()}


class BenchEnd(Frozen, frozen=True, kw_only=True):
    """One end of a bench."""

    namespace: str
    ifname: str
    address: str
    cpus: list[int]


class Bench(EmulatedLink, frozen=True, kw_only=True):
    """A bench that stands."""

    name: str
    run_id: str
    keeper_pid: int
    dut: BenchEnd
    peer: BenchEnd
    notes: list[str]


class Reply(Frozen, frozen=True, kw_only=True):
    """What the keeper says: the bench and its wire's account since it stands, or an error."""

    bench: Bench | None = None
    wire: WireReport | None = None
    message: str = ""
    hint: str = ""
    exit_code: int = 0

    def checked(self) -> Reply:
        """Itself, unless it is an error, which is raised as the keeper met it."""
        if self.exit_code:
            raise _ERRORS.get(self.exit_code, HostError)(self.message, self.hint)
        return self


class KilledError(HostError):
    """The bench's keeper is gone, and nobody has taken the bench down."""


def up(name: str, settings: dict[str, Any]) -> Bench:
    """Build a bench and leave it standing.

    Args:
        settings: fields of `offloadbench.engine.options.Options` that describe the link.

    Raises:
        UsageError: a bench of this name stands.
        HostError: a capability is missing, the keeper ended, or there are no TAP devices.
    """
    _check_name(name)
    rights.for_namespaces("lab")
    if name in names():
        with contextlib.suppress(KilledError):
            _ask(name, "status")
            raise UsageError(f"bench {name} stands already", f"offloadbench lab down --name {name}, or another --name")
    log = undo.state_folder() / f"{owner_of(name)}.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        errors = log.open("wb")
    except OSError as error:
        raise HostError(f"{log}: {error.strerror}", "run as root") from error
    with errors:
        keeper = subprocess.Popen(
            python_role("offloadbench.engine.standing_lab.keeper"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            # called from a command on another bench, it must not go with that one
            env={key: value for key, value in os.environ.items() if key != processes.MARKER},
        )
    try:
        said = _first_words(keeper, {"name": name, "settings": settings})
    except BaseException:
        # it takes back what it has built
        keeper.terminate()
        raise
    if not said:
        raise HostError(f"the keeper of bench {name} ended", f"see {log}")
    bench = msgspec.json.decode(said, type=Reply).checked().bench
    assert bench is not None
    return bench


def _first_words(keeper: subprocess.Popen[bytes], order: dict[str, Any]) -> bytes:
    """The line that the keeper answers with; empty when it ends instead."""
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    with keeper.stdin, keeper.stdout:
        keeper.stdin.write(json.dumps(order).encode() + b"\n")
        keeper.stdin.close()
        if not select.select([keeper.stdout], [], [], _ANSWER_S)[0]:
            raise HostError(f"the bench was not ready after {_ANSWER_S:.0f} s", "is the machine overloaded?")
        return keeper.stdout.readline()


def names() -> list[str]:
    """Benches that stand, or whose keeper was killed."""
    owners = [str(header.get("nic", "")) for header, _ in undo.journalled()]
    return sorted(owner.removeprefix(_OWNER_PREFIX) for owner in owners if owner.startswith(_OWNER_PREFIX))


def status(name: str) -> tuple[Bench, WireReport | None]:
    """The bench, and its wire's account since it stands.

    Raises:
        UsageError: no such bench.
        KilledError: its keeper is gone.
        TrafficError: its wire is gone.
    """
    reply = _ask(name, "status")
    assert reply.bench is not None
    return reply.bench, reply.wire


def down(name: str, tell: Callable[[str], None]) -> None:
    """Take a bench down, with all that still runs on it; also one whose keeper was killed.

    Raises:
        UsageError: no such bench.
        RestoreError: something could not be taken back.
    """
    try:
        _ask(name, "down")
    except KilledError:
        lock = undo.NicLock(owner_of(name))
        try:
            undo.restore_left_behind(tell, owner_of(name))
        finally:
            lock.release()


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: up to 20 small letters, digits and dashes", "for example: --name slow")


def owner_of(name: str) -> str:
    """Name of the bench's lock and journal: never a NIC's, so that no run mistakes it for its own."""
    return f"{_OWNER_PREFIX}{name}"


def _ask(name: str, what: str) -> Reply:
    _check_name(name)
    for header, steps in undo.journalled():
        if header.get("nic") == owner_of(name):
            folder = next((Path(step["path"]) for step in steps if step["kind"] == "folder"), Path("/nonexistent"))
            return _call(folder / "control", name, what).checked()
    raise UsageError(
        f"no bench named {name} stands", "offloadbench lab up makes one; offloadbench lab status lists them"
    )


def _call(path: Path, name: str, what: str) -> Reply:
    killed = KilledError(
        f"the keeper of bench {name} was killed: its wire is gone", f"offloadbench lab down --name {name}"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(_ANSWER_S)
        try:
            control.connect(str(path))
            control.sendall(what.encode() + b"\n")
            with control.makefile("rb") as stream:
                said = stream.readline()
        except TimeoutError as error:
            raise HostError(
                f"the keeper of bench {name} does not answer", "end it, then: offloadbench restore"
            ) from error
        except PermissionError as error:
            raise HostError(f"bench {name} belongs to root", "use sudo") from error
        except OSError as error:
            raise killed from error
    if not said:
        raise killed
    return msgspec.json.decode(said, type=Reply)
