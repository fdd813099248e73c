"""Text keys and how their values are agreed on (RFC 7143, 6 and 13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offloadbench.traffic.iscsi.pdu import MAX_SEGMENT_BYTES, IscsiError

Rule = Literal["minimum", "maximum", "and", "or", "list", "declare"]
NOT_UNDERSTOOD, IRRELEVANT, REJECT = "NotUnderstood", "Irrelevant", "Reject"


@dataclass(frozen=True, slots=True)
class Key:
    """An operational key.

    Attributes:
        rule: the result function: of both numbers, of both truth values, the first of the offered list that the
            answering side has, or none at all: each side declares its own.
        default: the value where nothing is negotiated.
        low, high: bounds of a number.
    """

    rule: Rule
    default: str
    low: int = 0
    high: int = 0


# RFC 7143, 13
KEYS = {
    "HeaderDigest": Key("list", "None"),
    "DataDigest": Key("list", "None"),
    "MaxConnections": Key("minimum", "1", 1, 65535),
    "InitialR2T": Key("or", "Yes"),
    "ImmediateData": Key("and", "Yes"),
    "MaxRecvDataSegmentLength": Key("declare", "8192", 512, MAX_SEGMENT_BYTES),
    "MaxBurstLength": Key("minimum", "262144", 512, MAX_SEGMENT_BYTES),
    "FirstBurstLength": Key("minimum", "65536", 512, MAX_SEGMENT_BYTES),
    "DefaultTime2Wait": Key("maximum", "2", 0, 3600),
    "DefaultTime2Retain": Key("minimum", "20", 0, 3600),
    "MaxOutstandingR2T": Key("minimum", "1", 1, 65535),
    "DataPDUInOrder": Key("or", "Yes"),
    "DataSequenceInOrder": Key("or", "Yes"),
    "ErrorRecoveryLevel": Key("minimum", "0", 0, 2),
}
# said by one side about itself, at any time, without an answer
_DECLARED = {
    "InitiatorAlias",
    "InitiatorName",
    "SessionType",
    "TargetAddress",
    "TargetAlias",
    "TargetName",
    "TargetPortalGroupTag",
}


def encode_text(pairs: list[tuple[str, str]]) -> bytes:
    """`key=value`, each ended by a zero byte (6.1)."""
    return b"".join(f"{key}={value}\0".encode() for key, value in pairs)


def decode_text(data: bytes) -> list[tuple[str, str]]:
    """The inverse of `encode_text`.

    Raises:
        IscsiError: a pair without `=`.
    """
    pairs = []
    for item in data.decode(errors="replace").split("\0"):
        if not item:
            continue
        key, equals, value = item.partition("=")
        if not equals:
            raise IscsiError(f"the target sent the text {item[:64]!r}, which is no key=value")
        pairs.append((key, value))
    return pairs


def _number(name: str, key: Key, value: str) -> int:
    # decimal, or hexadecimal with 0x (6.1)
    try:
        number = int(value, 16 if value[:2] in ("0x", "0X") else 10)
    except ValueError as error:
        raise IscsiError(f"{name}={value}: not a number") from error
    if not key.low <= number <= key.high:
        raise IscsiError(f"{name}={value}: not within {key.low} and {key.high}")
    return number


def _truth(name: str, value: str) -> bool:
    if value not in ("Yes", "No"):
        raise IscsiError(f"{name}={value}: neither Yes nor No")
    return value == "Yes"


def result(name: str, ours: str, theirs: str) -> str:
    """What two values of a key come to. Symmetric but for lists, where `theirs` is the choice from `ours`.

    Raises:
        IscsiError: a value that the key cannot have, or a choice that was not offered.
    """
    key = KEYS[name]
    if key.rule in ("minimum", "maximum"):
        numbers = (_number(name, key, ours), _number(name, key, theirs))
        return str(min(numbers) if key.rule == "minimum" else max(numbers))
    if key.rule in ("and", "or"):
        values = (_truth(name, ours), _truth(name, theirs))
        return "Yes" if (all(values) if key.rule == "and" else any(values)) else "No"
    if key.rule == "list":
        if theirs not in ours.split(","):
            raise IscsiError(f"{name}: the target chose {theirs!r}, offered was {ours!r}")
        return theirs
    return str(_number(name, key, theirs))


class Negotiation:
    """The operational keys of one login.

    Args:
        offers: what we offer or declare: key -> value.

    Attributes:
        agreed: key -> result, for MaxRecvDataSegmentLength what the target declared; defaults where nothing was said.
    """

    def __init__(self, offers: dict[str, str]) -> None:
        self._offers = offers
        self._settled: set[str] = set()
        self.agreed = {name: key.default for name, key in KEYS.items()}

    def take(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Take in what the target sent.

        Returns:
            Our answers to what it offered by itself.

        Raises:
            IscsiError: it rejected an offer, chose what was not offered, or came back to a settled key.
        """
        answers = []
        for name, value in pairs:
            if name in _DECLARED:
                continue
            if name not in KEYS:
                # a constant answers something; only an offer is answered
                if value not in (NOT_UNDERSTOOD, IRRELEVANT, REJECT):
                    answers.append((name, NOT_UNDERSTOOD))
                continue
            if name in self._settled:
                raise IscsiError(f"the target negotiates {name} a second time in one login")
            self._settled.add(name)
            if value == REJECT:
                raise IscsiError(
                    f"the target rejected {name}={self._offers.get(name, '')}", "see the target's parameters"
                )
            if value in (NOT_UNDERSTOOD, IRRELEVANT):
                continue
            if KEYS[name].rule == "declare":
                self.agreed[name] = result(name, value, value)
            elif name in self._offers:
                self.agreed[name] = result(name, self._offers[name], value)
            else:
                self.agreed[name] = self._answer(name, value)
                answers.append((name, self.agreed[name]))
        return answers

    def _answer(self, name: str, offered: str) -> str:
        """Our answer to a key of the target's own: the default is what we would have."""
        key = KEYS[name]
        if key.rule == "list":
            return result(name, offered, key.default)
        return result(name, key.default, offered)
