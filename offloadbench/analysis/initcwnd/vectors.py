"""Files of vectors: scenarios, and beside them results that somebody got by executing a kernel or its code.

Results are never read as input, but a vector whose results no kernel can have had is damaged, and predicting it would
compare with nothing: it is refused.
"""

from __future__ import annotations

import msgspec

from offloadbench.analysis.initcwnd.scenario import Scenario
from offloadbench.base.errors import UsageError


class VectorResults(msgspec.Struct, frozen=True, kw_only=True):
    """What a vector says that a kernel did, as far as it says so: never an input, but it must be possible.

    Attributes:
        skb_segments: segments of each skb handed down.
        wmem_queued_bytes: truesize of what is queued, sent or not.
    """

    skb_segments: list[int] | None = None
    first_flight_segments: int | None = None
    first_flight_bytes: int | None = None
    snd_cwnd_segments: int | None = None
    wmem_queued_bytes: int | None = None


class _Given(msgspec.Struct):
    vectors: list[Scenario]


class _Seen(msgspec.Struct):
    vectors: list[VectorResults]


_SCENARIOS = msgspec.json.Decoder(_Given | list[Scenario])
_RESULTS = msgspec.json.Decoder(_Seen | list[VectorResults])
_MOST_TOLD = 5


def scenarios(text: bytes) -> list[Scenario]:
    """Every vector of a JSON document: `{"vectors": [...]}` or the list alone, in order.

    Raises:
        UsageError: not such a document, or results beside a vector that no kernel can have had; the message names the
            place, the vector and the law.
    """
    try:
        found, results = _SCENARIOS.decode(text), _RESULTS.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"not a list of vectors: {error}", 'write {"vectors": [{"kernel": ..., ...}, ...]}') from error
    given = found.vectors if isinstance(found, _Given) else found
    recorded = results.vectors if isinstance(results, _Seen) else results
    broken = [
        f"vector {number} ({one.label!r}): {law}"
        for number, (one, seen) in enumerate(zip(given, recorded, strict=True))
        for law in broken_laws(one, seen)
    ]
    if broken:
        more = f"; and {len(broken) - _MOST_TOLD} more" if len(broken) > _MOST_TOLD else ""
        raise UsageError(
            f"results that no kernel can have: {'; '.join(broken[:_MOST_TOLD])}{more}", "fix or delete these vectors"
        )
    return given


def broken_laws(given: Scenario, seen: VectorResults) -> list[str]:
    """Which conservation laws the results of a vector break, a sentence each; what is absent breaks none."""
    skbs, segments, sent = seen.skb_segments, seen.first_flight_segments, seen.first_flight_bytes
    written = sum(given.writes_bytes)
    broken = []
    if skbs is not None and any(count < 1 for count in skbs):
        broken.append("skb_segments holds an skb without a segment")
    if skbs is not None and not given.tso and any(count > 1 for count in skbs):
        broken.append("skb_segments holds an skb of several segments without TSO")
    if skbs is not None and segments is not None and sum(skbs) != segments:
        broken.append(f"skb_segments add up to {sum(skbs)}, first_flight_segments is {segments}")
    if segments is None and skbs is not None:
        segments = sum(skbs)
    if sent is not None:
        if sent > written:
            broken.append(f"first_flight_bytes is {sent}, but {written} were written")
        if sent > given.rwnd_bytes:
            broken.append(f"first_flight_bytes is {sent}, but the peer's window holds {given.rwnd_bytes}")
        if segments is not None and not segments <= sent <= segments * given.mss_bytes:
            broken.append(
                f"first_flight_bytes is {sent}, but {segments} segments hold {segments} to {segments * given.mss_bytes}"
            )
        if seen.wmem_queued_bytes is not None and seen.wmem_queued_bytes < sent:
            broken.append(f"wmem_queued_bytes is {seen.wmem_queued_bytes}, but {sent} bytes are in flight")
    cwnd = seen.snd_cwnd_segments
    if cwnd is not None and segments is not None and segments > cwnd and not given.fin and given.idle_restart is None:
        broken.append(f"first_flight_segments is {segments}, but snd_cwnd_segments is {cwnd}")
    return broken
