"""A signal that must not cut a block short is not lost either."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import pytest

from offloadbench.base.signals import ENDING, deferred


class Told(Exception):
    pass


@pytest.fixture(params=ENDING)
def number(request: pytest.FixtureRequest) -> signal.Signals:
    def leave(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise Told

    before = signal.signal(request.param, leave)
    request.addfinalizer(lambda: signal.signal(request.param, before))
    return signal.Signals(request.param)


def test_a_signal_takes_effect_at_the_end_of_the_block(number: signal.Signals) -> None:
    done = []
    with pytest.raises(Told), deferred():
        signal.raise_signal(number)
        done.append("the rest")
    assert done == ["the rest"]


def test_it_wins_over_what_it_caused_in_the_block(number: signal.Signals) -> None:
    with pytest.raises(Told) as caught, deferred():
        signal.raise_signal(number)
        raise OSError("a child of ours had the signal too")
    assert isinstance(caught.value.__context__, OSError)


def test_without_a_signal_nothing_happens_and_the_handlers_are_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with deferred():
        assert signal.getsignal(number) != before
    assert signal.getsignal(number) == before


def test_a_thread_has_no_handlers_to_change() -> None:
    done: list[bool] = []

    def work() -> None:
        with deferred():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
