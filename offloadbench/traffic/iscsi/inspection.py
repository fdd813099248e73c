"""A look at a LUN of an existing target, as a role (see offloadbench.roles.ends): it reads, and writes nothing.

It says what the LUN is, what lies on it, and where it is free.
"""

from __future__ import annotations

import secrets
import signal
import sys
import time

from offloadbench.base import comms
from offloadbench.base.errors import HostError
from offloadbench.kernel.system import signatures
from offloadbench.roles.messages import InspectUnit, UnitInspected, UnitLogin
from offloadbench.roles.orders import Desk
from offloadbench.traffic.iscsi import extents
from offloadbench.traffic.iscsi.login import AccountError
from offloadbench.traffic.iscsi.pdu import IscsiError
from offloadbench.traffic.iscsi.unit import Unit, open_session

_PLAUSIBLE_BLOCK_BYTES = (512, 1024, 2048, 4096)
_LOGOUT_S = 5.0
_PAUSE_S = 0.3


def inspect(unit: Unit) -> UnitInspected:
    """What `consent.Device` has.

    Raises:
        IscsiError: it is no disk, or cannot be read.
    """
    unit.require_ready()
    product, serial = unit.product(), unit.serial()
    blocks, block_bytes = unit.capacity()
    if block_bytes not in _PLAUSIBLE_BLOCK_BYTES:
        raise IscsiError(f"LUN {unit.lun} has blocks of {block_bytes} bytes", "use a LUN with 512 or 4096")
    longest = unit.longest_transfer_blocks()
    edge = min(blocks, extents.EDGE_BYTES // block_bytes)
    edges = extents.Edges(
        head=unit.content(0, edge, block_bytes, longest),
        tail=unit.content(blocks - edge, edge, block_bytes, longest),
        size_bytes=blocks * block_bytes,
        block_bytes=block_bytes,
    )
    found: list[extents.Used] = []
    free, why_not = (0, 0), ""
    try:
        found = extents.used(edges, signatures.names(edges.head, edges.tail, edges.size_bytes))
        free = extents.free(edges, found)
    except ValueError as error:
        why_not = str(error)
    except HostError as error:
        why_not = error.message
    return UnitInspected(
        product=product,
        serial=serial,
        size_bytes=edges.size_bytes,
        block_bytes=block_bytes,
        longest_transfer_bytes=longest * block_bytes,
        used=tuple((one.kind, one.end_bytes) for one in found),
        free=free,
        why_not=why_not,
        blank=edges.blank,
    )


def _look(login: UnitLogin) -> UnitInspected:
    session = open_session(login, 0x80 << 40 | secrets.randbits(24) << 16)
    try:
        found = inspect(Unit(session, login.lun))
        session.logout(_LOGOUT_S)
        return found
    finally:
        session.close()


def main() -> None:
    comms.take(comms.INITIATOR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    desk = Desk(IscsiError)
    with desk.reporting():
        order = desk.first(InspectUnit)
        until_s = time.monotonic() + order.wait_s
        while not desk.over:
            try:
                desk.answer(_look(order.login))
                return
            except IscsiError as error:
                if isinstance(error, AccountError) or time.monotonic() >= until_s:
                    raise
            # a target that is being set up comes to be step by step: its port, its name, its LUN
            desk.poll(_PAUSE_S)


if __name__ == "__main__":
    main()
