"""The settings of the emulated link, a row each: option, key in a plan, axis, record and words all come from here.

A new setting is a row here, a field of `offloadbench.model.EmulatedLink`, and what carries it out: `bed/cable.py` for
the process between two TAPs, `kernel/netdev/qdisc.py` for the kernel's own emulator. Imported by every `--help`:
standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from offloadbench.base.errors import UsageError
from offloadbench.base.units import format_bytes, format_rate, parse_rate_bits_per_s, parse_size_bytes, parse_time_s

# two full frames as they lie on the cable: with less, none would ever find room behind another
SMALLEST_QUEUE_BYTES = 2 * 1538
# beyond this TCP stands still
_LARGEST_LOSS_RATIO = 0.5


@dataclass(frozen=True, slots=True)
class LinkSetting:
    """One setting of an emulated link.

    Attributes:
        name: the option without its dashes, and the key of a plan.
        field: of `EmulatedLink`, with its unit; the axis of a sweep and the column of a table have the same name.
        title: for people.
        default: as it is typed.
        parse: what is typed -> the field's value. Raises UsageError.
        form: a value for people.
        phrase: what a report says of a link (`offloadbench.model.EmulatedLink`); "" where there is nothing to say.
    """

    name: str
    field: str
    title: str
    metavar: str
    help: str
    default: str
    parse: Callable[[str], Any]
    form: Callable[[Any], str]
    phrase: Callable[[Any], str]

    def value(self, link: Any) -> Any:
        return getattr(link, self.field)

    def values(self, words: Sequence[str]) -> list[Any]:
        """`0`, `10`, `20ms` -> the values: a number without a unit has the unit of the last."""
        unit = re.sub(r"[0-9. ]", "", words[-1])
        return [self.parse(word if re.search(r"[a-zA-Z%]", word) else word + unit) for word in words]


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


def _form_time(seconds: float) -> str:
    return f"{float(seconds) * 1e3:g} ms"


def _form_loss(ratio: float) -> str:
    return f"{float(ratio) * 100:g} %"


def _form_queue(size: int) -> str:
    return format_bytes(float(size)) if size else "no limit"


def _rate_phrase(link: Any) -> str:
    return f"line rate {format_rate(link.line_rate_bits_per_s) if link.line_rate_bits_per_s else 'not limited'}"


def _loss_phrase(link: Any) -> str:
    seed = f" (seed {link.loss_seed})" if link.loss_seed else ""
    return f"loss {_form_loss(link.loss_ratio)} of segments{seed}" if link.loss_ratio else ""


def _queue_phrase(link: Any) -> str:
    return f"queue of {format_bytes(link.queue_bytes)} before the cable" if link.queue_bytes else ""


LINK_SETTINGS = (
    LinkSetting(
        name="line_rate", field="line_rate_bits_per_s", title="line rate", metavar="RATE", default="1gbit",
        help="of --nic lab", parse=parse_rate_bits_per_s, form=lambda rate: format_rate(float(rate)),
        phrase=_rate_phrase,
    ),
    LinkSetting(
        name="rtt", field="rtt_s", title="RTT", metavar="TIME", default="0ms",
        help="of --nic lab", parse=parse_time_s, form=_form_time,
        phrase=lambda link: f"added RTT {_form_time(link.rtt_s)}",
    ),
    LinkSetting(
        name="jitter", field="jitter_s", title="jitter", metavar="TIME", default="0ms",
        help="up to so much more one-way delay, at random; packets stay in order", parse=parse_time_s, form=_form_time,
        phrase=lambda link: f"jitter up to {_form_time(link.jitter_s)} each way" if link.jitter_s else "",
    ),
    LinkSetting(
        name="loss", field="loss_ratio", title="loss", metavar="PERCENT", default="0",
        help="segments lost at random, in each direction by itself", parse=_parse_loss, form=_form_loss,
        phrase=_loss_phrase,
    ),
    LinkSetting(
        name="queue", field="queue_bytes", title="queue", metavar="SIZE", default="0",
        help="bytes that may wait before the cable; what exceeds them is dropped", parse=_parse_queue, form=_form_queue,
        phrase=_queue_phrase,
    ),
)  # fmt: skip
LINK_FIELDS = tuple(setting.field for setting in LINK_SETTINGS)
_BY_FIELD = {setting.field: setting for setting in LINK_SETTINGS}


def link_setting(field: str) -> LinkSetting | None:
    """The setting of a field; None for any other name."""
    return _BY_FIELD.get(field)


def in_words(link: Any) -> Iterator[str]:
    """What a link was set to, phrase by phrase."""
    return filter(None, (setting.phrase(link) for setting in LINK_SETTINGS))
