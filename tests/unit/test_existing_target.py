"""An existing target: what names it, who logs in, what lies on its disk, and what may be overwritten."""

from __future__ import annotations

import dataclasses
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench import traffic
from offloadbench.base.errors import HostError, OffloadbenchError, TrafficError, UsageError
from offloadbench.bed import outside
from offloadbench.bed.local import LocalEnd
from offloadbench.bed.outside import OutsideEnd
from offloadbench.commands.options import run_defaults
from offloadbench.definitions import catalog
from offloadbench.engine.options import RunOptions
from offloadbench.engine.run import execute as engine
from offloadbench.kernel.system import signatures
from offloadbench.model import Run, WorkloadDefinition
from offloadbench.report import machine
from offloadbench.roles.messages import InspectUnit, UnitInspected
from offloadbench.traffic.iscsi import consent, existing, extents, granting, open_iscsi, scsi
from offloadbench.traffic.iscsi.consent import Device, Region
from offloadbench.traffic.iscsi.existing import Portal
from offloadbench.traffic.iscsi.extents import Edges, Used
from offloadbench.traffic.iscsi.iscsi_kind import IscsiTraffic
from offloadbench.traffic.kind_of_traffic import ToOutside

IQN = "iqn.2003-01.org.linux-iscsi.nas:disk.1"
MIB = 1 << 20
SIZE = 1 << 30
SHIPPED = catalog.workload("iscsi-write")


def _definition(*settings: str) -> WorkloadDefinition:
    return catalog.override_parameters([SHIPPED], list(settings))[0]


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("text", "portal"),
    [
        (f"192.0.2.9/{IQN}", Portal("192.0.2.9", 3260, IQN)),
        (f"nas.example:3261/{IQN}", Portal("nas.example", 3261, IQN)),
        (f"my_nas/{IQN}", Portal("my_nas", 3260, IQN)),
        (f"[2001:DB8:0::9]/{IQN}", Portal("2001:db8::9", 3260, IQN)),
        (f"[2001:db8::9]:13260/{IQN}", Portal("2001:db8::9", 13260, IQN)),
        ("nas/eui.02004567A425678D", Portal("nas", 3260, "eui.02004567A425678D")),
        ("nas/naa.6001405abcdef012", Portal("nas", 3260, "naa.6001405abcdef012")),
    ],
)
def test_what_names_a_target(text: str, portal: Portal) -> None:
    assert existing.parse_portal(text) == portal
    assert existing.parse_portal(f"{str(portal).split(' at ')[1]}/{portal.name}") == portal


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("192.0.2.9", "no / between"),
        (IQN, "no / between"),
        (f"/{IQN}", "neither a host name nor an address"),
        (f"192.0.2.300/{IQN}", "neither a host name"),
        (f"192.0.2/{IQN}", "neither a host name"),
        (f"-nas/{IQN}", "neither a host name"),
        (f"na s/{IQN}", "neither a host name"),
        (f"{'a' * 300}/{IQN}", "neither a host name"),
        (f"nas:0/{IQN}", "no port"),
        (f"nas:65536/{IQN}", "no port"),
        (f"nas:/{IQN}", "no port"),
        (f"nas:iscsi/{IQN}", "no port"),
        (f"nas:{'9' * 5000}/{IQN}", "no port"),
        (f"2001:db8::9/{IQN}", "stands in brackets"),
        (f"[2001:db8::9/{IQN}", "not closed"),
        (f"[2001:db8::9]3260/{IQN}", "not closed"),
        (f"[2001:db8::g]/{IQN}", "no IPv6 address"),
        (f"[192.0.2.9]/{IQN}", "no IPv6 address"),
        (f"[fe80::1%eth0]/{IQN}", "scope"),
        ("nas/", "no name of a target"),
        ("nas/iqn.2003-13.org.example", "no name of a target"),
        ("nas/iqn.03-01.org.example", "no name of a target"),
        ("nas/iqn.2003-01.org.example:a b", "no name of a target"),
        (f"nas/{IQN}/1", "no name of a target"),
        ("nas/eui.0200", "no name of a target"),
        ("nas/disk", "no name of a target"),
        (f"nas/iqn.2003-01.org.example:{'x' * 300}", "no name of a target"),
        (f"nas/{IQN}\n", "no name of a target"),
        ("\0/\0", "no name of a target"),
    ],
)
def test_what_names_no_target_is_told_in_one_line(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        existing.parse_portal(text)
    assert words in caught.value.message
    assert "\n" not in caught.value.message + caught.value.hint
    assert len(caught.value.message) < 500
    assert "HOST[:PORT]/NAME" in caught.value.hint


@given(st.text(max_size=80))
def test_any_text_names_a_target_or_is_a_usage_error(text: str) -> None:
    try:
        existing.parse_portal(text)
    except UsageError as error:
        assert error.message.isprintable()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["lun=1"], "lun is of an existing target"),
        (["overwrite=yes"], "overwrite is of an existing target"),
        (["lun_start=0"], "lun_start is of an existing target"),
        (["confirm=abc"], "confirm is of an existing target"),
        (["chap_file=/root/x"], "chap_file is of an existing target"),
        ([f"target=nas/{IQN}"], "which LUN"),
        ([f"target=nas/{IQN}", "lun=-1"], "lun='-1'"),
        ([f"target=nas/{IQN}", "lun=16384"], "lun='16384'"),
        ([f"target=nas/{IQN}", "lun=1.0"], "lun='1.0'"),
        ([f"target=nas/{IQN}", "lun=0", "lun_start=1000"], "no multiple of 4 KiB"),
        ([f"target=nas/{IQN}", "lun=0", "lun_start=all"], "not a size"),
        ([f"target=nas/{IQN}", "lun=0", "overwrite=true"], "overwrite=true"),
        ([f"target=nas/{IQN}", "lun=0", "initiator_name=me"], "initiator_name='me'"),
        ([f"target=nas/{IQN}", "lun=0", "backing=memory"], "backing is of the run's own target"),
        ([f"target=nas/{IQN}", "lun=0", "window=1MiB"], "window is that of whoever receives"),
        ([f"target=nas/{IQN}", "lun=0", "operation=read", "verify=true"], "verify needs writes"),
    ],
)
def test_parameters_that_do_not_fit_are_usage_errors(settings: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        traffic.from_definition(_definition(*settings))
    assert words in caught.value.message
    assert caught.value.hint


def test_a_file_may_have_numbers_where_the_command_line_has_digits() -> None:
    parameters = SHIPPED.parameters | {"target": f"nas/{IQN}", "lun": 300, "lun_start": 8192}
    kind = IscsiTraffic(msgspec.structs.replace(SHIPPED, parameters=parameters))
    assert kind.existing is not None
    assert (kind.existing.lun, kind.existing.start_bytes) == (300, 8192)
    with pytest.raises(UsageError, match="lun = True"):
        IscsiTraffic(msgspec.structs.replace(SHIPPED, parameters=parameters | {"lun": True}))


# ---------------------------------------------------------------- who logs in


def test_an_account_comes_from_a_file_or_from_the_environment(tmp_path: Path) -> None:
    assert existing.credentials("", {}) == existing.Credentials()
    both = {existing.USER_VARIABLE: "alice", existing.PASSWORD_VARIABLE: "open sesame"}
    assert existing.credentials("", both) == existing.Credentials("alice", "open sesame")
    path = tmp_path / "chap"
    path.write_text("user = bob\npassword=a=b\n")
    path.chmod(0o600)
    assert existing.credentials(str(path), both) == existing.Credentials("bob", "a=b")


@pytest.mark.parametrize("missing", [existing.USER_VARIABLE, existing.PASSWORD_VARIABLE])
def test_half_an_account_is_told_without_its_other_half(missing: str) -> None:
    both = {existing.USER_VARIABLE: "alice", existing.PASSWORD_VARIABLE: "open sesame"}
    del both[missing]
    with pytest.raises(UsageError, match=f"{missing} is not set") as caught:
        existing.credentials("", both)
    assert "sesame" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("user=a\npassword=secret\n", 0o640, "mode 0640 lets others in"),
        ("user=a\npassword=secret\n", 0o604, "mode 0604 lets others in"),
        ("user=a\n", 0o600, "not the two lines"),
        ("user=a\nuser=b\n", 0o600, "not the two lines"),
        ("user=a\npassword=secret\nmore=1\n", 0o600, "not the two lines"),
        ("user=\npassword=secret\n", 0o600, "the user of"),
        ("user=a\npassword=sec\x01ret\n", 0o600, "the password of"),
        ("x" * 9000, 0o600, "not the two lines"),
    ],
)
def test_a_file_that_holds_no_account_is_refused_and_not_shown(
    tmp_path: Path, text: str, mode: int, words: str
) -> None:
    path = tmp_path / "chap"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(UsageError, match=words) as caught:
        existing.credentials(str(path), {})
    assert "secret" not in caught.value.message + caught.value.hint


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        existing.credentials(str(tmp_path / "absent"), {})
    with pytest.raises(UsageError, match="not a file"):
        existing.credentials(str(tmp_path), {})


@pytest.mark.parametrize("setting", ["overwrite=yes", "confirm=SERIAL"])
def test_a_consent_is_typed_and_never_a_default(tmp_path: Path, setting: str) -> None:
    with pytest.raises(UsageError, match="is no default"):
        run_defaults.expand(["run", "--nic", "lab"], {"OFFLOADBENCH_SET": setting}, tmp_path)
    (tmp_path / run_defaults.FILE).write_text(f'set = ["sessions=2", "{setting}"]\n')
    with pytest.raises(UsageError, match="is no default"):
        run_defaults.expand(["run", "--nic", "lab"], {}, tmp_path)
    assert f"--set={setting}" in run_defaults.expand(["run", f"--set={setting}"], {}, tmp_path)


def test_a_session_of_another_record_is_not_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, interface in (("session1", "default"), ("session2", open_iscsi.interface("target-r1-ab"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "targetname").write_text(f"{IQN}\n")
        (tmp_path / name / "ifacename").write_text(f"{interface}\n")
    monkeypatch.setattr(open_iscsi, "_SESSIONS", tmp_path)
    assert open_iscsi.others(IQN) == ["session1"]
    assert open_iscsi.others("iqn.2003-01.org.another:disk") == []
    ended: list[tuple[str, ...]] = []

    def admin(mode: str, *words: str) -> str:
        ended.append((mode, *words))
        if "--logout" in words:
            shutil.rmtree(tmp_path / f"session{words[1]}")
        return ""

    monkeypatch.setattr(open_iscsi, "_admin", admin)
    open_iscsi.log_out(open_iscsi.interface("iqn.2004-01.org.offloadbench:target-r1-"))
    assert [words for words in ended if "--logout" in words] == [("session", "-r", "2", "--logout")]
    assert (tmp_path / "session1").exists()


def test_a_password_is_written_into_the_record_that_only_root_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    portal = open_iscsi.LoginPortal(IQN, "192.0.2.9", 3260, "offloadbench-x")
    record = tmp_path / IQN / "192.0.2.9,3260"
    record.parent.mkdir(parents=True)
    ours = "iface.iscsi_ifacename = offloadbench-x"
    record.write_text(f"# BEGIN RECORD 2.1.8\n{ours}\nnode.session.auth.authmethod = None\n# END RECORD\n")
    monkeypatch.setattr(open_iscsi, "_NODES", (tmp_path,))
    open_iscsi._write_into_record(portal, {"node.session.auth.authmethod": "CHAP", "node.session.auth.password": "p"})
    assert record.read_text().splitlines() == [
        "# BEGIN RECORD 2.1.8",
        ours,
        "node.session.auth.authmethod = CHAP",
        "node.session.auth.password = p",
        "# END RECORD",
    ]
    assert record.stat().st_mode & 0o777 == 0o600
    with pytest.raises(TrafficError, match="not where open-iscsi keeps it"):
        open_iscsi._write_into_record(dataclasses.replace(portal, interface="offloadbench-y"), {"a": "b"})
    with pytest.raises(TrafficError, match="record of this machine's own"):
        open_iscsi._check_records(portal)
    open_iscsi._check_records(dataclasses.replace(portal, port=3261))


# ---------------------------------------------------------------- what lies on a disk


def _edges(head: bytes = b"", tail: bytes = b"", size: int = SIZE, block: int = 512) -> Edges:
    return Edges(head.ljust(extents.EDGE_BYTES, b"\0"), tail.rjust(extents.EDGE_BYTES, b"\0"), size, block)


def _put(*parts: tuple[int, bytes]) -> bytes:
    data = bytearray(extents.EDGE_BYTES)
    for at, part in parts:
        data[at : at + len(part)] = part
    return bytes(data)


def _mbr(*partitions: tuple[int, int, int]) -> bytes:
    table = b"".join(struct.pack("<BxxxBxxxII", 0, *one) for one in partitions).ljust(64, b"\0")
    return bytes(446) + table + b"\x55\xaa"


def _gpt(unit: int, *partitions: tuple[int, int], alternate: int = 0) -> bytes:
    rows = b"".join(bytes([1]) * 32 + struct.pack("<QQ", *one) + bytes(80) for one in partitions)
    table = rows.ljust(128 * 128, b"\0")
    last = alternate or SIZE // unit - 1
    body = struct.pack("<QQQQ16sQIII", 1, last, 34, SIZE // unit - 34, bytes(16), 2, 128, 128, zlib.crc32(table))
    head = b"EFI PART" + struct.pack("<II", 0x10000, 92)
    crc = zlib.crc32(head + bytes(8) + body)
    return _put((0, _mbr((0xEE, 1, 0xFFFFFFFF))), (unit, head + struct.pack("<II", crc, 0) + body), (2 * unit, table))


def _ext4(blocks: int, shift: int = 2) -> bytes:
    block = bytearray(1024)
    struct.pack_into("<I", block, 4, blocks & 0xFFFFFFFF)
    struct.pack_into("<I", block, 24, shift)
    struct.pack_into("<H", block, 56, 0xEF53)
    struct.pack_into("<I", block, 96, 0x80)
    struct.pack_into("<I", block, 0x150, blocks >> 32)
    return bytes(1024) + bytes(block)


def _fat(oem: bytes, at: int, small: int, large: int) -> bytes:
    return _put((0, b"\xeb\x58\x90" + oem), (11, struct.pack("<H", 512)), (19, struct.pack("<H", small)),
                (32, struct.pack("<I", large)), (at, b"FAT32   "), (510, b"\x55\xaa"))  # fmt: skip


LVM = b"LABELONE" + struct.pack("<QII8s", 1, 0, 32, b"LVM2 001") + b"u" * 32 + struct.pack("<Q", 300 * MIB)
DISKS: dict[str, tuple[bytes, int, list[Used]]] = {
    "nothing": (b"", 512, []),
    "MBR": (_mbr((0x83, 2048, 204800), (0x83, 206848, 2048)), 512, [Used("dos", 208896 * 512)]),
    "MBR of 4096": (_mbr((0x83, 256, 25600)), 4096, [Used("dos", 25856 * 4096)]),
    "MBR without partitions": (_mbr(), 512, [Used("dos", 512)]),
    "a boot sector without a table": (bytes(446) + b"\x7f" * 64 + b"\x55\xaa", 512, [Used("dos", None)]),
    "GPT": (_gpt(512, (2048, 409599)), 512, [Used("gpt", 409600 * 512)]),
    "GPT of 4096": (_gpt(4096, (256, 51199)), 4096, [Used("gpt", 51200 * 4096)]),
    "GPT of 512 on 4096": (_gpt(512, (2048, 409599)), 4096, [Used("gpt", 409600 * 512)]),
    "GPT without partitions": (_gpt(512), 512, [Used("gpt", 2 * 512 + 128 * 128)]),
    "GPT before the disk grew": (
        _gpt(512, (2048, 4095), alternate=600 * MIB // 512 - 1), 512, [Used("gpt", 600 * MIB)]
    ),
    "protective MBR alone": (_mbr((0xEE, 1, 0xFFFFFFFF)), 512, [Used("gpt", None)]),
    "ext4": (_ext4(25600), 512, [Used("ext", 100 * MIB)]),
    "ext4 of 64 bits": (_ext4((1 << 33) + 5), 512, [Used("ext", ((1 << 33) + 5) * 4096)]),
    "ext4 without a size": (_ext4(0), 512, [Used("ext", None)]),
    "ext4 in a block of impossible size": (_ext4(5, 60), 512, [Used("ext", None)]),
    "XFS": (b"XFSB" + struct.pack(">IQ", 4096, 51200), 512, [Used("xfs", 200 * MIB)]),
    "btrfs": (_put((65536 + 64, b"_BHRfS_M"), (65536 + 209, struct.pack("<Q", 400 * MIB))), 512,
              [Used("btrfs", 400 * MIB)]),
    "FAT32": (_fat(b"mkfs.fat", 82, 0, 131072), 512, [Used("vfat", 64 * MIB)]),
    "NTFS": (_put((3, b"NTFS    "), (11, struct.pack("<H", 512)), (40, struct.pack("<Q", 204799)),
                  (510, b"\x55\xaa")), 512, [Used("ntfs", 100 * MIB)]),
    "exFAT": (_put((3, b"EXFAT   "), (72, struct.pack("<Q", 204800)), (108, bytes([9])), (510, b"\x55\xaa")), 512,
              [Used("exfat", 100 * MIB)]),
    "swap": (_put((1024, struct.pack("<II", 1, 25599)), (4086, b"SWAPSPACE2")), 512, [Used("swap", 100 * MIB)]),
    "LVM": (_put((512, LVM)), 512, [Used("LVM2_member", 300 * MIB)]),
    "two at once": (_put((0, _mbr((0x83, 2048, 2048))), (1024, _ext4(25600)[1024:])), 512,
                    [Used("dos", 4096 * 512), Used("ext", 100 * MIB)]),
}  # fmt: skip


@pytest.mark.parametrize("name", DISKS)
def test_what_lies_on_a_disk_says_where_it_ends(name: str) -> None:
    head, block, expected = DISKS[name]
    edges = _edges(head, block=block)
    found = extents.used(edges, [])
    assert found == expected
    if any(one.end_bytes is None for one in found):
        with pytest.raises(ValueError, match="extent is not known"):
            extents.free(edges, found)
        return
    start, end = extents.free(edges, found)
    assert start >= max([extents.EDGE_BYTES, *(one.end_bytes or 0 for one in found)])
    assert start % MIB == end % MIB == 0
    assert end == SIZE - extents.EDGE_BYTES


def test_a_damaged_partition_table_is_not_believed() -> None:
    table = bytearray(_gpt(512, (2048, 409599)))
    for at in (512 + 40, 1024 + 40):
        table[at] ^= 1
        assert extents.used(_edges(bytes(table)), []) == [Used("gpt", None)]
        table[at] ^= 1
    spare = b"EFI PART".ljust(512, b"\0")
    assert extents.used(_edges(tail=spare), []) == [Used("gpt", None)]


def test_what_only_wipefs_knows_has_no_end_and_data_of_no_kind_is_refused() -> None:
    found = extents.used(_edges(_ext4(25600)), ["ext4", "zfs_member", "linux_raid_member"])
    assert [one.kind for one in found] == ["ext", "linux_raid_member", "zfs_member"]
    with pytest.raises(ValueError, match="linux_raid_member, zfs_member, whose extent is not known"):
        extents.free(_edges(_ext4(25600)), found)
    for edges in (_edges(b"database"), _edges(tail=b"metadata")):
        with pytest.raises(ValueError, match="no partition table or file system says"):
            extents.free(edges, extents.used(edges, []))


def test_a_file_system_that_wipefs_sees_and_this_reader_does_not_is_unknown() -> None:
    assert extents.used(_edges(), ["xfs"]) == [Used("xfs", None)]


@given(st.binary(max_size=2048), st.sampled_from([512, 4096]), st.sampled_from([0, 512, 1024, 4096, 65536]))
def test_hostile_bytes_give_an_answer(data: bytes, block: int, at: int) -> None:
    edges = _edges(_put((at, data)), block=block)
    found = extents.used(edges, [])
    try:
        start, end = extents.free(edges, found)
    except ValueError:
        return
    assert start >= extents.EDGE_BYTES
    assert end <= SIZE - extents.EDGE_BYTES


@pytest.mark.parametrize("name", ["ext4", "swap", "gpt", "dos"])
def test_disks_that_tools_have_made(name: str, tmp_path: Path) -> None:
    """The file system is smaller than the disk, as the partition is."""
    tools = {"ext4": "mkfs.ext4", "swap": "mkswap", "gpt": "sfdisk", "dos": "sfdisk"}
    tool = shutil.which(tools[name], path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tool is None:
        pytest.skip(f"needs {tools[name]}")
    path = tmp_path / "disk"
    path.touch()
    with path.open("r+b") as stream:
        stream.truncate(64 * MIB if name in ("gpt", "dos") else 32 * MIB)
    if tool.endswith("sfdisk"):
        table = f"label: {name}\nstart=2048, size=61440, type=L\n"
        subprocess.run([tool, "-q", str(path)], input=table, text=True, check=True, capture_output=True)
    else:
        subprocess.run([tool, *(["-q", "-F"] if name == "ext4" else []), str(path)], check=True, capture_output=True)
        with path.open("r+b") as stream:
            stream.truncate(64 * MIB)
    data = path.read_bytes()
    edges = Edges(data[: extents.EDGE_BYTES], data[-extents.EDGE_BYTES :], len(data), 512)
    names = signatures.names(edges.head, edges.tail, edges.size_bytes)
    assert name in names
    found = extents.used(edges, names)
    assert [one.kind for one in found] == [extents.FAMILIES[name]]
    end = 63488 * 512 if name in ("gpt", "dos") else 32 * MIB
    assert found[0].end_bytes == end
    assert extents.free(edges, found) == (-(-end // MIB) * MIB, 60 * MIB)


def test_without_wipefs_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(HostError, match="wipefs is not installed"):
        signatures.names(b"", b"", 0)


# ---------------------------------------------------------------- consent


def _device(**changes: Any) -> Device:
    device = Device("ACME disk 1", "SN42", SIZE, 512, 0, [Used("ext", 100 * MIB)], (100 * MIB, 1020 * MIB), "", False)
    return dataclasses.replace(device, **changes)


def _existing(*settings: str) -> existing.Existing:
    kind = traffic.from_definition(_definition(f"target=nas/{IQN}", "lun=3", *settings))
    assert isinstance(kind, IscsiTraffic)
    assert kind.existing is not None
    return kind.existing


def _region(target: existing.Existing, device: Device, *, write: bool = True, wanted: int = 256 * MIB) -> Region:
    return consent.region(target, device, write=write, wanted_bytes=wanted, needed_bytes=16 * MIB)


def test_the_region_lies_beyond_what_is_there_unless_told() -> None:
    assert _region(_existing(), _device()) == Region(100 * MIB, 256 * MIB)
    assert _region(_existing(), _device(), wanted=SIZE) == Region(100 * MIB, 920 * MIB)
    assert _region(_existing("lun_start=8MiB"), _device()) == Region(8 * MIB, 256 * MIB)
    assert _region(_existing("lun_start=0"), _device(why_not="it holds zfs", free=(0, 0))) == Region(0, 256 * MIB)
    assert _region(_existing(), _device(why_not="it holds zfs"), write=False) == Region(0, 256 * MIB)


@pytest.mark.parametrize(
    ("settings", "changes", "words"),
    [
        ([], {"why_not": "it holds zfs_member"}, "cannot be known: it holds zfs_member"),
        ([], {"free": (1020 * MIB, 1020 * MIB)}, "0 B of its 1 GiB"),
        ([], {"free": (1010 * MIB, 1020 * MIB)}, "10 MiB of its 1 GiB"),
        (["lun_start=2GiB"], {}, "0 B of its 1 GiB"),
        (["lun_start=1020MiB"], {}, "4 MiB of its 1 GiB"),
    ],
)
def test_a_region_that_is_not_there_is_refused(settings: list[str], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        _region(_existing(*settings), _device(**changes))


@pytest.mark.parametrize("given_name", ["SN42", str(SIZE), "1GiB", "1024MiB"])
def test_serial_number_or_size_names_the_device(given_name: str) -> None:
    part = Region(0, MIB)
    consent.require_second(_existing(f"confirm={given_name}"), _device(), part, None)
    consent.require_second(_existing(), _device(), part, f" {given_name}\n")


@pytest.mark.parametrize("given_name", ["sn42", "SN4", "yes", "y", "1", "1GB", "999MiB", "-1", "9" * 5000])
def test_anything_else_does_not(given_name: str) -> None:
    with pytest.raises(UsageError, match="neither serial number nor size"):
        consent.require_second(_existing(), _device(), Region(0, MIB), given_name)


@pytest.mark.parametrize("serial", ["SN42", ""])
def test_nobody_who_was_asked_is_no_consent(serial: str) -> None:
    for answer in (None, "", "\n"):
        with pytest.raises(UsageError, match="is to be confirmed") as caught:
            consent.require_second(_existing(), _device(serial=serial), Region(0, MIB), answer)
        assert f"--set confirm={serial or SIZE}" in caught.value.hint
    # an empty serial number is named by nothing
    assert not _device(serial="").is_named_by("")


def test_the_first_consent_comes_before_anything_is_touched() -> None:
    kind = traffic.from_definition(_definition(f"target=nas/{IQN}", "lun=0"))
    with pytest.raises(UsageError, match="overwrites data there") as caught:
        kind.prepare(lambda text: None)
    assert "--set overwrite=yes" in caught.value.hint
    traffic.from_definition(_definition(f"target=nas/{IQN}", "lun=0", "operation=read")).prepare(lambda text: None)


def test_the_question_says_what_would_be_lost() -> None:
    text = consent.question(_existing(), _device(), Region(100 * MIB, MIB))
    for part in (IQN, "LUN 3", "ACME disk 1", "SN42", str(SIZE), "ext up to byte", "bytes 104857600 to 105906175"):
        assert part in text
    assert "WHATEVER LIES THERE" in consent.question(_existing("lun_start=0"), _device(), Region(0, MIB))
    assert "size in bytes" in consent.question(_existing(), _device(serial=""), Region(0, MIB))


def test_the_kernel_is_not_shown_what_its_volume_managers_would_take() -> None:
    consent.require_untouched_by_kernel(_device())
    with pytest.raises(UsageError, match="linux_raid_member"):
        consent.require_untouched_by_kernel(_device(used=[Used("linux_raid_member", None)]))


# ---------------------------------------------------------------- where it lies


def test_a_far_end_that_is_not_ours_serves_nothing_else() -> None:
    end = OutsideEnd("192.0.2.9")
    for ask in (lambda: end.launch("m", "t"), lambda: end.missing([]), end.available_memory_bytes,
                lambda: end.is_folder("/")):  # fmt: skip
        with pytest.raises(HostError, match="nothing of ours runs there"):
            ask()
    assert end.state(["net.ipv4.tcp_sack"]) == {}


@pytest.mark.parametrize(("host", "name"), [("192.0.2.9", "target:192.0.2.9:3260"), ("::1", "target:[::1]:3260")])
def test_the_name_of_such_a_bed_can_be_read_again(host: str, name: str) -> None:
    assert outside.peer_name(host, 3260) == name
    assert outside.parse(name) == (host, 3260)


@pytest.mark.parametrize("text", ["target:", "target:3260", "target:nas:iscsi"])
def test_another_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a far end"):
        outside.parse(text)


def test_a_host_that_is_not_there_is_told() -> None:
    with pytest.raises(TrafficError, match=r"no-such-host\.invalid"):
        outside.peer_name("no-such-host.invalid", 3260)


def _placed(nic: str, peer: str, *settings: str, workloads: tuple[str, ...] = ("iscsi-write",)) -> RunOptions:
    options = RunOptions(nic=nic, peer=peer, cases="none", workloads=list(workloads), output=Path())
    kinds = {name: traffic.from_definition(catalog.workload(name)) for name in workloads if name != "iscsi-write"}
    if "iscsi-write" in workloads:
        kinds["iscsi-write"] = traffic.from_definition(_definition(*settings))
    return engine._with_outside(options, kinds)


def test_a_real_nic_has_the_target_for_its_far_end() -> None:
    target = (f"target=192.0.2.9:3261/{IQN}", "lun=0")
    assert _placed("eth1", "", *target).peer == "target:192.0.2.9:3261"
    assert _placed("eth1", "ssh://nas", *target).peer == "ssh://nas"
    assert _placed("lab", "", *target).peer == ""
    assert _placed("eth1", "").peer == ""
    with pytest.raises(UsageError, match="ftp-get needs a load side"):
        _placed("eth1", "", *target, workloads=("ftp-get", "iscsi-write"))


def test_a_dry_run_says_where_it_would_log_in() -> None:
    kinds = {name: traffic.from_definition(catalog.workload(name)) for name in ("ftp-get", "iscsi-write")}
    assert engine._told_of_outside(kinds) == []
    kinds["iscsi-write"] = traffic.from_definition(_definition(f"target=nas:3261/{IQN}", "lun=0"))
    (line,) = engine._told_of_outside(kinds)
    assert line.startswith("iscsi-write: logs in to an existing target at nas, port 3261;")


def test_the_target_lies_where_the_test_link_leads() -> None:
    peer = LocalEnd("load side", "198.18.0.2", "eth9", "somewhere", frozenset())
    dut = LocalEnd("device under test", "198.18.0.1", "eth8", "elsewhere", frozenset())
    kind = traffic.from_definition(_definition(f"target=192.0.2.9/{IQN}", "lun=0", "operation=read"))
    assert isinstance(kind, ToOutside)
    with pytest.raises(UsageError, match=r"192\.0\.2\.9, and the load side of this test link is 198\.18\.0\.2"):
        kind.consent(dut, peer, lambda text: None, lambda text: None)


class Told:
    """An end whose look at the LUN is told."""

    name, address, ifname, namespace = "device under test", "192.0.2.1", "eth1", None
    server_cpus: frozenset[int] = frozenset()

    def __init__(self, device: Device) -> None:
        told: dict[str, Any] = dataclasses.asdict(device)
        self.answer = UnitInspected(**told | {"used": tuple((one.kind, one.end_bytes) for one in device.used)})
        self.closed = False

    def launch(self, module: str, title: str, cpus: object = None) -> Any:
        return self

    def request(self, order: InspectUnit, kind: type[UnitInspected], timeout_s: float) -> UnitInspected:
        assert order.wait_s == 0
        return self.answer

    def close(self) -> None:
        self.closed = True


def _grant(device: Device, *settings: str, ask: Any = lambda text: None) -> granting.Grant:
    kind = traffic.from_definition(
        _definition(f"target=192.0.2.9/{IQN}", "lun=0", "block_size=1MiB", "overwrite=yes", *settings)
    )
    assert isinstance(kind, IscsiTraffic)
    end: Any = Told(device)
    try:
        kind.consent(end, OutsideEnd("192.0.2.9"), ask, lambda text: None)
    finally:
        assert end.closed
    assert kind._grant is not None
    return kind._grant


def test_a_person_is_asked_once_and_only_where_nothing_was_said() -> None:
    asked: list[str] = []

    def answer(text: str) -> str:
        asked.append(text)
        return "SN42"

    assert _grant(_device(), ask=answer).region == Region(100 * MIB, 256 * MIB)
    assert len(asked) == 1
    _grant(_device(), "confirm=SN42", ask=answer)
    assert len(asked) == 1
    _grant(_device(), "operation=read", ask=answer)
    assert len(asked) == 1
    with pytest.raises(UsageError, match="is to be confirmed"):
        _grant(_device())


def test_a_command_that_the_target_does_not_take_is_told_before() -> None:
    with pytest.raises(UsageError, match="takes 512 KiB in one command") as caught:
        _grant(_device(longest_transfer_bytes=512 << 10), "confirm=SN42")
    assert "block_size=524288" in caught.value.hint


def test_a_disk_that_this_machine_uses_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_iscsi, "others", lambda name: ["session3"])
    # beyond the file system nobody else writes
    kind = traffic.from_definition(_definition(f"target=192.0.2.9/{IQN}", "lun=0", "overwrite=yes", "confirm=SN42"))
    assert isinstance(kind, IscsiTraffic)
    kind.consent(Told(_device()), OutsideEnd("192.0.2.9"), lambda text: None, lambda text: None)  # type: ignore[arg-type]
    assert kind.existing is not None
    for told, load in (("lun_start=0", "user"), ("lun_start=free", "kernel")):
        target = _existing("overwrite=yes", told)
        wanted = granting.LunLoad(load, True, MIB, MIB, MIB, {}, 1.0)
        with pytest.raises(UsageError, match=r"logged in to .* already \(session3\)"):
            granting._check_this_machine(target, wanted, Told(_device()))  # type: ignore[arg-type]


# ---------------------------------------------------------------- SCSI


def test_luns_are_addressed_by_number_and_flat() -> None:
    assert scsi.lun_field(1) == 1 << 48
    assert scsi.lun_field(255) == 255 << 48
    assert scsi.lun_field(256) == 0x4100 << 48
    listed = struct.pack(">IxxxxQQQQ", 32, 0, scsi.lun_field(5), scsi.lun_field(300), 0xC101 << 48)
    assert scsi.decode_luns(listed) == [0, 5, 300]
    assert scsi.decode_luns(b"\xff\xff\xff\xff") == []


def test_vital_product_data() -> None:
    serial = bytes([0, 0x80, 0, 10]) + b" SN\x0042 \x1b[ " + bytes(99)
    assert scsi.decode_serial(serial) == "SN42 ["
    assert scsi.decode_serial(bytes([0, 0x83]) + serial[2:]) == ""
    assert scsi.decode_serial(b"") == ""
    name = bytes([1, 0x03, 0, 8]) + bytes.fromhex("6001405abcdef012")
    vendor = bytes([2, 0x01, 0, 4]) + b"ACME"
    assert scsi.decode_identification(bytes([0, 0x83, 0, 20]) + vendor + name) == "6001405abcdef012"
    assert scsi.decode_identification(bytes([0, 0x83, 0, 8]) + vendor) == ""
    assert scsi.decode_identification(bytes([0, 0x83, 0, 9]) + bytes([1, 0x03, 0, 200]) + b"short") == ""
    limits = bytes([0, 0xB0, 0, 60]) + struct.pack(">BxHII", 0, 8, 1024, 1024) + bytes(48)
    assert scsi.decode_longest_transfer(limits) == 1024
    assert scsi.decode_longest_transfer(b"") == 0
    assert scsi.decode_device_type(b"\x00") == 0
    assert scsi.decode_device_type(b"\x0c") == 12
    assert scsi.decode_device_type(b"\x7f") is None


def test_a_report_says_what_the_target_is_and_what_is_not_known_of_it(sample_run: Run) -> None:
    assert not any(group.title == "iSCSI target" for group in machine.machine(sample_run))
    trial = next(one for one in sample_run.trials if one.load)
    assert trial.load is not None
    facts = granting.Grant(_device(), Region(100 * MIB, MIB)).facts(_existing(), "192.0.2.9")
    load = msgspec.structs.replace(trial.load, settings={"existing_target": facts}, cpu_s=None)
    run = msgspec.structs.replace(sample_run, trials=[msgspec.structs.replace(trial, load=load)])
    group = next(one for one in machine.machine(run) if one.title == "iSCSI target")
    told = dict(group.items)
    assert told["Device"] == "ACME disk 1, serial SN42, 1 GiB"
    assert told["Used by the run"] == "bytes 104857600 to 105906175"
    assert "not known" in told["CPU, cache, disks, receive buffer"]


def test_every_refusal_has_a_hint() -> None:
    refusals: list[OffloadbenchError] = []
    for settings in (["lun=1"], [f"target=nas/{IQN}"], ["target=nas"]):
        with pytest.raises(UsageError) as caught:
            traffic.from_definition(_definition(*settings))
        refusals.append(caught.value)
    assert all(one.hint and one.exit_code == 2 for one in refusals)
