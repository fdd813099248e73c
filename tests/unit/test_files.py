"""The served files: made once, checked, remade."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from offloadbench.base.errors import HostError
from offloadbench.kernel.system import memory
from offloadbench.traffic import files

SIZE = 3000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OFFLOADBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _provide(count: int = 2, size: int = SIZE) -> tuple[dict[str, bytes], list[str]]:
    """Contents by name, and what was told."""
    told: list[str] = []
    folder, names = files.provide(count, size, told.append)
    return {name: (folder / name).read_bytes() for name in names}, told


def test_files_have_the_size_asked_for_and_differ_from_each_other(cache: Path) -> None:
    contents, told = _provide()
    assert [len(content) for content in contents.values()] == [SIZE, SIZE]
    assert len(set(contents.values())) == 2
    assert len(told) == 2
    assert not list(cache.rglob("*.partial"))


def test_a_file_larger_than_one_block_is_whole() -> None:
    contents, _ = _provide(1, (1 << 20) + 1)
    assert [len(content) for content in contents.values()] == [(1 << 20) + 1]


def test_the_second_run_reuses_them() -> None:
    first, _ = _provide()
    second, told = _provide()
    assert second == first
    assert told == []


def test_more_files_are_added_to_those_that_are_there() -> None:
    first, _ = _provide(2)
    more, told = _provide(3)
    assert len(told) == 1
    assert {name: more[name] for name in first} == first


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[SIZE // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [_flip, _cut, Path.unlink])
def test_a_damaged_file_is_made_again_as_it_was(cache: Path, damage: object) -> None:
    assert callable(damage)
    first, _ = _provide()
    damage(next(cache.rglob("file001.bin")))
    again, told = _provide()
    assert again == first
    assert len(told) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"file000.bin": 3}'])
def test_a_damaged_list_of_digests_makes_the_files_again(cache: Path, text: str) -> None:
    first, _ = _provide()
    next(cache.rglob("sha256.json")).write_text(text)
    assert _provide()[0] == first
    assert _provide()[1] == []


def test_too_little_memory_is_told_with_both_figures(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 256 << 20)
    with pytest.raises(HostError, match="256 MiB of memory") as caught:
        files.provide(8, 128 << 20, lambda text: None)
    assert "1 GiB" in caught.value.message
    assert caught.value.exit_code == 3
    assert not cache.exists()


def test_too_little_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=SIZE))
    with pytest.raises(HostError, match="free; a served file needs"):
        _provide()


def test_a_cache_that_cannot_be_made_is_a_host_error(cache: Path) -> None:
    cache.write_text("a file is in the way")
    with pytest.raises(HostError) as caught:
        _provide()
    assert str(cache) in caught.value.message


def test_a_disk_that_fills_up_is_a_host_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostError, match="No space left"):
        _provide()


def _reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose whole content is read from now on."""
    read: list[str] = []
    digest = files._digest

    def watched(path: Path) -> str:
        read.append(path.name)
        return digest(path)

    monkeypatch.setattr(files, "_digest", watched)
    return read


def test_files_that_nobody_touched_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = _provide()
    read = _reads(monkeypatch)
    assert _provide() == (first, [])
    assert read == []


def _touch(path: Path) -> None:
    os.utime(path)


def _copy(path: Path) -> None:
    content, times = path.read_bytes(), path.stat()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _flip_with_its_old_times(path: Path) -> None:
    times = path.stat()
    _flip(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(("change", "made"), [(_touch, 0), (_copy, 0), (_flip_with_its_old_times, 1)])
def test_a_file_that_somebody_touched_is_compared_with_its_digest(
    monkeypatch: pytest.MonkeyPatch, cache: Path, change: Callable[[Path], None], made: int
) -> None:
    first, _ = _provide()
    change(next(cache.rglob("file001.bin")))
    read = _reads(monkeypatch)
    again, told = _provide()
    assert (again, len(told)) == (first, made)
    assert set(read) == {"file001.bin"}
    read.clear()
    assert _provide() == (first, [])
    assert read == []


def test_files_of_an_earlier_version_are_read_once(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    first, _ = _provide()
    next(cache.rglob("stamps.json")).unlink()
    read = _reads(monkeypatch)
    assert _provide() == (first, [])
    assert read == list(first)
    read.clear()
    assert _provide() == (first, [])
    assert read == []


def test_an_earlier_version_finds_its_list_as_it_writes_it(cache: Path) -> None:
    first, _ = _provide()
    digests = json.loads(next(cache.rglob("sha256.json")).read_text())
    assert digests == {name: hashlib.sha256(content).hexdigest() for name, content in first.items()}


@pytest.mark.parametrize("text", ["", "[]", '{"file000.bin": "3"}', '{"file000.bin": []}'])
def test_a_damaged_list_of_stamps_has_the_files_read(monkeypatch: pytest.MonkeyPatch, cache: Path, text: str) -> None:
    first, _ = _provide()
    next(cache.rglob("stamps.json")).write_text(text)
    read = _reads(monkeypatch)
    assert _provide() == (first, [])
    assert read == list(first)
