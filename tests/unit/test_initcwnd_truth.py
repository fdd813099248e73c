"""Captures whose truth is known: of real kernels, by cause, and made by hand, by trait."""

from __future__ import annotations

import io
import json
import lzma

import pytest

from offloadbench.analysis.capture.capture_file import CaptureFile
from offloadbench.analysis.initcwnd.scoring import FlowScore, score_capture
from tests.conftest import DATA
from tests.unit.real_kernels import TRUTH, capture

MADE = DATA / "initcwnd" / "made"
MADE_TRUTH = {
    name: truth for name, truth in json.loads((MADE / "truth.json").read_text()).items() if name.endswith(".pcap")
}


def _scored(data: bytes, expected: int) -> list[FlowScore]:
    return score_capture(CaptureFile(io.BytesIO(data)), expected).flows


def _first_verdict(cause: str, segments: int, expected: int) -> str:
    """How the verdict of a flight must begin: the cause is first among those that its capture leaves possible."""
    if segments == expected:
        return "honoured"
    if "M0" in cause:
        return "ignored"
    return "delayed by TSO deferral" if "M1" in cause else "capped by send buffer"


@pytest.mark.parametrize("name", TRUTH)
def test_every_flight_of_a_real_kernel_is_explained_by_its_cause(name: str) -> None:
    truth = TRUTH[name]
    expected = truth["initcwnd"]
    counted = [[burst["segments"] for burst in flow] for flow in truth["flows"]]
    for flow in _scored(capture(name), expected):
        bursts = [burst.segments for burst in flow.bursts]
        assert [flow.first_flight_segments, *bursts] in counted
        if flow.verdict == "inconclusive":
            # the last connection of a capture that was stopped
            assert "the capture ends before an ACK could act" in flow.reason
            continue
        if any(segments > expected for segments in bursts):
            assert "M2" in truth["cause"]
            assert flow.verdict == "exceeded"
            assert "a first GSO packet on the old window" in flow.reason
            continue
        begins = _first_verdict(truth["cause"], flow.first_flight_segments or 0, expected)
        assert flow.verdict.startswith(begins), (flow.verdict, flow.reason)
        assert all(burst.verdict == "honoured" for burst in flow.bursts)


def test_few_captures_end_inside_a_flight() -> None:
    verdicts = [flow.verdict for name in TRUTH for flow in _scored(capture(name), TRUTH[name]["initcwnd"])]
    assert (len(verdicts), verdicts.count("inconclusive")) == (171, 3)


@pytest.mark.parametrize("name", [name for name, truth in TRUTH.items() if "M3" in truth["cause"]])
def test_a_full_send_buffer_is_never_called_ignored(name: str) -> None:
    for flow in _scored(capture(name), TRUTH[name]["initcwnd"]):
        assert "ignored" not in flow.verdict


@pytest.mark.parametrize("name", MADE_TRUTH)
def test_captures_with_one_trait_get_the_verdict_that_it_allows(name: str) -> None:
    truth = MADE_TRUTH[name]
    flows = _scored(lzma.decompress((MADE / f"{name}.xz").read_bytes()), 10)
    assert len(flows) == truth.get("connections", 1)
    assert flows[0].verdict.startswith(truth.get("verdict", ""))
    assert truth.get("segments") in (None, flows[0].first_flight_segments)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("01-greeting-and-reply.pcap", "the application ended its write"),
        ("02-capture-ends-in-flight.pcap", "the capture ends before an ACK could act"),
        ("05-syn-after-synack.pcap", "recorded out of order"),
        ("06-small-writes-window.pcap", "2 segments, 16 bytes"),
        ("07-snaplen-54.pcap", "the SYN's options are cut off by the snap length (54 bytes)"),
        ("09-twelve-short-lines.pcap", "420 bytes, and one that counts bytes"),
    ],
)
def test_the_reason_says_what_the_trait_is(name: str, said: str) -> None:
    (flow,) = _scored(lzma.decompress((MADE / f"{name}.xz").read_bytes()), 10)
    assert said in flow.reason
    assert flow.verdict != "ignored"
