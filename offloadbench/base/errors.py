"""Everything a user can meet as an error: one line of what, one of what to do, one exit code.

Only the entry point (`offloadbench.cli.main`) catches these; any other exception is a bug, and exit code 70.
"""

from __future__ import annotations

from typing import NamedTuple

OK = 0
REGRESSION = 1
UNDECIDED = 4
# EX_SOFTWARE of sysexits.h
INTERNAL = 70
INTERRUPTED = 130


class OffloadbenchError(Exception):
    """Root of all errors that are the user's or the machine's business.

    Args:
        message: what is wrong and where, one line.
        hint: what to do about it, one line; may be empty.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(OffloadbenchError):
    """The command line, an option or a definition file is wrong."""

    exit_code = 2


class HostError(OffloadbenchError):
    """This machine lacks something: a tool, root, memory, disk, the peer."""

    exit_code = 3


class RefusedError(HostError):
    """The kernel does not take a value that was asked for; another may do."""


class TrafficError(OffloadbenchError):
    """The load could not be driven, or a trial failed its integrity checks."""

    exit_code = 5


class FeatureError(OffloadbenchError):
    """An offload or a limit of the NIC could not be read or set."""

    exit_code = 6


class ProfilerError(OffloadbenchError):
    """perf could not record, or what it recorded could not be read."""

    exit_code = 7


class RunFileError(OffloadbenchError):
    """A run file cannot be written, read, or used for what was asked."""

    exit_code = 8


class RestoreError(OffloadbenchError):
    """Something of the machine could not be put back; the hint names the commands still needed."""

    exit_code = 9


class StatisticError(OffloadbenchError):
    """A statistic could not be computed from these data; no verdict stands in for it."""

    exit_code = 10


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP; everything was put back on the way out.

    Not an `OffloadbenchError`: what handles a failed trial, or a library's `except Exception`, must not stop it.
    """

    exit_code = INTERRUPTED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ExitCode(NamedTuple):
    """What an exit code means: for a list in a line, and as a sentence."""

    short: str
    sentence: str


EXIT_CODES = {
    OK: ExitCode("ok", "Success."),
    REGRESSION: ExitCode("regression", "`compare --fail-on`: a metric is worse by more than its bound allows."),
    UsageError.exit_code: ExitCode(
        "usage", "The command line, an option or a definition file is wrong, or a gate could never fail on these data."
    ),
    HostError.exit_code: ExitCode(
        "host", "This machine lacks something: a tool, a capability, memory, disk, the peer."
    ),
    UNDECIDED: ExitCode(
        "undecided",
        "`compare`: a gate could not be put to a case, or other processes spoiled it; under `--strict`, also where the "
        "data cannot decide.",
    ),
    TrafficError.exit_code: ExitCode(
        "traffic or a failed trial",
        "The load could not be driven, or a trial failed. The file is complete all the same.",
    ),
    FeatureError.exit_code: ExitCode("feature", "An offload or a limit of the NIC could not be read or set."),
    ProfilerError.exit_code: ExitCode("profiler", "perf could not record, or its recording could not be read."),
    RunFileError.exit_code: ExitCode("run file", "A result file cannot be written, read, or used for what was asked."),
    RestoreError.exit_code: ExitCode(
        "restore", "Something could not be put back; the hint names the commands that are still needed."
    ),
    StatisticError.exit_code: ExitCode("statistic", "A statistic could not be computed from these data."),
    INTERNAL: ExitCode("bug", "An error that the program did not foresee. `--debug` prints its traceback."),
    INTERRUPTED: ExitCode("interrupted", "Ctrl-C, SIGTERM or SIGHUP, after everything was put back."),
}
