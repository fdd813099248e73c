"""Symbols and a recording belong together: moved where they can be, refused where they contradict, nobody's outside."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from offloadbench.analysis.profile.attribution import SymbolTable
from offloadbench.definitions.name_tables import NameTable
from offloadbench.kernel.trace import debuginfo, perfdata
from offloadbench.kernel.trace.perfdata.abi import CpuMode, HeaderFeature, RecordType
from tests.conftest import CommandLine
from tests.unit import perfdata_files as build
from tests.unit.perfdata_files import record, sample, with_trailer

TEXT, MODULES = 0xFFFFFFFF81000000, 0xFFFFFFFFC0200000
KALLSYMS = f"""\
{TEXT:016x} T _text
{TEXT:016x} T _stext
{TEXT + 0x1000:016x} T tcp_sendmsg
{TEXT + 0x2000:016x} T __ip_queue_xmit
{TEXT + 0x3000:016x} T default_idle
{TEXT + 0x4000:016x} T _etext
{MODULES:016x} t start_xmit\t[virtio_net]
{MODULES + 0x1000:016x} t ipt_do_table\t[ip_tables]
{MODULES + 0x100000:016x} t bpf_prog_6deef7357e7b4530_old\t[bpf]
"""
RANGES = {"virtio_net": (MODULES, 0x1000), "ip_tables": (MODULES + 0x1000, 0x1000)}


def _mmap(start: int, size: int, name: str, page_offset: int = 0) -> bytes:
    values = (-1 & 0xFFFFFFFF, 0, start, size, page_offset)
    plain = record("<", RecordType.MMAP, "IIQQQ", *values, misc=CpuMode.KERNEL, text=name)
    return with_trailer("<", plain, 0)


def _ksymbol(start: int, size: int, name: str, kind: int = 1, flags: int = 0) -> bytes:
    return with_trailer("<", record("<", RecordType.KSYMBOL, "QIHH", start, size, kind, flags, text=name), 0)


def _kernel(moved: int = 0, symbol: str = "_text", size: int = 0x4000) -> bytes:
    return _mmap(TEXT + moved, size, f"[kernel.kallsyms]{symbol}", TEXT + moved)


def _modules(moved: int = 0) -> list[bytes]:
    return [
        _mmap(start + moved, size, f"/lib/modules/6.1.0/kernel/{name}.ko.xz") for name, (start, size) in RANGES.items()
    ]


class Asked:
    """The command on a recording made of these records; the module of each address, and what was said."""

    def __init__(self, command_line: CommandLine, folder: Path) -> None:
        self.command_line = command_line
        self._folder = folder
        self.err, self.code = "", 0

    def __call__(
        self, records: list[bytes], addresses: list[int], symbols: str = KALLSYMS, mode: int = CpuMode.KERNEL
    ) -> list[str]:
        path, kallsyms = self._folder / "perf.data", self._folder / "kallsyms"
        kallsyms.write_text(symbols)
        # a weight of its own tells each address in the table
        samples = [sample("<", ip=address, period=1000 + at, mode=mode) for at, address in enumerate(addresses)]
        path.write_bytes(build.file("<", [*records, *samples], features=build.description("<")))
        found = self.command_line("modules", str(path), "--kallsyms", str(kallsyms), "--profile", "linux")
        self.err, self.code = found.err, found.code
        return [line.split()[0] for line in found.out.splitlines() if "% to" in line]


@pytest.fixture
def ask(command_line: CommandLine, tmp_path: Path) -> Asked:
    return Asked(command_line, tmp_path)


@pytest.mark.parametrize("moved", [0, 0x200000, -0x200000, 0x2E400000])
@pytest.mark.parametrize("symbol", ["_text", "_stext"])
def test_symbols_of_another_boot_are_moved_to_where_the_kernel_lay(ask: Asked, moved: int, symbol: str) -> None:
    records = [_kernel(moved, symbol), *_modules(moved // 2 if moved else 0)]
    assert ask(records, [TEXT + moved + 0x1010]) == ["tcp"]
    assert ask(records, [TEXT + moved + 0x2010]) == ["ip"]
    assert ("moved by" in ask.err) == bool(moved)


def test_a_module_of_another_boot_is_known_by_its_range(ask: Asked) -> None:
    records = [_kernel(0x200000), *_modules(0x35000)]
    assert ask(records, [MODULES + 0x35010]) == ["driver"]
    assert ask(records, [MODULES + 0x36010]) == ["netfilter"]
    # where the module lay when the symbols were copied, nothing was recorded
    assert ask(records, [MODULES + 0x10]) == ["other"]


def test_a_system_map_will_do(ask: Asked) -> None:
    lines = [line.replace(" t ", " T ") for line in KALLSYMS.splitlines() if "[" not in line]
    system_map = "\n".join(["0000000000000000 A fixed_percpu_data", *lines, f"{TEXT + 0x5000:016x} D _edata", ""])
    records = [_kernel(0x1E00000, size=0x5000), *_modules(0x35000)]
    assert ask(records, [TEXT + 0x1E00000 + 0x1010], system_map) == ["tcp"]
    assert ask(records, [MODULES + 0x36010], system_map) == ["netfilter"]


@pytest.mark.parametrize(
    ("records", "word"),
    [
        # a distance that no boot makes
        ([_kernel(0x190)], "of another kernel: _text"),
        # the kernel is as long as another one
        ([_kernel(size=0x3000)], "of another kernel: it ends"),
        ([_kernel(0x200000, size=0x3000)], "of another kernel: it ends"),
        # no KASLR, but the modules lie elsewhere
        ([_kernel(), *_modules(0x40000)], "of another boot: module"),
    ],
)
def test_symbols_that_contradict_the_recording_are_refused(ask: Asked, records: list[bytes], word: str) -> None:
    assert ask(records, [TEXT + 0x1010]) == []
    assert ask.code == 7
    assert word in ask.err


def test_a_module_that_was_loaded_again_loses_its_functions_only(ask: Asked) -> None:
    one, _ = _modules()
    other = _mmap(MODULES + 0x9000, 0x1000, "/lib/modules/6.1.0/kernel/ip_tables.ko")
    records = [_kernel(), one, other]
    assert ask(records, [MODULES + 0x10]) == ["driver"]
    assert ask(records, [MODULES + 0x9010]) == ["netfilter"]
    assert "loaded again since: ip_tables" in ask.err


def test_the_range_that_perf_guesses_up_to_the_first_module_says_nothing_about_the_kernel(ask: Asked) -> None:
    assert ask([_kernel(size=MODULES - TEXT), *_modules()], [TEXT + 0x1010]) == ["tcp"]
    assert ask([_kernel(size=2**64 - 1 - TEXT), *_modules()], [TEXT + 0x1010]) == ["tcp"]


def test_a_recording_that_tells_no_kernel_is_taken_with_a_word(ask: Asked) -> None:
    assert ask([], [TEXT + 0x1010]) == ["tcp"]
    assert "nothing tells whether" in ask.err


def test_symbols_without_addresses_are_refused(ask: Asked) -> None:
    zeros = "".join(f"{0:016x}{line[16:]}\n" for line in KALLSYMS.splitlines())
    for symbols in (zeros, zeros.replace("0" * 16, "0"), f"{TEXT:016x} D jiffies\n"):
        assert ask([], [TEXT + 0x1010], symbols) == []
        assert ask.code == 7
        assert "not the symbols of a kernel" in ask.err


@pytest.mark.parametrize(
    "address",
    [0xFFFFFFFFC0DE0000, 0xFFFFFFFFFF600000, MODULES - 1, MODULES + 0x2000, TEXT + 0x4000 + 0x10000, TEXT - 1, 0],
)
def test_an_address_outside_of_every_range_is_nobodys(ask: Asked, address: int) -> None:
    for size in (0x4000, MODULES - TEXT):
        assert ask([_kernel(size=size), *_modules()], [address]) == ["other"]
        assert "lie outside of all symbols" in ask.err
    # without recorded ranges, the symbols alone tell, but for the end of the last module
    if address != MODULES + 0x2000:
        assert ask([], [address]) == ["other"]


def test_one_sample_of_a_hundred_outside_is_not_told(ask: Asked) -> None:
    inside = [TEXT + 0x1010] * 99
    ask([_kernel(), *_modules()], [*inside, 0xFFFFFFFFC0DE0000])
    assert "outside" not in ask.err
    ask([_kernel(), *_modules()], [*inside, 0xFFFFFFFFC0DE0000, 0xFFFFFFFFC0DE0000])
    assert "2.0% of the kernel's samples of cpu-clock lie outside" in ask.err


def test_bpf_that_no_snapshot_lists_is_known_by_the_records_about_it(ask: Asked) -> None:
    program = MODULES + 0x500000
    records = [_kernel(), *_modules(), _ksymbol(program, 0x100, "bpf_prog_992d9ddc835e5629_mine")]
    assert ask(records, [program]) == ["bpf"]
    assert ask(records, [program + 0xFF]) == ["bpf"]
    assert ask(records, [program + 0x100]) == ["other"]
    gone = [_kernel(), *_modules(), _ksymbol(program, 0x100, "bpf_prog_1", flags=1)]
    assert ask(gone, [program]) == ["other"]
    trampoline = [_kernel(), _ksymbol(program, 0x100, "ftrace_trampoline", kind=2)]
    assert ask(trampoline, [program]) == ["perf_trace"]


@pytest.mark.parametrize("mode", [CpuMode.GUEST_KERNEL, CpuMode.GUEST_USER])
def test_samples_of_guests_are_never_looked_up_in_the_host(ask: Asked, mode: int) -> None:
    assert ask([_kernel()], [TEXT + 0x1010], mode=mode) == ["guest"]


def test_the_running_kernels_symbols_are_for_its_own_build(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debuginfo, "running_build_id", lambda: "ab" * 20)
    running = tmp_path / "running"
    running.write_text(KALLSYMS)
    monkeypatch.setattr("offloadbench.commands.modules.RUNNING", running)
    path = tmp_path / "perf.data"
    for build_id, table in ((b"\xab" * 20, "tcp"), (b"\xac" * 20, "[kernel.kallsyms]")):
        name = b"[kernel.kallsyms]\0".ljust(24, b"\0")
        body = struct.pack("<i", -1) + build_id.ljust(24, b"\0") + name
        section = struct.pack("<IHH", 0, CpuMode.KERNEL, 8 + len(body)) + body
        features = build.description("<") | {HeaderFeature.BUILD_ID: section}
        path.write_bytes(build.file("<", [_kernel(0x200000), sample("<", ip=TEXT + 0x201010)], features=features))
        finished = command_line("modules", str(path))
        assert finished.code == 0
        assert table in finished.out


def test_no_symbol_reaches_into_the_next_or_far_beyond_its_last() -> None:
    table = SymbolTable(KALLSYMS, NameTable({}, ()))
    rng = np.random.default_rng(7)
    at = rng.integers(0, 2**64, 10_000, dtype=np.uint64)
    near = table.addresses[rng.integers(0, len(table), 10_000)] + rng.integers(0, 1 << 17, 10_000, dtype=np.uint64)
    for address in np.concatenate([at, near]):
        (index,) = table.lookup(np.array([address], dtype=np.uint64)).tolist()
        starts = table.addresses[table.addresses <= address]
        if index >= 0:
            assert table.addresses[index] == starts.max()
            assert address - starts.max() < 1 << 20
        elif len(starts):
            assert address - starts.max() >= 1 << 16


TAG = bytes.fromhex("992d9ddc835e5629")


def _bpf_event(number: int, kind: int = 1, tag: bytes = TAG) -> bytes:
    return with_trailer("<", record("<", RecordType.BPF_EVENT, "HHI8s", kind, 0, number, tag), 0)


def _program_info(
    order: str, functions: list[tuple[int, int]], name: str = "mine", tags: list[bytes] | None = None
) -> bytes:
    """A BPF_PROG_INFO section of one program, as perf writes it: pointers are offsets into what follows."""
    tags = [TAG] if tags is None else tags
    arrays = b"".join(struct.pack(f"{order}Q", start) for start, _ in functions)
    lengths_at = len(arrays)
    arrays += b"".join(struct.pack(f"{order}I", size) for _, size in functions).ljust(8 * len(functions), b"\0")
    tags_at = len(arrays)
    arrays += b"".join(tags)
    info = bytearray(232)
    struct.pack_into(f"{order}II8s", info, 0, 6, 42, TAG)
    struct.pack_into("16s", info, 64, name.encode())
    struct.pack_into(f"{order}IIQQ", info, 104, len(functions), len(functions), 0, lengths_at)
    struct.pack_into(f"{order}IQ", info, 180, len(tags), tags_at)
    return struct.pack(f"{order}IIIQ", 1, len(info), len(arrays), 0) + bytes(info) + arrays


def test_a_bpf_program_without_a_symbol_is_placed_by_its_description(ask: Asked, tmp_path: Path) -> None:
    program = MODULES + 0x200000
    path, kallsyms = tmp_path / "with.data", tmp_path / "with.kallsyms"
    kallsyms.write_text(KALLSYMS)
    samples = [sample("<", ip=program + 0x10), sample("<", ip=program + 0x210), sample("<", ip=program + 0x180)]
    section = _program_info("<", [(program, 0x100), (program + 0x200, 0x100)], tags=[TAG, bytes(range(8))])
    features = build.description("<") | {HeaderFeature.BPF_PROG_INFO: section}
    path.write_bytes(build.file("<", [_kernel(), _bpf_event(42), *samples], features=features))
    recording = perfdata.read(path)
    assert [symbol.name for symbol in recording.kernel_symbols] == [
        "bpf_prog_992d9ddc835e5629_F", "bpf_prog_0001020304050607_F",
    ]  # fmt: skip
    finished = ask.command_line("modules", str(path), "--kallsyms", str(kallsyms))
    rows = {line.split()[0]: line.split() for line in finished.out.splitlines() if "% to" in line}
    assert rows["bpf"][5] == "2"
    assert rows["other"][5] == "1"
    assert "BPF program" not in finished.err


def test_a_symbol_record_goes_before_the_description_of_a_program(tmp_path: Path) -> None:
    path = tmp_path / "perf.data"
    features = build.description(">") | {HeaderFeature.BPF_PROG_INFO: _program_info(">", [(0x1000, 0x100)])}
    path.write_bytes(build.file(">", [sample(">", ip=0x1000)], features=features))
    assert [symbol.name for symbol in perfdata.read(path).kernel_symbols] == ["bpf_prog_992d9ddc835e5629_mine"]
    features = {HeaderFeature.BPF_PROG_INFO: _program_info("<", [(MODULES, 0x100)])}
    path.write_bytes(build.file("<", [_ksymbol(MODULES, 0x80, "bpf_prog_1_other")], features=features))
    assert [symbol.name for symbol in perfdata.read(path).kernel_symbols] == ["bpf_prog_1_other"]


def test_a_bpf_program_whose_place_is_not_known_is_named(ask: Asked) -> None:
    assert ask([_kernel(), _bpf_event(42)], [MODULES + 0x200010]) == ["other"]
    assert "1 BPF program was loaded" in ask.err
    assert "992d9ddc835e5629" in ask.err
    # one that the symbols know, one that was only taken out, one with a symbol
    old = bytes.fromhex("6deef7357e7b4530")
    records = [_bpf_event(1, tag=old), _bpf_event(2, kind=2), _bpf_event(3, tag=bytes(8))]
    ask([_kernel(), *records, _ksymbol(MODULES + 0x200000, 0x100, f"bpf_prog_{'00' * 8}_x")], [TEXT + 0x1010])
    assert "BPF" not in ask.err


@pytest.mark.parametrize("cut", [4, 40, 200, 250, 255])
def test_a_damaged_description_of_programs_is_told(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "perf.data"
    section = _program_info("<", [(MODULES, 0x100)])[:cut]
    path.write_bytes(build.file("<", [sample("<")], features={HeaderFeature.BPF_PROG_INFO: section}))
    recording = perfdata.read(path)
    assert recording.samples == (1,)
    assert "description of the recording" in recording.problem
