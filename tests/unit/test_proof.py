"""Proof of the toggles: every verdict from packets made by hand."""

from __future__ import annotations

import msgspec
import pytest

from offloadbench.analysis.trial.toggle_proof import QUEUE, TRANSMIT, ToggleProof, judge, toggle_proven
from offloadbench.model import FeatureRecord, Trial
from tests.unit.builders import evidence, feature, samples, trial

RECEIVE = "net:netif_receive_skb_entry"
SUPER, PLAIN, ACK = 65226, 1514, 66
NONE, UNNECESSARY, PARTIAL = 0, 1, 3
_ON = {"tx-tcp-segmentation": True, "tx-checksum-ip-generic": True, "rx-checksum": True}


def _trial(
    *,
    queued: list[list[int]],
    sent: list[list[int]],
    received: list[list[int]] | None = None,
    features: list[FeatureRecord] | None = None,
    gso_max_segs: int = 65535,
    **states: bool,
) -> Trial:
    """States are given by feature with underscores; those that are not stay on."""
    wanted = _ON | {name.replace("_", "-"): value for name, value in states.items()}
    return trial(
        features=features or [feature(name, active=active) for name, active in wanted.items()],
        evidence=evidence({QUEUE: queued, TRANSMIT: sent, RECEIVE: received or [[ACK, 0, UNNECESSARY, 100]]}),
        gso_max_segs=gso_max_segs,
    )


def _verdicts(subject: Trial, *, counts_super_packets: bool = False) -> dict[str, str]:
    return {proof.subject: proof.verdict for proof in judge(subject, counts_super_packets=counts_super_packets)}


TSO = _trial(queued=[[SUPER, -1, -1, 50]], sent=[[SUPER, 1448, PARTIAL, 50]])


def test_super_packets_at_the_driver_prove_tso() -> None:
    assert _verdicts(TSO) == {"tso": "proven", "tx-checksum": "proven", "rx-checksum": "proven"}
    assert toggle_proven(judge(TSO, counts_super_packets=False))


def test_super_packets_that_the_stack_cuts_prove_software_segmentation() -> None:
    subject = _trial(queued=[[SUPER, -1, -1, 50]], sent=[[PLAIN, 0, PARTIAL, 2000]], tx_tcp_segmentation=False)
    assert _verdicts(subject)["tso"] == "proven"
    assert _verdicts(subject)["gso"] == "proven"


def test_single_segments_from_the_socket_prove_that_no_super_packet_is_built() -> None:
    plain = [[PLAIN, -1, -1, 2000]]
    subject = _trial(queued=plain, sent=[[PLAIN, 0, PARTIAL, 2000]], tx_tcp_segmentation=False, gso_max_segs=1)
    assert _verdicts(subject)["gso"] == "proven"
    unbounded = _trial(queued=plain, sent=[[PLAIN, 0, PARTIAL, 2000]], tx_tcp_segmentation=False)
    assert _verdicts(unbounded)["gso"] == "contradicted"


@pytest.mark.parametrize(("on", "sent"), [(True, PLAIN), (False, SUPER)])
def test_packets_that_show_the_opposite_contradict(on: bool, sent: int) -> None:
    subject = _trial(queued=[[SUPER, -1, -1, 50]], sent=[[sent, 0, PARTIAL, 50]], tx_tcp_segmentation=on)
    assert _verdicts(subject)["tso"] == "contradicted"
    assert not toggle_proven(judge(subject, counts_super_packets=False))


@pytest.mark.parametrize("on", [True, False])
def test_a_mixture_shows_nothing(on: bool) -> None:
    half = [[SUPER, 1448, PARTIAL, 10], [PLAIN, 0, PARTIAL, 10 * SUPER // PLAIN]]
    subject = _trial(queued=[[SUPER, -1, -1, 50]], sent=half, tx_tcp_segmentation=on)
    assert _verdicts(subject)["tso"] == "not_shown"
    assert not toggle_proven(judge(subject, counts_super_packets=False))


def test_shares_are_of_bytes_and_of_packets_that_carry_data() -> None:
    # a thousand acknowledgements and ten plain packets weigh little beside the super-packets
    sent = [[SUPER, 1448, PARTIAL, 50], [PLAIN, 0, PARTIAL, 10], [ACK, 0, PARTIAL, 1000]]
    assert _verdicts(_trial(queued=[[SUPER, -1, -1, 50]], sent=sent))["tso"] == "proven"


@pytest.mark.parametrize(
    ("on", "seen", "verdict"),
    [
        (True, PARTIAL, "proven"),
        (False, NONE, "proven"),
        (True, NONE, "contradicted"),
        (False, PARTIAL, "contradicted"),
    ],
)
def test_the_checksum_state_at_the_driver_judges_the_transmit_checksum(on: bool, seen: int, verdict: str) -> None:
    subject = _trial(queued=[[SUPER, -1, -1, 50]], sent=[[SUPER, 1448, seen, 50]], tx_checksum_ip_generic=on)
    assert _verdicts(subject)["tx-checksum"] == verdict


@pytest.mark.parametrize(
    ("on", "seen", "verdict"),
    [
        (True, UNNECESSARY, "proven"),
        (True, NONE, "contradicted"),
        (False, NONE, "proven"),
        (False, UNNECESSARY, "no_effect"),
        (True, PARTIAL, "no_effect"),
    ],
)
def test_the_receive_checksum_is_judged_by_what_arrives(on: bool, seen: int, verdict: str) -> None:
    subject = _trial(
        queued=[[SUPER, -1, -1, 50]],
        sent=[[SUPER, 1448, PARTIAL, 50]],
        received=[[ACK, 0, seen, 100]],
        rx_checksum=on,
    )
    assert _verdicts(subject)["rx-checksum"] == verdict
    assert toggle_proven(judge(subject, counts_super_packets=False)) is (verdict != "contradicted")


def _with_rx(records: list[FeatureRecord]) -> Trial:
    transmit = [feature("tx-tcp-segmentation", active=True), feature("tx-checksum-ip-generic", active=True)]
    packets = [[SUPER, 1448, PARTIAL, 50]]
    return _trial(queued=[[SUPER, -1, -1, 50]], sent=packets, received=[[ACK, 0, NONE, 5]], features=transmit + records)


def test_a_fixed_feature_is_fixed_and_does_not_count_against_the_proof() -> None:
    subject = _with_rx([feature("rx-checksum", active=False, requested=True, fixed=True)])
    assert _verdicts(subject)["rx-checksum"] == "fixed"
    assert toggle_proven(judge(subject, counts_super_packets=False))


def test_a_feature_that_the_case_does_not_set_does_not_count_against_the_proof() -> None:
    assert toggle_proven(judge(_with_rx([]), counts_super_packets=False))


def test_without_packets_nothing_is_shown_and_the_reason_is_told() -> None:
    blind = trial(evidence=evidence({}, problem="no tracefs"))
    proofs = judge(blind, counts_super_packets=False)
    assert {proof.verdict for proof in proofs} == {"not_shown"}
    assert {proof.detail for proof in proofs} == {"no tracefs"}
    assert not toggle_proven(proofs)


def test_acknowledgements_alone_show_nothing() -> None:
    subject = _trial(queued=[[ACK, -1, -1, 50]], sent=[[ACK, 0, PARTIAL, 50]])
    assert set(_verdicts(subject).values()) == {"not_shown"}


def test_a_trial_without_a_warm_up_has_no_proof() -> None:
    assert judge(trial(), counts_super_packets=False) == []
    assert not toggle_proven([])


@pytest.mark.parametrize(("mean", "verdict"), [(30_000, "proven"), (1514, "contradicted")])
def test_the_windows_own_counters_confirm_where_the_nic_counts_super_packets(mean: int, verdict: str) -> None:
    measured = msgspec.structs.replace(TSO, samples=samples(tx_packets=100.0, tx_bytes=100.0 * mean))
    assert _verdicts(measured, counts_super_packets=True)["window"] == verdict
    assert "window" not in _verdicts(measured)
    silent = msgspec.structs.replace(TSO, samples=samples())
    assert _verdicts(silent, counts_super_packets=True)["window"] == "not_shown"


def test_one_contradiction_is_enough_and_no_effect_alone_is_no_proof() -> None:
    proven, against = ToggleProof("tso", "proven", ""), ToggleProof("gso", "contradicted", "")
    assert toggle_proven([proven])
    assert not toggle_proven([proven, against])
    assert not toggle_proven([ToggleProof("rx-checksum", "no_effect", "")])
