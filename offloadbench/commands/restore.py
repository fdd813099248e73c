"""Put the machine back after a run that was killed; nothing to do is fine."""

from __future__ import annotations

import argparse

from offloadbench.base.errors import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments: everything that killed runs left is taken back."""
    del parser


def main(arguments: argparse.Namespace) -> int:
    from offloadbench.engine.putting_back.left_behind import restore_left_behind

    del arguments
    done = restore_left_behind(print)
    print(f"{done} killed run{'s' if done != 1 else ''} cleaned up" if done else "nothing to restore")
    return OK
