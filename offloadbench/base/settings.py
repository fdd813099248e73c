"""Every setting of a measurement, a row each: whoever takes, stores, compares or names settings goes by this table.

Options, `offloadbench.toml`, environment, keys of a plan, axes, what a testbed refuses, what is recorded, what a run
that goes on takes, what a comparison looks at, and words come from the rows. A new setting is a row here, a field of
`offloadbench.engine.options.RunOptions` (of `offloadbench.model.EmulatedLink`, where it is of the emulated link), and
what carries it out: of the link `bed/cable.py` for the process between two TAPs and `kernel/netdev/qdisc.py` for the
kernel's own emulator. Imported by every `--help`: standard library only.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from offloadbench.base.errors import RunFileError, UsageError
from offloadbench.base.setting import (
    BATCH,
    BENCH,
    FLEET,
    HOST,
    LAB,
    LAB_VETH,
    OUTSIDE,
    PAIR,
    PROBE,
    RUN,
    SWEEP,
    BedKind,
    Lack,
    Setting,
)
from offloadbench.base.setting_values import (
    form_flag,
    form_found,
    form_load_side,
    form_sysctls,
    listed,
    parse_descriptors,
    parse_mtu,
    parse_precision,
    parse_sysctls,
    stems,
)
from offloadbench.base.units import (
    format_bytes,
    format_rate,
    parse_duration_s,
    parse_rate_bits_per_s,
    parse_size_bytes,
    parse_time_s,
    parse_whole_seconds,
)

# two full frames as they lie on the cable: with less, none would ever find room behind another
SMALLEST_QUEUE_BYTES = 2 * 1538
# beyond this TCP stands still
_LARGEST_LOSS_RATIO = 0.5
# how the twin of a workload that runs with a raised send buffer is named
TWIN_SUFFIX = "-tuned"
NETEM_KIND = "lab-netem"
FLEET_PREFIX = "fleet:"

_EVERY_GRID = (RUN, SWEEP, BATCH)
_ON_THE_LINK = (*_EVERY_GRID, BENCH)


# ---------------------------------------------------------------- what is typed


def _parse_loss(text: str) -> float:
    """`0.1` or `0.1%` -> 0.001."""
    number = text.strip().removesuffix("%").strip()
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", number):
        raise UsageError(f"--loss {text}: not a percentage", "write a number and %: 2%, 0.5%")
    ratio = float(number) / 100
    if ratio > _LARGEST_LOSS_RATIO:
        raise UsageError(f"--loss {text}: TCP stands still beyond {_LARGEST_LOSS_RATIO:.0%}", "use less")
    return ratio


def _parse_queue(text: str) -> int:
    """`256KiB` -> 262144; 0 is no queue limit."""
    size = parse_size_bytes(text)
    if 0 < size < SMALLEST_QUEUE_BYTES:
        raise UsageError(f"--queue {text}: less than two full frames", f"use at least {SMALLEST_QUEUE_BYTES}")
    return size


# ---------------------------------------------------------------- in words


def _form_time(seconds: float) -> str:
    return f"{float(seconds) * 1e3:g} ms"


def _form_loss(ratio: float) -> str:
    return f"{float(ratio) * 100:g} %"


def _form_queue(size: int) -> str:
    return format_bytes(float(size)) if size else "no limit"


def _rate_phrase(link: Any) -> str:
    return f"line rate {format_rate(link.line_rate_bits_per_s) if link.line_rate_bits_per_s else 'not limited'}"


def _jitter_phrase(link: Any) -> str:
    return f"jitter up to {_form_time(link.jitter_s)} each way" if link.jitter_s else ""


def _loss_phrase(link: Any) -> str:
    seed = f" (seed {link.loss_seed})" if link.loss_seed else ""
    return f"loss {_form_loss(link.loss_ratio)} of segments{seed}" if link.loss_ratio else ""


def _queue_phrase(link: Any) -> str:
    return f"queue of {format_bytes(link.queue_bytes)} before the cable" if link.queue_bytes else ""


# ---------------------------------------------------------------- what a testbed does not have

_REAL: tuple[BedKind, ...] = (PAIR, HOST, FLEET, OUTSIDE)
_NO_CABLE = Lack("{option}: lab-veth has no cable: it is as fast as the CPU goes", "use --nic lab")
_OWN_LINK = Lack(
    "{option} is of the emulated cable, which {nic} does not have: its link is its own, and is not changed",
    "leave {option} out, or use NIC lab",
)
_OF_LAB: dict[BedKind, Lack] = {LAB_VETH: _NO_CABLE, **dict.fromkeys(_REAL, _OWN_LINK)}
_NO_RINGS = Lack("{option}: {nic} has no rings: it is built for the run, and is no hardware", "leave {option} out")
_OF_HARDWARE: dict[BedKind, Lack] = {LAB: _NO_RINGS, LAB_VETH: _NO_RINGS}
_MTU_ELSEWHERE = Lack(
    "{option}: the MTU of the load side is not known here, and is not set",
    "leave {option} out, or name a load side by --peer nic:eth2 or ssh://user@host",
)
_NO_WORKERS = Lack("{option} is of the workers of --fleet", "leave it out, or name a --fleet")
_OF_FLEET: dict[BedKind, Lack] = dict.fromkeys((LAB, LAB_VETH, PAIR, HOST, OUTSIDE), _NO_WORKERS)
_MANY_HOSTS = Lack(
    "{option}: the workers of a fleet are many hosts, whose sysctls are not set",
    "leave it out, or use --peer ssh://user@host",
)


# ---------------------------------------------------------------- the table


def _of_link(*, default: str, **row: Any) -> Setting:
    """A row of the emulated link: an axis, recorded with the testbed, and another question where it differs."""
    common: dict[str, Any] = {"help": "of --nic lab", "defaults": {}, "axis": True, "of_link": True, "lacks": _OF_LAB}
    common |= {"place": "bed", "compare": "question"} | row
    common["defaults"] = dict.fromkeys(_ON_THE_LINK, default) | common["defaults"]
    return Setting(**common)


LINK_SETTINGS = (
    _of_link(
        name="line_rate", field="line_rate_bits_per_s", title="line rate", metavar="RATE", default="1gbit",
        parse=parse_rate_bits_per_s, form=lambda rate: format_rate(float(rate)), phrase=_rate_phrase,
        defaults={PROBE: "1gbit"},
    ),
    _of_link(
        name="rtt", field="rtt_s", title="RTT", metavar="TIME", default="0ms", parse=parse_time_s, form=_form_time,
        phrase=lambda link: f"added RTT {_form_time(link.rtt_s)}", defaults={PROBE: "20ms"},
    ),
    _of_link(
        name="jitter", field="jitter_s", title="jitter", metavar="TIME", default="0ms", parse=parse_time_s,
        form=_form_time, phrase=_jitter_phrase,
        help="up to so much more one-way delay, at random; packets stay in order",
    ),
    _of_link(
        name="loss", field="loss_ratio", title="loss", metavar="PERCENT", default="0", parse=_parse_loss,
        form=_form_loss, phrase=_loss_phrase, help="segments lost at random, in each direction by itself",
    ),
    _of_link(
        name="queue", field="queue_bytes", title="queue", metavar="SIZE", default="0", parse=_parse_queue,
        form=_form_queue, phrase=_queue_phrase,
        help="bytes that may wait before the cable; what exceeds them is dropped",
    ),
)  # fmt: skip

_WHERE = (
    Setting(
        name="nic", metavar="NIC", defaults={RUN: None}, resume="free",
        help="NIC under test, or a comma list of NICs, in turn; `lab` and `lab-veth` are built for the run",
    ),
    Setting(
        name="peer", field="peer", title="load side", metavar="WHERE", defaults={RUN: ""}, place="bed",
        compare="difference", form=form_load_side,
        help="load side of a real NIC: ssh://user@host[:port][?nic=eth1], wait[:port] (prints a line to start there), "
        "nic:eth2 (a second port, cabled to it); one for all NICs, or one for each",
    ),
    Setting(
        name="fleet", title="load side", metavar="ADDRESS", defaults={RUN: None}, form=form_load_side,
        recorded=lambda run: run.bed.peer, asked=lambda address: FLEET_PREFIX + address,
        help="load side: the workers of a Dask scheduler, tcp://host:8786",
    ),
    Setting(
        name="dut", metavar="HOST", defaults={RUN: None}, resume="never",
        help="ssh://user@host: test that host, which has offloadbench, with this one as load side",
    ),
    Setting(
        name="on_lost_worker", field="on_lost_worker", title="lost workers", choices=("fail", "shrink"),
        defaults={RUN: "fail"}, lacks=_OF_FLEET, place="bed.settings", before="fail", compare="difference",
        help="what becomes of the trial",
    ),
)  # fmt: skip

_PLAN = (
    Setting(
        name="cases", field="cases", metavar="SPEC", defaults={RUN: None, SWEEP: "tso", BATCH: "ladder"},
        resume="never",
        help="groups (paper, ladder, one-off, factorial, all), names, settings "
        "(tso=off,tx=on; a semicolon between two such cases), TOML files (default of run: every offload on against "
        "none, in a few minutes)",
    ),
    Setting(
        name="workloads", field="workloads", title="workloads", metavar="LIST", defaults={RUN: None, SWEEP: None},
        parse=listed, form=",".join, asked=stems,
        recorded=lambda run: [w.name for w in run.plan.workloads if not w.name.endswith(TWIN_SUFFIX)],
        help="names or TOML files (default of run: ftp-get,iscsi-write; of a fleet ftp-get)",
    ),
    Setting(
        name="duration", field="duration_s", key="duration_s", title="window", metavar="TIME",
        typed=parse_whole_seconds, least=2,
        form=lambda seconds: f"{seconds} s", defaults={RUN: 60, SWEEP: 10, BATCH: 60}, place="plan",
        compare="question", help="measured window: 30s, 1m",
    ),
    Setting(
        name="warmup", field="warmup_s", key="warmup_s", title="warm-up", metavar="TIME",
        typed=parse_duration_s, least=0,
        form=lambda seconds: f"{seconds:g} s", defaults=dict.fromkeys(_EVERY_GRID, 5.0), place="plan",
        compare="difference", help="warm-up: 5, 30s",
    ),
    Setting(
        name="repeats", field="repeats", title="repeats", metavar="N", typed=int, least=1,
        defaults=dict.fromkeys(_EVERY_GRID, 1), place="plan", help="blocks of all cases",
    ),
    Setting(
        # a series is asked for whole, and each of its runs goes on by itself
        name="runs", metavar="N", typed=int, defaults={RUN: None}, resume="free",
        help="make N runs, each with a file of its own (x-1.json to x-N.json), and tell how far they lie apart; to go "
        "on: the same options, with --resume x.json instead of --output x.json",
    ),
    Setting(
        name="precision", field="precision_ratio", title="precision", metavar="PCT", defaults={RUN: None},
        parse=parse_precision, form=lambda ratio: f"{ratio:.2%}" if ratio else "none", place="plan", before=0.0,
        help="add blocks until every interval of a case against the first is that narrow: 2%%",
    ),
    Setting(
        name="max_repeats", field="max_repeats", title="most repeats", metavar="N", typed=int, defaults={RUN: None},
        place="plan", before=0, help="where --precision gives up (default: 20)",
    ),
    Setting(
        name="seed", field="seed", title="seed", metavar="N", typed=int, defaults=dict.fromkeys(_EVERY_GRID),
        place="plan", help="of the order, and of losses (default: drawn, and recorded)",
    ),
)  # fmt: skip

_FILES = (
    Setting(
        name="output", metavar="FILE|DIR/", defaults={RUN: ""}, resume="never",
        help="run file, or a folder for NIC.json; of several NICs x.json becomes x-NIC.json (default: NIC and time)",
    ),
    Setting(
        name="resume", metavar="FILE", typed=Path, defaults={RUN: None}, resume="free",
        help="go on with a run where it stopped",
    ),
    Setting(
        name="dry_run", defaults={RUN: False}, resume="free", help="print order, duration and every setting touched"
    ),
    Setting(
        name="set", field="settings", metavar="KEY=VALUE", repeated=True, defaults={RUN: ()}, parse=list,
        resume="never", help="override a workload's parameter",
    ),
    Setting(
        name="overwrite", field="overwrite", defaults={RUN: False}, resume="free", help="overwrite the output",
    ),
    Setting(
        name="no_report", defaults={RUN: False}, resume="free",
        help="write no report beside the run file (x.html beside x.json)",
    ),
    Setting(
        name="force", field="force", defaults={RUN: False}, resume="free",
        help="use a NIC with the default route or an ssh session, under a watchdog",
    ),
)  # fmt: skip

_BED = (
    Setting(
        name="wire", field="wire", title="cable by", choices=("tap", "netem", "auto"),
        defaults=dict.fromkeys(_ON_THE_LINK, "tap"), lacks=_OF_LAB, leaves_open="auto",
        # that the two are other links is seen by the kinds of their testbeds
        recorded=lambda run: "netem" if run.bed.kind == NETEM_KIND else "tap",
        help="who emulates the cable: a process between two TAPs, the kernel's netem on a hop between, or netem where "
        "the kernel has it",
    ),
    Setting(
        name="sysctl", field="sysctls", key="sysctls", title="sysctls of both ends", metavar="NAME=VALUE",
        repeated=True, defaults=dict.fromkeys((RUN, SWEEP, BENCH), ()), parse=parse_sysctls, form=form_sysctls,
        lacks={FLEET: _MANY_HOSTS}, place="bed.settings", before={}, compare="difference",
        help="net.* value of both ends",
    ),
    Setting(
        # compared as found at the NIC, as the rings are
        name="mtu", field="mtu_bytes", title="MTU", metavar="BYTES", typed=int, parse=parse_mtu, form=form_found,
        defaults=dict.fromkeys(_ON_THE_LINK, 0), axis=True, place="bed.settings", before=0,
        lacks=dict.fromkeys((FLEET, OUTSIDE), _MTU_ELSEWHERE),
        help="of both ends; that of a load host must be set there (default: as found)",
    ),
    *(
        Setting(
            name=f"{way}_ring", field=f"{way}_ring", title=f"{way} ring", metavar="N", typed=int,
            parse=parse_descriptors, form=form_found, defaults=dict.fromkeys((RUN, BATCH), 0), axis=True,
            place="bed.settings", before=0, lacks=_OF_HARDWARE,
            help="descriptors of the NIC under test, as `ethtool -G` sets them (default: as found)",
        )
        for way in ("rx", "tx")
    ),
)  # fmt: skip

_CAPTURE = (
    Setting(
        name="no_profile", field="profile", key="profile", title="profile", form=form_flag, place="plan",
        defaults=dict.fromkeys(_EVERY_GRID, False), parse=operator.not_, compare="difference",
        help="do not run perf in the measured window",
    ),
    Setting(
        name="call_graph", field="call_graph", title="call graph", form=form_flag, place="plan", before=False,
        defaults=dict.fromkeys(_EVERY_GRID, False), compare="difference",
        help="record who called each sampled function; costs more CPU",
    ),
    Setting(
        name="waits", field="waits", title="waits", form=form_flag, place="plan", before=False,
        defaults=dict.fromkeys(_EVERY_GRID, False), compare="difference",
        help="record where the sender's threads wait (scheduler switches); costs CPU",
    ),
    Setting(
        name="capture", field="capture", title="captured packets", form=form_flag, place="plan", before=False,
        defaults=dict.fromkeys(_EVERY_GRID, False), compare="difference",
        help="record packets and ACKs of the followed sender (tcpdump); costs CPU",
    ),
    Setting(
        name="tune", field="tune", title="raised send buffer", choices=("sndbuf",), defaults={RUN: None}, parse=bool,
        form=form_flag, recorded=lambda run: any(w.name.endswith(TWIN_SUFFIX) for w in run.plan.workloads),
        help="run again with a send buffer that cannot limit; shows before and after",
    ),
    Setting(
        name="keep_perf", field="keep_perf", defaults={RUN: False}, resume="free",
        help="keep each trial's perf.data beside the run file",
    ),
)  # fmt: skip

SETTINGS: tuple[Setting, ...] = (*_WHERE, *_PLAN, *_FILES, *LINK_SETTINGS, *_BED, *_CAPTURE)
LINK_FIELDS = tuple(setting.field for setting in LINK_SETTINGS)
AXES = tuple(setting for setting in (*LINK_SETTINGS, *_BED) if setting.axis)
_BY_FIELD = {setting.field: setting for setting in SETTINGS if setting.field}
_BY_AXIS = {setting.field: setting for setting in AXES}
_BY_NAME = {setting.name: setting for setting in SETTINGS}


# ---------------------------------------------------------------- what is made of it


def named(name: str) -> Setting:
    """The setting of an option."""
    return _BY_NAME[name]


def of_command(command: str) -> list[Setting]:
    """The settings that a command takes, in the order of its `--help`."""
    return [setting for setting in SETTINGS if command in setting.defaults]


def chosen(words: Mapping[str, Any], command: str, among: Iterable[Setting] = SETTINGS) -> dict[str, Any]:
    """Field -> value of the settings that a command takes, its default where none is given.

    Args:
        words: name of a setting -> what was typed; None, or no key, where nothing was.

    Raises:
        UsageError: a value is none, or too small.
    """
    found = {}
    for setting in among:
        if not setting.field or command not in setting.defaults:
            continue
        typed = words.get(setting.name)
        if typed is None:
            typed = setting.defaults[command]
        check_least(setting, typed, setting.option)
        found[setting.field] = setting.parse(typed)
    return found


def check_together(values: Mapping[str, Any]) -> None:
    """Raise UsageError where one setting asks for a part of what another leaves out; field -> value."""
    for field, what in (("call_graph", "belongs to the profile"), ("keep_perf", "keeps the recordings")):
        if values.get(field) and not values["profile"]:
            option = f"--{field.replace('_', '-')}"
            raise UsageError(f"{option} {what} that --no-profile leaves out", "drop one of them")


def check_least(setting: Setting, value: Any, said: str) -> None:
    """Raise UsageError where a number is too small, or none; `said` is how it was named."""
    if setting.least is not None and value is not None and not setting.least <= value < math.inf:
        raise UsageError(f"{said} {value:g} is too small", f"use at least {setting.least:g}")


def refuse(nic: str, bed: BedKind, asked: Iterable[Setting], spell: Callable[[Setting], str]) -> None:
    """Raise UsageError for the first setting that was asked for and that this kind of testbed does not have."""
    for setting in asked:
        lack = setting.lacks.get(bed)
        if lack is not None:
            words = {"option": spell(setting), "nic": nic}
            raise UsageError(lack.reason.format(**words), lack.hint.format(**words))


def set_otherwise(value_of: Callable[[Setting], Any]) -> list[Setting]:
    """The settings that some testbed lacks, and that have another value than `run` gives them by itself.

    Args:
        value_of: of a setting; a link that is not emulated is all zeros, which is nothing that was asked for.
    """
    return [
        setting
        for setting in SETTINGS
        if setting.lacks
        and (value := value_of(setting)) != setting.parse(setting.defaults[RUN])
        and (value or not setting.of_link)
    ]


def recorded(setting: Setting, run: Any) -> Any:
    """With which value of it a run was measured (`offloadbench.model.Run`).

    Raises:
        RunFileError: the file holds something else there.
    """
    if setting.recorded is not None:
        return setting.recorded(run)
    if setting.place == "bed.settings":
        value = run.bed.settings.get(setting.field, setting.before)
        if not isinstance(value, type(setting.before)):
            raise RunFileError(f"run {run.run_id}: its {setting.title} reads {value!r}", "the file is damaged")
        return value
    return getattr(run.plan if setting.place == "plan" else run.bed, setting.field)


def axis_title(axis: str) -> str:
    """`rtt_s` -> 'RTT'; any other name as it is."""
    setting = _BY_AXIS.get(axis)
    return setting.title if setting else axis


def axis_value(axis: str, value: Any) -> str:
    """`rtt_s`, 0.02 -> '20 ms'; of any other name as it is."""
    setting = _BY_AXIS.get(axis)
    return setting.form(value) if setting else str(value)


def in_record(field: str, value: Any) -> tuple[str, str]:
    """Title and text of what the record of a testbed holds beside its link; as they are where it is no setting."""
    setting = _BY_FIELD.get(field)
    if setting is None or setting.place != "bed.settings":
        return field, str(value)
    return setting.title, setting.form(value)


def in_words(link: Any) -> Iterator[str]:
    """What a link was set to, phrase by phrase."""
    return filter(None, (setting.phrase(link) for setting in LINK_SETTINGS if setting.phrase))
