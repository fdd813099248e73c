"""How many files and connections this process may have open (RLIMIT_NOFILE, getrlimit(2)). Standard library only."""

from __future__ import annotations

import contextlib
import resource

# what an interpreter with its libraries has open, with room
_OWN = 64
_NO_LIMIT = resource.RLIM_INFINITY


def allow(count: int) -> None:
    """Let this process have `count` files open beside its own, or as many as it may allow itself."""
    wanted = count + _OWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == _NO_LIMIT or soft >= wanted:
        return
    limits = [(wanted, hard)]
    if hard != _NO_LIMIT and hard < wanted:
        # only who has CAP_SYS_RESOURCE may raise the hard limit
        limits = [(wanted, wanted), (hard, hard)]
    for limit in limits:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            return
