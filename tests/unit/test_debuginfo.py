"""Source files of functions, from the debug information of a small kernel that gcc makes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from offloadbench.base.errors import ProfilerError, UsageError
from offloadbench.definitions import catalog, name_tables
from offloadbench.kernel.trace import debuginfo
from tests.conftest import CommandLine

SOURCES = {
    "init/main.c": 'const char linux_banner[] = "Linux version 6.99.0-test (x)";\nvoid _stext(void) {}\n'
    "void start_kernel(void) { (void)linux_banner[0]; }\n",
    "net/ipv4/tcp.c": 'static void __attribute__((noinline)) tcp_static(void) { __asm__(""); }\n'
    "void tcp_sendmsg(void) { tcp_static(); }\n",
    # a mark, as assemblers of arm, arm64 and riscv set them
    "kernel/locking/mutex.c": 'void mutex_lock(void) {}\n__asm__(".text\\n$x: nop\\n");\n',
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `vmlinux` and a module in lib/modules/kernel/net/sched."""
    folder = tmp_path_factory.mktemp("linux")
    for name, text in SOURCES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    flags = ["gcc", "-g", "-O1", "-static", "-nostdlib", "-Wl,-e,start_kernel", "-Wl,--build-id"]
    subprocess.run([*flags, "-o", "vmlinux", *SOURCES], cwd=folder, check=True)
    subprocess.run(["gcc", "-O1", "-o", "plain", "-nostdlib", "-Wl,-e,mutex_lock", "kernel/locking/mutex.c"],
                   cwd=folder, check=True)  # fmt: skip
    module = folder / "lib/modules/kernel/net/sched/sch-mine.ko"
    module.parent.mkdir(parents=True)
    (folder / "mod.c").write_text("void mine_enqueue(void) {}\n")
    subprocess.run(["gcc", "-c", "-o", str(module), "mod.c"], cwd=folder, check=True)
    return folder


def test_every_function_has_the_source_file_that_it_was_compiled_from(tree: Path) -> None:
    found = {one.name: one for one in debuginfo.functions(tree / "vmlinux")}
    assert found["tcp_sendmsg"].path == found["tcp_static"].path == "net/ipv4/tcp.c"
    assert found["start_kernel"].path == "init/main.c"
    assert found["mutex_lock"].path == "kernel/locking/mutex.c"
    assert {one.section for one in found.values()} == {".text"}
    assert "$x" not in found
    addresses = [one.address for one in debuginfo.functions(tree / "vmlinux")]
    assert addresses == sorted(addresses)


def test_release_and_build_id_are_read(tree: Path) -> None:
    assert debuginfo.release(tree / "vmlinux") == "6.99.0-test"
    assert len(debuginfo.build_id(tree / "vmlinux")) == 40


def test_functions_of_modules_stand_under_the_path_of_their_ko(tree: Path) -> None:
    (one,) = debuginfo.module_functions(tree / "lib/modules")
    assert (one.name, one.path, one.module) == ("mine_enqueue", "net/sched/sch-mine.ko", "sch_mine")


@pytest.mark.parametrize("name", ["plain", "init/main.c", "absent"])
def test_what_has_no_debug_information_is_refused_by_name(tree: Path, name: str) -> None:
    with pytest.raises(ProfilerError, match=name) as caught:
        debuginfo.functions(tree / name)
    assert caught.value.hint


def test_the_running_kernels_lines_get_their_sources_wherever_it_was_loaded(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vmlinux = tree / "vmlinux"
    monkeypatch.setattr(debuginfo, "find_vmlinux", lambda release: vmlinux)
    monkeypatch.setattr(debuginfo, "running_build_id", lambda: debuginfo.build_id(vmlinux))
    monkeypatch.setenv("OFFLOADBENCH_CACHE", str(tmp_path))
    functions = debuginfo.functions(vmlinux)
    lines = [f"{one.address + 0x2A000000:016x} t {one.name}" for one in functions]
    lines.append("ffffffffc0000000 t tcp_sendmsg\t[module]")
    told: list[str] = []
    for _ in range(2):
        sources = debuginfo.sources_of_running("\n".join(lines) + "\n", told.append)
        assert sources.split("\n") == [*(one.path for one in functions), ""]
    # the second time they come from the cache
    assert len(told) == 1


def test_another_build_of_the_same_release_is_not_used(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debuginfo, "find_vmlinux", lambda release: tree / "vmlinux")
    monkeypatch.setattr(debuginfo, "running_build_id", lambda: "00" * 20)
    told: list[str] = []
    assert debuginfo.sources_of_running("ffffffff81000000 T _stext\n", told.append) == ""
    assert "not the build that runs" in told[0]


def test_a_table_is_built_checked_and_always_the_same_bytes(
    tree: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    first, second = tmp_path / "one.xz", tmp_path / "two.xz"
    for path in (first, second):
        made = command_line(
            "profile", "build", "--vmlinux", str(tree / "vmlinux"), "--modules", str(tree / "lib/modules"),
            "--output", str(path),
        )  # fmt: skip
        assert made.code == 0
    assert first.read_bytes() == second.read_bytes()
    table = name_tables.load(first)
    assert table.by_name["tcp_sendmsg"] == ("net/ipv4/tcp.c",)
    assert table.modules == {"sch_mine": "net/sched/sch-mine.ko"}
    assert [kernel.release for kernel in table.kernels] == ["6.99.0-test"]
    checked = command_line("profile", "check", str(first), "--vmlinux", str(tree / "vmlinux"))
    assert checked.code == 0
    assert "100.00% of 3 in the right leaf" in checked.out
    wrong = name_tables.collect([("tcp_sendmsg", "mm/slub.c"), ("mutex_lock", "kernel/locking/mutex.c")])
    name_tables.save(wrong, tmp_path / "wrong.xz")
    misled = command_line("profile", "check", str(tmp_path / "wrong.xz"), "--vmlinux", str(tree / "vmlinux"))
    assert "1 tcp taken for mem (table), e.g. tcp_sendmsg" in misled.out


@pytest.mark.parametrize("content", [b"", b"no xz", None])
def test_a_damaged_or_missing_table_is_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "table.xz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"table\.xz"):
        name_tables.load(path)


def test_tables_that_are_merged_know_what_each_knew() -> None:
    one = name_tables.collect([("a.isra.0", "x.c"), ("__SCT__b", "x.c"), ("c", "")], name_tables.KernelOrigin("1", ""))
    two = name_tables.collect([("a", "y.c"), ("d", "x.c")], name_tables.KernelOrigin("2", ""))
    both = name_tables.merge([one, two])
    assert both.by_name == {"a": ("x.c", "y.c"), "d": ("x.c",)}
    assert [kernel.release for kernel in both.kernels] == ["1", "2"]


def test_a_profile_of_ones_own_goes_before_the_one_that_it_extends(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ntitle = "t"\nextends = "linux"\n[[leaves]]\nname = "rings"\nfloor = "driver"\n'
        '[[modules]]\nleaf = "rings"\nmatch = ["mydrv_*"]\n'
    )
    profile = catalog.profile(str(path))
    assert profile.modules[0].leaf == "rings"
    assert profile.leaves[0].name == "rings"
    assert profile.names == catalog.profile("linux").names
    path.write_text(f'name = "mine"\ntitle = "t"\nextends = "{path}"\n')
    with pytest.raises(UsageError, match="extends itself"):
        catalog.profile(str(path))
