"""How TCP starts on the tested route: kept in the run file, shown, and told as a difference."""

from __future__ import annotations

from pathlib import Path

import msgspec

from offloadbench.analysis.comparison.compatibility import metadata_differences
from offloadbench.files import run_file
from offloadbench.model import Route, Run
from offloadbench.report import machine


def _with_route(run: Run, run_id: str, **values: object) -> Run:
    route = Route(
        family="inet", destination="198.18.0.2/32", gateway="", ifname="eth0", initcwnd=None, initrwnd=None
    )  # fmt: skip
    return msgspec.structs.replace(run, run_id=run_id, route=msgspec.structs.replace(route, **values))


def test_the_route_survives_the_file_and_older_files_have_none(sample_run: Run, tmp_path: Path) -> None:
    assert sample_run.route is None
    run = _with_route(sample_run, "a", initcwnd=20, metrics={"rto_min": 40})
    run_file.save(run, tmp_path / "run.json")
    assert run_file.load(tmp_path / "run.json").route == run.route


def test_a_difference_is_told(sample_run: Run) -> None:
    plain = _with_route(sample_run, "a")
    tuned = _with_route(sample_run, "b", initcwnd=20, initrwnd=30, metrics={"rto_min": 40})
    told = [text for text in metadata_differences(plain, tuned) if "route" in text]
    assert told == [
        "tested route initcwnd: None -> 20",
        "tested route initrwnd: None -> 30",
        "tested route rto_min: None -> 40",
    ]
    assert [
        text for text in metadata_differences(tuned, _with_route(sample_run, "c")) if "initcwnd: 20 -> None" in text
    ]
    assert not [text for text in metadata_differences(sample_run, tuned) if "route" in text]
    same = _with_route(sample_run, "d", ifname="eth9")
    assert not [text for text in metadata_differences(plain, same) if "route" in text]


def test_the_machine_section_shows_it(sample_run: Run) -> None:
    run = _with_route(sample_run, "a", gateway="192.0.2.1", initcwnd=20, metrics={"rto_min": 40, "mtu": 1400})
    groups = {group.title: dict(group.items) for group in machine.machine(run)}
    shown = groups["Tested route"]
    assert shown["Destination"] == "198.18.0.2/32 via 192.0.2.1"
    assert shown["Initial congestion window"] == "20 segments"
    assert shown["Initial receive window"] == "the kernel's default"
    assert shown["Other metrics"] == "rto_min 40; mtu 1400"
    assert "Tested route" not in {group.title for group in machine.machine(sample_run)}
