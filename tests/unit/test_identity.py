"""Whether two runs are of one machine and one boot is said where it is known, and only there."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from offloadbench.analysis.comparison.compatibility import likeness, metadata_differences
from offloadbench.files import run_file
from offloadbench.kernel.system import host
from offloadbench.model import Run

OLD = Path(__file__).parents[1] / "data" / "run-v1.json"
RECORDED = {"machine_id": "a" * 32, "boot_id": "b" * 32, "distribution": "Debian 12", "virtualization": "KVM"}
_IDS = itertools.count()


def _run(sample: Run, created_utc: str = "2026-01-01T00:00:00+00:00", **facts: Any) -> Run:
    described = replace(sample.host, **(RECORDED | {"memory_bytes": 8 << 30, "tools": {"perf": "6.1"}} | facts))
    return replace(sample, run_id=f"run-{next(_IDS)}", created_utc=created_utc, host=described)


def test_the_ids_are_those_that_systemd_makes_of_them_and_not_the_raw_ones() -> None:
    application = host._APPLICATION.hex()
    for what, recorded in (("machine-id", host.describe().machine_id), ("boot-id", host.describe().boot_id)):
        try:
            made = subprocess.run(
                ["systemd-id128", what, f"--app-specific={application}"], capture_output=True, text=True, check=False
            )
            raw = subprocess.run(["systemd-id128", what], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("systemd-id128 is not installed")
        if made.returncode:
            pytest.skip(f"systemd-id128 {what}: {made.stderr}")
        assert recorded == made.stdout.strip()
        assert recorded != raw.stdout.strip()


def test_an_id_made_for_this_application_is_the_same_for_the_same_machine_only() -> None:
    one, other = "0123456789abcdef" * 2, "0123456789abcdef" + "0123456789abcdee"
    assert host.app_specific(one) == host.app_specific(f"{one}\n") != host.app_specific(other)
    assert len(host.app_specific(one)) == 32
    # a boot id is written with dashes
    assert host.app_specific("01234567-89ab-cdef-0123-456789abcdef") == host.app_specific(one)


@pytest.mark.parametrize("text", ["", "uninitialized", "0" * 32, "0123"])
def test_what_is_no_id_is_not_recorded(text: str) -> None:
    assert host.app_specific(text) == ""


def test_the_same_machine_a_minute_later_is_said_to_be_that(sample_run: Run) -> None:
    a, b = _run(sample_run), _run(sample_run, "2026-01-01T00:01:02+00:00")
    assert metadata_differences(a, b) == []
    assert likeness([a, b]) == (
        "same machine, boot, kernel, CPU, CPUs, memory, distribution, hypervisor, perf and settings; 62 s apart"
    )


@pytest.mark.parametrize(
    ("facts", "told", "unsaid"),
    [
        ({"machine_id": "c" * 32, "boot_id": "d" * 32}, "another machine", ("machine", "boot")),
        ({"boot_id": "d" * 32}, "another boot", ("boot",)),
        ({"memory_bytes": 16 << 30}, "memory: 8 GiB -> 16 GiB", ("memory",)),
        ({"cpus": 64}, "CPUs: ", ("CPUs",)),
        ({"cpu_model": "another"}, "CPU: ", ("CPU",)),
        ({"distribution": "Debian 13"}, "distribution: Debian 12 -> Debian 13", ("distribution",)),
        ({"virtualization": "none"}, "hypervisor: KVM -> none", ("hypervisor",)),
        ({"tools": {"perf": "6.12"}}, "perf: 6.1 -> 6.12", ("perf",)),
        ({"kernel": "7.0"}, "kernel: ", ("kernel",)),
        ({"governor": "powersave"}, "governor: ", ("settings",)),
    ],
)
def test_what_differs_is_told_and_not_among_what_is_the_same(
    sample_run: Run, facts: dict[str, Any], told: str, unsaid: tuple[str, ...]
) -> None:
    a, b = _run(sample_run), _run(sample_run, **facts)
    found = metadata_differences(a, b)
    assert len(found) == 1
    assert found[0].startswith(told)
    same = likeness([a, b]).removeprefix("same ").partition(";")[0].replace(" and ", ", ").split(", ")
    assert not set(unsaid) & set(same)
    assert len(same) == 10 - len(unsaid)


@pytest.mark.parametrize(
    ("later", "told"),
    [
        ("2026-01-01T09:00:00+00:00", "9 hours apart"),
        ("2026-01-01T01:00:00+00:00", "60 minutes apart"),
        ("2026-01-08T00:00:00+00:00", "7 days apart"),
    ],
)
def test_hours_between_two_runs_are_a_difference(sample_run: Run, later: str, told: str) -> None:
    for pair in ([_run(sample_run), _run(sample_run, later)], [_run(sample_run, later), _run(sample_run)]):
        assert metadata_differences(*pair) == [told]
        assert "apart" not in likeness(pair)


def test_nothing_is_claimed_of_what_was_not_recorded(sample_run: Run) -> None:
    old = run_file.load(OLD)
    assert (old.host.machine_id, old.host.boot_id, old.blocks) == ("", "", [])
    bare: dict[str, Any] = {
        "machine_id": "", "boot_id": "", "distribution": "", "virtualization": "", "memory_bytes": 0, "tools": {}
    }  # fmt: skip
    for pair in ([_run(sample_run, **bare), _run(sample_run)], [_run(sample_run), _run(sample_run, **bare)]):
        assert metadata_differences(*pair) == []
        said = likeness(pair)
        assert said.startswith("same kernel, CPU, CPUs and settings; not recorded in every run: ")
        for name in ("machine", "boot", "memory", "distribution", "hypervisor", "perf"):
            assert name in said.partition("not recorded in every run: ")[2]


def test_one_boot_is_of_one_machine_whatever_a_container_says_of_itself(sample_run: Run) -> None:
    a, b = _run(sample_run, machine_id="e" * 32), _run(sample_run, machine_id="f" * 32)
    assert metadata_differences(a, b) == []
    assert likeness([a, b]).startswith("same machine, boot, ")


def test_of_several_runs_it_is_said_of_all_or_not_at_all(sample_run: Run) -> None:
    three = [_run(sample_run), _run(sample_run), _run(sample_run, "2026-01-01T00:03:00+00:00", boot_id="d" * 32)]
    said = likeness(three)
    assert said.startswith("same machine, kernel, ")
    assert said.endswith("; 3 minutes apart")
    assert "boot" not in said
