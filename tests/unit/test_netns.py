"""Entering a namespace acts on one that is there; none is made by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyroute2 import netns as pyroute2_netns

from offloadbench.base.errors import HostError
from offloadbench.kernel.system import netns


def test_a_namespace_that_is_gone_is_an_error_and_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(netns, "RUN_NETNS", tmp_path)
    monkeypatch.setattr(pyroute2_netns, "create", lambda name, **_: made.append(name))
    with pytest.raises(HostError, match="no namespace named gone"), netns.entered("gone"):
        pass
    assert made == []
