"""A link that falls, packets that are damaged and dropped in the middle of a trial: the trial says so."""

from __future__ import annotations

import socket
import struct
import subprocess
from pathlib import Path

import pytest

from offloadbench.bed.local import PEER_ADDRESS
from offloadbench.engine.options import RunOptions
from offloadbench.engine.run import execute as engine
from offloadbench.kernel.system import netns
from tests.lab.somebody import Act, Somebody


def _flap(namespace: str, nic: str) -> None:
    for state in ("down", "up"):
        subprocess.run(["ip", "-n", namespace, "link", "set", nic, state], check=True)


def _damage(namespace: str, nic: str) -> None:
    """A TCP segment whose checksum is wrong."""
    del nic
    segment = struct.pack("!HHIIBBHHH", 9, 9, 1, 1, 5 << 4, 0x10, 100, 0xBAD, 0)
    with netns.entered(namespace), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        for _ in range(3):
            raw.sendto(segment, (PEER_ADDRESS, 0))


def _unwanted(namespace: str, nic: str) -> None:
    """Frames of a protocol that nothing receives: the kernel drops them at the other end."""
    with netns.entered(namespace), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((nic, 0))
        for _ in range(4):
            raw.send(b"\xff" * 6 + raw.getsockname()[4] + b"\x88\xb5" + bytes(60))


# at which end, what is done when the first second has been sampled, how the trial ends, and what it must say
DISTURBANCES: list[tuple[str, Act, str, str]] = [
    ("dut", _flap, "failed", "the link was lost (link.carrier_down_count +1)"),
    ("peer", _flap, "failed", "the link was lost (link.carrier_down_count +1)"),
    ("dut", _damage, "ok", "load side: packets arrived with a wrong checksum (Tcp.InCsumErrors +3"),
    ("dut", _unwanted, "ok", "load side, "),
]


def test_a_trial_says_what_went_wrong_in_its_window(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFLOADBENCH_STATE", environment["OFFLOADBENCH_STATE"])
    options = RunOptions(
        nic="lab-veth", cases="tso", workloads=["tcp-stream"], output=tmp_path / "run.json", duration_s=2, warmup_s=1.0,
        repeats=len(DISTURBANCES) + 1, profile=False,
    )  # fmt: skip
    quiet, *disturbed = engine.execute(options, Somebody([(end, act) for end, act, _, _ in DISTURBANCES]).hear).trials
    assert (quiet.outcome, quiet.reason) == ("ok", "")
    assert not [text for text in quiet.warnings if "link." in text or "checksum" in text]
    assert quiet.peer_tcp_counters["Tcp.InSegs"] > 0
    assert [device.ifname for device in quiet.peer_statistics] != []
    wrong = [
        (act.__name__, trial.outcome, trial.reason, trial.warnings)
        for (_, act, outcome, told), trial in zip(DISTURBANCES, disturbed, strict=True)
        if trial.outcome != outcome or told not in f"{trial.reason} {' '.join(trial.warnings)}"
    ]
    assert wrong == []
    assert "link.rx_dropped +4" in " ".join(disturbed[3].warnings)
