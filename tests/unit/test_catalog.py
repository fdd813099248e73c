"""Definitions: which cases a word means, `--set`, and what a broken definition says."""

from __future__ import annotations

from pathlib import Path

import pytest

from offloadbench.base.errors import UsageError
from offloadbench.definitions import catalog
from tests.unit.builders import workload


def _names(spec: str) -> list[str]:
    return [case.name for case in catalog.select_cases(spec)]


def test_the_paper_compares_tso_with_checksums_and_with_nothing() -> None:
    assert _names("paper") == ["tso", "csum", "none"]


def test_the_ladder_adds_software_segmentation_between_them() -> None:
    assert _names("ladder") == ["tso", "gso", "csum", "none"]


def test_all_means_every_case_in_its_order() -> None:
    assert _names("all") == [case.name for case in catalog.all_cases()]
    orders = [case.order for case in catalog.all_cases()]
    assert orders == sorted(orders)


def test_a_comma_list_holds_each_case_once_and_in_ladder_order() -> None:
    assert _names("none, tso ,paper") == ["tso", "csum", "none"]


@pytest.mark.parametrize("spec", ["tcp", "tso,tcp", "", "paper,"])
def test_an_unknown_case_is_refused_with_the_known_ones(spec: str) -> None:
    with pytest.raises(UsageError, match="--cases") as caught:
        catalog.select_cases(spec)
    assert all(name in caught.value.hint for name in ("paper", "ladder", "tso", "none"))


def test_set_keeps_the_type_of_the_definition() -> None:
    definition = workload(clients=32, verify=False, file_size="128MiB")
    settings = ["clients=8", "verify=true", "file_size=64KiB"]
    changed = catalog.override_parameters([definition], settings)[0].parameters
    assert changed == {"clients": 8, "verify": True, "file_size": "64KiB"}
    assert type(changed["clients"]) is int
    assert definition.parameters["clients"] == 32


def test_set_reaches_only_workloads_that_know_the_key() -> None:
    first, second = catalog.override_parameters([workload("a", depth=1), workload("b", clients=1)], ["depth=4"])
    assert first.parameters == {"depth": 4}
    assert second.parameters == {"clients": 1}


def test_the_last_set_of_a_key_counts_and_a_value_may_hold_an_equals_sign() -> None:
    changed = catalog.override_parameters([workload(user="a")], ["user=x", "user=y=z"])
    assert changed[0].parameters["user"] == "y=z"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("clients", "has no '='"),
        ("cleints=4", "no chosen workload has this key"),
        ("verify=maybe", "not a truth value"),
    ],
)
def test_a_wrong_set_is_a_usage_error(setting: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        catalog.override_parameters([workload(clients=1, verify=True)], [setting])


def test_an_unknown_key_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        catalog.override_parameters([workload(clients=1, discard="copy")], ["cleints=4"])
    assert "clients" in caught.value.hint
    assert "discard" in caught.value.hint


@pytest.mark.parametrize("text", ["²", "٣x", "1_0", "4.5"])
def test_what_is_not_a_plain_number_never_becomes_one(text: str) -> None:
    changed = catalog.override_parameters([workload(clients=1)], [f"clients={text}"])
    assert changed[0].parameters["clients"] == text


_WORKLOAD = 'name = "mine"\nkind = "ftp"\ntitle = "mine"\n'


def test_a_definition_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(_WORKLOAD + "[parameters]\nclients = 3\n")
    assert catalog.workload(str(path)).parameters == {"clients": 3}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (_WORKLOAD + "titel = 1\n[parameters]\n", "titel"),
        (_WORKLOAD, "parameters"),
        (_WORKLOAD.replace('"ftp"', '"fpt"') + "[parameters]\n", "$.kind"),
        (_WORKLOAD.replace('title = "mine"', "title = 7") + "[parameters]\n", "$.title"),
        (_WORKLOAD + "[parameters\n", "line 4"),
    ],
)
def test_a_broken_definition_names_its_path_and_key(tmp_path: Path, text: str, key: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        catalog.workload(str(path))
    assert str(path) in caught.value.message
    assert key in caught.value.message
    assert caught.value.exit_code == 2


def test_a_definition_that_is_not_text_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "latin1.toml"
    path.write_bytes(b'name = "caf\xe9"\n')
    with pytest.raises(UsageError) as caught:
        catalog.workload(str(path))
    assert str(path) in caught.value.message


def test_an_unknown_workload_or_profile_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no workload named 'ftp-got'") as caught:
        catalog.workload("ftp-got")
    assert "ftp-get" in caught.value.hint
    with pytest.raises(UsageError, match="no profile named"):
        catalog.profile(str(tmp_path / "absent.toml"))
