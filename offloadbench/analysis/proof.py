"""Did the toggles act? Judged from packets seen at the tracepoints, and from counters of the measured window.

Verdicts: `proven`; `contradicted` (the packets show the opposite); `not_shown` (no evidence, or it does not decide);
`no_effect` (the bit moved and the packets did not care); `fixed` (this NIC does not let it move).
"""

from __future__ import annotations

from dataclasses import dataclass

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
# a VLAN tag and the Ethernet header on top of the MTU
_LINK_HEADER_BYTES = 18
_CHECKSUM_NONE, _CHECKSUM_PARTIAL = 0, 3
_TX_CHECKSUMS = ("tx-checksum-ip-generic", "tx-checksum-ipv4")
_TSO = "tx-tcp-segmentation"
# features that a verdict rests on: a trial records them even when its case leaves them as found
JUDGED = frozenset({_TSO, *_TX_CHECKSUMS, "rx-checksum"})
QUEUE, TRANSMIT = "net:net_dev_queue", "net:net_dev_start_xmit"


@dataclass(frozen=True, slots=True)
class Proof:
    """One judged subject: `tso`, `gso`, `tx-checksum`, `rx-checksum` or `window` (counters inside the window)."""

    subject: str
    verdict: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """Shares of bytes among the packets that carry data."""

    bytes: int
    super_ratio: float
    checksum_none_ratio: float
    checksum_partial_ratio: float


def _seen(evidence: Evidence, tracepoints: tuple[str, ...], smallest_bytes: int) -> _Seen | None:
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

    return _Seen(
        bytes=total,
        super_ratio=ratio([row for row in rows if row[0] > limit]),
        checksum_none_ratio=ratio([row for row in rows if row[2] == _CHECKSUM_NONE]),
        checksum_partial_ratio=ratio([row for row in rows if row[2] == _CHECKSUM_PARTIAL]),
    )


def _by_share(subject: str, share: float, expected: bool, what: str) -> Proof:
    """The share must be nearly all when expected, nearly nothing when not."""
    detail = f"{share:.1%} of data bytes {what}"
    if (share >= _ENOUGH) if expected else (share <= _TRACE):
        return Proof(subject, PROVEN, detail)
    contradicted = share <= _TRACE if expected else share >= _ENOUGH
    return Proof(subject, CONTRADICTED if contradicted else NOT_SHOWN, detail)


def _receive(record: FeatureRecord, evidence: Evidence) -> Proof:
    if record.fixed:
        return Proof("rx-checksum", FIXED, f"fixed {'on' if record.active else 'off'} on this NIC")
    names = tuple(p.tracepoint for p in evidence.packets if p.tracepoint not in (QUEUE, TRANSMIT))
    seen = _seen(evidence, names, smallest_bytes=0)
    if seen is None:
        return Proof("rx-checksum", NOT_SHOWN, "no received packets seen")
    if seen.checksum_partial_ratio > _TRACE:
        return Proof(
            "rx-checksum",
            NO_EFFECT,
            "received packets never crossed a cable: they keep the sender's checksum state",
        )
    if record.active:
        return _by_share("rx-checksum", 1 - seen.checksum_none_ratio, True, "arrived with their checksum verified")
    if seen.checksum_none_ratio <= _TRACE:
        return Proof("rx-checksum", NO_EFFECT, "off, and packets still arrive with their checksum verified")
    return _by_share("rx-checksum", seen.checksum_none_ratio, True, "arrived unverified")


def _window(trial: Trial, tso: bool, mtu_bytes: int) -> Proof | None:
    """Mean bytes per packet as handed to the driver, over the measured window."""
    if trial.samples is None:
        return None
    packets = sum(trial.samples.counters["tx_packets"])
    if not packets:
        return Proof("window", NOT_SHOWN, "no packets counted in the window")
    mean = sum(trial.samples.counters["tx_bytes"]) / packets
    agrees = (mean > mtu_bytes + _LINK_HEADER_BYTES) == tso
    return Proof("window", PROVEN if agrees else CONTRADICTED, f"{mean:.0f} bytes per packet inside the window")


def judge(trial: Trial, *, counts_super_packets: bool) -> list[Proof]:
    """Every subject of a trial.

    Args:
        counts_super_packets: the NIC counts a super-packet as one, so that the window's counters can tell.
    """
    evidence = trial.evidence
    if evidence is None:
        return []
    active = {record.feature: record for record in trial.features}
    tso = _TSO in active and active[_TSO].active
    checksum = any(name in active and active[name].active for name in _TX_CHECKSUMS)
    large = evidence.mtu_bytes // 2
    queued, sent = (_seen(evidence, (name,), large) for name in (QUEUE, TRANSMIT))
    if queued is None or sent is None:
        reason = evidence.problem or "no data packets seen"
        return [Proof(subject, NOT_SHOWN, reason) for subject in ("tso", "gso", "tx-checksum", "rx-checksum")]
    proofs = [_by_share("tso", sent.super_ratio, tso, "reached the driver as super-packets")]
    if not tso:
        software = trial.gso_max_segs != 1
        proofs.append(_by_share("gso", queued.super_ratio, software, "left the socket as super-packets"))
    share = sent.checksum_partial_ratio if checksum else sent.checksum_none_ratio
    what = "left their checksum to the NIC" if checksum else "reached the driver with their checksum done"
    proofs.append(_by_share("tx-checksum", share, True, what))
    if "rx-checksum" in active:
        proofs.append(_receive(active["rx-checksum"], evidence))
    window = _window(trial, tso, evidence.mtu_bytes) if counts_super_packets else None
    return [*proofs, window] if window else proofs


def toggle_proven(proofs: list[Proof]) -> bool:
    """Whether all that the case set, and this NIC can show, was seen to act. No effect and fixed do not count."""
    decisive = [proof for proof in proofs if proof.verdict not in (NO_EFFECT, FIXED)]
    return bool(decisive) and all(proof.verdict == PROVEN for proof in decisive)
