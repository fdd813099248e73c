"""Every trial begins alike: TCP forgets what it learned of the test link in the trial before.

The kernel keeps the slow start threshold and the RTT of a destination (tcp_metrics, net/ipv4/tcp_metrics.c) and begins
the next connection to it with them: where a case lost packets, the trial after it would start with their threshold.
What one case costs must not depend on which ran before it.
"""

from __future__ import annotations

from offloadbench.bed.testbed import Bed
from offloadbench.kernel.netdev import neighbour, route


def forget_earlier_trials(bed: Bed) -> None:
    """Delete what TCP remembers of the other end: at the device under test, and at a peer in a namespace.

    It is a cache that the kernel itself empties when it is full; nothing has to be put back. A peer on another host
    keeps what it remembers: it sends acknowledgements. Nothing is deleted for a fleet, whose hosts have addresses of
    their own.

    Raises:
        HostError: there is no route to the other end.
    """
    if bed.peer.address:
        _forget(bed.peer.address, bed.dut.namespace)
        if bed.peer.namespace is not None:
            _forget(bed.dut.address, bed.peer.namespace)


def _forget(address: str, namespace: str | None) -> None:
    # a locked metric of a route acts through this very entry (tcp_init_metrics): somebody wants it
    if not route.to(address, namespace).metrics.get("lock"):
        neighbour.forget(address, namespace)
