"""`offloadbench probe initcwnd`: what it prints, where, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import DATA, CommandLine
from tests.unit.wirecraft import answer, pcap

MSS = 1448
VECTORS = DATA / "initcwnd-vectors.json"
KEYS = {
    "client", "server", "side", "mss_bytes", "rtt_ms", "first_flight_segments", "first_flight_bytes", "frames",
    "max_frame_bytes", "super_packets", "window_bytes", "spread_ms", "verdict", "reason", "bursts",
}  # fmt: skip


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "eight.pcap"
    path.write_bytes(pcap(answer([8 * MSS], 20 * MSS), nanoseconds=True))
    return path


def test_vectors_give_a_line_each_in_their_order(command_line: CommandLine) -> None:
    finished = command_line("probe", "initcwnd", "--vectors", str(VECTORS))
    assert (finished.code, finished.err) == (0, "")
    lines = [json.loads(line) for line in finished.out.splitlines()]
    given = json.loads(VECTORS.read_text())["vectors"]
    assert [line["label"] for line in lines] == [vector["label"] for vector in given]
    for line, vector in zip(lines, given, strict=True):
        for name in ("skb_segments", "first_flight_segments", "first_flight_bytes", "snd_cwnd_segments", "kernel"):
            assert line[name] == vector[name]
    assert lines[0]["marks"] == ["M0"]


def test_a_model_explains_itself(command_line: CommandLine) -> None:
    arguments = ["--initcwnd", "10", "--cached-rtt", "20", "--writes", "5x2896", "--nodelay", "--sndbuf", "262144"]
    finished = command_line("probe", "initcwnd", "--model", "2.6.18-el5", *arguments)
    assert finished.code == 0
    assert finished.out.startswith("first flight: 8 segments, 11584 bytes\n")
    assert "M1, TSO deferral" in finished.out
    assert "skbs of 2, 2, 2, 2 segments" in finished.out
    told = json.loads(command_line("probe", "initcwnd", "--model", "2.6.18", "--format", "json").out)
    assert (told["first_flight_segments"], told["marks"]) == (2, ["M0"])


@pytest.mark.parametrize(
    ("options", "segments"),
    [
        (["--cached-rtt", "20", "--writes", "14480", "--fin"], 10),
        (["--route-rtt", "20"], 10),
        (["--cached-rtt", "20", "--no-metrics-save"], 2),
        (["--cached-rtt", "20", "--writes", "14480", "--tso-win-divisor", "10"], 10),
        (["--cached-rtt", "20", "--writes", "14480", "--tso-win-divisor", "0"], 8),
    ],
)
def test_a_model_takes_what_ends_a_wait_and_where_an_rtt_comes_from(
    command_line: CommandLine, options: list[str], segments: int
) -> None:
    finished = command_line(
        "probe", "initcwnd", "--model", "2.6.18", "--initcwnd", "10", "--sndbuf", "131072", *options
    )
    assert finished.out.startswith(f"first flight: {segments} segments")


def test_vectors_with_impossible_results_are_refused(command_line: CommandLine, tmp_path: Path) -> None:
    vectors = json.loads(VECTORS.read_text())["vectors"]
    vectors[3]["first_flight_bytes"] = 10**6
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(vectors))
    finished = command_line("probe", "initcwnd", "--vectors", str(path))
    assert (finished.code, finished.out) == (2, "")
    assert f"vector 3 ({vectors[3]['label']!r}): first_flight_bytes is 1000000" in finished.err


def test_the_story_is_told(command_line: CommandLine) -> None:
    finished = command_line("probe", "initcwnd", "--explain")
    assert finished.code == 0
    for word in ("M0", "M1", "M2", "M3", "M4", "How sure we are", "2.6.30"):
        assert word in finished.out


def test_a_capture_as_json_has_its_keys(command_line: CommandLine, capture: Path) -> None:
    finished = command_line("probe", "initcwnd", "--pcap", str(capture), "--initcwnd", "10", "--format", "json")
    assert (finished.code, finished.err) == (0, "")
    (line,) = [json.loads(text) for text in finished.out.splitlines()]
    assert set(line) == KEYS
    assert (line["verdict"], line["side"], line["first_flight_segments"]) == (
        "delayed by TSO deferral or a smaller cwnd",
        "server",
        8,
    )


def test_a_capture_as_text_says_verdict_reason_and_figures(command_line: CommandLine, capture: Path) -> None:
    finished = command_line("probe", "initcwnd", "--pcap", str(capture), "--initcwnd", "10")
    assert finished.out.startswith("198.18.0.2:50000 > 198.18.0.1:80: delayed by TSO deferral or a smaller cwnd: 8 seg")
    assert "8 segments, 11584 bytes in 1 frames" in finished.out
    assert "RTT 20." in finished.out


def test_damage_is_one_warning_and_the_rest_is_used(command_line: CommandLine, capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-5])
    finished = command_line("probe", "initcwnd", "--pcap", str(capture), "--initcwnd", "10")
    assert finished.code == 0
    assert finished.err.count("warning:") == 1
    assert "the file ends inside a frame" in finished.err
    assert "delayed by TSO deferral" in finished.out


def test_a_capture_without_tcp_is_told(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "empty.pcap").write_bytes(pcap([]))
    finished = command_line("probe", "initcwnd", "--pcap", str(tmp_path / "empty.pcap"))
    assert (finished.code, finished.out) == (0, "")
    assert "no TCP connection" in finished.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pcap", "absent.pcap"], "absent.pcap: No such file"),
        (["--pcap", str(VECTORS)], "not a pcap or pcapng capture"),
        (["--vectors", "absent.json"], "absent.json: No such file"),
        (["--model", "2.6.32"], "'2.6.32' is not modelled"),
        (["--model", "2.6.18", "--idle", "10"], "--cwnd-before and --idle belong together"),
        (["--model", "2.6.18", "--cached-rtt", "-1"], "negative"),
        (["--model", "2.6.18", "--writes", "2x"], "not a whole number"),
        (["--model", "2.6.18", "--route-rtt", "-1"], "negative"),
        (["--model", "2.6.18", "--tso-win-divisor", "-1"], "not a whole number"),
        (["--pcap", "x", "--fin"], "it has nothing to do with --pcap"),
        (["--pcap", "x", "--initcwnd", "0"], "not a whole number above 0"),
        (["--pcap", "x", "--explain"], "not allowed with"),
        ([], "one of the arguments"),
    ],
)
def test_a_wrong_call_is_a_usage_error(command_line: CommandLine, arguments: list[str], said: str) -> None:
    finished = command_line("probe", "initcwnd", *arguments)
    assert finished.code == 2
    assert said in finished.err
    assert finished.out == ""
