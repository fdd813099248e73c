"""Messages between processes: what goes there and back, what is refused, and what each role says to a broken order."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import os
import select
import subprocess
import sys
import threading
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offloadbench.base.errors import TrafficError
from offloadbench.bed.remote import sources
from offloadbench.roles import codec, messages, orders
from offloadbench.roles.codec import LineSplitter, MessageError, decode, encode, numbered
from offloadbench.roles.ends import ProcessRole, python_role
from offloadbench.roles.messages import (
    Answer,
    CountNow,
    Failed,
    FtpServerReady,
    InitiatorReady,
    InspectUnit,
    Message,
    MonitorReady,
    OpenFtpClients,
    OpenFtpServer,
    OpenInitiator,
    OpenMonitor,
    OpenProbeServer,
    OpenSender,
    OpenSink,
    OpenTarget,
    OpenWire,
    Order,
    PassLine,
    ProbeServerReady,
    ServeFlight,
    SetSysctls,
    SinkListening,
    SysctlsSet,
    TargetReady,
    UnitInspected,
    UnitLogin,
    WireReady,
)
from offloadbench.roles.orders import Desk, refusing

KINDS = sorted(codec._KINDS.values(), key=lambda kind: kind.__name__)
ORDERS = [kind for kind in KINDS if issubclass(kind, Order)]


def _values(hint: Any, name: str, *, order: bool) -> st.SearchStrategy[Any]:
    """Values of a field's type, within its bounds."""
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(*(codec._BOUNDS.get(name, codec._WHOLE) if order else codec._COUNT))
    if hint is float:
        low, high = codec._TIME_S if order and name.endswith("_s") else (None, None)
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if hint is str:
        return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
    if hint is type(None):
        return st.none()
    if isinstance(hint, type):
        return _made(hint, order=order)
    arms = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Union:
        return st.one_of([_values(one, name, order=order) for one in arms])
    if typing.get_origin(hint) is dict:
        return st.dictionaries(_values(str, name, order=order), _values(arms[1], name, order=order), max_size=3)
    assert typing.get_origin(hint) is tuple
    if arms[-1] is Ellipsis:
        return st.lists(_values(arms[0], name, order=order), max_size=3).map(tuple)
    return st.tuples(*(_values(one, name, order=order) for one in arms))


def _made(kind: type[Message], *, order: bool) -> st.SearchStrategy[Message]:
    types = codec._TYPES[kind]
    return st.builds(kind, **{name: _values(hint, name, order=order) for name, hint in types.items()})


MESSAGES = st.one_of([_made(kind, order=issubclass(kind, Order)) for kind in KINDS])

# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_message_goes_there_and_back(kind: type[Message]) -> None:
    @settings(max_examples=25, deadline=None)
    @given(_made(kind, order=issubclass(kind, Order)), st.none() | st.integers(0, 1 << 40))
    def check(message: Message, number: int | None) -> None:
        line = encode(message, number)
        assert b"\n" not in line
        found = numbered(line, kind)
        assert found == (number, message)
        assert type(found[1]) is kind

    check()


@given(st.lists(MESSAGES, max_size=4), st.data())
@settings(max_examples=50, deadline=None)
def test_lines_are_whole_however_the_stream_is_cut(sent: list[Message], data: st.DataObject) -> None:
    stream = b"".join(encode(one) + b"\n" for one in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    splitter = LineSplitter()
    lines: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        lines += splitter.feed(stream[start:end])
    assert [decode(line, Message) for line in lines] == sent
    assert not splitter.begun


@given(st.lists(st.integers(0, 40), max_size=6), st.integers(1, 7))
def test_a_line_that_is_too_long_comes_once_and_short(sizes: list[int], step: int) -> None:
    stream = b"".join(b"x" * size + b"\n" for size in sizes)
    splitter = LineSplitter(16)
    lines = [line for at in range(0, len(stream), step) for line in splitter.feed(stream[at : at + step])]
    assert [len(line) for line in lines] == [min(size, 17) for size in sizes]


def test_a_password_is_not_printed() -> None:
    for kind in KINDS:
        for one in dataclasses.fields(kind):  # type: ignore[arg-type]
            assert one.repr is (one.name != "password"), kind
    shown = repr(UnitLogin("a", 1, "t", "i", "u", 1, {}, "", 0, 0, 1.0, password="very secret"))
    assert "'u'" in shown
    assert "secret" not in shown


def test_every_order_says_what_it_is_for() -> None:
    unanswered = {"PassLine", "ShutRole", "SignalRole"}
    assert [kind.__name__ for kind in ORDERS if not kind.doing and kind.__name__ not in unanswered] == []


def test_messages_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CountNow().doing = "nothing"


# ---------------------------------------------------------------- what is refused

_SINK = {"is": "OpenSink", "address": "192.0.2.1", "connections": 1, "window_bytes": 0, "wake_at_bytes": 1}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "is no message"),
        (b"{", "is no message"),
        (b"\xff\xfe", "is no message"),
        (b"[1]", "is no message"),
        (b"null", "is no message"),
        (b"[" * 100_000, "is no message"),
        (b'{"is": 1e999}', "there is no message inf"),
        (b"{}", "it does not say what it is"),
        (b'{"is": null}', "it does not say what it is"),
        (b'{"is": "Bogus"}', "there is no message 'Bogus'"),
        (b'{"is": "' + b"B" * 5000 + b'"}', "there is no message 'BBB"),
        (b'{"is": ["OpenSink"]}', "there is no message"),
        (b'{"is": "CountNow"}', "'count now' came instead of 'open sink'"),
        (b'{"is": "Message"}', "there is no message 'Message'"),
        (json.dumps(_SINK | {"n": "1"}).encode(), "its number is a text"),
        (json.dumps(_SINK | {"colour": "red"}).encode(), "open sink: no field 'colour'"),
        (json.dumps({key: value for key, value in _SINK.items() if key != "address"}).encode(), "address is missing"),
        (b'{"is": "OpenSink", "address": "a", "address": "b"}', "'address' comes twice"),
        (json.dumps(_SINK | {"address": 7}).encode(), "address is a whole number, not a text"),
        (json.dumps(_SINK | {"address": "a\0b"}).encode(), "address holds a NUL"),
        (json.dumps(_SINK | {"address": "\ud800"}).encode(), "address holds what is no text"),
        (json.dumps(_SINK | {"connections": True}).encode(), "connections is true or false, not a whole number"),
        (json.dumps(_SINK | {"connections": 1.0}).encode(), "connections is a number, not a whole number"),
        (json.dumps(_SINK | {"connections": 0}).encode(), "connections is 0, not from 1 to"),
        (json.dumps(_SINK | {"window_bytes": 1 << 40}).encode(), "window_bytes is 1099511627776, not from 0 to"),
        (json.dumps(_SINK | {"window_bytes": -1}).encode(), "window_bytes is -1, not from 0"),
        (b'{"is": "OpenSink", "window_bytes": 1' + b"0" * 5000 + b"}", "is no message"),
        (b'{"is": "OpenSink", "window_bytes": NaN}', "is no message"),
        (b'{"is": "OpenSink"}' + b" " * (1 << 20), "a line of more than 1048576 bytes"),
    ],
    ids=range(29),
)
def test_a_line_that_is_no_order_is_one_clear_sentence(line: bytes, says: str) -> None:
    with pytest.raises(MessageError) as caught:
        decode(line, OpenSink)
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 250


def test_what_is_refused_names_its_parameter() -> None:
    with pytest.raises(MessageError) as caught:
        decode(json.dumps(_SINK | {"window_bytes": -1}).encode(), OpenSink)
    assert caught.value.parameter == "window_bytes"
    login = UnitLogin("a", 1, "t", "i", "u", 1, {}, "", 0, 0, 1.0, password="p")
    body = json.loads(encode(InspectUnit(login, 0.0)))
    body["login"]["port"] = 65536
    with pytest.raises(MessageError, match="inspect unit: login: port is 65536, not from 1 to 65535") as caught:
        decode(json.dumps(body).encode(), InspectUnit)
    assert caught.value.parameter == "port"


def test_no_value_of_a_field_is_repeated_where_it_is_of_another_type() -> None:
    body = json.loads(encode(OpenFtpClients("a", 1, "u", 1, (), 1, 0, 1, "copy", password="very secret")))
    body["password"] = ["very secret"]
    with pytest.raises(MessageError) as caught:
        decode(json.dumps(body).encode(), OpenFtpClients)
    assert caught.value.message == "open ftp clients: password is a list, not a text"


@given(MESSAGES, st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_line_is_a_message_or_refused(message: Message, data: st.DataObject) -> None:
    line = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(line) - 1))
        line[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        found = decode(bytes(line), Message)
    except MessageError as error:
        assert "\n" not in error.message
    else:
        assert decode(encode(found), Message) == found


def _holding(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.text(max_size=5) | st.sampled_from(["is", "n", "address"])
    return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), _holding, max_leaves=8))
@settings(max_examples=100, deadline=None)
def test_any_json_is_a_message_or_refused(value: object) -> None:
    with pytest.raises(MessageError):
        decode(json.dumps(value).encode(), Message)


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(MessageError, match=r"pass line has \d+ bytes, more than the 1048576 of a line"):
        encode(PassLine(1, "x" * (1 << 20)))


# ---------------------------------------------------------------- one border


PACKAGE = Path(codec.__file__).parents[1]


def test_the_modules_of_messages_need_the_standard_library_of_python_3_7_only() -> None:
    for module in ("messages", "codec", "orders"):
        text = (PACKAGE / "roles" / f"{module}.py").read_text()
        ast.parse(text, feature_version=(3, 7))
        for name in sources.imported(text):
            root = name.partition(".")[0]
            assert root in sys.stdlib_module_names or name.startswith("offloadbench.roles"), (module, name)
    assert not any("offloadbench" in name for name in sources.imported(Path(messages.__file__).read_text()))


def test_types_of_messages_are_those_that_python_3_7_evaluates() -> None:
    for kind in KINDS:
        for one in dataclasses.fields(kind):  # type: ignore[arg-type]
            assert not any(word in str(one.type) for word in ("list[", "dict[", "tuple[", " | ")), (kind, one.name)


def test_orders_and_answers_are_made_of_json_in_one_place() -> None:
    """Whatever else would read or write them would be a border that mypy does not see."""
    rooms = ("roles", "traffic", "bed", "engine/probe", "engine/sender", "engine/standing_lab", "kernel/tcp")
    using = [
        path.relative_to(PACKAGE).as_posix()
        for room in rooms
        for path in sorted((PACKAGE / room).rglob("*.py"))
        if "json" in sources.imported(path.read_text()) or '"event":' in path.read_text() or '{"do"' in path.read_text()
    ]
    # the digests of served files, and what a role's process begins with
    assert using == ["roles/codec.py", "traffic/files.py", "bed/remote/child.py"]


# ---------------------------------------------------------------- each role, and broken orders

Start = Callable[[str], ProcessRole]


@pytest.fixture
def start() -> Iterator[Start]:
    roles: list[ProcessRole] = []

    def begin(module: str) -> ProcessRole:
        def process(stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
            return subprocess.Popen(python_role(f"offloadbench.{module}"), stdin=stdin, stdout=stdout, stderr=stderr)

        roles.append(ProcessRole("the role", process, "ssh://loader"))
        return roles[-1]

    yield begin
    for role in roles:
        role.close()


ROLES = {
    "traffic.stream.sink": "OpenSink",
    "traffic.stream.stream_sender": "OpenSender",
    "traffic.ftp.ftp_server": "OpenFtpServer",
    "traffic.ftp.ftp_clients": "OpenFtpClients",
    "traffic.iscsi.target": "OpenTarget",
    "traffic.iscsi.initiator": "OpenInitiator",
    "traffic.iscsi.kernel_initiator": "OpenInitiator",
    "traffic.iscsi.inspection": "InspectUnit",
    "bed.wire": "OpenWire",
    "bed.remote.sysctls": "SetSysctls",
    "roles.monitor_role": "OpenMonitor",
    "engine.probe.probe_server": "OpenProbeServer",
}


def test_every_role_of_the_package_is_fed() -> None:
    found = {
        path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in PACKAGE.rglob("*.py")
        if "roles.orders import" in path.read_text() and 'if __name__ == "__main__"' in path.read_text()
    }
    # its starter reads a reply of its own kind: tests/unit/test_lab_command.py
    assert found - {"engine.standing_lab.keeper"} == set(ROLES)


BROKEN = [
    (b"rubbish\n", "'rubbish' is no message"),
    (b'{"do": "mark"}\n', "it does not say what it is"),
    (b'{"is": "Bogus", "a": 1}\n', "there is no message 'Bogus'"),
    (b'{"is": "Failed", "message": "x"}\n', "'failed' came instead of"),
    (b'{"is": "%s", "colour": 1}\n', "no field 'colour'"),
    (b'{"is": "%s"}\n', "is missing"),
    (b"x" * (3 << 20) + b"\n", "a line of more than 1048576 bytes"),
]


@pytest.mark.parametrize("module", ROLES)
def test_a_broken_order_is_one_clear_answer_and_never_a_traceback(start: Start, module: str) -> None:
    # which line is at fault makes no difference between roles, but how it is read may
    fed = [(start(module), line, says) for line, says in BROKEN[:: len(BROKEN) // 3]]
    for role, line, _ in fed:
        # a role that has refused what came so far takes no more
        with contextlib.suppress(BrokenPipeError):
            role._write(line.replace(b"%s", ROLES[module].encode()))
    for role, _, says in fed:
        with pytest.raises(TrafficError) as caught:
            role.receive(SinkListening, 60)
        assert caught.value.message.startswith("the role (ssh://loader): ")
        assert says in caught.value.message
        assert "\n" not in caught.value.message
        role.close()
        assert role._process.returncode == 0


class Pipes:
    """A desk of this process, and its other side."""

    def __init__(self) -> None:
        read, self.orders = os.pipe()
        self.answers, write = os.pipe()
        self.desk = Desk(reading=read, writing=write)
        self._open = [read, self.orders, self.answers, write]

    def said(self) -> list[Answer]:
        return [decode(line, Answer) for line in os.read(self.answers, 1 << 16).splitlines()]

    def close(self) -> None:
        for number in self._open:
            os.close(number)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    made.close()


@pytest.mark.parametrize(("line", "says"), BROKEN)
def test_a_desk_answers_a_broken_order_once_and_takes_the_next(pipes: Pipes, line: bytes, says: str) -> None:
    desk = pipes.desk
    desk.on(OpenSink, lambda order: SinkListening(order.connections))
    good = encode(OpenSink("a", 7, 0, 1)) + b"\n"
    writer = threading.Thread(target=os.write, args=(pipes.orders, line.replace(b"%s", b"OpenSink") + good))
    writer.start()
    found: list[Answer] = []
    while len(found) < 2:
        desk.take()
        found += pipes.said() if select.select([pipes.answers], [], [], 0)[0] else []
    writer.join()
    failed, listening = found
    assert isinstance(failed, Failed)
    assert says in failed.message
    assert listening == SinkListening(7)
    assert not desk.over


def test_a_desk_tells_what_an_order_meets_and_goes_on(pipes: Pipes) -> None:
    def follow(order: OpenSink) -> Answer:
        with refusing("window_bytes", order.window_bytes, "a hint"):
            raise PermissionError(1, "Operation not permitted")

    pipes.desk.on(OpenSink, follow)
    pipes.desk.on(CountNow, lambda order: 1 // 0)  # type: ignore[arg-type,return-value]
    os.write(pipes.orders, encode(OpenSink("a", 1, 5, 1)) + b"\n")
    pipes.desk.poll()
    assert pipes.said() == [Failed("window_bytes = 5: Operation not permitted", "a hint", "window_bytes")]
    # a bug is no refusal: it ends the role with its traceback
    os.write(pipes.orders, encode(CountNow()) + b"\n")
    with pytest.raises(ZeroDivisionError):
        pipes.desk.poll()


def test_a_desk_does_not_wait_for_ever(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MessageError, match="no order came within 0 s"):
        pipes.desk.first(OpenSink, timeout_s=0.05)
    monkeypatch.setattr(orders, "HALF_LINE_S", 0.05)
    os.write(pipes.orders, b'{"is": "Open')
    pipes.desk.serve(every_s=0.02)
    assert pipes.desk.over
    (failed,) = pipes.said()
    assert isinstance(failed, Failed)
    assert "an order began, and did not end" in failed.message


def test_a_desk_ends_with_its_engine(pipes: Pipes) -> None:
    looked = []
    os.write(pipes.orders, encode(CountNow()) + b"\n")
    pipes.desk.on(CountNow, lambda order: SinkListening(1))
    closing = threading.Timer(0.1, lambda: os.dup2(os.open(os.devnull, os.O_RDONLY), pipes.orders))
    closing.start()
    pipes.desk.serve(look=lambda: looked.append(1), every_s=0.01)
    closing.join()
    assert pipes.desk.over
    assert looked
    assert pipes.said() == [SinkListening(1)]


def _login(**changes: Any) -> UnitLogin:
    return dataclasses.replace(
        UnitLogin("127.0.0.1", 1, "iqn.t", "iqn.i", "", 1, {}, "", 0, 0, 1.0, password=""), **changes
    )


_SERVER = OpenFtpServer("127.0.0.1", "/", (), "u", "reno", 65536, 40000, 40999, password="p")
_CLIENTS = OpenFtpClients("127.0.0.1", 1, "u", 1, ("f",), 1, 0, 1, "kernel", password="p")
_TARGET = OpenTarget("127.0.0.1", "iqn.t", "iqn.i", "u", "null", 1 << 20, 0, "", {}, password="p")
_LOAD = OpenInitiator(_login(), "s", 1, "write", 4096, 1, False, False, 1 << 20, 0)
_MONITOR = OpenMonitor(1000, 0, "", 0, 1, 0, "dut", 10)
_LINK = {"line_rate_bits_per_s": 1, "rtt_s": 0.0, "queue_bytes": 0, "loss_ratio": 0.0, "loss_seed": 0}


@pytest.mark.parametrize(
    ("module", "order", "kind", "says"),
    [
        ("traffic.stream.sink", OpenSink("192.0.2.77", 1, 0, 1), SinkListening, "address = '192.0.2.77': Cannot"),
        ("traffic.stream.sink", OpenSink("127.0.0.1", 0, 0, 1), SinkListening, "connections is 0, not from 1 to"),
        ("traffic.stream.stream_sender", OpenSender("127.0.0.1", 1, 1, 1, "bogus", 0), SinkListening,
         "congestion_control = 'bogus': No such file or directory"),
        ("traffic.stream.stream_sender", OpenSender("127.0.0.1", 1, 1, 1, "reno", 0), SinkListening,
         "connecting to 127.0.0.1:1: Connection refused"),
        ("traffic.stream.stream_sender", OpenSender("127.0.0.1", 70000, 1, 1, "reno", 0), SinkListening,
         "port is 70000, not from 1 to 65535"),
        ("traffic.ftp.ftp_server", dataclasses.replace(_SERVER, folder="/no/such"), FtpServerReady,
         "folder = '/no/such': there is no such folder"),
        ("traffic.ftp.ftp_server", dataclasses.replace(_SERVER, files=("a", "gone.bin")), FtpServerReady,
         "files = '2 of /': /a: No such file or directory"),
        ("traffic.ftp.ftp_server", dataclasses.replace(_SERVER, congestion_control="bogus"), FtpServerReady,
         "congestion_control = 'bogus': No such file"),
        ("traffic.ftp.ftp_server", dataclasses.replace(_SERVER, last_passive_port=30000), FtpServerReady,
         "first_passive_port = 40000: above 30000"),
        ("traffic.ftp.ftp_server", dataclasses.replace(_SERVER, sendfile_block_bytes=0), FtpServerReady,
         "sendfile_block_bytes is 0, not from 1 to"),
        ("traffic.ftp.ftp_clients", dataclasses.replace(_CLIENTS, discard="keep"), FtpServerReady,
         "discard = 'keep': there is no such way"),
        ("traffic.ftp.ftp_clients", dataclasses.replace(_CLIENTS, files=()), FtpServerReady, "there is nothing to ask"),
        ("traffic.ftp.ftp_clients", _CLIENTS, FtpServerReady, "Connection refused"),
        ("traffic.iscsi.target", dataclasses.replace(_TARGET, backing="/no/such"), TargetReady,
         "backing = '/no/such': no such folder"),
        ("traffic.iscsi.target", dataclasses.replace(_TARGET, backing="here"), TargetReady,
         "backing = 'here': no whole path"),
        ("traffic.iscsi.target", dataclasses.replace(_TARGET, backing="/proc"), TargetReady, "backing = '/proc': "),
        ("traffic.iscsi.initiator", dataclasses.replace(_LOAD, operation="erase"), InitiatorReady,
         "operation = 'erase': there is none such"),
        ("traffic.iscsi.initiator", _LOAD, InitiatorReady, "session 1: .*refused"),
        ("traffic.iscsi.kernel_initiator", dataclasses.replace(_LOAD, operation="erase"), InitiatorReady,
         "operation = 'erase': there is none such"),
        ("traffic.iscsi.inspection", InspectUnit(_login(), 0.0), UnitInspected, "refused"),
        ("bed.wire", OpenWire((("no-such-namespace", "x"), ("no-such-namespace", "y")), _LINK), WireReady,
         "taps = 'x in no-such-namespace': /run/netns/no-such-namespace: No such file or directory"),
        ("roles.monitor_role", dataclasses.replace(_MONITOR, side="left"), MonitorReady, "side = 'left': there is"),
        ("roles.monitor_role", dataclasses.replace(_MONITOR, period_us=0), MonitorReady, "period_us is 0, not from 1"),
        ("bed.remote.sysctls", SetSysctls({"no.such": "1"}, {}), SysctlsSet,
         "no.such = '1': this kernel has no such sysctl"),
    ],
)  # fmt: skip
def test_each_role_checks_its_parameters_where_it_runs_and_the_refusal_names_host_and_parameter(
    start: Start, module: str, order: Order, kind: type[Answer], says: str
) -> None:
    with pytest.raises(TrafficError, match=f"^the role \\(ssh://loader\\): .*{says}") as caught:
        start(module).request(order, kind, 60)
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_a_role_goes_on_after_an_order_that_it_refuses(start: Start) -> None:
    role = start("engine.probe.probe_server")
    role.request(OpenProbeServer("127.0.0.1"), ProbeServerReady, 60)
    with pytest.raises(TrafficError, match="congestion_control = 'bogus'"):
        role.request(ServeFlight("bogus", 0, ((1,),), 1), messages.FlightListening, 20)
    role._write(b"rubbish\n")
    with pytest.raises(TrafficError, match="'rubbish' is no message"):
        role.receive(messages.FlightListening, 20)
    assert role.request(ServeFlight("reno", 0, ((1,),), 1), messages.FlightListening, 20).port > 0


def test_a_role_without_an_engine_ends_without_a_word(start: Start) -> None:
    playing = {module: start(module) for module in ROLES}
    for module, role in playing.items():
        role.close(grace_s=60.0)
        assert role._process.returncode == 0, module


def test_failed_says_only_what_it_must() -> None:
    assert decode(b'{"is":"Failed","message":"x"}', Failed) == Failed("x")
    assert os.linesep not in encode(Failed("a\nb")).decode()
