"""The full feature phase against a scripted target: data, windows, pings, and everything that can go wrong."""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from offloadbench.traffic.iscsi import pdu, scsi
from offloadbench.traffic.iscsi.command import Command, after
from offloadbench.traffic.iscsi.login import Negotiated
from offloadbench.traffic.iscsi.pdu import FINAL, RESERVED_TAG, IscsiError, Opcode
from tests.unit.iscsi_target import INITIATOR_TIMEOUT_S, Script, ScriptedTarget, Stage

Play = Callable[..., Stage]
PAYLOAD = bytes(range(256)) * 16
UNIT_ATTENTION = struct.pack(">H", 18) + bytes([0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0])
NO_SPACE = struct.pack(">H", 18) + bytes([0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0C, 0, 0, 0, 0, 0])
NOT_READY = struct.pack(">H", 8) + bytes([0x72, 2, 4, 1, 0, 0, 0, 0])


def _limits(**changes: int | bool) -> Negotiated:
    values: dict[str, int | bool] = {
        "header_digest": False,
        "data_digest": False,
        "initial_r2t": False,
        "immediate_data": True,
        "first_burst_bytes": 4096,
        "max_burst_bytes": 4096,
        "max_send_segment_bytes": 1024,
        "max_receive_segment_bytes": 1 << 20,
        "cmd_sn": 1,
        "max_cmd_sn": 8,
        "exp_stat_sn": 1,
    }
    return Negotiated(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def play() -> Iterator[Play]:
    stages: list[Stage] = []

    def start(script: Script, **changes: int | bool) -> Stage:
        stages.append(Stage(script, _limits(**changes)))
        return stages[-1]

    yield start
    for stage in stages:
        stage.close()


def _write() -> Command:
    return Command(scsi.write_16(5, 8, fua=False), 1, write=memoryview(PAYLOAD))


def _read(size: int = 4096) -> Command:
    return Command(scsi.read_16(5, 8, fua=True), 1, read=memoryview(bytearray(size)))


def _nothing() -> Command:
    return Command(scsi.test_unit_ready(), 1)


@pytest.mark.parametrize(("a", "b", "expected"), [(2, 1, True), (1, 1, False), (0, 0xFFFFFFFF, True), (1, 2, False)])
def test_sequence_numbers_wrap(a: int, b: int, expected: bool) -> None:
    assert after(a, b) is expected


# ---------------------------------------------------------------- data to the target


def _collect(target: ScriptedTarget, tag: int, start: int, end: int) -> bytes:
    """A burst of Data-Out, its numbers checked."""
    data = b""
    for number in range((end - start) // 1024):
        received = target.take(Opcode.DATA_OUT)
        header = received.header
        assert header.transfer_tag == tag
        assert header.sequence == number
        assert header.offset == start + len(data)
        data += bytes(received.data)
        assert bool(header.flags & FINAL) == (start + len(data) == end)
    return data


def test_a_write_within_the_first_burst_goes_without_asking(play: Play) -> None:
    def script(target: ScriptedTarget) -> None:
        command = target.take(Opcode.SCSI_COMMAND)
        header = command.header
        assert header.flags == pdu.WRITE | pdu.SIMPLE_TASK
        assert header.transfer_tag == len(PAYLOAD)
        assert header.lun == 1 << 48
        assert bytes(command.data) + _collect(target, RESERVED_TAG, 1024, 4096) == PAYLOAD
        target.respond(command)

    stage = play(script)
    assert stage.session.call(_write()).failure() == ""
    assert stage.session.sent_bytes == len(PAYLOAD)


def test_a_write_of_one_segment_is_final(play: Play) -> None:
    def script(target: ScriptedTarget) -> None:
        command = target.take(Opcode.SCSI_COMMAND)
        assert command.header.flags & FINAL
        assert bytes(command.data) == PAYLOAD
        target.respond(command)

    assert play(script, max_send_segment_bytes=8192).session.call(_write()).failure() == ""


@pytest.mark.parametrize("immediate", [True, False])
def test_after_the_immediate_data_the_target_asks_burst_by_burst(play: Play, immediate: bool) -> None:
    def script(target: ScriptedTarget) -> None:
        command = target.take(Opcode.SCSI_COMMAND)
        assert command.header.flags & FINAL
        data = bytes(command.data)
        assert len(data) == (1024 if immediate else 0)
        number = 0
        while len(data) < len(PAYLOAD):
            length = min(2048, len(PAYLOAD) - len(data))
            target.r2t(command, number, len(data), length)
            data += _collect(target, 0x77, len(data), len(data) + length)
            number += 1
        assert data == PAYLOAD
        target.respond(command)

    stage = play(script, initial_r2t=True, immediate_data=immediate, max_burst_bytes=2048)
    assert stage.session.call(_write()).failure() == ""


def test_without_immediate_data_the_first_burst_follows_the_command(play: Play) -> None:
    def script(target: ScriptedTarget) -> None:
        command = target.take(Opcode.SCSI_COMMAND)
        assert not command.header.flags & FINAL
        assert not len(command.data)
        data = _collect(target, RESERVED_TAG, 0, 2048)
        target.r2t(command, 0, 2048, 2048)
        assert data + _collect(target, 0x77, 2048, 4096) == PAYLOAD
        target.respond(command)

    stage = play(script, immediate_data=False, first_burst_bytes=2048)
    assert stage.session.call(_write()).failure() == ""


@pytest.mark.parametrize(
    ("number", "offset", "length", "words"),
    [
        (0, 2048, 4096, "up to 6144"),
        (0, 0, 0, "asks for 0 bytes"),
        (0, 0, 2052, "MaxBurstLength is 2048"),
        (1, 0, 1024, "R2TSN 1; 0 is next"),
    ],
)
def test_an_r2t_that_asks_for_too_much_ends_the_session(
    play: Play, number: int, offset: int, length: int, words: str
) -> None:
    def script(target: ScriptedTarget) -> None:
        target.r2t(target.take(Opcode.SCSI_COMMAND), number, offset, length)
        _until_closed(target)

    stage = play(script, initial_r2t=True, immediate_data=False, max_burst_bytes=2048)
    with pytest.raises(IscsiError, match=words):
        stage.session.call(_write())


def _until_closed(target: ScriptedTarget) -> None:
    with pytest.raises(IscsiError, match=r"closed the connection|broke"):
        while True:
            target.connection.receive()


# ---------------------------------------------------------------- data from the target


def _data_in(
    target: ScriptedTarget, command: pdu.PduHeader, number: int, offset: int, size: int, *, status: bool
) -> None:
    target.say(
        Opcode.DATA_IN,
        task_tag=command.task_tag,
        flags=(FINAL | pdu.STATUS) if status else 0,
        rest=(number, offset, 0),
        data=PAYLOAD[offset : offset + size],
        counts=status,
    )


@pytest.mark.parametrize("status_in_data", [True, False])
def test_a_read_puts_every_segment_in_its_place(play: Play, status_in_data: bool) -> None:
    def script(target: ScriptedTarget) -> None:
        command = target.take(Opcode.SCSI_COMMAND)
        assert command.header.flags == pdu.READ | pdu.SIMPLE_TASK | FINAL
        # flag FUA of the CDB
        assert command.header.max_cmd_sn >> 16 == 0x8808
        _data_in(target, command.header, 0, 0, 3072, status=False)
        _data_in(target, command.header, 1, 3072, 1024, status=status_in_data)
        if not status_in_data:
            target.respond(command)

    stage = play(script)
    command = stage.session.call(_read())
    assert command.failure() == ""
    assert bytes(command.read or b"") == PAYLOAD
    assert stage.session.received_bytes == 4096


@pytest.mark.parametrize(
    ("number", "offset", "words"), [(1, 0, "DataSN 1; 0 is next"), (0, 2048, "byte 6144 for a command that reads 4096")]
)
def test_data_out_of_order_or_place_ends_the_session(play: Play, number: int, offset: int, words: str) -> None:
    def script(target: ScriptedTarget) -> None:
        command = target.take(Opcode.SCSI_COMMAND)
        target.say(
            Opcode.DATA_IN, task_tag=command.header.task_tag, rest=(number, offset, 0), data=PAYLOAD, counts=False
        )
        _until_closed(target)

    with pytest.raises(IscsiError, match=words):
        play(script).session.call(_read())


def test_a_read_that_came_short_is_a_failure(play: Play) -> None:
    def script(target: ScriptedTarget) -> None:
        command = target.take(Opcode.SCSI_COMMAND)
        _data_in(target, command.header, 0, 0, 1024, status=False)
        target.respond(command)
        short = target.take(Opcode.SCSI_COMMAND)
        target.respond(short, residual=512, flags=FINAL | pdu.UNDERFLOW)

    session = play(script).session
    assert session.call(_read()).failure() == "GOOD, but 1024 of 4096 bytes came"
    assert session.call(_read()).failure() == "GOOD, but 512 bytes were not moved"


# ---------------------------------------------------------------- status, windows, pings


def test_unit_attentions_of_a_new_session_are_taken_up(play: Play) -> None:
    def script(target: ScriptedTarget) -> None:
        for _ in range(2):
            target.respond(target.take(Opcode.SCSI_COMMAND), scsi.CHECK_CONDITION, UNIT_ATTENTION)
        target.respond(target.take(Opcode.SCSI_COMMAND))

    play(script).session.require_ready(1)


def test_a_unit_that_is_not_ready_is_told(play: Play) -> None:
    def script(target: ScriptedTarget) -> None:
        target.respond(target.take(Opcode.SCSI_COMMAND), scsi.CHECK_CONDITION, NOT_READY)

    with pytest.raises(IscsiError, match="TEST UNIT READY: CHECK CONDITION: not ready, becoming ready"):
        play(script).session.require_ready(1)


@pytest.mark.parametrize(
    ("status", "sense", "words"),
    [
        (scsi.CHECK_CONDITION, NO_SPACE, r"CHECK CONDITION: medium error, write error \(0c/00\)"),
        (scsi.CHECK_CONDITION, b"", r"CHECK CONDITION: no sense, no additional sense information \(00/00\)"),
        (0x28, b"", "TASK SET FULL"),
        (0x99, b"", "status 0x99"),
    ],
)
def test_a_status_in_words(play: Play, status: int, sense: bytes, words: str) -> None:
    stage = play(lambda target: target.respond(target.take(Opcode.SCSI_COMMAND), status, sense))
    assert re.fullmatch(words, stage.session.call(_nothing()).failure())


def test_no_command_goes_beyond_the_window(play: Play) -> None:
    order: list[str] = []

    def script(target: ScriptedTarget) -> None:
        first = target.take(Opcode.SCSI_COMMAND)
        second = target.take(Opcode.SCSI_COMMAND)
        # the window is full: what comes next is a ping of the target's answered, not the third command
        target.window = 0
        target.say(Opcode.NOP_IN, tag=0x42, counts=False)
        assert target.take(Opcode.NOP_OUT).header.transfer_tag == 0x42
        order.append("ping")
        target.window = 1
        target.respond(first)
        target.respond(second)
        third = target.take(Opcode.SCSI_COMMAND)
        order.append("third")
        target.respond(third)

    session = play(script, max_cmd_sn=2).session
    commands = [_nothing() for _ in range(3)]
    for command in commands:
        session.submit(command)
    for command in commands:
        assert command.done.wait(5)
    assert order == ["ping", "third"]


def test_the_targets_ping_is_answered_and_ours_is_sent_when_idle(play: Play) -> None:
    pinged = threading.Event()

    def script(target: ScriptedTarget) -> None:
        target.say(Opcode.NOP_IN, tag=0x42, lun=1 << 48, counts=False)
        answer = target.take(Opcode.NOP_OUT).header
        assert (answer.task_tag, answer.transfer_tag, answer.lun) == (RESERVED_TAG, 0x42, 1 << 48)
        assert answer.immediate
        for _ in range(2):
            ping = target.take(Opcode.NOP_OUT).header
            assert ping.transfer_tag == RESERVED_TAG
            target.say(Opcode.NOP_IN, task_tag=ping.task_tag)
        pinged.set()
        target.log_out()

    session = play(script).session
    assert pinged.wait(10 * INITIATOR_TIMEOUT_S)
    session.logout()
    assert session.failure is None


def test_logout_ends_both_threads(play: Play) -> None:
    stage = play(lambda target: target.log_out())
    stage.session.logout()
    with pytest.raises(IscsiError, match="over"):
        stage.session.call(_nothing())


# ---------------------------------------------------------------- what ends a session


def _fails(stage: Stage) -> str:
    """The session's failure, met without a command."""
    assert stage.failed.wait(5)
    assert stage.session.failure is not None
    return stage.session.failure.message


def test_a_command_without_an_answer_is_told(play: Play) -> None:
    def script(target: ScriptedTarget) -> None:
        target.take(Opcode.SCSI_COMMAND)
        _until_closed(target)

    with pytest.raises(IscsiError, match=r"no answer to 1 commands within 0.3 s"):
        play(script).session.call(_nothing())


def test_a_ping_without_an_answer_is_told(play: Play) -> None:
    def script(target: ScriptedTarget) -> None:
        target.take(Opcode.NOP_OUT)
        _until_closed(target)

    assert "no answer to a ping" in _fails(play(script))


def test_a_window_that_stays_closed_is_told(play: Play) -> None:
    with pytest.raises(IscsiError, match="command window stayed closed"):
        play(_until_closed, max_cmd_sn=0).session.call(_nothing())


def test_a_dropped_connection_fails_every_command(play: Play) -> None:
    def script(target: ScriptedTarget) -> None:
        for _ in range(2):
            target.take(Opcode.SCSI_COMMAND)

    session = play(script, max_cmd_sn=2).session
    commands = [_nothing() for _ in range(3)]
    for command in commands:
        session.submit(command)
    for command in commands:
        assert command.done.wait(5)
        assert command.status == -1
    assert session.failure is not None
    assert "closed the connection" in session.failure.message
    with pytest.raises(IscsiError, match="closed the connection"):
        session.call(_nothing())


def test_a_reject_names_what_was_rejected(play: Play) -> None:
    def script(target: ScriptedTarget) -> None:
        command = target.take(Opcode.SCSI_COMMAND)
        target.say(Opcode.REJECT, code=0x0500, data=command.header.encode())
        _until_closed(target)

    with pytest.raises(IscsiError, match="rejected our SCSI command: command not supported"):
        play(script).session.call(_nothing())


@pytest.mark.parametrize(
    ("event", "words"), [(1, "asks for a logout"), (2, "drop the connection"), (99, "asynchronous event 99")]
)
def test_an_asynchronous_message_ends_the_session(play: Play, event: int, words: str) -> None:
    def script(target: ScriptedTarget) -> None:
        target.say(Opcode.ASYNC_MESSAGE, rest=(event << 24, 0, 0))
        _until_closed(target)

    assert words in _fails(play(script))


def test_a_scsi_event_does_not(play: Play) -> None:
    def script(target: ScriptedTarget) -> None:
        target.say(Opcode.ASYNC_MESSAGE)
        target.respond(target.take(Opcode.SCSI_COMMAND))

    assert play(script).session.call(_nothing()).failure() == ""


def _skip_a_number(target: ScriptedTarget) -> None:
    command = target.take(Opcode.SCSI_COMMAND)
    target.stat_sn += 1
    target.respond(command)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (_skip_a_number, "StatSN 2; 1 is next"),
        (lambda target: target.say(Opcode.SCSI_RESPONSE, task_tag=0x99), "for task 0x99, which does not run"),
        (lambda target: target.say(Opcode.NOP_IN, task_tag=0x99), "answers ping 0x99"),
        (lambda target: target.say(Opcode.LOGOUT_RESPONSE, code=0x0100), "refused the logout"),
        (lambda target: target.say(Opcode.LOGIN_RESPONSE), "a login response, which is not expected"),
        (
            lambda target: target.say(
                Opcode.SCSI_RESPONSE, task_tag=target.take(Opcode.SCSI_COMMAND).header.task_tag, code=0x0100
            ),
            r"failed inside a command \(response 0x01\)",
        ),
    ],
)
def test_what_breaks_the_protocol_is_told(play: Play, mistake: Script, words: str) -> None:
    def script(target: ScriptedTarget) -> None:
        mistake(target)
        _until_closed(target)

    with pytest.raises(IscsiError, match=words):
        play(script).session.call(_nothing())


def test_an_error_in_a_callback_ends_the_session(play: Play) -> None:
    def accuse(command: Command) -> None:
        raise IscsiError(f"not what was written: {command.status}")

    def script(target: ScriptedTarget) -> None:
        target.respond(target.take(Opcode.SCSI_COMMAND))
        _until_closed(target)

    stage = play(script)
    stage.session.submit(Command(scsi.test_unit_ready(), 1, on_done=accuse))
    assert _fails(stage) == "not what was written: 0"
