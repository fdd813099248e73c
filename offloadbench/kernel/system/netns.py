"""Network namespaces: enter one for the length of a block, make one, remove one.

setns(2) acts on the calling thread only; sockets, /proc/thread-self/net files and child processes made inside
the block stay in that namespace afterwards.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import sh
from pyroute2 import netns as pyroute2_netns

from offloadbench.base.errors import HostError

RUN_NETNS = Path("/run/netns")


@contextlib.contextmanager
def entered(name: str | None) -> Iterator[None]:
    """Run the block's system calls in the named namespace; None stays where the thread is.

    Raises:
        HostError: there is no such namespace.
        OSError: it cannot be entered.
    """
    if name is None:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            # its own flags are O_CREAT: a namespace that is gone would be made anew, empty
            pyroute2_netns.setns(str(RUN_NETNS / name), flags=0)
        except FileNotFoundError as error:
            raise HostError(f"no namespace named {name}", "see `ip netns` for the names") from error
        try:
            yield
        finally:
            pyroute2_netns.setns(home)
    finally:
        os.close(home)


def _ip_netns(action: str, name: str) -> None:
    try:
        sh.ip("netns", action, name)
    except sh.ErrorReturnCode as error:
        raise HostError(
            f"namespace {name}: {error.stderr.decode(errors='replace').strip()}", "CAP_SYS_ADMIN is needed"
        ) from error
    except sh.CommandNotFound as error:
        raise HostError("ip is not installed", "apt-get install iproute2") from error


def create(name: str) -> None:
    """Make a named network namespace.

    By ip(8): pyroute2 forks the calling process for it, and the child would run our signal handlers and clean-up.
    """
    _ip_netns("add", name)


def exists(name: str) -> bool:
    return (RUN_NETNS / name).exists()


def remove(name: str) -> None:
    """Remove a named namespace; one that is gone already is no error."""
    if exists(name):
        _ip_netns("del", name)
