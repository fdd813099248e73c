"""The run file: what was saved comes back, and what is damaged says so."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from offloadbench.base.errors import RunFileError
from offloadbench.definitions import catalog
from offloadbench.files import packed_columns, run_file
from offloadbench.model import FORMAT_VERSION, Run, Waits
from tests.unit.tcp_sender import Sender, trace


def _refused(path: Path) -> RunFileError:
    with pytest.raises(RunFileError) as caught:
        run_file.load(path)
    assert caught.value.exit_code == 8
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


def test_what_is_saved_is_loaded_again(sample_run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    run_file.save(sample_run, path)
    assert run_file.load(path) == sample_run
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


def test_a_missing_file_and_a_folder_are_run_file_errors(tmp_path: Path) -> None:
    assert "No such file" in _refused(tmp_path / "absent.json").message
    _refused(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(sample_path: Path, tmp_path: Path, share: float) -> None:
    whole = sample_path.read_bytes()
    path = tmp_path / "cut.json"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "truncated" in _refused(path).message


def test_a_file_that_lacks_only_its_last_brace_is_refused(sample_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_bytes(sample_path.read_bytes().rstrip()[:-1])
    _refused(path)


@pytest.mark.parametrize("text", [b"", b"\x7fELF", b"[1, 2]", b"{}", b'{"format": "pyperf"}', b'{"format": 3}', b'"x"'])
def test_foreign_files_are_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "foreign.json"
    path.write_bytes(text)
    _refused(path)


def test_a_newer_format_is_refused_with_both_versions(sample_path: Path, tmp_path: Path) -> None:
    document = json.loads(sample_path.read_text())
    document["format_version"] = FORMAT_VERSION + 1
    path = tmp_path / "newer.json"
    path.write_text(json.dumps(document))
    error = _refused(path)
    assert str(FORMAT_VERSION + 1) in error.message
    assert "newer offloadbench" in error.hint


def test_a_newer_format_is_told_even_where_its_fields_have_changed(tmp_path: Path) -> None:
    path = tmp_path / "newer.json"
    path.write_text(json.dumps({"format": "offloadbench-run", "format_version": FORMAT_VERSION + 1, "trials": "moved"}))
    assert "newer offloadbench" in _refused(path).hint


def test_a_field_of_the_wrong_type_is_damage_with_its_path(sample_path: Path, tmp_path: Path) -> None:
    document = json.loads(sample_path.read_text())
    document["trials"][1]["repeat"] = "one"
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(document))
    assert "$.trials[1].repeat" in _refused(path).message


@pytest.mark.parametrize("damage", [b'"lab\xff"', b'"lab\\x"', b'"lab\x01"'])
def test_damage_inside_a_string_is_refused(sample_path: Path, tmp_path: Path, damage: bytes) -> None:
    whole = sample_path.read_bytes()
    path = tmp_path / "damaged.json"
    path.write_bytes(whole.replace(b'"lab"', damage))
    assert path.read_bytes() != whole
    _refused(path)


def test_a_field_that_a_later_version_adds_is_ignored(sample_path: Path, sample_run: Run, tmp_path: Path) -> None:
    document = json.loads(sample_path.read_text())
    document["trials"][0]["added_later"] = [1]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    assert run_file.load(path) == sample_run


def test_a_failed_save_keeps_the_old_file_and_leaves_no_partial(
    sample_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    run_file.save(sample_run, path)

    def full(number: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFileError, match="No space left") as caught:
        run_file.save(msgspec.structs.replace(sample_run, run_id="other"), path)
    assert caught.value.exit_code == 8
    assert run_file.load(path) == sample_run
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


def test_saving_into_a_folder_that_is_gone_is_a_run_file_error(sample_run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match="cannot write"):
        run_file.save(sample_run, tmp_path / "gone" / "run.json")


@pytest.mark.parametrize("ending", [".json", ".json.gz", ".json.xz"])
def test_a_name_says_whether_the_file_is_compressed(sample_run: Run, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"run{ending}"
    run_file.save(sample_run, path)
    assert run_file.load(path) == sample_run
    first = path.read_bytes()[:2]
    assert (first == b"{\n") == (ending == ".json")
    # the same run gives the same bytes, whenever it is saved
    again = tmp_path / f"again{ending}"
    run_file.save(sample_run, again)
    assert path.read_bytes() == again.read_bytes()


def test_what_is_read_tells_by_its_bytes_and_not_by_its_name(sample_run: Run, tmp_path: Path) -> None:
    compressed, renamed = tmp_path / "run.json.xz", tmp_path / "renamed.json"
    run_file.save(sample_run, compressed)
    compressed.rename(renamed)
    assert run_file.load(renamed) == sample_run


@pytest.mark.parametrize("ending", [".gz", ".xz"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_truncated_compressed_file_is_refused(sample_run: Run, tmp_path: Path, ending: str, share: float) -> None:
    path = tmp_path / f"run.json{ending}"
    run_file.save(sample_run, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    _refused(path)


@pytest.fixture
def third_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A present format 3, whose fields were called otherwise in 1 and 2."""

    def to_2(document: dict[str, Any]) -> dict[str, Any]:
        return {("finished" if key == "done" else key): value for key, value in document.items()}

    def to_3(document: dict[str, Any]) -> dict[str, Any]:
        return {("finished_utc" if key == "finished" else key): value for key, value in document.items()}

    monkeypatch.setattr(run_file, "FORMAT_VERSION", 3)
    monkeypatch.setattr(run_file, "MIGRATIONS", {1: to_2, 2: to_3})


def _written(tmp_path: Path, run: Run, version: int, name: str) -> Path:
    document = msgspec.to_builtins(run) | {"format_version": version}
    document[name] = document.pop("finished_utc")
    path = tmp_path / f"v{version}.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.usefixtures("third_version")
@pytest.mark.parametrize(("version", "name"), [(1, "done"), (2, "finished"), (3, "finished_utc")])
def test_older_versions_are_brought_up_step_by_step(sample_run: Run, tmp_path: Path, version: int, name: str) -> None:
    run = run_file.load(_written(tmp_path, sample_run, version, name))
    assert run == msgspec.structs.replace(sample_run, format_version=3)


@pytest.mark.usefixtures("third_version")
def test_an_older_version_that_is_damaged_is_refused(sample_run: Run, tmp_path: Path) -> None:
    assert "damaged" in _refused(_written(tmp_path, sample_run, 2, "finnished")).message
    assert "there never was a format 0" in _refused(_written(tmp_path, sample_run, 0, "done")).message


def test_every_older_version_has_its_migration() -> None:
    assert sorted(run_file.MIGRATIONS) == list(range(1, FORMAT_VERSION))


def test_equal_definitions_have_equal_hashes() -> None:
    one, other = catalog.own_case(["tso=off"]), catalog.own_case(["tso=off"])
    assert run_file.content_hash(one) == run_file.content_hash(other)
    assert run_file.content_hash(one) != run_file.content_hash(catalog.own_case(["tso=on"]))
    shuffled = msgspec.structs.replace(one, features=dict(reversed(one.features.items())))
    assert run_file.content_hash(one) == run_file.content_hash(shuffled)


def test_the_schema_knows_every_field_of_a_run(sample_run: Run) -> None:
    definitions = run_file.schema()["$defs"]
    for name, value in (("Run", sample_run), ("Plan", sample_run.plan), ("Trial", sample_run.trials[0])):
        assert set(definitions[name]["properties"]) == set(msgspec.to_builtins(value))


def test_a_trial_keeps_traces_and_waits(sample_run: Run, tmp_path: Path) -> None:
    columns = {name: np.arange(3) for name in packed_columns.WAIT_COLUMNS}
    waits = Waits(
        window_s=1.0, threads=[1], chains=[["a", "b"]] * 3, rows=3, columns=packed_columns.pack_waits(dict(columns)),
        unfinished=0, lost_switches=0, perf_cpu_s=0.1,
    )  # fmt: skip
    trials = [msgspec.structs.replace(sample_run.trials[0], tcp=[trace(Sender().run(20, 0))], waits=waits)]
    path = tmp_path / "run.json"
    run_file.save(msgspec.structs.replace(sample_run, trials=trials), path)
    loaded = run_file.load(path).trials[0]
    assert loaded == trials[0]
    assert loaded.waits is not None
    assert {name: column.tolist() for name, column in packed_columns.unpack_waits(loaded.waits).items()} == {
        name: column.tolist() for name, column in columns.items()
    }
