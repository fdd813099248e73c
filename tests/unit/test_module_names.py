"""Functions of loadable modules by name: a text that is searched where it lies."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from offloadbench.base.errors import UsageError
from offloadbench.definitions import catalog, module_names
from offloadbench.definitions.module_names import ModuleNames
from offloadbench.definitions.name_tables import KernelOrigin, NameTable

TABLE = NameTable(
    {
        "drivers/net/a.ko": frozenset({"a_xmit", "a_poll", "get_link", "a"}),
        "drivers/net/b-c.ko": frozenset({"b_xmit", "get_link"}),
        "net/ipv4/tcp.c": frozenset({"tcp_ack"}),
    },
    (KernelOrigin("6.1", ""),),
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "modules.zst"
    module_names.save(TABLE, path)
    return path


def test_a_name_is_found_with_every_module_that_has_it(table: Path) -> None:
    names = ModuleNames((str(table),))
    assert names.paths("a_xmit") == ("drivers/net/a.ko",)
    assert names.paths("a") == ("drivers/net/a.ko",)
    assert names.paths("get_link") == ("drivers/net/a.ko", "drivers/net/b-c.ko")
    assert [names.paths(name) for name in ("", "a_", "zzz", "tcp_ack", "a\tb", "\ud800")] == [()] * 6


def test_names_that_begin_alike_come_in_order(table: Path) -> None:
    names = ModuleNames((str(table),))
    assert [name for name, _ in names.beginning("a_")] == ["a_poll", "a_xmit"]
    assert list(names.beginning("zz")) == []


def test_a_module_is_known_by_its_name(table: Path) -> None:
    names = ModuleNames((str(table),))
    assert (names.ko_path("b_c"), names.ko_path("d")) == ("drivers/net/b-c.ko", "")


def test_a_table_comes_back_as_it_was_written_but_for_what_is_no_module(table: Path) -> None:
    loaded = module_names.load(table)
    assert loaded.files == {path: names for path, names in TABLE.files.items() if path.endswith(".ko")}
    assert loaded.kernels == TABLE.kernels
    again = table.with_name("again.zst")
    module_names.save(loaded, again)
    assert again.read_bytes() == table.read_bytes()


def test_tables_are_joined(table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.zst"
    module_names.save(NameTable({"drivers/net/d.ko": frozenset({"get_link"})}, ()), other)
    names = ModuleNames((str(table), str(other)))
    assert names.paths("get_link") == ("drivers/net/a.ko", "drivers/net/b-c.ko", "drivers/net/d.ko")


def test_nothing_is_read_before_it_is_asked(tmp_path: Path) -> None:
    names = ModuleNames((str(tmp_path / "missing.zst"),))
    with pytest.raises(UsageError, match=r"missing\.zst: No such file"):
        names.paths("a_xmit")


def _packed(text: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(text)


HEAD = b"#offloadbench-module-names 1\ndrivers/net/a.ko\n\n"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"xz", _packed(b""), _packed(b"#offloadbench-names 1\n\n"), _packed(HEAD + b"a\t0"),
        _packed(HEAD + b"a 0\n"), _packed(HEAD + b"a_xmit\t1\n"), _packed(HEAD + b"a_xmit\tx\n"),
        _packed(HEAD + b"a_xmit\t\n"), _packed(HEAD + b"\xff\t0\n")[:-3],
        # a frame that says nothing of its size, and one that says too much
        zstandard.ZstdCompressor(write_content_size=False).compress(HEAD),
        b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 7 + b"\x7f",
    ],
)  # fmt: skip
def test_a_damaged_table_is_an_error_of_the_user(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "damaged.zst"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        ModuleNames((str(path),)).paths("a_xmit")
    with pytest.raises(UsageError):
        module_names.load(path)


def test_the_shipped_table_knows_the_modules_of_both_architectures() -> None:
    names = catalog.module_names(catalog.profile("linux"))
    assert names.paths("r8152_submit_rx") == ("drivers/net/usb/r8152.ko",)
    assert names.paths("fec_enet_start_xmit") == ("drivers/net/ethernet/freescale/fec.ko",)
    assert "drivers/net/ethernet/mellanox/mlx5/core/mlx5_core.ko" in names.paths("mlx5e_xmit")
    assert names.paths("$x") == ()
