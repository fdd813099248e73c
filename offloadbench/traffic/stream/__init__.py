"""A plain TCP stream: blocking sends at the device under test, a sink at the load side (E3's reference)."""

from offloadbench.traffic.stream.stream_kind import StreamTraffic

TRAFFIC = StreamTraffic

__all__ = ["TRAFFIC", "StreamTraffic"]
