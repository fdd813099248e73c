"""What the lab links measure is the device under test: not the emulator, the disk, or the waking of the load side."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from offloadbench import traffic
from offloadbench.analysis.findings import findings
from offloadbench.analysis.tables.results import gather
from offloadbench.definitions import catalog
from offloadbench.engine.options import RunOptions
from offloadbench.engine.standing_bed import open_site
from offloadbench.files import run_file
from offloadbench.traffic.ftp.ftp_kind import FtpTraffic
from tests.lab.conftest import Offloadbench
from tests.unit.served_files import evict, require_disk, resident_bytes


@pytest.mark.quiet
def test_no_throughput_is_told_of_a_link_that_the_emulator_could_not_fill(
    offloadbench: Offloadbench, tmp_path: Path
) -> None:
    """100 Gbit/s are more than it can move, most of all without TSO."""
    path = tmp_path / "saturated.json"
    link = ["--nic", "lab", "--line-rate", "100gbit", "--cases", "tso,csum", "--workloads", "tcp-stream"]
    done = offloadbench("run", *link, "--duration", "3", "--warmup", "1", "--no-profile", "--output", str(path))
    assert done.returncode == 5, done.stderr
    run = run_file.load(path)
    by_case = {trial.case: trial for trial in run.trials}
    assert by_case["csum"].outcome == "failed"
    assert by_case["csum"].reason.startswith("void: the link emulator was the limit (idle ")
    assert by_case["csum"].wire is not None
    assert findings.find(gather([run], catalog.profile("linux"))) == []


@pytest.mark.skipif(shutil.which("fincore") is None, reason="needs fincore of util-linux")
def test_served_files_that_were_evicted_are_read_before_the_trial_and_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFLOADBENCH_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("OFFLOADBENCH_CACHE", str(tmp_path / "cache"))
    settings = ["files=2", "file_size=16MiB"]
    kind = traffic.from_definition(catalog.override_parameters([catalog.workload("ftp-get")], settings)[0])
    assert isinstance(kind, FtpTraffic)
    kind.prepare(lambda text: None)
    paths = sorted((tmp_path / "cache").rglob("*.bin"))
    require_disk(paths[0])
    evict(paths)
    options = RunOptions(nic="lab-veth", cases="tso", workloads=["ftp-get"], output=tmp_path / "unused")
    with open_site(options, lambda _: None) as site:
        session = kind.start(site.bed.dut, site.bed.peer, 0)
        try:
            opened = session.mark()
            evict(paths)
            time.sleep(1.0)
            load = session.finish(opened, session.mark())
        finally:
            session.close()
    assert load.payload_bytes > 4 * sum(path.stat().st_size for path in paths)
    assert load.disk_read_bytes == 0
    assert load.settings["files_locked"] is True
    # unlocked again, they go when asked to
    evict(paths)
    assert resident_bytes(paths) == 0
