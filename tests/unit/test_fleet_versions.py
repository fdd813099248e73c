"""Dask compares the versions of packages that load hosts do not need: their rows alone are no warning."""

from __future__ import annotations

import pytest

pytest.importorskip("distributed")

from distributed.versions import error_message

from offloadbench.bed.fleet.fleet_bed import only_unused

HERE = {"packages": {"python": "3.11", "dask": "2026.8.0", "numpy": "2.4.6", "pandas": "3.1.1"}}


@pytest.mark.parametrize(("dask", "unused"), [("2026.8.0", True), ("2025.1.0", False)])
def test_a_warning_is_passed_on_unless_it_is_about_unused_packages(dask: str, unused: bool) -> None:
    there = {"packages": {"python": "3.11", "dask": dask}}
    warning = error_message(there, {"tcp://192.0.2.11:1": there}, HERE)["warning"]
    assert "numpy" in warning
    assert only_unused(warning) is unused


def test_another_warning_is_passed_on() -> None:
    assert not only_unused("Sending large graph of size 10 MiB")
