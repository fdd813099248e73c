"""What the kernel's core drops by itself: netdev_fix_features in net/core/dev.c (6.12 to 6.18).

Rules of drivers come on top, as far as their definitions know them (profiles/drivers); what else they refuse is read
back by the trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from offloadbench.model import Coupling

# a driver has one of them: either carries TCP over IPv4
TX_CHECKSUMS = ("tx-checksum-ip-generic", "tx-checksum-ipv4")
_GENERIC, _IPV4, _IPV6 = "tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"
_SG, _TSO, _TSO6 = "tx-scatter-gather", "tx-tcp-segmentation", "tx-tcp6-segmentation"
# tx-tcp-accecn-segmentation (6.18) is in none of these rules: it stays on alone
_ECN, _MANGLE = "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation"
# 6.1 keeps it without a TX checksum, 6.12 does not; between them the stable branches differ
VARIES = frozenset({"tx-udp-segmentation"})


@dataclass(frozen=True, slots=True)
class _Rule:
    """Without one of each set in `need`, or with any of `conflict`, the kernel drops `dropped`.

    Sets of which the state says nothing are not judged.
    """

    dropped: tuple[str, ...]
    need: tuple[frozenset[str], ...] = ()
    conflict: frozenset[str] = frozenset()

    def reason(self, state: Mapping[str, bool]) -> str:
        """Why the bits must go; "" when they may stay."""
        for options in self.need:
            known = [state[name] for name in options if name in state]
            if known and not any(known):
                return f"needs {' or '.join(sorted(options))}"
        against = sorted(name for name in self.conflict if state.get(name, False))
        return f"excluded by {', '.join(against)}" if against else ""


# in the kernel's order: a later rule sees what the earlier ones dropped
_RULES = (
    _Rule((_IPV4, _IPV6), conflict=frozenset({_GENERIC})),
    _Rule((_TSO, _TSO6, _ECN, _MANGLE), need=(frozenset({_SG}),)),
    _Rule((_TSO, _ECN), need=(frozenset({_GENERIC, _IPV4}),)),
    _Rule((_TSO6,), need=(frozenset({_GENERIC, _IPV6}),)),
    _Rule((_MANGLE,), need=(frozenset({_TSO}),)),
    _Rule((_ECN,), need=(frozenset({_TSO, _TSO6, _MANGLE}),)),
    _Rule(("tx-generic-segmentation",), need=(frozenset({_SG}),)),
    _Rule(
        ("tx-udp-segmentation", "tls-hw-tx-offload"), need=(frozenset({_GENERIC, _IPV4}), frozenset({_GENERIC, _IPV6}))
    ),
    _Rule(("rx-gro-hw", "tls-hw-rx-offload"), need=(frozenset({"rx-checksum"}),)),
    _Rule(("rx-lro", "rx-gro-hw"), conflict=frozenset({"rx-fcs"})),
    _Rule(("rx-lro",), conflict=frozenset({"rx-gro-hw"})),
)


def hold(state: Mapping[str, bool], couplings: Sequence[Coupling] = ()) -> tuple[dict[str, bool], dict[str, str]]:
    """The bits that stay of those asked for.

    Args:
        couplings: the driver's own rules, which it applies before the core does.

    Returns:
        The state as driver and core leave it, and the reason of each bit that was dropped.
    """
    held, reasons = dict(state), {}

    def drop(names: Sequence[str], reason: str) -> None:
        for name in names:
            if reason and held.get(name, False):
                held[name] = False
                reasons[name] = reason

    for coupling in couplings:
        if not held.get(coupling.without, True):
            drop(coupling.drops, f"needs {coupling.without} in this driver")
    for rule in _RULES:
        drop(rule.dropped, rule.reason(held))
    return held, reasons
