"""Packet shapes from the kernel's network tracepoints: the evidence that an offload toggle acted.

net_dev_queue sees what the stack hands down, before software GSO; net_dev_start_xmit what the driver gets; the
receive entries what comes up. They cost too much for the measured window (about 3 % of throughput and 45 MB/s
of data at 3 Gbit/s), so a moment of the warm-up is recorded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import sh

from offloadbench.base.errors import ProfilerError
from offloadbench.kernel.trace import perf
from offloadbench.model import PacketShapes

QUEUE = "net:net_dev_queue"
TRANSMIT = "net:net_dev_start_xmit"
RECEIVE = ("net:napi_gro_receive_entry", "net:netif_receive_skb_entry", "net:netif_rx_entry")
_LINE = re.compile(r"^\s*(?P<event>net:\w+):\s+(?P<trace>.*)$")
_FIELD = re.compile(r"\b(len|gso_size|ip_summed)=(\d+)")


def record(ifname: str, nics: Sequence[str], seconds: float, folder: Path) -> Path:
    """Record for some tenths of a second, on all CPUs, packets of these devices only; `shapes` reads it.

    Args:
        ifname: the device under test, to which the stack hands down.
        nics: the NICs that transmit and receive for it: itself, or the devices below a VLAN or a bond.

    Raises:
        ProfilerError: tracepoints are not to be had (no tracefs, or none that may be read).
    """
    data = folder / "evidence.perf.data"
    # without build ids: perf would read its whole recording again for them
    arguments = ["record", "-a", "--no-buildid", "--no-buildid-cache", "-o", str(data)]
    for event, names in ((QUEUE, [ifname]), *((event, nics) for event in (TRANSMIT, *RECEIVE))):
        arguments += ["-e", event, "--filter", " || ".join(f'name == "{name}"' for name in names)]
    try:
        sh.perf(*arguments, "--", "sleep", str(seconds), _out=str(folder / "evidence.log"), _err_to_out=True)
    except sh.CommandNotFound as error:
        raise ProfilerError("perf is not installed", "apt-get install linux-perf (Debian)") from error
    except sh.ErrorReturnCode as error:
        raise ProfilerError(
            f"tracepoints cannot be recorded: {reason((folder / 'evidence.log').read_text(errors='replace'))}",
            "CAP_PERFMON is needed, and a tracefs that you may read",
        ) from error
    return data


def shapes(data: Path) -> list[PacketShapes]:
    """The packets of a recording, which is removed.

    Raises:
        ProfilerError: perf cannot read it.
    """
    try:
        return count_shapes(perf.script(data, "event,trace"))
    finally:
        data.unlink(missing_ok=True)


def reason(said: str) -> str:
    """Why perf record refused, of all that it said: its error, not the usage that it prints below."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no message"]
    return next((line.removeprefix("Error:").strip() for line in lines if line.startswith("Error:")), lines[-1])


def count_shapes(lines: Iterable[str]) -> list[PacketShapes]:
    """Fold lines of `perf script -F event,trace` into counts of (len, gso_size, ip_summed) by tracepoint."""
    counts: dict[str, Counter[tuple[int, int, int]]] = {}
    for line in lines:
        match = _LINE.match(line)
        if not match:
            continue
        fields = {name: int(value) for name, value in _FIELD.findall(match["trace"])}
        shape = (fields.get("len", -1), fields.get("gso_size", -1), fields.get("ip_summed", -1))
        counts.setdefault(match["event"], Counter())[shape] += 1
    return [
        PacketShapes(tracepoint=name, shapes=[[*shape, count] for shape, count in sorted(counter.items())])
        for name, counter in sorted(counts.items())
    ]
