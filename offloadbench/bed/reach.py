"""Whether the other end answers, told without anything listening there."""

from __future__ import annotations

import errno
import socket
import time

from offloadbench.base.errors import TrafficError
from offloadbench.kernel.system import netns
from offloadbench.roles.ends import End

# autonegotiation takes 2 to 4 s on copper; a spanning tree at the other end takes 30 s
LINK_TIMEOUT_S = 45.0
_TRY_S = 1.0
# discard (RFC 863): hosts answer the handshake, or refuse it; both tell that packets pass both ways
_PORT = 9


def wait_for_answer(end: End, address: str, timeout_s: float = LINK_TIMEOUT_S, port: int = _PORT) -> None:
    """Return when a host answers at `address`.

    Args:
        port: where it is asked; any answer will do.

    Raises:
        TrafficError: nobody does.
    """
    deadline = time.monotonic() + timeout_s
    last = ""
    while True:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.entered(end.namespace), socket.socket(family) as probe:
            probe.settimeout(_TRY_S)
            code = probe.connect_ex((address, port))
        if code in (0, errno.ECONNREFUSED):
            return
        last = errno.errorcode.get(code, str(code)) if code != errno.EAGAIN else "no answer"
        if time.monotonic() > deadline:
            raise TrafficError(
                f"{address} cannot be reached from {end.ifname} within {timeout_s:.0f} s ({last})",
                "are the two NICs cabled together, and does no firewall stand between them?",
            )
        time.sleep(0.1)
