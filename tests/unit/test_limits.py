"""What limited a trial, from a run: the facts that bed and workload give, the tables, the tuned twin."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from offloadbench.analysis.sender import limit_tables, theory
from offloadbench.base.errors import UsageError
from offloadbench.base.units import parse_size_bytes
from offloadbench.definitions import catalog
from offloadbench.engine.run import raised_send_buffer
from offloadbench.model import Run, Trial
from tests.unit.builders import load, samples, trial, workload
from tests.unit.builders import run as build_run
from tests.unit.test_diagnosis import recorded

replace = msgspec.structs.replace
NEGOTIATED = {
    "initial_r2t": True,
    "immediate_data": True,
    "first_burst_bytes": 262144,
    "max_burst_bytes": 262144,
    "max_send_segment_bytes": 262144,
}


def _trial(name: str, **settings: Any) -> Trial:
    """A trial whose sender left the recorded trace of that name."""
    one = recorded(name)
    moved = replace(load(10**7, 1.0), settings=settings)
    return trial(workload="iscsi-write", tcp=[one.trace], load=moved, samples=samples(), window_s=2.0)


def _run(sample: Run, *trials: Trial, rtt_s: float = 0.02) -> Run:
    made = build_run(sample, list(trials))
    return replace(made, bed=replace(made.bed, line_rate_bits_per_s=10**9, rtt_s=rtt_s))


def test_a_starved_send_buffer_is_told_with_the_bound_that_it_sets(sample_run: Run) -> None:
    run = _run(sample_run, _trial("send-buffer-blocks"))
    (row,) = limit_tables.limits([run]).to_dict("records")
    assert row["limit"] == "send buffer"
    assert row["sentence"].startswith("Limited by the send buffer at ")
    assert row["send_buffer_ratio"] > 0.5
    assert sum(row[name] for name in limit_tables.LIMIT_COLUMNS if name.endswith("_ratio") and name != "gap_ratio") == (
        pytest.approx(1)
    )
    bounds = limit_tables.bounds([run])
    assert bounds["bound_bits_per_s"].is_monotonic_increasing
    assert bounds.iloc[0]["bound"] == theory.SEND_BUFFER == row["bound"]
    assert (bounds["goodput_bits_per_s"] == 8e7).all()
    found = limit_tables.gaps([run])
    assert len(found) == row["gap_count"]
    assert (found["length_s"] > 0).all()


def test_what_an_initiator_may_send_unasked_follows_from_what_was_negotiated(sample_run: Run) -> None:
    settings = {"negotiated": NEGOTIATED, "operation": "write", "transfer_bytes": 4 << 20, "queue_depth": 4}
    known = limit_tables.facts(_run(sample_run), _trial("rounds", **settings))
    assert known["unsolicited_bytes"] == 262144
    exchange = theory.exchange_of(known)
    assert exchange is not None
    assert exchange.rounds == 15
    silent = {**settings, "negotiated": {**NEGOTIATED, "initial_r2t": False, "first_burst_bytes": 16 << 20}}
    assert limit_tables.facts(_run(sample_run), _trial("rounds", **silent))["unsolicited_bytes"] == 4 << 20


@pytest.mark.parametrize("settings", [{}, {"negotiated": NEGOTIATED, "operation": "read"}])
def test_other_traffic_has_no_exchange(sample_run: Run, settings: dict[str, Any]) -> None:
    known = limit_tables.facts(_run(sample_run), _trial("send-buffer-blocks", **settings))
    assert known == {"line_rate_bits_per_s": 10**9, "rtt_s": 0.02, "mtu_bytes": 1500, "vlan_bytes": 0}


def test_a_trial_that_nobody_watched_has_no_verdict(sample_run: Run) -> None:
    assert limit_tables.limits([sample_run]).empty
    assert limit_tables.bounds([sample_run]).empty


def test_a_tuned_twin_has_room_for_the_product_and_for_what_is_under_way() -> None:
    iscsi, stream, ftp = (catalog.workload(name) for name in ("iscsi-write", "tcp-stream", "ftp-get"))
    found = {one.name: one for one in raised_send_buffer.with_tuned([iscsi, stream, ftp], 10**9, 0.02)}
    assert list(found) == ["iscsi-write", "iscsi-write-tuned", "tcp-stream", "tcp-stream-tuned", "ftp-get"]
    in_force = {name: 2 * int(found[name].parameters["sndbuf"]) for name in ("iscsi-write-tuned", "tcp-stream-tuned")}
    under_way = parse_size_bytes(str(iscsi.parameters["block_size"])) * int(iscsi.parameters["queue_depth"])
    assert in_force["iscsi-write-tuned"] > under_way
    assert in_force["tcp-stream-tuned"] > 10**9 / 8 * 0.02
    assert found["iscsi-write"] == iscsi
    assert {**found["iscsi-write-tuned"].parameters, "sndbuf": 0} == iscsi.parameters


def test_tuning_needs_a_send_buffer_and_a_link_with_a_delay() -> None:
    with pytest.raises(UsageError, match="no chosen workload"):
        raised_send_buffer.with_tuned([workload()], 10**9, 0.02)
    for rate, rtt_s in ((0, 0.02), (10**9, 0.0)):
        with pytest.raises(UsageError, match="rate and a delay"):
            raised_send_buffer.with_tuned([catalog.workload("tcp-stream")], rate, rtt_s)
