"""Header bytes of a full segment, as the connection has them: IPv4 or IPv6, TCP timestamps or none, a VLAN tag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from offloadbench.files.packed_columns import unpack_tcp
from offloadbench.model import Evidence, Nic, Run, TcpTrace, Trial

# in front of the IP header, at layer 2; with preamble and start 8, FCS 4 and inter-frame gap 12 it is layer 1
LINK_BYTES, FRAME_BYTES = 14, 24
IPV4_BYTES, IPV6_BYTES, TCP_BYTES = 20, 40, 20
# RFC 7323, appendix A: two NOPs before the option
TIMESTAMP_BYTES = 12
VLAN_BYTES = 4
VLAN_DRIVER = "802.1Q VLAN Support"
TIMESTAMPS_SYSCTL = "net.ipv4.tcp_timestamps"
# tcpi_options
_TIMESTAMPS_OPTION = 1
_PLAUSIBLE_BYTES = frozenset(
    ip + TCP_BYTES + option for ip in (IPV4_BYTES, IPV6_BYTES) for option in (0, TIMESTAMP_BYTES)
)


@dataclass(frozen=True, slots=True)
class Headers:
    """Of a segment that is as long as the connection lets it be.

    Attributes:
        network_bytes: IP, TCP and its options.
        vlan_bytes: of the tag, 0 without.
    """

    network_bytes: int = IPV4_BYTES + TCP_BYTES + TIMESTAMP_BYTES
    vlan_bytes: int = 0

    @property
    def layer2_bytes(self) -> int:
        """What every further segment of a super-packet adds to a frame counter."""
        return LINK_BYTES + self.vlan_bytes + self.network_bytes

    @property
    def layer1_bytes(self) -> int:
        """What every segment takes up on the line besides its payload, with preamble, FCS and gap."""
        return self.layer2_bytes + FRAME_BYTES


def vlan_bytes(nic: Nic) -> int:
    """Of the tags that the NIC's frames carry on the line: it may be a VLAN, or lie above one."""
    return VLAN_BYTES * [nic.driver, *sorted({one.driver for one in nic.lowers})].count(VLAN_DRIVER)


def of_connection(trace: TcpTrace, mtu_bytes: int = 0) -> int | None:
    """IP and TCP header bytes of a followed connection; None where an older file does not tell.

    Args:
        mtu_bytes: of the NIC, from which a full segment tells the headers where the options were not recorded.
    """
    columns = unpack_tcp(trace)
    if not trace.rows:
        return None
    if "options" in columns:
        ip_bytes = IPV6_BYTES if trace.connection.startswith("[") else IPV4_BYTES
        stamped = int(columns["options"][-1]) & _TIMESTAMPS_OPTION
        return ip_bytes + TCP_BYTES + (TIMESTAMP_BYTES if stamped else 0)
    return _plausible(mtu_bytes - int(np.median(columns["snd_mss_bytes"])))


def of_packets(evidence: Evidence | None) -> int | None:
    """IP and TCP header bytes by the segment size of the super-packets that were seen; None where none was."""
    if evidence is None:
        return None
    sizes = [shape[1] for seen in evidence.packets for shape in seen.shapes if shape[1] > 0]
    return _plausible(evidence.mtu_bytes - max(sizes)) if sizes else None


def of_trial(run: Run, trial: Trial) -> Headers:
    """Of the trial's segments: by its connections, else its super-packets, else the recorded sysctl."""
    found = [of_connection(trace, run.nic.mtu_bytes) for trace in trial.tcp]
    network = next((size for size in [*found, of_packets(trial.evidence)] if size), None)
    whole = of_run(run)
    return with_network(network or whole.network_bytes, whole.vlan_bytes)


def with_network(network_bytes: int | None, tag_bytes: int = 0) -> Headers:
    """With these IP and TCP headers, or the usual ones where they are unknown."""
    return Headers(vlan_bytes=tag_bytes) if network_bytes is None else Headers(network_bytes, tag_bytes)


def of_run(run: Run) -> Headers:
    """Of IPv4, by the sysctls of this end; the kernel's default is with timestamps."""
    sysctls: Mapping[str, str] = {**run.host.sysctls, **run.bed.settings.get("sysctls", {})}
    off = sysctls.get(TIMESTAMPS_SYSCTL) == "0"
    return Headers(IPV4_BYTES + TCP_BYTES + (0 if off else TIMESTAMP_BYTES), vlan_bytes(run.nic))


def _plausible(difference_bytes: int) -> int | None:
    return difference_bytes if difference_bytes in _PLAUSIBLE_BYTES else None
