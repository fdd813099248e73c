"""The kernel module that sysfs names as bound to a NIC."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sh

from offloadbench.kernel.netdev import queues


def _answering(target: str, asked: list[list[str]]) -> Callable[[str], Callable[..., str]]:
    def command(name: str) -> Callable[..., str]:
        def call(*words: str, **_: object) -> str:
            asked.append([name, *words])
            return f"{target}\n" if target else ""

        return call

    return command


@pytest.mark.parametrize(
    ("target", "module"),
    [("/sys/module/mlx5_core", "mlx5_core"), ("/sys/module/dwmac-rk", "dwmac_rk"), ("", "")],
)
def test_the_module_is_where_the_link_of_its_driver_leads(
    monkeypatch: pytest.MonkeyPatch, target: str, module: str
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(sh, "Command", _answering(target, asked))
    assert queues.bound_module("eth1") == module
    assert queues.bound_module("eth1", "peer") == module
    link = "/sys/class/net/eth1/device/driver/module"
    assert asked == [["readlink", "-e", link], ["ip", "netns", "exec", "peer", "readlink", "-e", link]]


def test_a_virtual_device_has_none_and_a_missing_tool_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert queues.bound_module("lo") == ""
    assert queues.bound_module("no-such-nic") == ""

    def missing(name: str) -> None:
        raise sh.CommandNotFound(name)

    monkeypatch.setattr(sh, "Command", missing)
    assert queues.bound_module("lo") == ""
