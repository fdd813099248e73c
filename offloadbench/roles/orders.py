"""Orders and answers of a role: JSON objects, one a line (see offloadbench.roles.ends). Standard library only."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable
from typing import Any


def answer(message: dict[str, Any]) -> None:
    """Tell the engine."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def read_configuration() -> dict[str, Any]:
    """The first line of standard input, read without a buffer that could swallow the next."""
    text = b""
    while not text.endswith(b"\n"):
        select.select([sys.stdin], [], [])
        data = os.read(sys.stdin.fileno(), 1 << 16)
        if not data:
            raise SystemExit(0)
        text += data
    config: dict[str, Any] = json.loads(text)
    return config


def read_orders() -> list[str] | None:
    """What the engine asks for now, one `do` a line; None when it is gone.

    Unbuffered: a line that stayed in a buffer would never wake a selector again.
    """
    text = os.read(sys.stdin.fileno(), 1 << 16)
    return [json.loads(line)["do"] for line in text.splitlines()] if text else None


def serve(wake: int, look: Callable[[], None], follow: Callable[[dict[str, Any]], None]) -> None:
    """Follow orders until the engine is gone.

    Args:
        wake: read end of a pipe into which other threads of the role write a byte; `look` is called for it.
        follow: called with every order.
    """
    stdin = sys.stdin.fileno()
    text = b""
    while True:
        readable = select.select([stdin, wake], [], [])[0]
        if wake in readable:
            os.read(wake, 4096)
            look()
        if stdin in readable:
            data = os.read(stdin, 1 << 16)
            if not data:
                return
            *lines, text = (text + data).split(b"\n")
            for line in lines:
                follow(json.loads(line))
