"""The emulated link, one row a setting: its option, key in a plan, axis, record and words all come from here.

A new setting is a field of `EmulatedLink`, a row of `LINK_SETTINGS`, and whatever carries it out: `bed/cable.py` for
the process between two TAPs, `bed/netem.py` for the kernel's own emulator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from offloadbench.base.errors import UsageError
from offloadbench.base.units import format_bytes, format_rate, parse_rate_bits_per_s, parse_size_bytes, parse_time_s
from offloadbench.model.frozen import Frozen

# two full frames as they lie on the cable: with less, none would ever find room behind another
SMALLEST_QUEUE_BYTES = 2 * 1538
# beyond this TCP stands still
_LARGEST_LOSS_RATIO = 0.5


class EmulatedLink(Frozen, frozen=True, kw_only=True):
    """What an emulated link does to packets; all zeros where it is real or unlimited.

    Attributes:
        jitter_s: by how much a packet may take longer one way than half of `rtt_s`, at random.
        loss_ratio: of segments, at random, in each direction by itself; loss_seed: of that randomness.
        queue_bytes: what may wait in front of the link before it drops, so that drops tell a sender to slow down; 0:
            nothing is dropped.
    """

    line_rate_bits_per_s: int = 0
    rtt_s: float = 0.0
    jitter_s: float = 0.0
    loss_ratio: float = 0.0
    loss_seed: int = 0
    queue_bytes: int = 0

    @property
    def capacity_bytes(self) -> int:
        """What may be on its way, there and back, without waiting anywhere."""
        return int(self.line_rate_bits_per_s / 8 * (self.rtt_s + 2 * self.jitter_s))


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
        phrase: what a report says of a link; "" where there is nothing to say.
    """

    name: str
    field: str
    title: str
    metavar: str
    help: str
    default: str
    parse: Callable[[str], Any]
    form: Callable[[Any], str]
    phrase: Callable[[EmulatedLink], str]

    def value(self, link: EmulatedLink) -> Any:
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


def _rate_phrase(link: EmulatedLink) -> str:
    return f"line rate {format_rate(link.line_rate_bits_per_s) if link.line_rate_bits_per_s else 'not limited'}"


def _loss_phrase(link: EmulatedLink) -> str:
    seed = f" (seed {link.loss_seed})" if link.loss_seed else ""
    return f"loss {_form_loss(link.loss_ratio)} of segments{seed}" if link.loss_ratio else ""


def _queue_phrase(link: EmulatedLink) -> str:
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


def typed_link(words: Mapping[str, str | None]) -> EmulatedLink:
    """The link that is asked for.

    Args:
        words: name of a setting -> what was typed; its default where that is None.

    Raises:
        UsageError: a value is none.
    """
    return EmulatedLink(
        **{setting.field: setting.parse(words.get(setting.name) or setting.default) for setting in LINK_SETTINGS}
    )


def link_of(values: Mapping[str, Any]) -> EmulatedLink:
    """The link with these fields among others."""
    return EmulatedLink(**{field: values[field] for field in LINK_FIELDS if field in values})


def link_part(record: EmulatedLink) -> dict[str, Any]:
    """Field -> value of a link, or of a record that holds one."""
    return {field.name: getattr(record, field.name) for field in msgspec.structs.fields(EmulatedLink)}


def in_words(link: EmulatedLink) -> Iterator[str]:
    """What a link was set to, phrase by phrase."""
    return filter(None, (setting.phrase(link) for setting in LINK_SETTINGS))
