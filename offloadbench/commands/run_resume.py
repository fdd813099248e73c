"""What `run --resume FILE` may be told beside the file: nothing that the run recorded otherwise."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from offloadbench.base.errors import UsageError
from offloadbench.base.link_settings import LINK_SETTINGS, LinkSetting
from offloadbench.bed import netem
from offloadbench.commands.options import cable_options
from offloadbench.engine.run.raised_send_buffer import SUFFIX
from offloadbench.model import Run

# of the run as it goes on: where it is told, overwriting, what is kept beside it
FREE = frozenset({"resume", "nic", "force", "dry_run", "keep_perf"})
# no part of a file that is measured already; of several runs, or of another machine
REFUSED = frozenset({"cases", "output", "set", "precision", "max_repeats", "dut"})


def _words(text: str) -> list[str]:
    return [word.removesuffix(".toml").rpartition("/")[2] for word in text.split(",") if word]


def _link_value(setting: LinkSetting, run: Run) -> Any:
    return setting.value(run.bed)


# field -> (what is asked for, what the run recorded)
RECORDED: dict[str, tuple[Callable[[Any], Any], Callable[[Run], Any]]] = {
    "peer": (str, lambda run: run.bed.peer),
    "fleet": (lambda text: f"fleet:{text}", lambda run: run.bed.peer),
    "on_lost_worker": (str, lambda run: run.bed.settings.get("on_lost_worker", "fail")),
    "workloads": (_words, lambda run: [one.name for one in run.plan.workloads if not one.name.endswith(SUFFIX)]),
    "duration": (int, lambda run: run.plan.duration_s),
    "warmup": (float, lambda run: run.plan.warmup_s),
    "repeats": (int, lambda run: run.plan.repeats),
    "seed": (int, lambda run: run.plan.seed),
    **{setting.name: (setting.parse, partial(_link_value, setting)) for setting in LINK_SETTINGS},
    "wire": (str, lambda run: "netem" if run.bed.kind == netem.KIND else "tap"),
    "sysctl": (cable_options.parse_sysctls, lambda run: run.bed.settings.get("sysctls", {})),
    "no_profile": (bool, lambda run: not run.plan.profile),
    "call_graph": (bool, lambda run: run.plan.call_graph),
    "waits": (bool, lambda run: run.plan.waits),
    "capture": (bool, lambda run: run.plan.capture),
    "tune": (bool, lambda run: any(one.name.endswith(SUFFIX) for one in run.plan.workloads)),
}


def check(arguments: argparse.Namespace, run: Run) -> None:
    """Raise UsageError where something is asked for that the run was not measured with."""
    for name in sorted(arguments.typed - FREE - {"command"}):
        option = f"--{name.replace('_', '-')}"
        if name in REFUSED:
            raise UsageError(
                f"{option}: --resume goes on with the cases, parameters and file of that run", f"leave {option} out"
            )
        ask, recorded = RECORDED[name]
        asked, was = ask(getattr(arguments, name)), recorded(run)
        if asked != was and (name, asked) != ("wire", "auto"):
            raise UsageError(
                f"{option} {_text(asked)}: {arguments.resume} was measured with {_text(was)}, and goes on with that",
                f"leave {option} out, or start a new run",
            )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "it" if value else "none"
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items()) or "none"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value) or "none"
