"""What does a trial say when its NIC hangs, is reset, renamed or removed in its window? Each provoked, a trial each.

    python -m tests.benchmarks.nic_trouble --nic eth0 --peer nic:eth1 --acts quiet,hang,hang@19,hold --output RUN.json

For a machine that nobody needs, as a virtual one with two NICs e1000e, e1000 or igb that are cabled back to back. Of
these the transmit unit can be switched off by its register (TCTL.EN), as by a fault of the hardware: what is sent then
stays pending until the kernel's watchdog calls the driver, which resets the NIC. The kernel must allow user space to
write to devices that have a driver: `iomem=relaxed` on its command line, where it has CONFIG_IO_STRICT_DEVMEM.

Acts, at the end that `--end` names and at a second of the window (`hang@19`; default 2; below 0: in the warm-up):

    quiet      nothing
    hang       the transmit unit is switched off; the driver's reset switches it on again
    hold       the same, and off again after every reset, until the trial ends
    restart    `ethtool -r`: the link is negotiated again
    deaf       the device may not read or write memory for `--seconds` (PCI bus mastering off)
    mute       the same until the trial ends
    rename     the interface gets another name
    rebind     its driver is unbound and bound again
    unbind     its driver is unbound
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import mmap
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from offloadbench.bed.local import DUT_ADDRESS, PEER_ADDRESS
from offloadbench.commands import progress
from offloadbench.engine.options import RunOptions
from offloadbench.engine.progress_events import Event, Phase, Sampled, TrialEnded
from offloadbench.engine.run import execute as engine
from offloadbench.kernel.system import netns

# of the register that controls transmission, and its bit that enables it (Intel 82574 and 82576 datasheets)
_TCTL, _TCTL_EN = 0x400, 1 << 1
_REGISTERS_BYTES = 1 << 17
# PCI configuration space: the command register, and its bit for bus mastering
_COMMAND, _COMMAND_MASTER = 4, 1 << 2
_SENDERS, _DATAGRAM_BYTES, _DISCARD = 64, 1400, 9
_AT_S = 2.0


class Victim:
    """The NIC of one end."""

    def __init__(self, end: str, ifname: str, seconds: float) -> None:
        self._end, self._ifname, self._seconds = end, ifname, seconds
        self._device = Path("/sys/class/net", ifname, "device").resolve()
        self._driver = (self._device / "driver").resolve()
        self.trial_over = threading.Event()

    def _namespace(self) -> str | None:
        if self._end == "dut":
            return None
        words = subprocess.check_output(["ip", "netns", "list"], text=True).split()
        return next(word for word in words if word.startswith("offloadbench-") and word.endswith("-peer"))

    def _set_transmission(self, *, on: bool) -> None:
        with (self._device / "resource0").open("r+b") as file:
            registers = mmap.mmap(file.fileno(), _REGISTERS_BYTES)
            control = ctypes.c_uint32.from_buffer(registers, _TCTL)
            control.value = control.value | _TCTL_EN if on else control.value & ~_TCTL_EN
            del control
            registers.close()

    def _set_mastering(self, *, on: bool) -> None:
        with (self._device / "config").open("r+b", buffering=0) as file:
            file.seek(_COMMAND)
            (command,) = struct.unpack("<H", file.read(2))
            file.seek(_COMMAND)
            file.write(struct.pack("<H", command | _COMMAND_MASTER if on else command & ~_COMMAND_MASTER))

    def _crowd(self) -> None:
        """Datagrams beside the load: only a queue that is full makes the watchdog look."""
        far = PEER_ADDRESS if self._end == "dut" else DUT_ADDRESS
        with netns.entered(self._namespace()), contextlib.ExitStack() as stack:
            for _ in range(_SENDERS):
                sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sender.setblocking(False)
                with contextlib.suppress(OSError):
                    for _ in range(_SENDERS):
                        sender.sendto(bytes(_DATAGRAM_BYTES), (far, _DISCARD))

    def _typed(self, *words: str) -> None:
        namespace = self._namespace()
        entered = ["ip", "netns", "exec", namespace] if namespace else []
        subprocess.run([*entered, *words], check=True)

    def quiet(self) -> None:
        """Nothing."""

    def hang(self) -> None:
        self._set_transmission(on=False)
        self._crowd()

    def hold(self) -> None:
        over = self.trial_over
        while not over.wait(0.2):
            self._set_transmission(on=False)
            self._crowd()
        self._set_transmission(on=True)

    def restart(self) -> None:
        self._typed("ethtool", "-r", self._ifname)

    def deaf(self) -> None:
        self._set_mastering(on=False)
        self.trial_over.wait(self._seconds)
        self._set_mastering(on=True)

    def mute(self) -> None:
        self._set_mastering(on=False)
        self.trial_over.wait()
        self._set_mastering(on=True)

    def rename(self) -> None:
        for words in ("down", "name moved0", "up"):
            self._typed("ip", "link", "set", "moved0" if words == "up" else self._ifname, *words.split())

    def unbind(self) -> None:
        (self._driver / "unbind").write_text(self._device.name)

    def rebind(self) -> None:
        self.unbind()
        (self._driver / "bind").write_text(self._device.name)


class Provocation:
    """A listener of the engine: one act a trial, when a second of its window has been sampled."""

    def __init__(self, victim: Victim, acts: list[str]) -> None:
        self._victim, self._at_s = victim, 0.0
        self._acts = [act.partition("@") for act in acts]
        self._pending: Callable[[], None] | None = None

    def hear(self, event: Event) -> None:
        if isinstance(event, Phase) and event.name == "preparing":
            self._victim.trial_over = threading.Event()
            name, _, at_s = self._acts.pop(0)
            self._pending, self._at_s = getattr(self._victim, name), float(at_s or _AT_S)
        early = isinstance(event, Phase) and event.name == "warm-up" and self._at_s < 0
        if self._pending and (early or (isinstance(event, Sampled) and event.t_s >= self._at_s)):
            threading.Thread(target=self._pending, daemon=True).start()
            self._pending = None
        if isinstance(event, TrialEnded):
            self._victim.trial_over.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nic", default="eth0")
    parser.add_argument("--peer", default="nic:eth1")
    parser.add_argument("--end", choices=["dut", "peer"], default="dut")
    parser.add_argument("--acts", default="quiet,hang")
    parser.add_argument(
        "--at", type=float, default=2.0, metavar="SECOND", help="of the window; below 0: in the warm-up"
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="how long `deaf` lasts")
    parser.add_argument("--duration", type=int, default=20)
    parser.add_argument("--warmup", type=float, default=3.0)
    parser.add_argument("--output", type=Path, default=Path("nic-trouble.json"))
    arguments = parser.parse_args()
    acts = arguments.acts.split(",")
    ifname = arguments.nic if arguments.end == "dut" else arguments.peer.removeprefix("nic:")
    provocation = Provocation(Victim(arguments.end, ifname, arguments.seconds), acts)
    options = RunOptions(
        nic=arguments.nic, peer=arguments.peer, cases="tso", workloads=["tcp-stream"], output=arguments.output,
        duration_s=arguments.duration, warmup_s=arguments.warmup, repeats=len(acts), profile=False, force=True,
        command=["python", "-m", "tests.benchmarks.nic_trouble", *sys.argv[1:]],
    )  # fmt: skip
    began_s = time.monotonic()
    with progress.show() as emit:

        def hear(event: Event) -> None:
            emit(event)
            provocation.hear(event)

        run = engine.execute(options, hear)
    for act, trial in zip(acts, run.trials, strict=True):
        print(f"\n{act}: {trial.outcome}\n  reason: {trial.reason or '(none)'}")
        for warning in trial.warnings:
            print(f"  warning: {warning}")
    print(f"\n{time.monotonic() - began_s:.0f} s on {os.uname().release}")


if __name__ == "__main__":
    main()
