"""Messages as lines of JSON, and lines as messages.

A line names its class by `is`, and holds its fields. Nothing else is read: another class, a missing, unknown or
repeated field, a value of another type or out of bounds, and a line that is too long are a `MessageError`, one
sentence. Standard library of Python 3.7.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import MISSING, fields
from typing import Any, TypeVar, Union, get_type_hints

from offloadbench.roles import messages
from offloadbench.roles.messages import Answer, Hello, Message, Order

# of a role; the longest are a server's list of 1000 files and a piece of a trace
LINE_BYTES_MAX = 1 << 20
# of an agent, which carries roles' lines, quoted, and their sources
ENVELOPE_BYTES_MAX = 8 << 20
_IS, _NUMBER = "is", "n"
_SHOWN = 60
# an int64 and its sign
_DIGITS_MAX = 20


class MessageError(Exception):
    """A line is no message that is taken here.

    Args:
        message: what is wrong, one line.
        parameter: the field that is; empty where it is the whole message.

    Attributes:
        number: of the line, where that much of it could be read.
    """

    def __init__(self, message: str, parameter: str = "", hint: str = "report this as a bug") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.parameter = parameter
        self.number: int | None = None


def title(kind: type[Message]) -> str:
    """The name of a class in a sentence: `SinkListening` is "sink listening"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__).lower()


# ---------------------------------------------------------------- bounds

_PORT, _ANY_PORT = (1, 65535), (0, 65535)
# the kernel takes an int, and doubles it
_OF_SOCKET = (0, 1 << 30)
# whole numbers of orders, by name; every other one is 0 or more
_BOUNDS = {
    "port": _PORT,
    "first_passive_port": _PORT,
    "last_passive_port": _PORT,
    "local_port": _ANY_PORT,
    "remote_port": _ANY_PORT,
    "window_bytes": _OF_SOCKET,
    "receive_window_bytes": _OF_SOCKET,
    "send_buffer_bytes": _OF_SOCKET,
    "sndbuf_bytes": _OF_SOCKET,
    "wake_at_bytes": (0, (1 << 31) - 1),
    "sendfile_block_bytes": (1, (1 << 31) - 1),
    "block_bytes": (1, 1 << 30),
    "transfer_bytes": (512, 1 << 30),
    "lun_bytes": (1, 1 << 50),
    "file_bytes": (1, 1 << 50),
    "request_bytes": (1, 1 << 20),
    "connections": (1, 10_000),
    "clients": (0, 10_000),
    "sessions": (1, 1000),
    "queue_depth": (1, 4096),
    "lun": (0, 16383),
    "period_us": (1, 10**9),
    "connections_max": (1, 10_000),
    "priority": (0, 99),
}
_WHOLE = (0, (1 << 63) - 1)
# of answers: the kernel's counters are unsigned, differences of them are not
_COUNT = (-(1 << 63), (1 << 64) - 1)
_TIME_S = (0.0, 1e9)

# ---------------------------------------------------------------- from a message to a line, and back

M = TypeVar("M", bound=Message)


def _below(kind: type[Message]) -> list[type[Message]]:
    found = []
    for one in kind.__subclasses__():
        found += [one, *_below(one)]
    return found


# class -> field -> type; resolved here, since a fleet's workers get these classes without their module
_TYPES: dict[type[Message], dict[str, Any]] = {}
_REQUIRED: dict[type[Message], list[str]] = {}
_KINDS: dict[str, type[Message]] = {}
for _kind in _below(Message):
    if _kind not in (Order, Answer):
        _all = get_type_hints(_kind, vars(messages))
        _TYPES[_kind] = {one.name: _all[one.name] for one in fields(_kind)}  # type: ignore[arg-type]
        _REQUIRED[_kind] = [one.name for one in fields(_kind) if one.default is MISSING]  # type: ignore[arg-type]
        _KINDS[_kind.__name__] = _kind


def digest() -> str:
    """Of every message, its fields and their types: two builds that differ in it do not understand each other."""
    import hashlib

    # types as they are written: what `typing` prints of them differs from Python to Python
    text = "\n".join(
        f"{name}: {', '.join(f'{one.name} {one.type}' for one in fields(kind))}"  # type: ignore[arg-type]
        for name, kind in sorted(_KINDS.items())
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class LineSplitter:
    """Whole lines of a stream of bytes, without their ends.

    One that is longer than `limit` comes once, as its first `limit` + 1 bytes, which `decode` refuses.
    """

    def __init__(self, limit: int = LINE_BYTES_MAX) -> None:
        self._limit = limit
        self._text = b""
        self._skipping = False

    @property
    def begun(self) -> bool:
        """Whether a line has begun that has no end yet."""
        return bool(self._text)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end with these bytes."""
        *lines, rest = data.split(b"\n")
        found = []
        for line in lines:
            if not self._skipping:
                found.append((self._text + line)[: self._limit + 1])
            self._text, self._skipping = b"", False
        if not self._skipping:
            self._text += rest
            if len(self._text) > self._limit:
                found.append(self._text[: self._limit + 1])
                self._text, self._skipping = b"", True
        return found


def encode(message: Message, number: int | None = None, limit: int = LINE_BYTES_MAX) -> bytes:
    """A message as a line, without its end.

    Args:
        number: of an order to an agent, and of the answer to it.

    Raises:
        MessageError: it is longer than a line may be, or holds a number that JSON has not.
    """
    body: dict[str, Any] = {_IS: type(message).__name__}
    if number is not None:
        body[_NUMBER] = number
    body.update(vars(message))
    try:
        line = json.dumps(body, default=vars, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise MessageError(f"{title(type(message))}: {error}") from error
    if len(line) > limit:
        raise MessageError(f"{title(type(message))} has {len(line)} bytes, more than the {limit} of a line")
    return line


def decode(line: bytes, *kinds: type[M], limit: int = LINE_BYTES_MAX) -> M:
    """The message of a line, which must be of one of these classes or below.

    Raises:
        MessageError: it is not.
    """
    return numbered(line, *kinds, limit=limit)[1]


def numbered(line: bytes, *kinds: type[M], limit: int = LINE_BYTES_MAX) -> tuple[int | None, M]:
    """The same, with its number where it has one."""
    body = _object(line, limit)
    number = body.pop(_NUMBER, None)
    if number is not None and type(number) is not int:
        raise MessageError(f"its number is {_type_of(number)}")
    try:
        return number, _of_kinds(body, kinds)
    except MessageError as error:
        error.number = number
        raise


def _of_kinds(body: dict[str, Any], kinds: tuple[type[M], ...]) -> M:
    name = body.pop(_IS, None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise MessageError(f"there is no message {_shown(name)}" if name is not None else "it does not say what it is")
    if not issubclass(kind, kinds):
        wanted = " or ".join(repr(title(one)) for one in kinds)
        raise MessageError(f"{title(kind)!r} came instead of {wanted}")
    return _message(kind, body, title(kind), strict=issubclass(kind, Order))  # type: ignore[return-value]


def greeting(line: bytes, version: str, limit: int = ENVELOPE_BYTES_MAX) -> Hello:
    """An agent's first line, where it is of this very version and build.

    Raises:
        MessageError: it is no such line.
        VersionError: it is of another version; that is found before anything else of it is read.
    """
    body = _object(line, limit)
    if body.get(_IS) != Hello.__name__ and "hello" not in body:
        raise MessageError("it is no agent's first line")
    theirs = body.get("version")
    if not isinstance(theirs, str):
        raise VersionError(f"offloadbench there is older than this one, {version}: it does not name its version")
    if theirs != version:
        raise VersionError(f"offloadbench there is {_shown(theirs)}, and here it is {version!r}")
    if body.get("messages") != digest():
        raise VersionError(f"offloadbench there is another build of {version} than this one")
    return decode(line, Hello, limit=limit)


class VersionError(MessageError):
    """The other side is of another version."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="install the same version on both hosts")


def _object(line: bytes, limit: int) -> dict[str, Any]:
    if len(line) > limit:
        raise MessageError(
            f"a line of more than {limit} bytes, which begins {_shown(line[:_SHOWN].decode(errors='replace'))}"
        )
    try:
        body = json.loads(line.decode(), object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_int_of)
    # deep nesting exhausts the parser's recursion
    except (ValueError, RecursionError) as error:
        if isinstance(error, _Repeated):
            raise MessageError(str(error)) from error
        raise MessageError(f"{_shown(line[: 2 * _SHOWN].decode(errors='replace'))} is no message") from error
    if not isinstance(body, dict):
        raise MessageError(f"{_shown(body)} is no message")
    return body


class _Repeated(ValueError):
    """A field comes twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Repeated(f"{_shown(next(one for one in names if names.count(one) > 1))} comes twice")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _int_of(text: str) -> int:
    if len(text) > _DIGITS_MAX:
        raise ValueError("a number of too many digits")
    return int(text)


def _message(kind: type[Message], body: Any, where: str, strict: bool) -> Message:
    if not isinstance(body, dict):
        raise MessageError(f"{where} is {_type_of(body)}, not an object")
    types = _TYPES[kind]
    unknown = [name for name in body if name not in types]
    if unknown:
        raise MessageError(f"{where}: no field {_shown(unknown[0])}", unknown[0][:_SHOWN])
    missing = [name for name in _REQUIRED[kind] if name not in body]
    if missing:
        raise MessageError(f"{where}: {missing[0]} is missing", missing[0])
    return kind(**{name: _value(types[name], value, f"{where}: {name}", name, strict) for name, value in body.items()})


def _value(hint: Any, value: Any, where: str, name: str, strict: bool) -> Any:
    """A value of JSON as its field's type has it.

    Args:
        name: of the field, which is that of its bounds.
        strict: whether bounds are to be kept: those of orders.
    """
    found = _plain(hint, value, where, name, strict)
    if found is not _NOTHING:
        return found
    raise MessageError(f"{where} is {_type_of(value)}, not {_named(hint)}", name)


_NOTHING = object()


def _plain(hint: Any, value: Any, where: str, name: str, strict: bool) -> Any:
    """The same; `_NOTHING` where it is of another type."""
    if hint is float or hint in (bool, int, str):
        return _scalar(hint, value, where, name, strict)
    if hint is type(None):
        return value if value is None else _NOTHING
    if isinstance(hint, type) and hint in _TYPES:
        return _message(hint, value, where, strict)
    if hint.__origin__ is Union:
        return _one_of(hint.__args__, value, where, name, strict)
    if hint.__origin__ is tuple and isinstance(value, list):
        kinds = hint.__args__
        if kinds[-1] is Ellipsis:
            kinds = kinds[:1] * len(value)
        if len(kinds) != len(value):
            raise MessageError(f"{where} has {len(value)} entries, not {len(kinds)}", name)
        pairs = enumerate(zip(kinds, value))  # noqa: B905 - not in Python 3.7, and both are as long
        return tuple(_value(one, each, f"{where}[{at}]", name, strict) for at, (one, each) in pairs)
    if hint.__origin__ is dict and isinstance(value, dict):
        return {
            _text(key, where, name, strict): _value(hint.__args__[1], each, f"{where}[{_shown(key)}]", name, strict)
            for key, each in value.items()
        }
    return _NOTHING


def _one_of(kinds: tuple[Any, ...], value: Any, where: str, name: str, strict: bool) -> Any:
    if value is None:
        return None if type(None) in kinds else _NOTHING
    for kind in kinds:
        if kind is not type(None):
            found = _plain(kind, value, where, name, strict)
            if found is not _NOTHING:
                return found
    return _NOTHING


def _scalar(hint: Any, value: Any, where: str, name: str, strict: bool) -> Any:
    if hint is float and type(value) in (int, float):
        if not math.isfinite(value):
            raise MessageError(f"{where} is no number", name)
        # a time of an order that is none would be waited for
        if strict and name.endswith("_s") and not _TIME_S[0] <= value <= _TIME_S[1]:
            raise _out_of_bounds(where, value, _TIME_S, name)
        # kept as it came: a whole number of a table of numbers stays one
        return value
    if type(value) is not hint:
        return _NOTHING
    if hint is int:
        bounds = _BOUNDS.get(name, _WHOLE) if strict else _COUNT
        if not bounds[0] <= value <= bounds[1]:
            raise _out_of_bounds(where, value, bounds, name)
    if hint is str:
        _text(value, where, name, strict)
    return value


def _out_of_bounds(where: str, value: float, bounds: tuple[float, float], name: str) -> MessageError:
    low, high = bounds
    return MessageError(
        f"{where} is {value}, not from {low:.20g} to {high:.20g}", name, "give a value within these bounds"
    )


def _text(value: str, where: str, name: str, strict: bool) -> str:
    """Text that the kernel can be given: no NUL ends it early."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise MessageError(f"{where} holds what is no text", name) from error
    if strict and "\0" in value:
        raise MessageError(f"{where} holds a NUL", name)
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _type_of(value: object) -> str:
    """A value's type in the words of JSON; never the value, which may be a password."""
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "null")


def _named(hint: Any) -> str:
    """A field's type in the same words."""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "null"}
    if hint in names:
        return names[hint]
    if isinstance(hint, type) and hint in _TYPES:
        return "an object"
    if hint.__origin__ is Union:
        return " or ".join(_named(one) for one in hint.__args__)
    return "a list" if hint.__origin__ is tuple else "an object"
