"""The login phase against a scripted target."""

from __future__ import annotations

import hashlib

import pytest

from offloadbench.traffic.iscsi.login import Identity, Negotiated, chap_response, login
from offloadbench.traffic.iscsi.pdu import IscsiError, Opcode
from tests.unit.iscsi_target import Script, ScriptedTarget, Stage

OFFERS = {"HeaderDigest": "None", "InitialR2T": "No", "MaxBurstLength": "1048576", "MaxRecvDataSegmentLength": "65536"}
CHALLENGE = bytes(range(20))


def _login(script: Script, user: str = "", password: str = "") -> Negotiated:
    stage = Stage(script)
    try:
        return login(stage.connection, Identity("iqn.me", "iqn.it", 0x80 << 40, user, password), OFFERS)
    finally:
        stage.close()


def test_chap_as_rfc_2865_computes_it() -> None:
    # section 7.2: user flopsy, whose password is arctangent
    challenge = bytes.fromhex("2aee86f08d0d55969ca5978e0d3367a2")
    assert chap_response(0x16, "arctangent", challenge).hex() == "e97557c316185895f293ff6344077275"


def _operational(target: ScriptedTarget) -> None:
    said = dict(target.log_in(1, [("InitialR2T", "No"), ("MaxBurstLength", "524288"), ("HeaderDigest", "None")]))
    assert said == OFFERS


def test_without_a_user_both_stages_take_one_exchange_each() -> None:
    def script(target: ScriptedTarget) -> None:
        said = dict(target.log_in(0, [("AuthMethod", "None"), ("TargetPortalGroupTag", "1")]))
        assert said["AuthMethod"] == "None"
        assert (said["InitiatorName"], said["TargetName"], said["SessionType"]) == ("iqn.me", "iqn.it", "Normal")
        _operational(target)

    negotiated = _login(script)
    assert negotiated.max_burst_bytes == 524288
    assert not negotiated.initial_r2t
    assert negotiated.max_send_segment_bytes == 8192
    assert negotiated.max_receive_segment_bytes == 65536
    assert negotiated.exp_stat_sn == 3
    assert negotiated.max_cmd_sn == 8


@pytest.mark.parametrize("encoded", [f"0x{CHALLENGE.hex()}", "0bAAECAwQFBgcICQoLDA0ODxAREhM="])
def test_chap(encoded: str) -> None:
    def script(target: ScriptedTarget) -> None:
        assert dict(target.log_in(0, [("AuthMethod", "CHAP")]))["AuthMethod"] == "CHAP"
        assert target.log_in(0, [("CHAP_A", "5"), ("CHAP_I", "9"), ("CHAP_C", encoded)]) == [("CHAP_A", "5")]
        said = dict(target.log_in(0, []))
        assert said["CHAP_N"] == "me"
        assert said["CHAP_R"] == "0x" + hashlib.md5(b"\x09" + b"secret" + CHALLENGE).hexdigest()
        _operational(target)

    _login(script, "me", "secret")


def test_a_target_that_does_not_move_on_at_once_is_asked_again() -> None:
    def script(target: ScriptedTarget) -> None:
        target.log_in(0, [("AuthMethod", "None")], transit=False)
        assert target.log_in(0, []) == []
        said = dict(target.log_in(1, [("X-a", "1"), ("MaxRecvDataSegmentLength", "262144")], transit=False))
        assert said == OFFERS
        assert target.log_in(1, []) == [("X-a", "NotUnderstood")]

    assert _login(script).max_send_segment_bytes == 262144


def test_an_answer_in_several_pdus_is_put_together() -> None:
    def script(target: ScriptedTarget) -> None:
        target.log_in(0, [("AuthMethod", "None")])
        first = target.take(Opcode.LOGIN_REQUEST)
        for flags, data in ((0x40 | 1 << 2, b"MaxBurst"), (0x80 | 1 << 2 | 3, b"Length=4096\0")):
            target.say(
                Opcode.LOGIN_RESPONSE,
                task_tag=first.header.task_tag,
                flags=flags,
                data=data,
                tag=0,
                lun=first.header.lun,
            )
            if flags & 0x40:
                assert len(target.take(Opcode.LOGIN_REQUEST).data) == 0

    assert _login(script).max_burst_bytes == 4096


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (0x0101, "moved temporarily to 198.18.0.9:3260"),
        (0x0201, "does not accept user and password"),
        (0x0203, "does not exist"),
        (0x0301, "not available"),
        (0x0277, "status class 2, detail 119"),
    ],
)
def test_a_refused_login_says_why(failure: int, words: str) -> None:
    def script(target: ScriptedTarget) -> None:
        pairs = [("TargetAddress", "198.18.0.9:3260")] if failure == 0x0101 else []
        target.log_in(0, pairs, failure=failure)

    with pytest.raises(IscsiError, match=words):
        _login(script)


@pytest.mark.parametrize("answer", ["Reject", "None", "NotUnderstood"])
def test_nothing_less_than_chap_is_accepted_with_a_user(answer: str) -> None:
    with pytest.raises(IscsiError, match="another authentication than CHAP"):
        _login(lambda target: target.log_in(0, [("AuthMethod", answer)]), "me", "secret")


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("CHAP_A", "7"), ("CHAP_I", "1"), ("CHAP_C", "0x00")], "no CHAP challenge"),
        ([("CHAP_A", "5"), ("CHAP_I", "1")], "no CHAP challenge"),
        ([("CHAP_A", "5"), ("CHAP_I", "x"), ("CHAP_C", "0x00")], "CHAP_I=x"),
        ([("CHAP_A", "5"), ("CHAP_I", "1"), ("CHAP_C", "zz")], "no binary value"),
        ([("CHAP_A", "5"), ("CHAP_I", "1"), ("CHAP_C", "0b!!")], "no binary value"),
    ],
)
def test_a_wrong_challenge_is_told(pairs: list[tuple[str, str]], words: str) -> None:
    def script(target: ScriptedTarget) -> None:
        target.log_in(0, [("AuthMethod", "CHAP")])
        target.log_in(0, pairs)

    with pytest.raises(IscsiError, match=words):
        _login(script, "me", "secret")


def test_a_silent_target_is_told() -> None:
    def script(target: ScriptedTarget) -> None:
        target.take(Opcode.LOGIN_REQUEST)
        with pytest.raises(IscsiError):
            target.connection.receive()

    with pytest.raises(IscsiError, match="no answer to the login"):
        _login(script)


def test_a_target_that_hangs_up_is_told() -> None:
    with pytest.raises(IscsiError, match="closed the connection"):
        _login(lambda target: target.take(Opcode.LOGIN_REQUEST))


def test_a_login_without_end_is_told() -> None:
    def script(target: ScriptedTarget) -> None:
        target.log_in(0, [("AuthMethod", "None")])
        for _ in range(19):
            target.log_in(1, [], transit=False)

    with pytest.raises(IscsiError, match="did not end within 20 exchanges"):
        _login(script)


@pytest.mark.parametrize(("opcode", "words"), [(Opcode.REJECT, "rejected the login"), (Opcode.NOP_IN, "with a NOP in")])
def test_another_answer_than_a_login_response_is_told(opcode: Opcode, words: str) -> None:
    def script(target: ScriptedTarget) -> None:
        target.take(Opcode.LOGIN_REQUEST)
        target.say(opcode)

    with pytest.raises(IscsiError, match=words):
        _login(script)
