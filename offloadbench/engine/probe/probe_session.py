"""A whole probe: the bed or the NIC, every trial, and the file that they make."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from offloadbench.base.errors import TrafficError
from offloadbench.bed import lab_bed
from offloadbench.engine import rights
from offloadbench.engine.options import RunOptions
from offloadbench.engine.probe.probe_lab import Laboratory, Matrix
from offloadbench.engine.probe.remote import ProbeTarget, RemoteServer
from offloadbench.engine.progress_events import Emit
from offloadbench.engine.standing_bed import open_journal, open_site
from offloadbench.kernel.netdev import link, nic
from offloadbench.kernel.system import host
from offloadbench.model import PROBE_FORMAT, PROBE_FORMAT_VERSION, FlightTrial, Probe
from offloadbench.version import __version__

Seen = Callable[[FlightTrial, int, int], None]


def _probe(
    probe_id: str,
    command: list[str],
    ifname: str,
    namespace: str | None,
    *,
    nic_name: str,
    line_rate_bits_per_s: int,
    rtt_s: float,
    server: str,
    trials: list[FlightTrial],
    notes: list[str],
) -> Probe:
    return Probe(
        format=PROBE_FORMAT,
        format_version=PROBE_FORMAT_VERSION,
        probe_id=probe_id,
        created_utc=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        tool_version=__version__,
        command=command,
        host=host.describe(namespace),
        nic=nic_name,
        driver=nic.describe(ifname, namespace).driver,
        line_rate_bits_per_s=line_rate_bits_per_s,
        rtt_s=rtt_s,
        server=server,
        trials=trials,
        notes=notes,
    )


def in_the_lab(options: RunOptions, matrix: Matrix, seen: Seen, emit: Emit) -> Probe:
    """Both ends are ours.

    Raises:
        HostError: a capability is missing, or no lab can be built here.
        UsageError: an algorithm or a case that is not to be had.
    """
    rights.for_probe(own_namespaces=True)
    if options.nic == lab_bed.LAB:
        lab_bed.require_tun()
    with open_site(options, emit) as site:
        trials = Laboratory(site, matrix).measure(seen)
        bed = site.bed
        return _probe(
            site.run_id,
            options.command,
            bed.dut.ifname,
            bed.dut.namespace,
            nic_name=bed.nic_name,
            line_rate_bits_per_s=bed.cable.line_rate_bits_per_s,
            rtt_s=bed.cable.rtt_s,
            server=bed.dut.address,
            trials=trials,
            notes=list(bed.problems),
        )


def from_outside(
    ifname: str,
    asked: ProbeTarget,
    *,
    initcwnd: int | None,
    repeats: int,
    window_bytes: int,
    seen: Seen,
    emit: Emit,
    command: list[str],
) -> Probe:
    """The server is not ours.

    Raises:
        HostError: a capability is missing, no such NIC, no route.
        UsageError: another NIC leads there.
        TrafficError: no flight could be observed at all.
    """
    rights.for_probe(own_namespaces=False)
    link.read(ifname)
    trials = []
    with open_journal(ifname, emit) as journal:
        remote = RemoteServer(journal, ifname, asked)
        for repeat in range(1, repeats + 1):
            trials.append(remote.observe(repeat, initcwnd, window_bytes))
            seen(trials[-1], repeat, repeats)
    if all(trial.problem for trial in trials):
        raise TrafficError(f"{asked.name}: {trials[0].problem}", "does the server answer a browser on this machine?")
    notes = ["the server was only observed: its offloads, its cwnd and its send buffer are not known"]
    return _probe(
        journal.run_id,
        command,
        ifname,
        None,
        nic_name=ifname,
        line_rate_bits_per_s=0,
        rtt_s=0.0,
        server=asked.name,
        trials=trials,
        notes=notes,
    )
