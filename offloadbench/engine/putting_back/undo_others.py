"""What taking steps back overwrites that somebody else has set meanwhile: said, never silently undone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from offloadbench.base.errors import OffloadbenchError
from offloadbench.engine.putting_back.undo_steps import Step
from offloadbench.kernel.netdev import features, link, rings
from offloadbench.kernel.system import netns, sysctl

# name of a setting, its value as found, as asked for, and now
_Look = tuple[str, Any, Any, Any]


@dataclass(slots=True)
class _Setting:
    """Attributes: ours: all that this run found or left there."""

    was: Any
    now: Any
    ours: list[Any] = field(default_factory=list)


def overwritten(steps: list[Step]) -> list[str]:
    """Sentences about settings that are neither as these steps found them nor as their run has set them."""
    known: dict[tuple[str, str | None, str], _Setting] = {}
    for step in steps:
        # journals of older versions do not say what was asked for
        if step["kind"] not in _LOOKS or "asked" not in step:
            continue
        # what is gone has nothing that could be overwritten
        with contextlib.suppress(OffloadbenchError):
            if step["namespace"] is None or netns.exists(step["namespace"]):
                for name, was, asked, now in _LOOKS[step["kind"]](step):
                    setting = known.setdefault((step.get("ifname", ""), step["namespace"], name), _Setting(was, now))
                    setting.ours += [was, asked]
    return [
        f"{ifname + ': ' if ifname else ''}{name} is {_word(setting.now)}, which this run did not set: it goes back to "
        f"{_word(setting.was)}, as it was before"
        for (ifname, _, name), setting in known.items()
        if setting.now not in setting.ours
    ]


def _features(step: Step) -> Iterable[_Look]:
    now = features.read(step["ifname"], step["namespace"])
    return [
        (name, was, step["asked"].get(name, was), now[name].wanted)
        for name, was in step["wanted"].items()
        if name in now
    ]


def _rings(step: Step) -> Iterable[_Look]:
    now = rings.read(step["ifname"], step["namespace"])
    return [
        (f"{name} ring", step["rings"][name], step["asked"].get(name, step["rings"][name]), count)
        for name, count in (("rx", now.rx), ("tx", now.tx))
    ]


def _gso_max_segs(step: Step) -> Iterable[_Look]:
    now = link.read(step["ifname"], step["namespace"]).gso.max_segs
    return [("gso_max_segs", step["max_segs"], step["asked"], now)]


def _mtu(step: Step) -> Iterable[_Look]:
    return [("MTU", step["mtu_bytes"], step["asked"], link.read(step["ifname"], step["namespace"]).mtu_bytes)]


def _sysctl(step: Step) -> Iterable[_Look]:
    return [(step["name"], step["value"], sysctl.normal(step["asked"]), sysctl.read(step["name"], step["namespace"]))]


_LOOKS: dict[str, Callable[[Step], Iterable[_Look]]] = {
    "features": _features,
    "gso_max_segs": _gso_max_segs,
    "mtu": _mtu,
    "rings": _rings,
    "sysctl": _sysctl,
}


def _word(value: Any) -> str:
    return "on" if value is True else "off" if value is False else "absent" if value is None else str(value)
