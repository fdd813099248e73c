"""The options of `run`: the contract that others script against."""

from __future__ import annotations

import argparse
from pathlib import Path

from offloadbench.base.units import parse_duration_s, parse_whole_seconds
from offloadbench.commands.options import cable_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every option of `offloadbench run`."""
    parser.add_argument(
        "--nic",
        metavar="NIC",
        help="NIC under test, or a comma list of NICs, in turn; `lab` and `lab-veth` are built for the run",
    )
    parser.add_argument(
        "--peer",
        metavar="WHERE",
        default="",
        help="load side of a real NIC: ssh://user@host[:port][?nic=eth1], wait[:port] (prints a line to start there), "
        "nic:eth2 (a second port, cabled to it); one for all NICs, or one for each",
    )
    parser.add_argument(
        "--fleet", metavar="ADDRESS", help="load side: the workers of a Dask scheduler, tcp://host:8786"
    )
    parser.add_argument(
        "--dut",
        metavar="HOST",
        help="ssh://user@host: test that host, which has offloadbench, with this one as load side",
    )
    parser.add_argument(
        "--on-lost-worker", choices=("fail", "shrink"), default="fail", help="what becomes of the trial (default: fail)"
    )
    parser.add_argument(
        "--cases",
        metavar="SPEC",
        help="groups (paper, ladder, one-off, factorial, all), names, settings "
        "(tso=off,tx=on; a semicolon between two such cases), TOML files",
    )
    parser.add_argument(
        "--workloads", metavar="LIST", help="names or TOML files (default: ftp-get,iscsi-write; of a fleet ftp-get)"
    )
    parser.add_argument(
        "--duration",
        metavar="TIME",
        type=parse_whole_seconds,
        default=60,
        help="measured window: 30, 30s, 1m (default: 60)",
    )
    parser.add_argument("--warmup", metavar="TIME", type=parse_duration_s, default=5.0, help="warm-up (default: 5)")
    parser.add_argument("--repeats", metavar="N", type=int, default=1, help="blocks of all cases (default: 1)")
    parser.add_argument(
        "--runs",
        metavar="N",
        type=int,
        help="make N runs, each with a file of its own (x-1.json to x-N.json), and tell how far they lie apart; to go "
        "on: the same options, with --resume x.json instead of --output x.json",
    )
    parser.add_argument(
        "--precision",
        metavar="PCT",
        help="add blocks until every interval of a case against the first is that narrow: 2%%",
    )
    parser.add_argument("--max-repeats", metavar="N", type=int, help="where --precision gives up (default: 20)")
    parser.add_argument("--seed", metavar="N", type=int, help="seed of the order (default: drawn, and recorded)")
    parser.add_argument(
        "--output",
        metavar="FILE|DIR/",
        default="",
        help="run file, or a folder for NIC.json; of several NICs x.json becomes x-NIC.json (default: NIC and time)",
    )
    parser.add_argument("--resume", metavar="FILE", type=Path, help="go on with a run where it stopped")
    parser.add_argument("--dry-run", action="store_true", help="print order, duration and every setting touched")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="override a workload's parameter"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the output; use a NIC with the default route")
    cable_options.add_arguments(parser)
    parser.add_argument("--no-profile", action="store_true", help="do not run perf in the measured window")
    parser.add_argument(
        "--call-graph", action="store_true", help="record who called each sampled function; costs more CPU"
    )
    parser.add_argument(
        "--waits", action="store_true", help="record where the sender's threads wait (scheduler switches); costs CPU"
    )
    parser.add_argument(
        "--capture", action="store_true", help="record packets and ACKs of the followed sender (tcpdump); costs CPU"
    )
    parser.add_argument(
        "--tune", choices=("sndbuf",), help="run again with a send buffer that cannot limit; shows before and after"
    )
    parser.add_argument("--keep-perf", action="store_true", help="keep each trial's perf.data beside the run file")
