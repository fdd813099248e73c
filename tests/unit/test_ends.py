"""Roles: real small processes that take orders and answer, a line at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offloadbench.base.errors import TrafficError
from offloadbench.bed import local
from offloadbench.roles.codec import decode
from offloadbench.roles.ends import ProcessRole, Role, accompany
from offloadbench.roles.messages import (
    CountTargetCpu,
    EndFlight,
    FinishInitiator,
    FlightEnded,
    SinkListening,
    SinkReady,
    TargetCpu,
    TargetWords,
)

Play = Callable[[str], Role]

ECHO = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"is": "TargetWords", "words": line}), flush=True)
"""
ORDER = FinishInitiator(opened_ns=1, closed_ns=2)


@pytest.fixture
def play() -> Iterator[Play]:
    roles: list[Role] = []

    def start(code: str) -> Role:
        def process(stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
            return subprocess.Popen([sys.executable, "-S", "-c", code], stdin=stdin, stdout=stdout, stderr=stderr)

        roles.append(ProcessRole("the actor", process, "here"))
        return roles[-1]

    yield start
    for role in roles:
        role.close()


def _dead(role: Role) -> Role:
    # the process's end of the pipe is closed, so that waiting for it is exact
    assert isinstance(role, ProcessRole)
    role._process.wait(10)
    return role


def test_messages_go_there_and_back(play: Play) -> None:
    role = play(ECHO)
    said = role.request(ORDER, TargetWords, 10).words
    assert decode(said.rstrip("\n").encode(), FinishInitiator) == ORDER
    role.send(FinishInitiator(2, 4))
    role.send(FinishInitiator(3, 4))
    for number in (2, 3):
        assert f'"opened_ns":{number},' in role.receive(TargetWords, 10).words
    assert role.running()


def test_messages_that_arrive_together_are_told_apart(play: Play) -> None:
    role = play(
        'print(\'{"is": "SinkListening", "port": 1}\\n{"is": "SinkListening", "port": 2}\', flush=True); input()'
    )
    assert [role.receive(SinkListening, 10).port, role.receive(SinkListening, 10).port] == [1, 2]


def test_a_long_message_in_pieces_arrives_whole(play: Play) -> None:
    role = play('import json; print(json.dumps({"is": "TargetWords", "words": "x" * 300_000}), flush=True); input()')
    assert len(role.receive(TargetWords, 10).words) == 300_000


def test_an_error_that_a_role_reports_is_a_traffic_error_with_its_hint(play: Play) -> None:
    role = play('print(\'{"is": "Failed", "message": "login refused", "hint": "see there"}\', flush=True)')
    with pytest.raises(TrafficError, match=r"the actor \(here\): login refused") as caught:
        role.receive(SinkReady, 10)
    assert caught.value.hint == "see there"
    assert caught.value.exit_code == 5


def test_an_error_that_a_role_reports_before_it_ends_is_not_lost_to_the_next_order(play: Play) -> None:
    role = _dead(play('print(\'{"is": "Failed", "message": "login refused"}\', flush=True)'))
    with pytest.raises(TrafficError, match="login refused"):
        role.request(ORDER, SinkReady, 10)


def test_a_silent_role_is_a_traffic_error(play: Play) -> None:
    role = play("input()")
    with pytest.raises(TrafficError, match=r"the actor \(here\) gave no 'sink ready' within 0 s: it was told nothing"):
        role.receive(SinkReady, 0.3)


def test_a_role_that_dies_is_told_with_its_last_words(play: Play) -> None:
    role = play("import sys; sys.stderr.write('first\\nno route to host\\n'); sys.exit(3)")
    with pytest.raises(TrafficError, match="ended unasked: no route to host"):
        role.receive(SinkReady, 10)
    assert not role.running()


def test_a_role_that_dies_without_a_word_is_told_with_its_status(play: Play) -> None:
    with pytest.raises(TrafficError, match="exit status 3"):
        play("raise SystemExit(3)").receive(SinkReady, 10)


def test_an_order_to_a_dead_role_is_a_traffic_error(play: Play) -> None:
    role = _dead(play("raise SystemExit('bad luck')"))
    with pytest.raises(TrafficError, match="bad luck"):
        role.request(ORDER, SinkReady, 10)


def test_another_event_than_expected_is_told(play: Play) -> None:
    with pytest.raises(TrafficError, match="'target words' came instead of 'sink ready'"):
        play(ECHO).request(ORDER, SinkReady, 10)


def test_a_silent_role_is_named_with_what_it_was_told_and_what_was_heard_last(play: Play) -> None:
    role, other = (
        play('input()\nprint(\'{"is": "TargetCpu", "cpu_s": 1}\', flush=True)\ninput()\ninput()'),
        play('print(\'{"is": "SinkReady"}\', flush=True)\ninput()'),
    )
    other.where = "ssh://loader"
    other.receive(SinkReady, 10)
    accompany(role, other)
    role.request(CountTargetCpu(), TargetCpu, 10)
    with pytest.raises(TrafficError) as caught:
        role.request(EndFlight(), FlightEnded, 0.3)
    message = caught.value.message
    assert message.startswith(
        "the actor (here) gave no 'flight ended' within 0 s: it was to close its connection, 0 s ago"
    )
    assert "last heard 'target cpu' 0 s ago, its process" in message
    assert "; the actor (ssh://loader): it was told nothing, last heard 'sink ready'" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            'print(\'{"is": "Failed", "message": "no room"}\', flush=True); input()',
            r"the actor \(there\): no room, while",
        ),
        (
            "raise SystemExit('out of luck')",
            r"the actor \(there\) ended unasked: out of luck, while the actor \(here\) was to",
        ),
    ],
)
def test_who_waits_for_one_role_hears_of_the_trouble_of_the_other(play: Play, code: str, says: str) -> None:
    role, other = play("import time; time.sleep(60)"), play(code)
    other.where = "there"
    accompany(role, other)
    began_s = time.monotonic()
    with pytest.raises(TrafficError, match=says):
        role.request(EndFlight(), FlightEnded, 50)
    assert time.monotonic() - began_s < 40


def test_answers_that_come_while_another_role_is_waited_for_are_kept(play: Play) -> None:
    role = play('import time; time.sleep(2); print(\'{"is": "SinkReady"}\', flush=True); input()')
    other = play('print(\'{"is": "TargetCpu", "cpu_s": 2.5}\', flush=True)')
    accompany(role, other)
    role.receive(SinkReady, 50)
    assert other.receive(TargetCpu, 10).cpu_s == 2.5


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print('x' * 3_000_000)", "a line of more than 1048576 bytes"),
        ("print('Traceback')", "'Traceback' is no message"),
        ("print('[]')", "is no message"),
        ('print(\'{"is": "SinkListening"}\')', "sink listening: port is missing"),
        ('print(\'{"is": "SinkListening", "port": "7"}\')', "port is a text, not a whole number"),
        ('print(\'{"is": "SinkListening", "port": 7, "nice": 1}\')', "no field 'nice'"),
        ('print(\'{"is": "Nonsense"}\')', "there is no message 'Nonsense'"),
    ],
)
def test_an_answer_that_is_none_is_one_clear_line(play: Play, code: str, says: str) -> None:
    with pytest.raises(TrafficError, match=says) as caught:
        play(code).receive(SinkListening, 20)
    assert caught.value.message.startswith("the actor (here): ")
    assert len(caught.value.message) < 300


def test_closing_ends_the_process_and_can_be_repeated(play: Play) -> None:
    role = play(ECHO)
    role.close()
    assert not role.running()
    role.close()


def test_a_role_that_ignores_its_closed_input_is_ended_all_the_same(play: Play) -> None:
    role = play(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        'print(\'{"is": "SinkReady"}\', flush=True)\ntime.sleep(600)'
    )
    role.receive(SinkReady, 10)
    role.close(grace_s=0.1)
    assert not role.running()


def test_a_role_has_a_hash_seed_of_its_own_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise the layout of its dicts and sets would be one of a run, not one of a trial."""
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    play = tmp_path / "play.py"
    play.write_text(
        'import json\nprint(json.dumps({"is": "FlightEnded", "problem": str(hash("offloadbench"))}), flush=True)\n'
    )
    monkeypatch.setattr(local, "python_role", lambda module: [sys.executable, module])
    end = local.LocalEnd("device under test", "127.0.0.1", "lo", None, frozenset(os.sched_getaffinity(0)))
    found = set()
    for _ in range(3):
        role = end.launch(str(play), "a role")
        found.add(role.receive(FlightEnded, 30.0).problem)
        role.close()
    assert len(found) == 3
