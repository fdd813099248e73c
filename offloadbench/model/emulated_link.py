"""What an emulated link is set to; `offloadbench.base.link_settings` has a row for each field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from offloadbench.base.link_settings import LINK_FIELDS, LINK_SETTINGS
from offloadbench.model.frozen import Frozen


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
