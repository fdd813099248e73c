"""Columns and texts of a run file: what was packed comes back, and what is damaged says so."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.base.errors import RunFileError
from offloadbench.files import packed_columns
from offloadbench.model import ProfileCounts
from tests.unit.builders import CLOCK, profile_counts
from tests.unit.tcp_sender import Sender, trace

_ROW = st.tuples(
    st.integers(0, 2**64 - 1),
    st.sampled_from([b"K", b"U", b"H", b"?"]),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**8 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
)


def _columns(rows: list[tuple[int | bytes, ...]]) -> packed_columns.Columns:
    return {
        name: np.array([row[index] for row in rows], dtype=np.dtype(code))
        for index, (name, code) in enumerate(packed_columns.PROFILE_COLUMNS.items())
    }


def _counts(columns: str, rows: int, chains: str = "", chain_count: int = 0) -> ProfileCounts:
    empty = profile_counts([], [CLOCK])
    return msgspec.structs.replace(empty, columns=columns, rows=rows, chains=chains, chain_count=chain_count)


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=5), max_size=5))
def test_call_chains_survive_the_round_trip(chains: list[list[int]]) -> None:
    back = packed_columns.unpack_chains(_counts("", 0, packed_columns.pack_chains(chains), len(chains)))
    assert [chain.tolist() for chain in back] == chains


def test_call_chains_that_were_cut_are_damaged() -> None:
    text = packed_columns.pack_chains([[1, 2], [3]])
    for count in (1, 3, 30):
        with pytest.raises(RunFileError, match="damaged"):
            packed_columns.unpack_chains(_counts("", 0, text, count))


@given(st.lists(_ROW, max_size=20))
def test_profile_columns_survive_the_round_trip(rows: list[tuple[int | bytes, ...]]) -> None:
    columns = _columns(rows)
    back = packed_columns.unpack_profile(_counts(packed_columns.pack_profile(columns), len(rows)))
    assert list(back) == list(columns)
    for name, column in columns.items():
        assert back[name].dtype == column.dtype
        assert back[name].tolist() == column.tolist()


@pytest.mark.parametrize("text", ["", "no base64!", "AAAA"])
def test_a_damaged_profile_is_a_run_file_error(text: str) -> None:
    with pytest.raises(RunFileError, match="damaged"):
        packed_columns.unpack_profile(_counts(text, 1))


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_a_profile_of_another_length_than_recorded_is_damaged(rows: int) -> None:
    text = packed_columns.pack_profile(_columns([(number, b"K", 0, 0, 0, 0, 1, 1) for number in range(3)]))
    with pytest.raises(RunFileError, match="damaged"):
        packed_columns.unpack_profile(_counts(text, rows))


@given(st.text())
def test_text_survives_the_round_trip(text: str) -> None:
    # a lone surrogate is no text that a kernel could print
    text = text.encode(errors="ignore").decode()
    assert packed_columns.unpack_text(packed_columns.pack_text(text)) == text


def test_damaged_text_is_a_run_file_error() -> None:
    sound = packed_columns.pack_text("ffffffff81000000 T _stext\n" * 50)
    for damaged in (sound[: len(sound) // 2 // 4 * 4], sound[:-3], "", "AAAA" + sound[4:]):
        with pytest.raises(RunFileError, match="damaged"):
            packed_columns.unpack_text(damaged)


_WHOLE = st.integers(-(2**62), 2**62)


@given(st.integers(1, 5).flatmap(lambda width: st.lists(st.lists(_WHOLE, min_size=width, max_size=width), max_size=40)))
def test_a_trace_comes_back_as_it_was_packed(rows: list[list[int]]) -> None:
    width = len(rows[0]) if rows else 2
    table = np.array(rows, dtype=np.int64).reshape(-1, width).T
    columns = {f"c{number}": column for number, column in enumerate(table)}
    sound = trace(columns | {"t_us": np.zeros(len(rows), dtype=np.int64)})
    unpacked = packed_columns.unpack_tcp(sound)
    assert list(unpacked) == [*columns, "t_us"]
    assert all((unpacked[name] == column).all() for name, column in columns.items())


def test_a_minute_of_one_connection_at_1_khz_is_below_a_megabyte() -> None:
    # 60 s of a sender whose every reading differs, as on a gigabit link
    columns = Sender(sndbuf_bytes=1 << 22, cwnd_segments=6000).run(3000)
    rng = np.random.default_rng(1)
    for name, spread in (("t_us", 20), ("srtt_us", 50), ("pacing_rate_bytes_per_s", 10**5)):
        columns[name] = columns[name] + rng.integers(0, spread, len(columns[name]))
    assert len(packed_columns.pack_columns(columns)) * 20 < 10**6


def test_a_damaged_trace_says_so() -> None:
    sound = trace(Sender().run(20, 0))
    for damaged in (
        msgspec.structs.replace(sound, rows=sound.rows + 1),
        msgspec.structs.replace(sound, columns=sound.columns[: len(sound.columns) // 2]),
        msgspec.structs.replace(sound, columns="!"),
    ):
        with pytest.raises(RunFileError, match="damaged"):
            packed_columns.unpack_tcp(damaged)
