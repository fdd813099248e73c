"""Functions of /proc/kallsyms: what every kernel writes, and what people make of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.profile.attribution import kallsyms_lines
from offloadbench.analysis.profile.attribution.kallsyms_lines import Functions, functions

PLAIN = "ffffffff81000000 T _stext\nffffffff81000010 d data\nffffffffc0000000 t tun_get_user\t[tun]\n"


def _rows(found: Functions) -> list[tuple[int, str, str, int]]:
    return list(zip(found.addresses.tolist(), found.names, found.modules, found.lines.tolist(), strict=True))


def test_functions_have_address_name_module_and_line() -> None:
    assert _rows(functions(PLAIN)) == [
        (0xFFFFFFFF81000000, "_stext", "", 0),
        (0xFFFFFFFFC0000000, "tun_get_user", "tun", 2),
    ]


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.removesuffix("\n"),
        # a range that ends, as `recorded_symbols` writes it
        f"ffffffff82000000 t \n{PLAIN}",
        # the highest address; capitals
        "FFFFFFFFFFFFFFFF W last\n",
        "ffffffff81000000 t name with blanks\nffffffff81000010 t two\ttabs\t[m]\n",
    ],
)
def test_the_quick_way_reads_what_the_slow_one_does(text: str) -> None:
    quick = kallsyms_lines._of_one_form(text)
    assert quick is not None
    assert _rows(quick) == _rows(kallsyms_lines._of_any_form(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        # a kernel of 32 bits
        "c0100000 T _stext\n",
        "ffffffff81000000 T caf\u00e9\n",
        # other ends of a line, and lines of another form among many
        "ffffffff81000000 T one\x0bffffffff81000010 T two\n",
        f"{PLAIN}81000020 T short\n",
        f"{PLAIN}0xffffffff810000 T prefixed\n",
        f"{PLAIN}ffffffff81000030 unknown name\n",
    ],
)
def test_what_is_of_another_form_is_read_line_by_line(text: str) -> None:
    assert kallsyms_lines._of_one_form(text) is None or not text
    assert _rows(functions(text)) == _rows(kallsyms_lines._of_any_form(text))


@pytest.mark.parametrize("line", ["no symbols", "ffffffff81000000 T", "zzzzzzzzzzzzzzzz T name", ""])
def test_what_is_no_line_of_symbols_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        functions(f"{PLAIN}{line}\n{PLAIN}")


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.sampled_from("tTwWdbA"), st.text("ab._$\t []", max_size=6))))
def test_both_ways_agree_on_any_names(rows: list[tuple[int, str, str]]) -> None:
    text = "".join(f"{address:016x} {kind} {name}\n" for address, kind, name in rows)
    assert _rows(functions(text)) == _rows(kallsyms_lines._of_any_form(text))
