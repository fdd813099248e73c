"""The entry point: parse, call a command, turn errors into one line and an exit code.

pandas, scipy and seaborn are imported by what needs them, so that --help stays quick.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from offloadbench import commands
from offloadbench.base.errors import INTERNAL, INTERRUPTED, HostError, Interrupted, OffloadbenchError
from offloadbench.base.signals import ENDING
from offloadbench.commands import command_parser
from offloadbench.commands.options import run_defaults

# a command makes much that lives until it ends: at Python's 700 new objects between two searches for cycles, the search
# takes a fifth of the time of a report
_NEW_OBJECTS = 50_000
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DEBUG = "--debug"
# from here on the words are another program's
_OTHERS_WORDS = ("--", "exec")


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit code."""
    gc.set_threshold(_NEW_OBJECTS)
    for number in ENDING:
        signal.signal(number, _interrupt)
    typed = list(sys.argv[1:] if arguments is None else arguments)
    debug, typed = _without_debug(typed)
    try:
        code = _command(typed)
    except BrokenPipeError:
        # the reader of our output went away, as `| head` does; nothing more can be told it
        _close_output()
        return INTERRUPTED
    except (OffloadbenchError, Interrupted) as error:
        if debug:
            _print_traceback()
        commands.show_error(error)
        return error.exit_code
    except Exception as error:
        if debug:
            _print_traceback()
        _show_bug(error, debug=debug)
        return INTERNAL
    return code


def _parser(command: str = "") -> command_parser.CommandParser:
    """Of this command, or of all."""
    return command_parser.build(command)


def _command(typed: list[str]) -> int:
    run_defaults.check_names(os.environ)
    words = run_defaults.expand(typed, os.environ, Path())
    name = words[0] if words else ""
    chosen = _parser(name).parse(words)
    chosen.typed = command_parser.typed_options(_parser(name), typed)
    try:
        code: int = chosen.main(chosen)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _FULL:
            raise
        # what is left in the buffer would fail again when the interpreter ends, with an exit code of its own
        _close_output()
        raise HostError(f"{error.filename or 'the output'}: {error.strerror}", "free some space") from error
    except MemoryError as error:
        raise HostError("there is not enough memory", "end other programs, or read fewer files at once") from error
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "offloadbench"):
            raise
        raise HostError(f"the Python package {missing} is missing", "install offloadbench again, with pip") from error
    return code


def _close_output() -> None:
    with contextlib.suppress(OSError):
        sys.stdout.close()


def _without_debug(words: list[str]) -> tuple[bool, list[str]]:
    """Whether --debug is among our own words, and the words without it."""
    ends = [words.index(word) for word in _OTHERS_WORDS if word in words]
    own = min(ends, default=len(words))
    return _DEBUG in words[:own], [word for word in words[:own] if word != _DEBUG] + words[own:]


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def _show_bug(error: Exception, *, debug: bool) -> None:
    """One line for what nobody foresaw, with where it happened and where to report it."""
    import traceback

    place = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())
    sys.stderr.write(
        f"error: internal error, {type(error).__name__}{': ' if text else ''}{text} "
        f"({Path(place.filename).name}:{place.lineno})\n"
    )
    again = "report it with the traceback above" if debug else f"run it again with {_DEBUG}, and report the traceback"
    sys.stderr.write(f"hint: this is a bug in offloadbench: {again}{_tracker()}\n")


def _tracker() -> str:
    """` at https://...`, as the package's metadata has it; nothing where it is not installed."""
    from importlib import metadata

    try:
        urls = metadata.metadata("offloadbench").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    return next((f" at {url.partition(', ')[2]}" for url in urls if url.startswith("Issues,")), "")
