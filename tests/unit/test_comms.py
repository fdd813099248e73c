"""Every process that a trial starts has a name of its own, and none is taken for somebody else's."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import offloadbench
from offloadbench.base import comms

_ROOT = Path(offloadbench.__file__).parent
_DEADLINE_S = 60.0


def _role_modules() -> list[str]:
    """Modules of the packages whose processes take part in a trial that can be started by themselves."""
    paths = [path for package in ("traffic", "bed", "kernel") for path in sorted((_ROOT / package).rglob("*.py"))]
    return [
        ".".join(("offloadbench", *path.relative_to(_ROOT).with_suffix("").parts))
        for path in paths
        if '__name__ == "__main__"' in path.read_text()
    ]


def test_the_roles_are_found() -> None:
    assert {"offloadbench.traffic.stream.stream_sender", "offloadbench.bed.wire"} <= set(_role_modules())
    assert len(_role_modules()) >= len(comms.ROLES)


@pytest.mark.parametrize("module", _role_modules())
def test_a_role_takes_one_of_the_names(module: str) -> None:
    """Before its first order, so that nothing it does is seen under another name."""
    with subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as role:
        try:
            ends = time.monotonic() + _DEADLINE_S
            name = ""
            while name not in comms.ROLES and role.poll() is None and time.monotonic() < ends:
                name = Path(f"/proc/{role.pid}/comm").read_text().strip()
                time.sleep(0.01)
        finally:
            role.kill()
    assert name in comms.ROLES


@pytest.mark.parametrize("name", comms.ROLES)
def test_the_kernel_keeps_the_whole_name(name: str) -> None:
    assert len(name.encode()) <= 15
