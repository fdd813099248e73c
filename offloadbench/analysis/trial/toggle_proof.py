"""Did the toggles act? Judged from packets seen at the tracepoints, and from counters of the measured window: those of
the link, and those by which the driver tells what the NIC did.

Verdicts: `proven`; `contradicted` (the packets show the opposite); `not_shown` (no evidence, or it does not decide);
`no_effect` (the bit moved and the packets did not care); `fixed` (this NIC does not let it move).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from offloadbench.analysis.trial import driver_counters
from offloadbench.analysis.trial.driver_counters import Counted, counted
from offloadbench.definitions import nic_ability
from offloadbench.model import Evidence, FeatureRecord, Trial

PROVEN, CONTRADICTED, NOT_SHOWN, NO_EFFECT, FIXED = (
    "proven",
    "contradicted",
    "not_shown",
    "no_effect",
    "fixed",
)
# share of bytes that must agree; the Linux selftests ask for 90 % too (tools/testing/selftests/drivers/net/hw)
_ENOUGH = 0.9
_TRACE = 0.01
# frames on the wire per packet handed to the driver: above it, packets were cut on the way
_SEGMENTED = 1.5
# a VLAN tag and the Ethernet header on top of the MTU
_LINK_HEADER_BYTES = 18
_CHECKSUM_NONE, _CHECKSUM_PARTIAL = 0, 3
_TX_CHECKSUMS = ("tx-checksum-ip-generic", "tx-checksum-ipv4")
_TSO = "tx-tcp-segmentation"
# features that a verdict rests on: a trial records them even when its case leaves them as found
JUDGED = frozenset({_TSO, *_TX_CHECKSUMS, "rx-checksum", "rx-lro", "rx-gro-hw"})
QUEUE, TRANSMIT = "net:net_dev_queue", "net:net_dev_start_xmit"


@dataclass(frozen=True, slots=True)
class ToggleProof:
    """A judged subject: `tso`, `gso`, `tx-checksum`, `rx-checksum`, `lro`, `hw-gro`, `window` (the link's counters)."""

    subject: str
    verdict: str
    detail: str


@dataclass(frozen=True, slots=True)
class _ByteShares:
    """Shares of bytes among the packets that carry data."""

    bytes: int
    super_ratio: float
    checksum_none_ratio: float
    checksum_partial_ratio: float


def _seen(evidence: Evidence, tracepoints: tuple[str, ...], smallest_bytes: int) -> _ByteShares | None:
    rows = [
        shape
        for packets in evidence.packets
        if packets.tracepoint in tracepoints
        for shape in packets.shapes
        if shape[0] >= smallest_bytes
    ]
    total = sum(length * count for length, _, _, count in rows)
    if not total:
        return None
    limit = evidence.mtu_bytes + _LINK_HEADER_BYTES

    def ratio(chosen: list[list[int]]) -> float:
        return sum(length * count for length, _, _, count in chosen) / total

    return _ByteShares(
        bytes=total,
        super_ratio=ratio([row for row in rows if row[0] > limit]),
        checksum_none_ratio=ratio([row for row in rows if row[2] == _CHECKSUM_NONE]),
        checksum_partial_ratio=ratio([row for row in rows if row[2] == _CHECKSUM_PARTIAL]),
    )


def _by_share(subject: str, share: float, expected: bool, what: str) -> ToggleProof:
    """The share must be nearly all when expected, nearly nothing when not."""
    detail = f"{share:.1%} of data bytes {what}"
    if (share >= _ENOUGH) if expected else (share <= _TRACE):
        return ToggleProof(subject, PROVEN, detail)
    contradicted = share <= _TRACE if expected else share >= _ENOUGH
    return ToggleProof(subject, CONTRADICTED if contradicted else NOT_SHOWN, detail)


def _receive(record: FeatureRecord, evidence: Evidence) -> ToggleProof:
    if record.fixed:
        return ToggleProof("rx-checksum", FIXED, f"fixed {'on' if record.active else 'off'} on this NIC")
    names = tuple(p.tracepoint for p in evidence.packets if p.tracepoint not in (QUEUE, TRANSMIT))
    seen = _seen(evidence, names, smallest_bytes=0)
    if seen is None:
        return ToggleProof("rx-checksum", NOT_SHOWN, "no received packets seen")
    if seen.checksum_partial_ratio > _TRACE:
        return ToggleProof(
            "rx-checksum",
            NO_EFFECT,
            "received packets never crossed a cable: they keep the sender's checksum state",
        )
    if record.active:
        return _by_share("rx-checksum", 1 - seen.checksum_none_ratio, True, "arrived with their checksum verified")
    if seen.checksum_none_ratio <= _TRACE:
        return ToggleProof("rx-checksum", NO_EFFECT, "off, and packets still arrive with their checksum verified")
    return _by_share("rx-checksum", seen.checksum_none_ratio, True, "arrived unverified")


def _window(trial: Trial, tso: bool, mtu_bytes: int) -> ToggleProof | None:
    """Mean bytes per packet as handed to the driver, over the measured window."""
    if trial.samples is None:
        return None
    packets = sum(trial.samples.counters["tx_packets"])
    if not packets:
        return ToggleProof("window", NOT_SHOWN, "no packets counted in the window")
    mean = sum(trial.samples.counters["tx_bytes"]) / packets
    agrees = (mean > mtu_bytes + _LINK_HEADER_BYTES) == tso
    return ToggleProof("window", PROVEN if agrees else CONTRADICTED, f"{mean:.0f} bytes per packet inside the window")


# of two findings on one subject, the one that stands
_PRECEDENCE = (CONTRADICTED, FIXED, NO_EFFECT, PROVEN, NOT_SHOWN)


def _joined(by_packets: ToggleProof, by_driver: ToggleProof | None) -> ToggleProof:
    """What the packets show and what the driver counted, as one; either may contradict."""
    if by_driver is None:
        return by_packets
    verdict = min(by_packets.verdict, by_driver.verdict, key=_PRECEDENCE.index)
    differ = {by_packets.verdict, by_driver.verdict} == {PROVEN, CONTRADICTED}
    detail = f"{by_packets.detail}{', but the driver says' if differ else ';'} {by_driver.detail}"
    return ToggleProof(by_packets.subject, verdict, detail)


def _by_counter(subject: str, found: Counted | None, on: bool, packets: float) -> ToggleProof | None:
    """A counter that grows while the offload acts; `packets`: of how many, so that a trace is not taken for more."""
    if found is None:
        return None
    if not packets:
        return ToggleProof(subject, NOT_SHOWN, "no packets counted in the window")
    if on:
        return ToggleProof(subject, PROVEN if found.growth > 0 else CONTRADICTED, str(found))
    return ToggleProof(subject, PROVEN if found.growth <= _TRACE * packets else CONTRADICTED, str(found))


def _window_sum(trial: Trial, name: str) -> float:
    return sum(trial.samples.counters[name]) if trial.samples else 0.0


def _driver_tso(trial: Trial, tso: bool) -> ToggleProof | None:
    grown = counted(trial.statistics, lambda counters: counters.tso)
    found = _by_counter("tso", grown, tso, _window_sum(trial, "tx_packets"))
    ratio = driver_counters.segmentation_ratio(trial)
    if found is not None or ratio is None:
        return found
    agrees = (ratio > _SEGMENTED) == tso
    text = f"{ratio:.1f} frames on the wire per packet handed to it"
    return ToggleProof("tso", PROVEN if agrees else CONTRADICTED, text)


def _driver_tx_checksum(trial: Trial, on: bool, tso: bool) -> ToggleProof | None:
    if tso and any(known and known.counters.tx_checksum_excludes_tso for _, known in driver_counters.drivers(trial)):
        return None
    grown = counted(trial.statistics, lambda counters: counters.tx_checksum)
    return _by_counter("tx-checksum", grown, on, _window_sum(trial, "tx_packets"))


def _driver_rx_checksum(trial: Trial, on: bool) -> ToggleProof | None:
    packets = _window_sum(trial, "rx_packets")
    verified = counted(trial.statistics, lambda counters: counters.rx_checksum)
    if verified is not None:
        return _by_counter("rx-checksum", verified, on, packets)
    return _by_counter("rx-checksum", counted(trial.statistics, lambda c: c.rx_checksum_none), not on, packets)


def _merging(trial: Trial, active: dict[str, FeatureRecord]) -> list[ToggleProof]:
    """LRO and hardware GRO, which only counters show: nothing to merge is no contradiction."""
    proofs = []
    for subject, feature, grown in (
        ("lro", "rx-lro", counted(trial.statistics, lambda counters: counters.lro)),
        ("hw-gro", "rx-gro-hw", counted(trial.statistics, lambda counters: counters.hw_gro)),
    ):
        if grown is None or feature not in active:
            continue
        if not active[feature].active and grown.growth > _TRACE * _window_sum(trial, "rx_packets"):
            proofs.append(ToggleProof(subject, CONTRADICTED, f"off, and {grown}"))
        elif active[feature].active:
            proofs.append(ToggleProof(subject, PROVEN if grown.growth else NO_EFFECT, str(grown)))
    return proofs


def _remark(trial: Trial) -> str:
    """What is to be said of the drivers beside the proof."""
    remarks = []
    for name, known in driver_counters.drivers(trial):
        if known is None:
            remarks.append(f"driver {name or '(none)'} is not known here, its counters prove nothing")
        elif known.software_tso:
            remarks.append(f"in driver {name} TSO is software")
    return "".join(f"; {text}" for text in remarks)


def _reception(trial: Trial) -> dict[str, FeatureRecord]:
    """The features by name; those of reception as all the NICs below the device have them."""
    records = {record.feature: record for record in trial.features}
    below = [{record.feature: record for record in records} for records in trial.lower_features.values()]
    for name in nic_ability.RECEIVE:
        found = [nic[name] for nic in below if name in nic]
        if found:
            records[name] = msgspec.structs.replace(
                found[0], active=all(record.active for record in found), fixed=any(record.fixed for record in found)
            )
    return records


def judge(trial: Trial, *, counts_super_packets: bool) -> list[ToggleProof]:
    """Every subject of a trial.

    Args:
        counts_super_packets: the NIC counts a super-packet as one, so that the window's counters can tell.
    """
    evidence = trial.evidence
    if evidence is None:
        return []
    active = _reception(trial)
    tso = _TSO in active and active[_TSO].active
    checksum = any(name in active and active[name].active for name in _TX_CHECKSUMS)
    proofs = _by_packets(trial, evidence, active, tso, checksum)
    by_driver = {
        "tso": _driver_tso(trial, tso),
        "tx-checksum": _driver_tx_checksum(trial, checksum, tso),
        "rx-checksum": _driver_rx_checksum(trial, active["rx-checksum"].active) if "rx-checksum" in active else None,
    }
    proofs = [_joined(found, by_driver.get(found.subject)) for found in proofs]
    proofs[0] = replace(proofs[0], detail=proofs[0].detail + _remark(trial))
    window = _window(trial, tso, evidence.mtu_bytes) if counts_super_packets else None
    return [*proofs, *_merging(trial, active), *([window] if window else [])]


def _by_packets(
    trial: Trial, evidence: Evidence, active: dict[str, FeatureRecord], tso: bool, checksum: bool
) -> list[ToggleProof]:
    """What the tracepoints show, TSO first."""
    large = evidence.mtu_bytes // 2
    queued, sent = (_seen(evidence, (name,), large) for name in (QUEUE, TRANSMIT))
    if queued is None or sent is None:
        reason = evidence.problem or "no data packets seen"
        return [ToggleProof(subject, NOT_SHOWN, reason) for subject in ("tso", "gso", "tx-checksum", "rx-checksum")]
    proofs = [_by_share("tso", sent.super_ratio, tso, "reached the driver as super-packets")]
    if not tso:
        software = trial.gso_max_segs != 1
        proofs.append(_by_share("gso", queued.super_ratio, software, "left the socket as super-packets"))
    share = sent.checksum_partial_ratio if checksum else sent.checksum_none_ratio
    what = "left their checksum to the NIC" if checksum else "reached the driver with their checksum done"
    proofs.append(_by_share("tx-checksum", share, True, what))
    if "rx-checksum" in active:
        proofs.append(_receive(active["rx-checksum"], evidence))
    return proofs


def toggle_proven(proofs: list[ToggleProof]) -> bool:
    """Whether all that the case set, and this NIC can show, was seen to act. No effect and fixed do not count."""
    decisive = [proof for proof in proofs if proof.verdict not in (NO_EFFECT, FIXED)]
    return bool(decisive) and all(proof.verdict == PROVEN for proof in decisive)
