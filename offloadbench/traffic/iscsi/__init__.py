"""iSCSI block transfers: an initiator at the device under test, a tgt target at the load side (E3)."""

from offloadbench.traffic.iscsi.iscsi_kind import IscsiTraffic

TRAFFIC = IscsiTraffic

__all__ = ["TRAFFIC", "IscsiTraffic"]
