"""Probe files: read and written whole, drawn, exported; a released one among the data."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.initcwnd import probe_tables, verdict
from offloadbench.base.errors import RunFileError
from offloadbench.files import probe_file
from offloadbench.model import FlightFrames, FlightTrial, Probe
from offloadbench.report.formats import probe_page
from tests.conftest import DATA, CommandLine

PATH = DATA / "probe-lab.json.xz"
_COLUMNS = (
    "probe nic kernel server repeat case congestion_control metrics pattern writes_bytes initcwnd "
    "segments all_segments bytes frames super_packets largest_segments spread_us repeated_us mss_bytes "
    "rtt_us window_bytes idle_us cwnd_before_segments unsent_bytes sndbuf_bytes write_blocked "
    "released_bytes lost_frames verdict reason evidence"
)
COLUMNS = _COLUMNS.split()


@pytest.fixture(scope="module")
def probe() -> Probe:
    return probe_file.load(PATH)


def _replaced(probe: Probe, trial: FlightTrial) -> Probe:
    return msgspec.structs.replace(probe, trials=[trial])


@pytest.mark.parametrize("name", ["probe.json", "probe.json.gz", "probe.json.xz"])
def test_what_is_written_is_read_again(probe: Probe, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    probe_file.save(probe, path)
    assert probe_file.load(path) == probe
    assert probe_file.is_probe(path)


def test_the_released_file_of_format_1_says_what_was_seen(probe: Probe) -> None:
    assert probe.format_version == 1
    table = probe_tables.flights([probe])
    first = table[table["pattern"] == "one"]
    assert len(first) == 36
    assert set(first["verdict"]) == {verdict.HONOURED}
    assert (first["all_segments"] == first["initcwnd"]).all()
    idle = table[table["pattern"] == "idle"].groupby("congestion_control")["verdict"].unique()
    assert {name: list(words) for name, words in idle.items()} == {"bbr": ["exceeded"], "cubic": ["honoured"]}


def _text(probe: Probe, **values: object) -> bytes:
    document = json.loads(msgspec.json.encode(probe)) | values
    return json.dumps(document).encode()


def test_a_file_that_is_none_is_refused_in_one_line(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    cases = {
        b"{": "not JSON|truncated",
        b"{}": "not a probe file",
        _text(probe, format_version=99): "probe file format 99",
        _text(probe, trials=[{"repeat": 1}]): "damaged",
        msgspec.json.encode(probe)[:-200]: "truncated",
    }
    for data, message in cases.items():
        path.write_bytes(data)
        with pytest.raises(RunFileError, match=message):
            probe_file.load(path)
    with pytest.raises(RunFileError, match="No such file"):
        probe_file.load(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("frames", "mss_bytes", "message"),
    [
        (FlightFrames(t_us=[1]), 1448, "differ in length"),
        (FlightFrames(t_us=[1], offset_bytes=[0], payload_bytes=[5], gso_bytes=[0]), 0, "MSS of 0"),
        (FlightFrames(t_us=[1], offset_bytes=[0], payload_bytes=[0], gso_bytes=[0]), 1448, "without payload"),
        (FlightFrames(t_us=[1], offset_bytes=[0], payload_bytes=[5], gso_bytes=[-1]), 1448, "without payload"),
    ],
)
def test_contradicting_frames_are_damage(
    probe: Probe, tmp_path: Path, frames: FlightFrames, mss_bytes: int, message: str
) -> None:
    path = tmp_path / "contradicting.json"
    trial = msgspec.structs.replace(probe.trials[0], frames=frames, mss_bytes=mss_bytes)
    probe_file.save(_replaced(probe, trial), path)
    with pytest.raises(RunFileError, match=message):
        probe_file.load(path)


def test_the_page_says_the_finding_and_holds_a_picture_of_each_way_of_writing(probe: Probe) -> None:
    text = probe_page.page([probe], ["probe.json"])
    assert "The initial window of 10 and 40 segments leaves as it was asked for, with TSO on and off" in text
    assert "After silence 18 of 36 bursts exceeded it, all under bbr." in text
    assert text.count("<figure") == 4
    assert text.count('class="wide"') == text.count('class="narrow"') == 4
    assert 'style="' not in text


def test_everything_of_a_file_is_escaped(probe: Probe) -> None:
    evil = "<script>alert(1)</script>"
    trial = msgspec.structs.replace(probe.trials[0], case=evil, congestion_control=evil, pattern=evil, problem=evil)
    wrong = msgspec.structs.replace(
        _replaced(probe, trial), server=evil, nic=evil, driver=evil, notes=[evil], command=[evil]
    )
    assert evil not in probe_page.page([wrong], [evil])
    assert evil not in probe_page.markdown([wrong])


def test_a_probe_without_a_single_flight_is_drawn_too(probe: Probe) -> None:
    empty = FlightTrial(
        repeat=1, case="", congestion_control="", metrics="", pattern="response", initcwnd=None, problem="no answer"
    )
    text = probe_page.page([_replaced(probe, empty)], ["probe.json"])
    assert "without a window to compare with there is no verdict" in text
    assert "<figure" not in text


def test_export_has_every_promised_column(command_line: CommandLine, tmp_path: Path) -> None:
    done = command_line("export", str(PATH), "--table", "flights")
    assert done.code == 0
    assert done.out.splitlines()[0].split(",") == COLUMNS
    frames = command_line("export", str(PATH), "--table", "flight_frames", "--format", "json")
    rows = json.loads(frames.out)
    assert {"t_us", "offset_bytes", "payload_bytes", "gso_bytes", "initcwnd"} <= rows[0].keys()
    assert command_line("export", str(PATH), "--table", "trials").code == RunFileError.exit_code
    run = str(DATA / "run-v1.json")
    assert command_line("export", run, "--table", "flights").code == RunFileError.exit_code


def test_report_draws_probes_and_refuses_a_mixture(command_line: CommandLine, tmp_path: Path) -> None:
    page, plots = tmp_path / "page.html", tmp_path / "plots"
    done = command_line("report", str(PATH), "--output", str(page), "--plots", str(plots))
    assert (done.code, page.exists()) == (0, True)
    assert len(list(plots.glob("*.svg"))) == 4
    markdown = command_line("report", str(PATH), "--format", "md")
    assert "| one write, nothing remembered | honoured 3/3: 10 | honoured 3/3: 10 | honoured 3/3: 10 |" in markdown.out
    mixed = command_line("report", str(DATA / "run-v1.json"), str(PATH), "--output", str(page))
    assert (mixed.code, "a probe file among run files" in mixed.err) == (2, True)


def test_the_schema_takes_the_released_file(command_line: CommandLine, probe: Probe) -> None:
    schema = json.loads(command_line("schema", "--of", "probe").out)
    assert schema["title"] == "offloadbench-probe 1"
    assert set(schema["$defs"]["Probe"]["properties"]) == set(Probe.__struct_fields__)
    assert set(json.loads(msgspec.json.encode(probe))) == set(Probe.__struct_fields__)


def test_a_profile_of_attribution_is_not_taken_for_a_probe_file(command_line: CommandLine, tmp_path: Path) -> None:
    finished = command_line("report", str(PATH), "--profile", "linux", "--output", str(tmp_path / "a.html"))
    assert (finished.code, "--profile: a probe file has no samples" in finished.err) == (2, True)
    assert command_line("report", str(PATH), "--output", str(tmp_path / "a.html")).code == 0
