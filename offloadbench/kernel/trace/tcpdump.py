"""tcpdump(8) on the tested NIC, on request: headers of the followed connections' packets."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import sh

from offloadbench.base.errors import HostError, ProfilerError
from offloadbench.kernel.system import netns

# Ethernet, VLAN, IPv6, TCP with all its options, and the headers of a few iSCSI PDUs
_SNAP_BYTES = 288
# up to 300 bytes a packet in the file: 150 MB, 6 s of a full gigabit link without TSO
_PACKETS_MAX = 500_000
_READY_S = 10.0
_LISTENING = "listening on"


def require() -> None:
    """Raise HostError unless tcpdump can be run."""
    try:
        sh.tcpdump("--version", _err_to_out=True)
    except sh.CommandNotFound as error:
        raise HostError("tcpdump is not installed", "apt-get install tcpdump, or run without --capture") from error


class Capture:
    """Captures from `start` until `stop`, at most `_PACKETS_MAX` packets.

    Args:
        port: of the remote end; packets of both directions are kept.

    Raises:
        ProfilerError: tcpdump does not begin.
    """

    def __init__(self, ifname: str, namespace: str | None, address: str, port: int, folder: Path) -> None:
        self.path = folder / "sender.pcap"
        self._log = folder / "sender.tcpdump.log"
        arguments = ["-i", ifname, "-n", "-p", "-s", str(_SNAP_BYTES), "-c", str(_PACKETS_MAX), "-B", "8192"]
        arguments += ["--nano", "-Z", "root", "-w", str(self.path), f"tcp and host {address} and port {port}"]
        with netns.entered(namespace):
            self._process: Any = sh.tcpdump(
                *arguments, _bg=True, _bg_exc=False, _new_session=True, _out=str(self._log), _err=str(self._log)
            )
        until_s = time.monotonic() + _READY_S
        while _LISTENING not in self._said():
            if time.monotonic() > until_s or not self._process.is_alive():
                self.stop()
                raise ProfilerError(f"tcpdump does not begin: {self._said() or 'no message'}", "see the log")
            time.sleep(0.02)

    def _said(self) -> str:
        try:
            return self._log.read_text(errors="replace").strip().replace("\n", "; ")
        except OSError:
            return ""

    def stop(self) -> Path:
        """End tcpdump and return its complete capture. Safe to call twice."""
        if self._process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        with contextlib.suppress(sh.ErrorReturnCode, sh.TimeoutException):
            self._process.wait(timeout=10)
        return self.path
