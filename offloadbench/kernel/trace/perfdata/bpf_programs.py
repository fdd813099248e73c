"""BPF programs: their tags from BPF_EVENT records, and the places of their code from the BPF_PROG_INFO feature.

A BPF_EVENT record names a program but not its place; that is in the KSYMBOL record beside it. perf also writes what the
kernel knows of each program (struct bpf_prog_info, include/uapi/linux/bpf.h) behind the records, with the arrays that
it points at (struct perf_bpil, tools/perf/util/bpf-utils.h); these give the places where no KSYMBOL record does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from offloadbench.kernel.trace.perfdata.byteorder import ByteOrder
from offloadbench.kernel.trace.perfdata.ksymbols import BPF_OWNER, KernelSymbol

TAG_BYTES = 8
# struct perf_bpil: info_len, data_len, arrays; the info and the data follow
_BPIL_BYTES = 16
# struct bpf_prog_info: tag, name (16 bytes), and (number of entries, pointer) of the arrays that are used here
_TAG_AT, _NAME_AT, _NAME_BYTES = 8, 64, 16
_ADDRESSES_AT, _LENGTHS_AT, _TAGS_AT = (104, 112), (108, 120), (180, 184)
_INFO_MIN_BYTES = 192
# more functions than any program has; a damaged number must not fill the memory
_FUNCTIONS_MAX = 1 << 14


def program_symbols(data: bytes | memoryview, order: ByteOrder) -> tuple[KernelSymbol, ...]:
    """The functions of all programs of a BPF_PROG_INFO section; of one whose places are hidden, none.

    Raises:
        struct.error: the section is cut.
    """
    (count,) = order.unpack("I", data)
    found: list[KernelSymbol] = []
    at = 4
    for _ in range(count):
        info_bytes, data_bytes = order.unpack("II", data, at)
        end = at + _BPIL_BYTES + info_bytes + data_bytes
        if end > len(data):
            raise struct.error("BPF program beyond the end of its section")
        if info_bytes >= _INFO_MIN_BYTES:
            info = data[at + _BPIL_BYTES : at + _BPIL_BYTES + info_bytes]
            found += _functions(info, data[at + _BPIL_BYTES + info_bytes : end], order)
        at = end
    return tuple(found)


def _functions(info: bytes | memoryview, arrays: bytes | memoryview, order: ByteOrder) -> Iterator[KernelSymbol]:
    addresses = _array(info, arrays, _ADDRESSES_AT, "Q", order)
    lengths = _array(info, arrays, _LENGTHS_AT, "I", order)
    count, start = _place(info, _TAGS_AT, order)
    tags = [bytes(arrays[start + TAG_BYTES * at : start + TAG_BYTES * (at + 1)]).hex() for at in range(count)]
    name = bytes(info[_NAME_AT : _NAME_AT + _NAME_BYTES]).split(b"\0", 1)[0].decode(errors="replace")
    for at, (address, length) in enumerate(zip(addresses, lengths, strict=False)):
        tag = tags[at] if at < len(tags) and tags[at] else bytes(info[_TAG_AT : _TAG_AT + TAG_BYTES]).hex()
        # the names of the parts of a program are in its BTF; perf without it calls them F
        own = name if len(addresses) == 1 and name else "F"
        if address and length:
            yield KernelSymbol(address, length, f"bpf_prog_{tag}_{own}", BPF_OWNER)


def _place(info: bytes | memoryview, at: tuple[int, int], order: ByteOrder) -> tuple[int, int]:
    """Entries of an array and where it begins; perf has written offsets in place of the pointers."""
    (count,), (start,) = order.unpack("I", info, at[0]), order.unpack("Q", info, at[1])
    return min(count, _FUNCTIONS_MAX), start


def _array(
    info: bytes | memoryview, arrays: bytes | memoryview, at: tuple[int, int], layout: str, order: ByteOrder
) -> tuple[int, ...]:
    count, start = _place(info, at, order)
    if start + count * struct.calcsize(f"={layout}") > len(arrays):
        raise struct.error("array beyond the end of its BPF program")
    return order.unpack(f"{count}{layout}", arrays, start)
