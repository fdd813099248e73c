"""The story of TSO and initcwnd: its figures are those of the captures and of the model, however it is told."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from offloadbench.analysis.capture.capture_file import CaptureFile
from offloadbench.analysis.initcwnd import evidence, story, verdict
from offloadbench.analysis.initcwnd.evidence import EL5, LATER, VANILLA, KernelEvidence, Pair
from offloadbench.analysis.initcwnd.prediction import predict
from offloadbench.analysis.initcwnd.scenario import IdleRestart, Scenario
from offloadbench.analysis.initcwnd.scoring import score_capture
from offloadbench.report.formats import story_page
from tests.conftest import CommandLine
from tests.unit.real_kernels import TRUTH, capture

ROWS = (*evidence.AS_SHIPPED, *evidence.CURED)
_IDLE = "10 s of silence, then 100000 B"
# (setting, kernel, TSO) -> the captures that show it
_CAPTURED = {
    (_IDLE, VANILLA, True): "2618-tso1-idle10.server",
    (_IDLE, VANILLA, False): "2618-tso0-idle10.server",
    (_IDLE, EL5, True): "el5-274-tso1-idle10.server",
    (_IDLE, LATER, True): "2627-tso1-idle10.server",
    ("first connection to the host", VANILLA, True): "2618-tso1-cold-large.server",
    ("first connection to the host", VANILLA, False): "2618-tso0-cold-large.server",
    ("first connection to the host", EL5, True): "el5-274-tso1-cold-large.server",
    ("first connection to the host", EL5, False): "el5-274-tso0-cold-large.client",
    ("first connection to the host", LATER, True): "2627-tso1-cold-large.server",
    ("first connection to the host", LATER, False): "2627-tso0-cold-large.client",
    ("RTT cached, 100000 B", VANILLA, True): "2618-tso1-warm-large.server",
    ("RTT cached, 100000 B", VANILLA, False): "2618-tso0-warm-large.server",
    ("RTT cached, 100000 B", EL5, True): "el5-274-tso1-warm-large.server",
    ("RTT cached, 100000 B", EL5, False): "el5-274-tso0-warm-large.client",
    ("RTT cached, 100000 B", LATER, True): "2627-tso1-warm-large.server",
    ("RTT cached, 100000 B", LATER, False): "2627-tso0-warm-large.client",
    ("RTT cached, 100000 B, initcwnd 40", VANILLA, False): "2618-tso0-warm-large-40.server",
    ("RTT cached, 14480 B, stays open", VANILLA, True): "2618-tso1-warm-exact.server",
    ("RTT cached, 14480 B, stays open", EL5, True): "el5-274-tso1-warm-exact.server",
    ("RTT cached, 14480 B, stays open", LATER, True): "2627-tso1-warm-exact.server",
    ("RTT cached, 14480 B, closed at once", VANILLA, True): "2618-tso1-warm-exact-close.server",
    ("RTT cached, 14480 B, closed at once", VANILLA, False): "2618-tso0-warm-exact-close.server",
    ("first connection, `rtt 20ms` on the route", VANILLA, False): "2618-tso0-cold-route-rtt.server",
    ("100000 B, send buffer 128 KiB", VANILLA, True): "2618-tso1-warm-large-sndbuf.server",
    ("100000 B, initcwnd 40, send buffer 128 KiB", VANILLA, True): "2618-tso1-warm-large-40-sndbuf.server",
    ("100000 B, initcwnd 40, send buffer 128 KiB", VANILLA, False): "2618-tso0-warm-large-40-sndbuf.server",
}
_LARGE, _WINDOW_BYTES, _SNDBUF_BYTES = 262_144, 65535, 16384


def _segments(setting: str, kernel: str, *, tso: bool) -> int | None:
    (row,) = [row for row in ROWS if row.setting == setting]
    pair = row.seen[kernel]
    return pair.on if tso else pair.off


@pytest.mark.parametrize("case", _CAPTURED, ids=lambda case: " ".join(map(str, case)))
def test_a_figure_is_what_the_capture_of_that_kernel_shows(case: tuple[str, str, bool]) -> None:
    setting, kernel, tso = case
    name = f"{_CAPTURED[case]}.pcap"
    truth = TRUTH[name]
    assert truth["kernel"].startswith(kernel)
    assert truth["tso"] == tso
    scored = score_capture(CaptureFile(io.BytesIO(capture(name))), truth["initcwnd"]).flows
    assert len(scored) >= 2
    seen = {burst.segments for flow in scored for burst in flow.bursts} if setting == _IDLE else {
        flow.first_flight_segments for flow in scored
    }  # fmt: skip
    assert seen == {_segments(setting, kernel, tso=tso)}


def test_most_figures_have_a_capture() -> None:
    figures = sum((pair.on, pair.off).count(None) * -1 + 2 for row in ROWS for pair in row.seen.values())
    assert len(_CAPTURED) >= figures // 2


def _scenario(row: KernelEvidence, kernel: str, *, tso: bool) -> Scenario:
    setting = row.setting
    sizes = re.search(r"(two writes of )?(\d+) B", setting.partition("client's window")[0])
    writes = [int(sizes[2])] * (2 if sizes[1] else 1) if sizes else [100_000]
    large = "128 KiB" in setting
    restart = IdleRestart(cwnd_before=100, idle_s=10) if setting == _IDLE else None
    return Scenario(
        kernel=kernel,
        tso=tso,
        mss_bytes=1448,
        writes_bytes=writes,
        initcwnd=row.initcwnd,
        cached_rtt_ms=0 if setting.startswith("first") else 20,
        route_rtt_ms=20 if "rtt 20ms" in setting else 0,
        tcp_tso_win_divisor=10 if "tcp_tso_win_divisor" in setting else 3,
        fin=setting.endswith("closed at once"),
        rwnd_bytes=_LARGE if restart else 5840 if "5840" in setting else _WINDOW_BYTES,
        sndbuf_bytes=_LARGE if restart else 262_144 if large else _SNDBUF_BYTES,
        idle_restart=restart,
    )


_MODELLED = [
    pytest.param(row, kernel, tso, id=f"{row.setting} {kernel} TSO {'on' if tso else 'off'}")
    for row in ROWS
    for kernel in (VANILLA, EL5)
    for tso in (True, False)
    if kernel in row.seen
]


@pytest.mark.parametrize(("row", "kernel", "tso"), _MODELLED)
def test_a_figure_is_what_the_model_predicts(row: KernelEvidence, kernel: str, tso: bool) -> None:
    pair = row.seen[kernel]
    given = _scenario(row, kernel, tso=tso)
    prediction = predict(given)
    assert prediction.first_flight_segments == (pair.on if tso else pair.off)


def test_the_old_window_leaves_where_it_is_less_than_a_packet() -> None:
    name = "el5-274-tso1-idle-cwnd24.server.pcap"
    scored = score_capture(CaptureFile(io.BytesIO(capture(name))), 10).flows
    assert {burst.segments for flow in scored for burst in flow.bursts} == {23, 24}


# ---------------------------------------------------------------- as it is told


def test_every_verdict_and_mechanism_is_explained() -> None:
    text = story.explanation()
    assert set(story.MEANINGS) == set(verdict.VERDICTS)
    for word in verdict.VERDICTS:
        assert f"\n    {word}  " in text
    for mechanism in story.MECHANISMS:
        assert f"\n  {mechanism.mark}  {mechanism.name}. " in text
    assert max(map(len, text.splitlines())) <= 120
    assert {row.mark for row in ROWS} - {""} == {mechanism.mark for mechanism in story.MECHANISMS}


def test_the_table_says_what_was_not_run() -> None:
    assert str(Pair(10, None)) == "10 / \N{EN DASH}"
    lines = evidence.text()
    assert len(lines) == len(ROWS) + 3
    assert all(line.count("/") == 3 for line in lines if line.startswith("M0  first connection to"))


def test_explain_prints_the_story_and_writes_it_as_a_page(command_line: CommandLine, tmp_path: Path) -> None:
    done = command_line("probe", "initcwnd", "--explain")
    assert (done.code, done.out) == (0, story.explanation())
    path = tmp_path / "story.html"
    path.write_text("what stood there")
    done = command_line("probe", "initcwnd", "--explain", "--output", str(path))
    assert (done.code, done.out) == (0, f"{path}\n")
    page = path.read_text()
    assert page == story_page.page()
    assert story.HEADLINE.replace("'", "&#39;") in page
    assert page.count("<svg") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--output", "story.json"), "nothing that ends in .json is written"),
        (("--output", "/dev/null/story.html"), "Not a directory"),
        (("--overwrite",), "--overwrite"),
    ],
)
def test_the_page_goes_where_a_page_can_go(command_line: CommandLine, words: tuple[str, ...], message: str) -> None:
    done = command_line("probe", "initcwnd", "--explain", *words)
    assert done.code == 2
    assert message in done.err
