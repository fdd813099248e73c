"""What Ctrl-C leaves behind, and the command that goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from offloadbench.base.errors import Interrupted


@contextlib.contextmanager
def with_the_way_on(command: Callable[[], str]) -> Iterator[None]:
    """An interruption inside says that everything was put back: what could not be would have come as a RestoreError.

    Args:
        command: the command that goes on, asked when it is known; "" where nothing was begun.
    """
    try:
        yield
    except Interrupted as error:
        goes_on = command()
        hint = "everything that was changed was put back" + (f"; go on: {goes_on}" if goes_on else "")
        raise Interrupted(error.message, hint) from error
