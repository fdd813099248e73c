"""Options of the emulated cable, as `run`, `sweep` and `lab` share them."""

from __future__ import annotations

import argparse
import re
from typing import Any

from offloadbench.base.errors import UsageError
from offloadbench.base.units import parse_rate_bits_per_s, parse_size_bytes, parse_time_s

# two full frames as they lie on the cable: with less, none would ever find room behind another
SMALLEST_QUEUE_BYTES = 2 * 1538
# beyond this TCP stands still
_LARGEST_LOSS_RATIO = 0.5
_DEFAULTS = {"line_rate": "1gbit", "rtt": "0ms", "loss": "0", "queue": "0", "wire": "tap"}


def add_arguments(parser: argparse.ArgumentParser, *, lists: bool = False) -> None:
    """`--line-rate`, `--rtt`, `--loss`, `--queue`, which as lists are axes of a sweep; `--wire`, `--sysctl`."""
    many = ", or a comma list" if lists else ""
    parser.add_argument("--line-rate", metavar="RATE", help=f"of --nic lab{many} (default: 1gbit)")
    parser.add_argument("--rtt", metavar="TIME", help=f"of --nic lab{many} (default: 0ms)")
    parser.add_argument(
        "--loss", metavar="PERCENT", help=f"segments lost at random, in each direction by itself{many} (default: 0)"
    )
    parser.add_argument(
        "--queue", metavar="SIZE", help=f"bytes that may wait before the cable; what exceeds them is dropped{many} "
        "(default: 0, nothing is dropped)",
    )  # fmt: skip
    parser.add_argument(
        "--wire", choices=("tap", "netem", "auto"), help="who emulates the cable: a process between two TAPs, the "
        "kernel's netem on a hop between, or netem where the kernel has it (default: tap)",
    )  # fmt: skip
    parser.add_argument("--sysctl", metavar="NAME=VALUE", action="append", default=[], help="net.* value of both ends")


def check_nic(arguments: argparse.Namespace, nic: str) -> None:
    """Raise UsageError where an emulated link is asked for that the NIC does not have."""
    asked = [name for name in _DEFAULTS if getattr(arguments, name)]
    if not asked or nic == "lab":
        return
    option = asked[0].replace("_", "-")
    if nic == "lab-veth":
        raise UsageError(f"--{option}: lab-veth has no cable: it is as fast as the CPU goes", "use --nic lab")
    raise UsageError(
        f"--{option} is of the emulated link of --nic lab; {nic} has a link of its own, not changed",
        f"leave --{option} out, or use --nic lab",
    )


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options as fields of `offloadbench.engine.options.Options`."""
    text = {name: getattr(arguments, name) or default for name, default in _DEFAULTS.items()}
    return {
        "line_rate_bits_per_s": parse_rate_bits_per_s(text["line_rate"]),
        "rtt_s": parse_time_s(text["rtt"]),
        "loss_ratio": parse_loss(text["loss"]),
        "queue_bytes": parse_queue_bytes(text["queue"]),
        "wire": text["wire"],
        "sysctls": parse_sysctls(arguments.sysctl),
    }


def parse_loss(text: str) -> float:
    """`0.1` or `0.1%` -> 0.001."""
    number = text.strip().removesuffix("%").strip()
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", number):
        raise UsageError(f"--loss {text}: not a percentage", "write a number and %: 2%, 0.5%")
    ratio = float(number) / 100
    if ratio > _LARGEST_LOSS_RATIO:
        raise UsageError(f"--loss {text}: TCP stands still beyond {_LARGEST_LOSS_RATIO:.0%}", "use less")
    return ratio


def parse_queue_bytes(text: str) -> int:
    """`256KiB` -> 262144; 0 is no queue limit."""
    size = parse_size_bytes(text)
    if 0 < size < SMALLEST_QUEUE_BYTES:
        raise UsageError(f"--queue {text}: less than two full frames", f"use at least {SMALLEST_QUEUE_BYTES}")
    return size


def parse_sysctls(words: list[str]) -> dict[str, str]:
    """`net.ipv4.tcp_sack=0` -> its name and value; only `net.` belongs to a network namespace."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not re.fullmatch(r"net(\.[A-Za-z0-9_-]+)+", name):
            raise UsageError(f"--sysctl {word!r}", 'write --sysctl net.ipv4.tcp_wmem="4096 16384 67108864"')
        values[name] = value
    return values
