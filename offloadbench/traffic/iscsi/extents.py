"""How far the partition table or the file system on a disk reaches, read from the disk's first and last bytes.

Only what says by itself where it ends is understood here. Whatever else lies on the disk is found by its signature
(offloadbench.kernel.system.signatures), and its extent is not known. Every disk is hostile: a length or a place in it
is believed only as a bound that keeps writes away.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

# everything that libblkid looks for lies this near to one end of a disk
EDGE_BYTES = 4 << 20
_MIB = 1 << 20
_SECTOR_BYTES = 512
# signature as wipefs(8) names it -> who reads its extent here
FAMILIES = {
    "gpt": "gpt",
    "PMBR": "gpt",
    "dos": "dos",
    "ext2": "ext",
    "ext3": "ext",
    "ext4": "ext",
    "ext4dev": "ext",
    "jbd": "ext",
    "xfs": "xfs",
    "btrfs": "btrfs",
    "vfat": "vfat",
    "ntfs": "ntfs",
    "exfat": "exfat",
    "swap": "swap",
    "LVM2_member": "LVM2_member",
}


@dataclass(frozen=True, slots=True)
class Used:
    """What lies on the disk.

    Attributes:
        kind: one of the values of `FAMILIES`, or a signature's own name.
        end_bytes: the first byte that it leaves free; None where that is not known.
    """

    kind: str
    end_bytes: int | None


@dataclass(frozen=True, slots=True)
class Edges:
    """The ends of a disk.

    Attributes:
        head, tail: its first and last bytes, `EDGE_BYTES` of each or the whole disk.
        size_bytes: of the disk.
        block_bytes: of its logical blocks.
    """

    head: bytes
    tail: bytes
    size_bytes: int
    block_bytes: int

    @property
    def blank(self) -> bool:
        """Whether both ends are zeros."""
        return not (any(self.head) or any(self.tail))

    def at(self, offset: int, size: int) -> bytes:
        """Bytes of the head; fewer where it ends."""
        return self.head[offset : offset + size]


def _gpt(edges: Edges) -> Used | None:
    """GUID partition table (UEFI 2.10, 5.3). Both checksums must hold."""
    units = sorted({edges.block_bytes, _SECTOR_BYTES})
    for unit in units:
        header = edges.at(unit, 92)
        if header[:8] == b"EFI PART":
            return Used("gpt", _gpt_end(edges, header, unit))
    protective = any(kind == 0xEE for kind, _, _ in _mbr_entries(edges))
    spare = any(edges.tail[-unit:][:8] == b"EFI PART" for unit in units if len(edges.tail) >= unit)
    return Used("gpt", None) if protective or spare else None


def _gpt_end(edges: Edges, header: bytes, unit: int) -> int | None:
    if len(header) < 92:
        return None
    size, checksum = struct.unpack_from("<II", header, 12)
    own, other, first, _ = struct.unpack_from("<QQQQ", header, 24)
    entries, count, entry_bytes, entries_checksum = struct.unpack_from("<QIII", header, 72)
    whole = edges.at(unit, size) if 92 <= size <= unit else b""
    if own != 1 or zlib.crc32(whole[:16] + bytes(4) + whole[20:]) != checksum:
        return None
    table = edges.at(entries * unit, count * entry_bytes)
    if not 128 <= entry_bytes <= 4096 or len(table) != count * entry_bytes or zlib.crc32(table) != entries_checksum:
        return None
    ends = [first * unit, entries * unit + len(table)]
    rows = (table[at : at + entry_bytes] for at in range(0, len(table), entry_bytes))
    ends += [(struct.unpack_from("<Q", row, 40)[0] + 1) * unit for row in rows if any(row[:16])]
    # of a disk that has grown since, the second header lies before the end
    if other * unit < edges.size_bytes - len(edges.tail):
        ends.append((other + 1) * unit)
    return int(max(ends))


def _mbr_entries(edges: Edges) -> list[tuple[int, int, int]]:
    """(type, first, count) of the partitions in use, in logical blocks; empty where there is no boot record."""
    record = edges.at(0, _SECTOR_BYTES)
    if record[510:512] != b"\x55\xaa":
        return []
    found = [struct.unpack_from("<B3xB3xII", record, 446 + 16 * number) for number in range(4)]
    if any(status not in (0, 0x80) for status, *_ in found):
        return []
    return [(kind, first, count) for _, kind, first, count in found if kind]


def _dos(edges: Edges) -> Used | None:
    """Master boot record: four partitions, those of an extended one inside it."""
    record = edges.at(0, _SECTOR_BYTES)
    if record[510:512] != b"\x55\xaa" or _fat(edges) or _ntfs(edges) or _exfat(edges):
        return None
    entries = _mbr_entries(edges)
    if any(kind == 0xEE for kind, _, _ in entries):
        return None
    # a boot sector that holds no table is somebody's, and says nothing of its extent
    if any(record[446 + 16 * number] not in (0, 0x80) for number in range(4)):
        return Used("dos", None)
    return Used("dos", max(((first + count) * edges.block_bytes for _, first, count in entries), default=_SECTOR_BYTES))


def _ext(edges: Edges) -> Used | None:
    """struct ext4_super_block (fs/ext4/ext4.h)."""
    block = edges.at(1024, 1024)
    if block[56:58] != b"\x53\xef" or len(block) < 1024:
        return None
    low, shift = struct.unpack_from("<I", block, 4)[0], struct.unpack_from("<I", block, 24)[0]
    wide = struct.unpack_from("<I", block, 96)[0] & 0x80
    blocks = low | (struct.unpack_from("<I", block, 0x150)[0] << 32 if wide else 0)
    return Used("ext", blocks << 10 + shift if blocks and shift <= 6 else None)


def _xfs(edges: Edges) -> Used | None:
    """struct xfs_dsb (fs/xfs/libxfs/xfs_format.h)."""
    block = edges.at(0, 16)
    if block[:4] != b"XFSB":
        return None
    size, blocks = struct.unpack_from(">IQ", block, 4)
    return Used("xfs", size * blocks or None)


def _btrfs(edges: Edges) -> Used | None:
    """struct btrfs_super_block: the size of this device, not of the file system (include/uapi/linux/btrfs_tree.h)."""
    block = edges.at(64 << 10, 4096)
    if block[64:72] != b"_BHRfS_M" or len(block) < 4096:
        return None
    return Used("btrfs", struct.unpack_from("<Q", block, 209)[0] or None)


def _fat(edges: Edges) -> Used | None:
    sector = edges.at(0, _SECTOR_BYTES)
    if sector[54:57] != b"FAT" and sector[82:85] != b"FAT":
        return None
    size, small, large = (struct.unpack_from(code, sector, at)[0] for code, at in (("<H", 11), ("<H", 19), ("<I", 32)))
    return Used("vfat", size * (small or large) or None)


def _ntfs(edges: Edges) -> Used | None:
    sector = edges.at(0, _SECTOR_BYTES)
    if sector[3:11] != b"NTFS    ":
        return None
    size, sectors = struct.unpack_from("<H", sector, 11)[0], struct.unpack_from("<Q", sector, 40)[0]
    # the copy of the boot sector follows the last one that is counted
    return Used("ntfs", size * (sectors + 1) if size and sectors else None)


def _exfat(edges: Edges) -> Used | None:
    sector = edges.at(0, _SECTOR_BYTES)
    if sector[3:11] != b"EXFAT   ":
        return None
    sectors, shift = struct.unpack_from("<Q", sector, 72)[0], sector[108]
    return Used("exfat", sectors << shift if sectors and 9 <= shift <= 12 else None)


def _swap(edges: Edges) -> Used | None:
    """union swap_header (include/linux/swap.h), for every size of page."""
    for page_bytes in (1 << shift for shift in range(12, 17)):
        if edges.at(page_bytes - 10, 10) in (b"SWAPSPACE2", b"SWAP-SPACE"):
            last_page = struct.unpack_from("<I", edges.at(1028, 4).ljust(4, b"\0"))[0]
            return Used("swap", (last_page + 1) * page_bytes if last_page else None)
    return None


def _lvm2(edges: Edges) -> Used | None:
    """A physical volume's label, in one of the first four sectors (lib/label/label.h, lib/format_text/layout.h)."""
    for sector in range(4):
        label = edges.at(sector * _SECTOR_BYTES, _SECTOR_BYTES)
        if label[:8] == b"LABELONE" and label[24:32] == b"LVM2 001":
            volume = label[struct.unpack_from("<I", label, 20)[0] :][:40]
            return Used("LVM2_member", struct.unpack_from("<Q", volume, 32)[0] or None if len(volume) == 40 else None)
    return None


_READERS: tuple[Callable[[Edges], Used | None], ...] = (
    _gpt, _dos, _ext, _xfs, _btrfs, _fat, _ntfs, _exfat, _swap, _lvm2,
)  # fmt: skip


def used(edges: Edges, signatures: list[str]) -> list[Used]:
    """Everything that lies on the disk.

    Args:
        signatures: the names that wipefs(8) gives to what it finds there; what is not understood here has no end.
    """
    found = [one for read in _READERS if (one := read(edges)) is not None]
    understood = {one.kind for one in found}
    others = sorted({name for name in signatures if FAMILIES.get(name) not in understood})
    return [*found, *(Used(name, None) for name in others)]


def free(edges: Edges, found: list[Used]) -> tuple[int, int]:
    """First byte and end of what lies beyond everything on the disk; empty where nothing is left.

    Both edges are left as they are: a disk that was blank stays one, and a second header keeps its place.

    Raises:
        ValueError: it cannot be known; the text says why, as the end of a sentence.
    """
    unknown = [one.kind for one in found if one.end_bytes is None]
    if unknown:
        raise ValueError(f"it holds {', '.join(unknown)}, whose extent is not known")
    if not found and not edges.blank:
        raise ValueError("it holds data, and no partition table or file system says how far they reach")
    start = max([EDGE_BYTES, *(one.end_bytes or 0 for one in found)])
    return -(-start // _MIB) * _MIB, max(0, edges.size_bytes - EDGE_BYTES) // _MIB * _MIB
