"""The contract of `offloadbench modules`: names and addresses in, one line each out."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from tests.conftest import CommandLine

KALLSYMS = """\
ffffffff81000000 T _stext
ffffffff81000100 T tcp_sendmsg
ffffffff81000200 t tcp_ack.isra.0
ffffffff81000300 T skb_segment
ffffffffc0000000 t start_xmit\t[virtio_net]
"""


@pytest.fixture
def kallsyms(tmp_path: Path) -> str:
    path = tmp_path / "kallsyms"
    path.write_text(KALLSYMS)
    return str(path)


def _ask(monkeypatch: pytest.MonkeyPatch, command_line: CommandLine, text: str, *options: str) -> list[list[str]]:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    finished = command_line("modules", *options, "-")
    assert (finished.code, finished.err) == (0, "")
    return [line.split("\t") for line in finished.out.splitlines()]


def test_one_line_an_item_in_order(monkeypatch: pytest.MonkeyPatch, command_line: CommandLine, kallsyms: str) -> None:
    text = "tcp_sendmsg\n0xffffffff81000250\nffffffff81000310\nno_such_thing\nstart_xmit\n0x401000\ntcp_ack\n"
    assert _ask(monkeypatch, command_line, text, "--kallsyms", kallsyms) == [
        ["tcp_sendmsg", "tcp", "table"],
        ["0xffffffff81000250", "tcp", "table"],
        ["ffffffff81000310", "gso", "table"],
        ["no_such_thing", "other", "other"],
        ["start_xmit", "driver", "module"],
        ["0x401000", "user", "user"],
        ["tcp_ack", "tcp", "table"],
    ]


def test_a_module_may_stand_behind_the_name(
    monkeypatch: pytest.MonkeyPatch, command_line: CommandLine, kallsyms: str
) -> None:
    rows = _ask(monkeypatch, command_line, "whatever [mlx5_core]\n", "--kallsyms", kallsyms)
    assert rows == [["whatever [mlx5_core]", "driver", "module"]]


def test_a_profile_with_groups_still_tells_leaves(
    monkeypatch: pytest.MonkeyPatch, command_line: CommandLine, kallsyms: str
) -> None:
    rows = _ask(monkeypatch, command_line, "tcp_sendmsg\n", "--kallsyms", kallsyms, "--profile", "article-2005")
    assert rows == [["tcp_sendmsg", "tcp", "table"]]


@pytest.mark.parametrize("content", ["not symbols\n", None])
def test_a_file_that_is_no_kallsyms_is_refused(
    monkeypatch: pytest.MonkeyPatch, command_line: CommandLine, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "symbols"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr("sys.stdin", io.StringIO("tcp_sendmsg\n"))
    finished = command_line("modules", "--kallsyms", str(path), "-")
    assert finished.code == 7
    assert str(path) in finished.err


def test_a_run_file_prints_its_module_table(command_line: CommandLine, sample_path: Path) -> None:
    finished = command_line("modules", str(sample_path))
    assert finished.code == 0
    assert "ftp-get, case tso, repeat 1: cpu-clock" in finished.out
    assert "found by: " in finished.out


def test_modules_of_a_recording_of_another_machine_need_its_symbols(
    command_line: CommandLine, data: Path, tmp_path: Path
) -> None:
    recording, symbols = tmp_path / "perf.data", tmp_path / "symbols"
    recording.write_bytes(gzip.decompress((data / "perf" / "perf.data.forkexit-3.4.gz").read_bytes()))
    # where the recording says that _stext was
    symbols.write_text(KALLSYMS.replace("ffffffff81000000 T _stext", "ffffffff81000190 T _stext"))
    without = command_line("modules", str(recording))
    assert without.code == 0
    assert "[kernel.kallsyms]" in without.out
    finished = command_line("modules", str(recording), "--kallsyms", str(symbols))
    assert finished.code == 0
    # expected.json: 1,014,818,659 instructions of user mode over 1,131,645,783 cycles
    user = next(line for line in finished.out.splitlines() if line.split()[:1] == ["user"] and "1131645783" in line)
    assert user.endswith("0.90")
