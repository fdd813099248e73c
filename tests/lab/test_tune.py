"""`tune --apply` and `--undo` on a real kernel, in a namespace made for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from offloadbench.kernel.system import netns, sysctl
from tests.lab.conftest import Offloadbench

PATH = ("--bandwidth", "10gbit", "--rtt", "40ms")


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"ob-tune-{os.getpid()}"
    netns.create(name)
    yield name
    netns.remove(name)


def _values(namespace: str | None) -> dict[str, str | None]:
    names = ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", "net.ipv4.tcp_window_scaling", "net.core.rmem_max")
    return {name: sysctl.read(name, namespace) for name in names}


def test_apply_raises_the_limits_of_the_namespace_and_undo_restores_them(
    offloadbench: Offloadbench, namespace: str
) -> None:
    sysctl.write("net.ipv4.tcp_window_scaling", "0", namespace)
    before, here = _values(namespace), _values(None)
    applied = offloadbench("tune", *PATH, "--namespace", namespace, "--apply")
    assert applied.returncode == 0, applied.stderr
    assert "net.ipv4.tcp_window_scaling: 0 -> 1" in applied.stdout
    after = _values(namespace)
    assert str(after["net.ipv4.tcp_rmem"]).split()[:2] == str(before["net.ipv4.tcp_rmem"]).split()[:2]
    assert int(str(after["net.ipv4.tcp_rmem"]).split()[2]) >= 2 * 50_000_000
    assert _values(None) == here
    undone = offloadbench("tune", "--namespace", namespace, "--undo")
    assert undone.returncode == 0, undone.stderr
    assert _values(namespace) == before
