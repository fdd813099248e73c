"""What an emulated link is set to; `offloadbench.base.settings` has a row for each field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from offloadbench.base.settings import LINK_FIELDS
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

    @property
    def has_queue(self) -> bool:
        """Drops in front of it tell a sender to slow down."""
        return self.queue_bytes > 0

    @property
    def loses(self) -> bool:
        """Segments are lost at random, as `loss_seed` draws them."""
        return self.loss_ratio > 0


def with_link(values: Mapping[str, Any]) -> dict[str, Any]:
    """Field -> value with those of the link in one, as `offloadbench.engine.options.RunOptions` has them."""
    others = {field: value for field, value in values.items() if field not in LINK_FIELDS}
    return others | {"link": EmulatedLink(**{field: values[field] for field in LINK_FIELDS if field in values})}


def link_part(record: EmulatedLink) -> dict[str, Any]:
    """Field -> value of a link, or of a record that holds one."""
    return {field.name: getattr(record, field.name) for field in msgspec.structs.fields(EmulatedLink)}
