"""Packet shapes from the kernel's network tracepoints: the evidence that an offload toggle acted.

net_dev_queue sees what the stack hands down, before software GSO; net_dev_start_xmit what the driver gets; the
receive entries what comes up. They cost too much for the measured window (about 3 % of throughput and 45 MB/s
of data at 3 Gbit/s), so a moment of the warm-up is recorded, and perf has ended when the window opens.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from offloadbench.base.errors import ProfilerError
from offloadbench.kernel.trace import perf, perfdata
from offloadbench.model import PacketShapes

QUEUE = "net:net_dev_queue"
TRANSMIT = "net:net_dev_start_xmit"
RECEIVE = ("net:napi_gro_receive_entry", "net:netif_receive_skb_entry", "net:netif_rx_entry")
_SHAPE = ("len", "gso_size", "ip_summed")


class PacketRecorder(perf.Controlled):
    """Packets of some devices while it is told to record, on all CPUs; `shapes` reads what `finish` returns.

    Args:
        ifname: the device under test, to which the stack hands down.
        nics: the NICs that transmit and receive for it: itself, or the devices below a VLAN or a bond.
    """

    def __init__(self, ifname: str, nics: Sequence[str], folder: Path) -> None:
        self._data = folder / "evidence.perf.data"
        # without build ids: perf would read its whole recording again for them
        arguments = ["record", "-a", *perf.NO_BUILD_IDS, "-o", str(self._data)]
        for event, names in ((QUEUE, [ifname]), *((event, nics) for event in (TRANSMIT, *RECEIVE))):
            arguments += ["-e", event, "--filter", " || ".join(f'name == "{name}"' for name in names)]
        super().__init__(arguments, folder, "evidence")

    def ready(self) -> None:
        """Return when perf has opened the tracepoints.

        Raises:
            ProfilerError: they are not to be had (no tracefs, or none that may be read).
        """
        try:
            super().ready()
        except ProfilerError as error:
            raise ProfilerError(
                f"tracepoints cannot be recorded: {reason(self.said())}",
                "CAP_PERFMON is needed, and a tracefs that you may read",
            ) from error

    def record(self, seconds: float) -> None:
        """Record for so long, and ask perf to end, which it does beside what comes next."""
        self.enable()
        time.sleep(seconds)
        self.disable()
        self.stop()

    def finish(self) -> Path:
        """Return when perf has ended: its complete perf.data."""
        return self.finish_recording(self._data)


def shapes(data: Path) -> list[PacketShapes]:
    """The packets of a recording, which is removed.

    Raises:
        ProfilerError: it is damaged.
    """
    try:
        recording = perfdata.read(data)
        if recording.problem:
            raise ProfilerError(
                f"the recording of packets is damaged: {recording.problem}", "see `offloadbench doctor`"
            )
        return count_shapes(recording.traced(_SHAPE))
    finally:
        data.unlink(missing_ok=True)


def reason(said: str) -> str:
    """Why perf record refused, of all that it said: its error, not the usage that it prints below."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no message"]
    return next((line.removeprefix("Error:").strip() for line in lines if line.startswith("Error:")), lines[-1])


def count_shapes(traced: Iterable[tuple[str, Sequence[npt.NDArray[np.int64]]]]) -> list[PacketShapes]:
    """Packets by tracepoint, with a column each for len, gso_size and ip_summed, as counts of these three."""
    counts: dict[str, Counter[tuple[int, ...]]] = {}
    for name, columns in traced:
        counts.setdefault(name, Counter()).update(zip(*(column.tolist() for column in columns), strict=True))
    return [
        PacketShapes(tracepoint=name, shapes=[[*shape, count] for shape, count in sorted(counter.items())])
        for name, counter in sorted(counts.items())
    ]
