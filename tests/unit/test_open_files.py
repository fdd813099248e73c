"""How many files a process may have open: raised as far as it goes, and never lowered."""

from __future__ import annotations

import resource

import pytest

from offloadbench.kernel.system import open_files

_NONE = resource.RLIM_INFINITY


class Limits:
    """The limits of a process that may raise its hard limit, or may not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, *, mighty: bool) -> None:
        self.now = (soft, hard)
        self._mighty = mighty
        monkeypatch.setattr(resource, "getrlimit", lambda _: self.now)
        monkeypatch.setattr(resource, "setrlimit", self._set)

    def _set(self, _: int, limits: tuple[int, int]) -> None:
        soft, hard = limits
        if hard != _NONE and (soft == _NONE or soft > hard):
            raise ValueError("current limit exceeds maximum limit")
        if not self._mighty and hard != self.now[1] and (hard == _NONE or hard > self.now[1]):
            raise ValueError("not allowed to raise maximum limit")
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "mighty", "expected"),
    [
        (1024, 1 << 20, False, (2064, 1 << 20)),
        (1024, _NONE, False, (2064, _NONE)),
        (4096, 4096, False, (4096, 4096)),
        (_NONE, _NONE, False, (_NONE, _NONE)),
        (1024, 1500, True, (2064, 2064)),
        (1024, 1500, False, (1500, 1500)),
    ],
)
def test_the_limit_is_raised_as_far_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, mighty: bool, expected: tuple[int, int]
) -> None:
    limits = Limits(monkeypatch, soft, hard, mighty=mighty)
    open_files.allow(2000)
    assert limits.now == expected
