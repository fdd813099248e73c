"""Text negotiation: result functions and rules of RFC 7143, sections 6 and 13."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.traffic.iscsi.negotiation import KEYS, Negotiation, decode_text, encode_text, result
from offloadbench.traffic.iscsi.pdu import IscsiError

# key, our value, their value, result
_TABLE = [
    ("HeaderDigest", "CRC32C,None", "CRC32C", "CRC32C"),
    ("HeaderDigest", "CRC32C,None", "None", "None"),
    ("DataDigest", "None", "None", "None"),
    ("MaxConnections", "1", "8", "1"),
    ("InitialR2T", "No", "No", "No"),
    ("InitialR2T", "No", "Yes", "Yes"),
    ("InitialR2T", "Yes", "No", "Yes"),
    ("ImmediateData", "Yes", "Yes", "Yes"),
    ("ImmediateData", "Yes", "No", "No"),
    ("ImmediateData", "No", "Yes", "No"),
    ("MaxBurstLength", "16776704", "262144", "262144"),
    ("MaxBurstLength", "262144", "0x80000", "262144"),
    ("FirstBurstLength", "65536", "16384", "16384"),
    ("DefaultTime2Wait", "2", "5", "5"),
    ("DefaultTime2Retain", "20", "0", "0"),
    ("MaxOutstandingR2T", "1", "4", "1"),
    ("DataPDUInOrder", "No", "Yes", "Yes"),
    ("DataSequenceInOrder", "No", "No", "No"),
    ("ErrorRecoveryLevel", "2", "0", "0"),
    ("MaxRecvDataSegmentLength", "8192", "262144", "262144"),
]


@pytest.mark.parametrize(("key", "ours", "theirs", "expected"), _TABLE)
def test_result_functions(key: str, ours: str, theirs: str, expected: str) -> None:
    assert result(key, ours, theirs) == expected


def test_the_table_has_every_key() -> None:
    assert {row[0] for row in _TABLE} == set(KEYS)


@pytest.mark.parametrize(
    ("key", "theirs"),
    [
        ("HeaderDigest", "CRC64"),
        ("InitialR2T", "yes"),
        ("MaxBurstLength", "511"),
        ("MaxBurstLength", "16777216"),
        ("MaxBurstLength", "many"),
        ("ErrorRecoveryLevel", "3"),
        ("MaxRecvDataSegmentLength", "-1"),
    ],
)
def test_a_value_that_the_key_cannot_have_is_told(key: str, theirs: str) -> None:
    with pytest.raises(IscsiError, match=key):
        result(key, KEYS[key].default, theirs)


_KEY = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-+@_", min_size=1, max_size=63)
_VALUE = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-+@_/:,[]=", max_size=255)


@given(st.lists(st.tuples(_KEY, _VALUE)))
def test_text_comes_back_as_it_went(pairs: list[tuple[str, str]]) -> None:
    assert decode_text(encode_text(pairs)) == pairs


def test_text_without_an_equals_sign_is_told() -> None:
    with pytest.raises(IscsiError, match="no key=value"):
        decode_text(b"InitialR2T\0")


def test_answers_to_our_offers_settle_them_and_silence_leaves_the_default() -> None:
    negotiation = Negotiation({"MaxBurstLength": "16776704", "InitialR2T": "No", "FirstBurstLength": "1048576"})
    assert negotiation.take([("MaxBurstLength", "1048576"), ("InitialR2T", "No")]) == []
    assert negotiation.agreed["MaxBurstLength"] == "1048576"
    assert negotiation.agreed["InitialR2T"] == "No"
    assert negotiation.agreed["FirstBurstLength"] == "65536"


def test_what_the_target_declares_needs_no_answer() -> None:
    negotiation = Negotiation({"MaxRecvDataSegmentLength": "262144"})
    assert negotiation.take([("MaxRecvDataSegmentLength", "8192"), ("TargetPortalGroupTag", "1")]) == []
    assert negotiation.agreed["MaxRecvDataSegmentLength"] == "8192"


def test_what_the_target_offers_is_answered_with_the_result() -> None:
    negotiation = Negotiation({})
    answers = negotiation.take([("DataDigest", "CRC32C,None"), ("MaxConnections", "4"), ("InitialR2T", "No")])
    assert answers == [("DataDigest", "None"), ("MaxConnections", "1"), ("InitialR2T", "Yes")]


def test_an_unknown_key_is_not_understood_but_its_answer_is_no_question() -> None:
    negotiation = Negotiation({})
    assert negotiation.take([("X-org.example.Fast", "Yes")]) == [("X-org.example.Fast", "NotUnderstood")]
    assert negotiation.take([("X-org.example.Slow", "NotUnderstood")]) == []


@pytest.mark.parametrize("constant", ["NotUnderstood", "Irrelevant"])
def test_constants_leave_the_default(constant: str) -> None:
    negotiation = Negotiation({"FirstBurstLength": "1048576"})
    assert negotiation.take([("FirstBurstLength", constant)]) == []
    assert negotiation.agreed["FirstBurstLength"] == "65536"


def test_a_rejected_offer_and_a_second_round_are_told() -> None:
    negotiation = Negotiation({"MaxBurstLength": "1024"})
    with pytest.raises(IscsiError, match="rejected MaxBurstLength=1024"):
        negotiation.take([("MaxBurstLength", "Reject")])
    with pytest.raises(IscsiError, match="a second time"):
        negotiation.take([("MaxBurstLength", "1024")])


def test_a_digest_that_only_the_target_wants_is_told() -> None:
    with pytest.raises(IscsiError, match="DataDigest"):
        Negotiation({}).take([("DataDigest", "CRC32C")])
