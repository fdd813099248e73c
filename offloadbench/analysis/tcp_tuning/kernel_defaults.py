"""Which kernels ignore, delay or exceed a route's initcwnd, by version. Distributions backport: advice only."""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, int, int]

# "let skbs grow over a page on fast peers" entered el5 with this build and came to users with -128
_EL5_FILLS_TO_GOAL = 121
# no version is later
_ALWAYS = (999, 0, 0)


@dataclass(frozen=True, slots=True)
class KernelMechanism:
    """A mechanism, marked as `probe initcwnd --explain` does, in kernels from `since` until before `fixed`."""

    mark: str
    since: Version
    fixed: Version
    effect: str
    source: str


RULES = (
    KernelMechanism(
        "M0",
        (2, 6, 0),
        (2, 6, 30),
        "until the route caches an RTT initcwnd is ignored: the first connection to a host starts with 2 segments",
        "commit 86bcebafc5e7, 2.6.30",
    ),
    KernelMechanism(
        "M1",
        (2, 6, 0),
        (2, 6, 25),
        "TSO holds the end of a first flight back while less than a third of the window is left, until an ACK or a FIN",
        "commits ae8064ac32d0, 2.6.19, and bd515c3e, 2.6.25",
    ),
    KernelMechanism(
        "M1",
        (3, 12, 0),
        (4, 0, 0),
        "TSO autosizing splits a first flight of ten segments",
        "commit 50c8339e9299, 2015",
    ),
    KernelMechanism(
        "M2",
        (2, 6, 25),
        (4, 3, 0),
        "with TSO, or GSO alone, the first packet after an idle time leaves on the old window, beyond initcwnd",
        "commit 6f021c62, 4.3",
    ),
    KernelMechanism(
        "M3",
        (2, 6, 0),
        (3, 13, 0),
        "the default send buffer (tcp_wmem's 16384 bytes) stops a first flight: at 9 segments without TSO, at 10 to 23 "
        "with it",
        "commit 6ae705323b71, 2013",
    ),
    KernelMechanism(
        "default",
        (2, 6, 0),
        (2, 6, 39),
        "a route without initcwnd starts with 3 segments (RFC 3390), not with 10",
        "RFC 6928; Linux 2.6.39",
    ),
    KernelMechanism(
        "today",
        (4, 3, 0),
        _ALWAYS,
        "initcwnd is honoured with TSO and without; pacing spreads it, a repeated SYN-ACK makes it 1",
        "probe of 6.18; RFC 6928",
    ),
)


def version(release: str) -> Version:
    """`6.1.0-18-amd64` -> (6, 1, 0), `2.6.18-128.el5` -> (2, 6, 18); (0, 0, 0) where there is no version."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else (0, 0, 0)


def rules(release: str) -> list[KernelMechanism]:
    """The rules that hold for a release, as `uname -r` prints it."""
    kernel = version(release)
    el5 = re.match(r"2\.6\.18-(\d+)\..*el5", release)
    backported = {"M2"} if el5 and int(el5[1]) >= _EL5_FILLS_TO_GOAL else set()
    return [rule for rule in RULES if rule.since <= kernel < rule.fixed or rule.mark in backported]
