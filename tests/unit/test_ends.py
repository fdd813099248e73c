"""Roles: real small processes that talk JSON, a line at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offloadbench.base.errors import TrafficError
from offloadbench.bed import local
from offloadbench.roles.ends import ProcessRole, Role

Play = Callable[[str], Role]

ECHO = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"event": "echo", "said": json.loads(line)}), flush=True)
"""


@pytest.fixture
def play() -> Iterator[Play]:
    roles: list[Role] = []

    def start(code: str) -> Role:
        def process(stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
            return subprocess.Popen([sys.executable, "-S", "-c", code], stdin=stdin, stdout=stdout, stderr=stderr)

        roles.append(ProcessRole("the actor", process))
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
    assert role.request({"do": "mark", "n": 1}, "echo", 10)["said"] == {"do": "mark", "n": 1}
    role.send({"n": 2})
    role.send({"n": 3})
    assert [role.receive("echo", 10)["said"]["n"] for _ in range(2)] == [2, 3]
    assert role.running()


def test_messages_that_arrive_together_are_told_apart(play: Play) -> None:
    role = play('print(\'{"event": "a", "n": 1}\\n{"event": "a", "n": 2}\', flush=True); input()')
    assert [role.receive("a", 10)["n"], role.receive("a", 10)["n"]] == [1, 2]


def test_a_long_message_in_pieces_arrives_whole(play: Play) -> None:
    role = play('import json; print(json.dumps({"event": "a", "text": "x" * 300_000}), flush=True); input()')
    assert len(role.receive("a", 10)["text"]) == 300_000


def test_an_error_that_a_role_reports_is_a_traffic_error_with_its_hint(play: Play) -> None:
    role = play('print(\'{"event": "error", "message": "login refused", "hint": "see there"}\', flush=True)')
    with pytest.raises(TrafficError, match="the actor: login refused") as caught:
        role.receive("ready", 10)
    assert caught.value.hint == "see there"
    assert caught.value.exit_code == 5


def test_an_error_that_a_role_reports_before_it_ends_is_not_lost_to_the_next_order(play: Play) -> None:
    role = _dead(play('print(\'{"event": "error", "message": "login refused"}\', flush=True)'))
    with pytest.raises(TrafficError, match="login refused"):
        role.request({"do": "mark"}, "mark", 10)


def test_a_silent_role_is_a_traffic_error(play: Play) -> None:
    role = play("input()")
    with pytest.raises(TrafficError, match="the actor gave no 'ready'"):
        role.receive("ready", 0.3)


def test_a_role_that_dies_is_told_with_its_last_words(play: Play) -> None:
    role = play("import sys; sys.stderr.write('first\\nno route to host\\n'); sys.exit(3)")
    with pytest.raises(TrafficError, match="ended unasked: no route to host"):
        role.receive("ready", 10)
    assert not role.running()


def test_a_role_that_dies_without_a_word_is_told_with_its_status(play: Play) -> None:
    with pytest.raises(TrafficError, match="exit status 3"):
        play("raise SystemExit(3)").receive("ready", 10)


def test_an_order_to_a_dead_role_is_a_traffic_error(play: Play) -> None:
    role = _dead(play("raise SystemExit('bad luck')"))
    with pytest.raises(TrafficError, match="bad luck"):
        role.request({"do": "mark"}, "mark", 10)


def test_another_event_than_expected_is_told(play: Play) -> None:
    with pytest.raises(TrafficError, match="said 'echo' instead of 'ready'"):
        play(ECHO).request({}, "ready", 10)


def test_closing_ends_the_process_and_can_be_repeated(play: Play) -> None:
    role = play(ECHO)
    role.close()
    assert not role.running()
    role.close()


def test_a_role_that_ignores_its_closed_input_is_ended_all_the_same(play: Play) -> None:
    role = play(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        'print(\'{"event": "ready"}\', flush=True)\ntime.sleep(600)'
    )
    role.receive("ready", 10)
    role.close(grace_s=0.1)
    assert not role.running()


def test_a_role_has_a_hash_seed_of_its_own_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise the layout of its dicts and sets would be one of a run, not one of a trial."""
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    play = tmp_path / "play.py"
    play.write_text('import json\nprint(json.dumps({"event": "hash", "of": hash("offloadbench")}), flush=True)\n')
    monkeypatch.setattr(local, "python_role", lambda module: [sys.executable, module])
    end = local.LocalEnd("device under test", "127.0.0.1", "lo", None, frozenset(os.sched_getaffinity(0)))
    found = set()
    for _ in range(3):
        role = end.launch(str(play), "a role")
        found.add(role.receive("hash", 30.0)["of"])
        role.close()
    assert len(found) == 3
