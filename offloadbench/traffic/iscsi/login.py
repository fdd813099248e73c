"""The login phase: who we are (CHAP), then the operational parameters (RFC 7143, 6.3 and 12.1.3)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from offloadbench.traffic.iscsi.iscsi_connection import IscsiConnection, Pdu, SilentPeer
from offloadbench.traffic.iscsi.negotiation import NOT_UNDERSTOOD, REJECT, Negotiation, decode_text, encode_text
from offloadbench.traffic.iscsi.pdu import CONTINUE, TRANSIT, IscsiError, Opcode, PduHeader, opcode_name

_SECURITY, _OPERATIONAL, _FULL_FEATURE = 0, 1, 3
# RFC 1994: the only algorithm that every CHAP peer has
_CHAP_MD5 = "5"
_MAX_EXCHANGES = 20
# RFC 7143, 11.13.5
_FAILURES = {
    0x0101: "the target moved temporarily",
    0x0102: "the target moved permanently",
    0x0200: "the target found an error in the login",
    0x0201: "authentication failed: the target does not accept user and password",
    0x0202: "this initiator is not allowed to use the target",
    0x0203: "the target does not exist, or not for this initiator",
    0x0204: "the target was removed",
    0x0205: "the target speaks no version of ours",
    0x0206: "the target has too many connections",
    0x0207: "the target misses a parameter",
    0x0208: "the connection cannot join the session",
    0x0209: "the target has no such type of session",
    0x020A: "the session does not exist",
    0x020B: "the request was not valid during login",
    0x0300: "the target failed",
    0x0301: "the target is not available",
    0x0302: "the target is out of resources",
}


_ACCOUNT_FAILED = 0x0201


class AccountError(IscsiError):
    """The target does not accept user and password: trying again would not help."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who logs in to what.

    Attributes:
        isid: 48 bits; sessions of one initiator to one target differ in it (RFC 7143, 11.12.5).
        user, password: for CHAP; empty to log in without.
    """

    initiator_name: str
    target_name: str
    isid: int
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What is in force in the full feature phase."""

    header_digest: bool
    data_digest: bool
    initial_r2t: bool
    immediate_data: bool
    first_burst_bytes: int
    max_burst_bytes: int
    max_send_segment_bytes: int
    max_receive_segment_bytes: int
    cmd_sn: int
    max_cmd_sn: int
    exp_stat_sn: int


def chap_response(identifier: int, password: str, challenge: bytes) -> bytes:
    """MD5 over identifier, secret and challenge (RFC 1994, 4.1)."""
    return hashlib.md5(bytes([identifier]) + password.encode() + challenge, usedforsecurity=False).digest()


def _binary(text: str) -> bytes:
    """A binary value as text: 0x and hexadecimal digits, or 0b and base64 (6.1)."""
    try:
        if text[:2] in ("0x", "0X"):
            return bytes.fromhex(text[2:].rjust(len(text[2:]) + len(text) % 2, "0"))
        if text[:2] in ("0b", "0B"):
            return base64.b64decode(text[2:], validate=True)
    except (ValueError, binascii.Error):
        pass
    raise IscsiError(f"the target sent {text[:32]!r}, which is no binary value")


class _Exchange:
    """Login requests and their answers, in order."""

    def __init__(self, connection: IscsiConnection, identity: Identity) -> None:
        self._connection = connection
        self._isid = identity.isid
        self._tsih = 0
        self._exchanges = 0
        self.exp_stat_sn = 0
        self.cmd_sn = 1
        self.max_cmd_sn = 1

    def ask(self, stage: int, next_stage: int, pairs: list[tuple[str, str]], *, transit: bool) -> tuple[bool, str]:
        """Send keys, return (whether the target goes to the next stage, all text of its answer)."""
        text = encode_text(pairs)
        received = b""
        while True:
            answer = self._round(stage, next_stage, text, transit=transit)
            received += bytes(answer.data)
            if not answer.header.flags & CONTINUE:
                break
            # an empty request fetches the rest of a long answer (6.2)
            text = b""
        moved = bool(answer.header.flags & TRANSIT)
        if moved and not transit:
            raise IscsiError("the target left the login stage without being asked to")
        return moved, received.decode(errors="replace")

    def _round(self, stage: int, next_stage: int, text: bytes, *, transit: bool) -> Pdu:
        self._exchanges += 1
        if self._exchanges > _MAX_EXCHANGES:
            raise IscsiError(f"the login did not end within {_MAX_EXCHANGES} exchanges")
        flags = stage << 2 | (TRANSIT | next_stage if transit else 0)
        header = PduHeader(
            Opcode.LOGIN_REQUEST,
            immediate=True,
            flags=flags,
            data_bytes=len(text),
            lun=self._isid << 16 | self._tsih,
            task_tag=1,
            words=(0, self.cmd_sn, self.exp_stat_sn, 0, 0, 0, 0),
        )
        self._connection.send(header, text)
        try:
            answer = self._connection.receive()
        except SilentPeer as error:
            raise IscsiError(f"no answer to the login within {self._connection.timeout_s:.0f} s") from error
        self._check(answer)
        return answer

    def _check(self, answer: Pdu) -> None:
        header = answer.header
        if header.opcode == Opcode.REJECT:
            raise IscsiError(f"the target rejected the login (reason {header.response:#04x})")
        if header.opcode != Opcode.LOGIN_RESPONSE:
            raise IscsiError(f"the target answered the login with a {opcode_name(header.opcode)}")
        failure = header.sequence >> 16
        if failure:
            words = _FAILURES.get(failure, f"status class {failure >> 8}, detail {failure & 0xFF}")
            moved = dict(decode_text(bytes(answer.data))).get("TargetAddress", "")
            refusal = AccountError if failure == _ACCOUNT_FAILED else IscsiError
            raise refusal(
                f"login refused: {words}" + (f" to {moved}" if moved else ""), "see the target's accounts and ACL"
            )
        self._tsih = header.lun & 0xFFFF
        self.exp_stat_sn = (header.stat_sn + 1) & 0xFFFFFFFF
        self.max_cmd_sn = header.max_cmd_sn


def _security(exchange: _Exchange, identity: Identity) -> None:
    """The security stage: no authentication without a user, CHAP and nothing less with one."""
    method = "CHAP" if identity.user else "None"
    names = [
        ("InitiatorName", identity.initiator_name),
        ("SessionType", "Normal"),
        ("TargetName", identity.target_name),
        ("AuthMethod", method),
    ]
    moved, text = exchange.ask(_SECURITY, _OPERATIONAL, names, transit=not identity.user)
    chosen = dict(decode_text(text.encode())).get("AuthMethod", method)
    if chosen in (REJECT, NOT_UNDERSTOOD) or chosen != method:
        raise AccountError(f"the target wants another authentication than {method}", "see the target's accounts")
    if identity.user:
        _, text = exchange.ask(_SECURITY, _OPERATIONAL, [("CHAP_A", _CHAP_MD5)], transit=False)
        challenge = dict(decode_text(text.encode()))
        if challenge.get("CHAP_A") != _CHAP_MD5 or not {"CHAP_I", "CHAP_C"} <= set(challenge):
            raise IscsiError("the target sent no CHAP challenge for MD5")
        try:
            identifier = int(challenge["CHAP_I"], 0)
        except ValueError as error:
            raise IscsiError(f"the target sent CHAP_I={challenge['CHAP_I'][:16]}") from error
        response = chap_response(identifier & 0xFF, identity.password, _binary(challenge["CHAP_C"]))
        keys = [("CHAP_N", identity.user), ("CHAP_R", f"0x{response.hex()}")]
        moved, _ = exchange.ask(_SECURITY, _OPERATIONAL, keys, transit=True)
    while not moved:
        moved, _ = exchange.ask(_SECURITY, _OPERATIONAL, [], transit=True)


def login(connection: IscsiConnection, identity: Identity, offers: dict[str, str]) -> Negotiated:
    """Log in; digests are in force on the connection afterwards.

    Args:
        offers: operational key -> the value that we offer, or declare.

    Raises:
        IscsiError: refused, rejected, or not understood; the message says what the target said.
    """
    exchange = _Exchange(connection, identity)
    _security(exchange, identity)
    negotiation = Negotiation(offers)
    moved, text = exchange.ask(_OPERATIONAL, _FULL_FEATURE, list(offers.items()), transit=True)
    answers = negotiation.take(decode_text(text.encode()))
    while not moved or answers:
        if moved:
            raise IscsiError("the target ended the login before its own offers were answered")
        moved, text = exchange.ask(_OPERATIONAL, _FULL_FEATURE, answers, transit=True)
        answers = negotiation.take(decode_text(text.encode()))
    agreed = negotiation.agreed
    connection.header_digest = agreed["HeaderDigest"] == "CRC32C"
    connection.data_digest = agreed["DataDigest"] == "CRC32C"
    connection.max_receive_bytes = int(offers.get("MaxRecvDataSegmentLength", "8192"))
    return Negotiated(
        header_digest=connection.header_digest,
        data_digest=connection.data_digest,
        initial_r2t=agreed["InitialR2T"] == "Yes",
        immediate_data=agreed["ImmediateData"] == "Yes",
        first_burst_bytes=int(agreed["FirstBurstLength"]),
        max_burst_bytes=int(agreed["MaxBurstLength"]),
        max_send_segment_bytes=int(agreed["MaxRecvDataSegmentLength"]),
        max_receive_segment_bytes=connection.max_receive_bytes,
        cmd_sn=exchange.cmd_sn,
        max_cmd_sn=exchange.max_cmd_sn,
        exp_stat_sn=exchange.exp_stat_sn,
    )
