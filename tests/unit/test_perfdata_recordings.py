"""Recordings of other machines, against what perf says of them."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offloadbench.kernel.trace import perfdata
from offloadbench.kernel.trace.perfdata import NOT_MAPPED, CpuMode, locate

FOLDER = Path(__file__).parents[1] / "data" / "perf"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text())
DAMAGED = "perf.data.piped.corrupted.zero_size_sample-3.2"
_MODES = {"[k]": CpuMode.KERNEL, "[.]": CpuMode.USER}


def _unpacked(name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(gzip.decompress((FOLDER / f"{name}.gz").read_bytes()))
    return path


@pytest.fixture(params=EXPECTED)
def named(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[perfdata.Recording, dict[str, Any]]:
    """A recording and what is expected of it."""
    return perfdata.read(_unpacked(request.param, tmp_path)), EXPECTED[request.param]


Named = tuple[perfdata.Recording, dict[str, Any]]


def test_the_file_tells_who_made_it(named: Named) -> None:
    recording, expected = named
    header = recording.header
    assert header.is_pipe == (expected["mode"] == "pipe")
    assert header.order.name == "little"
    found = (header.arch, header.os_release, header.perf_version, " ".join(header.command_line) or None)
    assert found == tuple(expected[name] for name in ("arch", "os_release", "perf_version", "cmdline"))
    fields = {event.name: event.sample_type for event in header.events}
    for name, sample_type in expected["sample_types"].items():
        assert set(sample_type.split("|")) == {str(field.name) for field in fields[name]}


def test_every_record_is_counted(named: Named) -> None:
    recording, expected = named
    assert recording.records == expected["records"]
    assert recording.lost_records == expected["records_lost"]
    assert recording.lost_samples == expected["samples_lost"]
    assert recording.total_lost == expected["records_lost"] + expected["samples_lost"]
    assert sum(recording.samples) == expected["samples"]


def test_samples_and_weights_are_those_of_perf(named: Named) -> None:
    recording, expected = named
    samples, weights = Counter[str](), Counter[tuple[str, int]]()
    for batch in recording.batches():
        for index, event in enumerate(recording.header.events):
            samples[event.name] += int((batch.event == index).sum())
            for mode in set(batch.mode.tolist()):
                weights[event.name, mode] += int(batch.period[(batch.event == index) & (batch.mode == mode)].sum())
    for event in expected["events"]:
        assert samples.pop(event["event"]) == event["samples"]
        for mark, weight in event["period_by_mode"].items():
            assert weights.pop((event["event"], _MODES[mark])) == weight
    assert not +samples
    assert not +weights


def test_times_are_those_of_perf(named: Named) -> None:
    recording, expected = named
    times = [batch.time_ns for batch in recording.batches()]
    if times:
        ends = [int(word.replace(".", "")) for word in (expected["first_sample_time"], expected["last_sample_time"])]
        assert [min(map(np.min, times)), max(map(np.max, times))] == ends


def _by_object(recording: perfdata.Recording, event: str) -> tuple[Counter[str], Counter[tuple[str, int]]]:
    """Samples in the kernel by object, and weight by object and address as perf prints it."""
    names = [entry.name for entry in recording.header.events]
    objects, addresses = Counter[str](), Counter[tuple[str, int]]()
    for batch in recording.batches():
        chosen = (batch.event == names.index(event)) & (batch.mode == CpuMode.KERNEL)
        for index, ip, period in zip(
            locate(recording.kernel_mappings, batch.ip[chosen]).tolist(),
            batch.ip[chosen].tolist(),
            batch.period[chosen].tolist(),
            strict=True,
        ):
            mapping = recording.kernel_mappings[index]
            name = "[unknown]" if index == NOT_MAPPED else mapping.name
            is_module = index != NOT_MAPPED and name != "[kernel.kallsyms]"
            objects[name] += 1
            addresses[name, ip - mapping.start + mapping.page_offset if is_module else ip] += period
    return objects, addresses


def test_kernel_addresses_and_modules_are_those_of_perf(named: Named) -> None:
    recording, expected = named
    for event in expected["events"]:
        objects, addresses = _by_object(recording, event["event"])
        for row in event["dsos"]:
            is_module = row["dso"].startswith("[") and row["dso"] not in ("[vdso]", "[unknown]")
            if is_module and not row["dso"].startswith("[JIT]"):
                assert objects[row["dso"]] == row["samples"]
        for row in event["top5"]:
            mark, address = row["sym"].split()
            if mark == "[k]":
                assert addresses[row["dso"], int(address, 16)] == row["period"]


def test_processes_are_those_of_perf(named: Named) -> None:
    recording, expected = named
    names = [event.name for event in recording.header.events]
    weights, samples = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for batch in recording.batches():
        for event, comm, period in zip(batch.event.tolist(), batch.comm.tolist(), batch.period.tolist(), strict=True):
            weights[names[event], _as_reported(recording.comms[comm])] += period
            samples[names[event], _as_reported(recording.comms[comm])] += 1
    for event in expected["events"]:
        for row in event["comms"]:
            key = (event["event"], row["comm"])
            assert (weights[key], samples[key]) == (row["period"], row["samples"])
        assert len({comm for name, comm in samples if name == event["event"]}) == event["n_comms"]


def _as_reported(comm: str) -> str:
    """perf report cuts a name to its column, and gives samples before a thread's first name to that name."""
    return {"perf-exec": "perf-ex", ":131": "fib"}.get(comm, comm)


@pytest.mark.parametrize("name", [name for name, facts in EXPECTED.items() if "chain_entries" in str(facts)])
def test_call_chains_have_as_many_entries_as_perf_prints(name: str, tmp_path: Path) -> None:
    recording = perfdata.read(_unpacked(name, tmp_path))
    batches = list(recording.batches(chains=True))
    chains = [batch.chains for batch in batches if batch.chains is not None]
    assert sum(len(chain.ip) for chain in chains) == EXPECTED[name]["chain_entries_printed_by_perf_script"]
    for batch, chain in zip(batches, chains, strict=True):
        assert chain.offsets[-1] == len(chain.ip) == len(chain.mode)
        assert (chain.ip[chain.offsets[:-1]] == batch.ip).all()
        # the kernel follows frame pointers of user code, where they may hold anything
        assert (chain.ip[chain.mode == CpuMode.KERNEL] >> np.uint64(63) == 1).all()


def test_only_the_damaged_file_has_a_problem(named: Named) -> None:
    recording, expected = named
    stop = expected["stop"]
    problem = stop and f"damaged at byte {stop['offset']}: a record of type {stop['type']} gives its size as 0"
    assert recording.problem == (problem or "")


def test_the_damaged_file_is_whole_again_with_its_size(tmp_path: Path) -> None:
    path = _unpacked(DAMAGED, tmp_path)
    content = bytearray(path.read_bytes())
    content[49110] = 48
    path.write_bytes(content)
    recording = perfdata.read(path)
    assert recording.problem == ""
    assert recording.samples == (228,)
    assert recording.records["THROTTLE"] == recording.records["UNTHROTTLE"] == 1
    modes = np.concatenate([batch.mode for batch in recording.batches()])
    periods = np.concatenate([batch.period for batch in recording.batches()])
    assert int(periods.sum()) == 374982093
    assert int(periods[modes == CpuMode.KERNEL].sum()) == 341931429
