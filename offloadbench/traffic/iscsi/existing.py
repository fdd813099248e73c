"""An existing target, which this program has not started: where it is, who logs in, and what may be overwritten.

Everything is read from the workload's parameters; a secret from a file or the environment, never from the command
line, where every user of the machine could see it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from offloadbench.base.errors import UsageError
from offloadbench.base.units import format_bytes, parse_size_bytes
from offloadbench.traffic.iscsi import scsi

DEFAULT_PORT = 3260
FREE = "free"
# parameters that are of an existing target only, beside `target`
OPTIONS = ("lun", "lun_start", "overwrite", "confirm", "initiator_name", "chap_file")
USER_VARIABLE, PASSWORD_VARIABLE = "OFFLOADBENCH_CHAP_USER", "OFFLOADBENCH_CHAP_PASSWORD"
_INITIATOR_NAME = "iqn.2004-01.org.offloadbench:initiator"
_FORM = "write HOST[:PORT]/NAME, as 192.0.2.9/iqn.2003-01.org.example:disk or [2001:db8::9]:3260/iqn..."
# RFC 7143, 4.2.7: a date and a reversed domain; 16 hexadecimal digits; 16 or 32 of them
_NAMES = re.compile(
    r"iqn\.\d{4}-(0[1-9]|1[0-2])\.[a-z0-9.-]+(:[^\s/]+)?|eui\.[0-9a-f]{16}|naa\.([0-9a-f]{16}|[0-9a-f]{32})",
    re.IGNORECASE,
)
_NAME_BYTES_MAX = 223
_HOST = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?", re.IGNORECASE
)
_ALIGNED_BYTES = 4096
_SECRET_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Portal:
    """Where an existing target is, and its name.

    Attributes:
        host: a name, an IPv4 address, or an IPv6 address without its brackets.
    """

    host: str
    port: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} at {f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """For CHAP; both empty without."""

    user: str = ""
    password: str = ""


def parse_portal(text: str) -> Portal:
    """`HOST[:PORT]/NAME`, with an IPv6 address in brackets.

    Raises:
        UsageError: something else; the message says which part.
    """
    where, slash, name = text.partition("/")
    if not slash:
        raise _wrong(text, "no / between host and name")
    if len(name.encode()) > _NAME_BYTES_MAX or not _NAMES.fullmatch(name):
        raise _wrong(text, f"{name[:64]!r} is no name of a target (iqn., eui. or naa., RFC 7143, 4.2.7)")
    if where.startswith("["):
        host, bracket, rest = where[1:].partition("]")
        try:
            host = str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise _wrong(text, f"[{host[:64]}] is no IPv6 address") from error
        if "%" in host:
            raise _wrong(text, "an address with a scope belongs to one link only; use a global one")
        if not bracket or (rest and not rest.startswith(":")):
            raise _wrong(text, "the brackets around the address are not closed before the port")
        port = rest.removeprefix(":") if rest else str(DEFAULT_PORT)
    else:
        if where.count(":") > 1:
            raise _wrong(text, "an IPv6 address stands in brackets")
        host, colon, port = where.partition(":")
        port = port if colon else str(DEFAULT_PORT)
        if not _is_host(host):
            raise _wrong(text, f"{host[:64]!r} is neither a host name nor an address")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise _wrong(text, f"{port[:16]!r} is no port")
    return Portal(host, int(port), name)


def _is_host(host: str) -> bool:
    if re.fullmatch(r"[\d.]+", host):
        try:
            return bool(ipaddress.IPv4Address(host))
        except ValueError:
            return False
    return bool(_HOST.fullmatch(host))


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(f"target={text[:300]!r}: {why}", _FORM)


def credentials(path: str, environment: Mapping[str, str]) -> Credentials:
    """Who logs in by CHAP: the two lines `user=...` and `password=...` of a file, or two variables.

    Raises:
        UsageError: the file can be read by others, or either source is incomplete.
    """
    if path:
        return _from_file(Path(path))
    user, password = environment.get(USER_VARIABLE, ""), environment.get(PASSWORD_VARIABLE, "")
    if bool(user) != bool(password):
        missing = PASSWORD_VARIABLE if user else USER_VARIABLE
        raise UsageError(f"CHAP: {missing} is not set, and the other variable is", f"set {missing} too, or neither")
    return _checked(user, password, "the environment") if user else Credentials()


def _from_file(path: Path) -> Credentials:
    hint = "two lines, user=NAME and password=SECRET, in a file of your own with mode 0600"
    try:
        # looked at and read by one descriptor: what is checked is what is read
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"chap_file={path}: {error.strerror}", hint) from error
    state = os.fstat(number)
    if not stat.S_ISREG(state.st_mode):
        os.close(number)
        raise UsageError(f"chap_file={path}: not a file", hint)
    with os.fdopen(number, "rb") as stream:
        if state.st_mode & 0o077:
            raise UsageError(f"chap_file={path}: its mode {state.st_mode & 0o777:04o} lets others in", "chmod 600 it")
        if state.st_uid not in (0, os.geteuid()):
            raise UsageError(f"chap_file={path}: it belongs to another user", hint)
        data = stream.read(_SECRET_BYTES_MAX + 1)
    pairs = [line.partition("=") for line in data.decode(errors="replace").splitlines() if line.strip()]
    keys = sorted(key.strip() for key, _, _ in pairs)
    if len(data) > _SECRET_BYTES_MAX or keys != ["password", "user"]:
        raise UsageError(f"chap_file={path}: not the two lines that are expected", hint)
    values = {key.strip(): value.strip() for key, _, value in pairs}
    return _checked(values["user"], values["password"], f"chap_file={path}")


def _checked(user: str, password: str, source: str) -> Credentials:
    """Text values of a login are UTF-8 without control characters (RFC 7143, 6.1)."""
    for what, text in (("user", user), ("password", password)):
        if not text or not text.isprintable() or len(text.encode()) > 255:
            raise UsageError(f"CHAP: the {what} of {source} is empty, too long, or not printable", "see the target")
    return Credentials(user, password)


@dataclass(frozen=True, slots=True)
class Existing:
    """What a workload says about an existing target.

    Attributes:
        start_bytes: where on the LUN the load begins; None: beyond what the file system uses.
        overwrite: the first of the two consents; confirm: the second, the device's serial number or size, or empty.
    """

    portal: Portal
    lun: int
    start_bytes: int | None
    overwrite: bool
    confirm: str
    initiator_name: str
    credentials: Credentials


def parse(parameters: Mapping[str, object], workload: str, environment: Mapping[str, str]) -> Existing | None:
    """The existing target of a workload, None where it has none.

    Raises:
        UsageError: a value is wrong, missing, or of no use without a target.
    """
    values = {key: _text(parameters, key, workload) for key in ("target", *OPTIONS)}
    if not values["target"]:
        idle = [key for key in OPTIONS if values[key] != (FREE if key == "lun_start" else "")]
        if idle:
            raise UsageError(
                f"workload {workload}: {idle[0]} is of an existing target, and none is named",
                f"--set target=HOST[:PORT]/IQN, or leave {idle[0]} out",
            )
        return None
    if values["overwrite"] not in ("", "yes"):
        raise UsageError(
            f"workload {workload}: overwrite={values['overwrite'][:32]}", "write overwrite=yes, or leave it out"
        )
    if values["initiator_name"] and not _NAMES.fullmatch(values["initiator_name"]):
        raise UsageError(
            f"workload {workload}: initiator_name={values['initiator_name'][:64]!r} is no iSCSI name",
            "the name that the target's access list has: iqn.1993-08.org.debian:01:abc",
        )
    return Existing(
        portal=parse_portal(values["target"]),
        lun=_lun(values["lun"], workload),
        start_bytes=_start(values["lun_start"], workload),
        overwrite=values["overwrite"] == "yes",
        confirm=values["confirm"],
        initiator_name=values["initiator_name"] or _INITIATOR_NAME,
        credentials=credentials(values["chap_file"], environment),
    )


def _text(parameters: Mapping[str, object], key: str, workload: str) -> str:
    """A value as text; a file may have a number where the command line has its digits."""
    # runs and definitions of before these parameters existed have no target but the run's own
    value = parameters.get(key, FREE if key == "lun_start" else "")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError(f"workload {workload}: {key} = {value!r}", "write it in quotes")
    return str(value)


def _lun(text: str, workload: str) -> int:
    if not text:
        raise UsageError(
            f"workload {workload}: which LUN of the target is to be used is not said", "--set lun=0: never guessed"
        )
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < scsi.LUNS):
        raise UsageError(f"workload {workload}: lun={text[:16]!r}", f"write a whole number from 0 to {scsi.LUNS - 1}")
    return int(text)


def _start(text: str, workload: str) -> int | None:
    if text == FREE:
        return None
    start = parse_size_bytes(text)
    if start % _ALIGNED_BYTES:
        raise UsageError(
            f"workload {workload}: lun_start={text}: no multiple of {format_bytes(_ALIGNED_BYTES)}",
            f"write {FREE}, or an offset such as 64GiB",
        )
    return start
