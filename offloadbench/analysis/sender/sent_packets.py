"""What was sent and acknowledged over time, packet by packet, from a capture at the sender."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from offloadbench.analysis.capture.capture_file import CaptureFile
from offloadbench.analysis.capture.ignored_frames import Ignored
from offloadbench.analysis.capture.tcp_segment import SYN, segment
from offloadbench.files.packed_columns import pack_columns, unpack_columns
from offloadbench.model import PacketTrace

# a point a packet: more than this would be too much for a run file
ROWS_MAX = 200_000
NAMES = ("t_us", "sent_bytes", "acked_bytes", "payload_bytes")
RESPONSES = "responses"
_SCSI_RESPONSE = 0x21
# what an iSCSI target sends (RFC 7143, 11.1.1.2)
_TARGET_OPCODES = range(0x20, 0x40)
_PDU_HEADER_BYTES = 48
_WRAP = 1 << 32

I8 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Packets:
    """One connection, a row a packet in either direction, shape (packets,) each.

    Attributes:
        t_us: since the opening of the window.
        sent_bytes: highest byte sent so far, from the first packet of the window.
        acked_bytes: highest byte acknowledged so far, on the same scale.
        payload_bytes: of this packet; 0 for an acknowledgement from the other side.
        responses: SCSI responses that have come so far, where the receiver is an iSCSI target without digests.
    """

    t_us: I8
    sent_bytes: I8
    acked_bytes: I8
    payload_bytes: I8
    responses: I8


def read(path: Path, port: int, opened_ns: int, window_s: float) -> PacketTrace | None:
    """The busiest connection to a port in a capture; None where no packet of it lies in the window.

    Args:
        port: of the receiver.
        opened_ns: the window's beginning on the capture's clock (CLOCK_REALTIME).
    """
    rows: dict[bytes, list[tuple[int, int, int, int, int]]] = {}
    first: dict[bytes, int] = {}
    notes: Counter[Ignored] = Counter()
    end_ns = opened_ns + int(window_s * 1e9)
    left_out = 0
    with path.open("rb") as stream:
        for frame in CaptureFile(stream):
            found = segment(frame.link_type, frame.data, frame.original_bytes, notes)
            if found is None or found.flags & SYN or not opened_ns <= frame.time_ns <= end_ns:
                continue
            outward = int.from_bytes(found.destination[-2:], "big") == port
            sender = found.source if outward else found.destination
            known = rows.setdefault(sender, [])
            if len(known) >= ROWS_MAX:
                left_out += 1
                continue
            base = first.setdefault(sender, found.seq if outward else found.ack)
            place = ((found.seq + found.payload_bytes if outward else found.ack) - base) % _WRAP
            payload = b"" if outward else frame.data[frame.original_bytes - found.payload_bytes :]
            t_us = (frame.time_ns - opened_ns) // 1000
            known.append((t_us, place, int(outward), found.payload_bytes, _scsi_responses(payload)))
    if not rows:
        return None
    sender, chosen = max(rows.items(), key=lambda item: len(item[1]))
    table = np.array(chosen, dtype=np.int64)
    outward_rows = table[:, 2] == 1
    places = _unwrapped(table[:, 1])
    acked = np.maximum.accumulate(np.where(outward_rows, 0, places))
    # what was acknowledged has been sent, even before the window's first packet with data
    sent = np.maximum(np.maximum.accumulate(np.where(outward_rows, places, 0)), acked)
    columns = {
        "t_us": table[:, 0],
        "sent_bytes": sent,
        "acked_bytes": acked,
        "payload_bytes": np.where(outward_rows, table[:, 3], 0),
        RESPONSES: np.cumsum(table[:, 4]),
    }
    return PacketTrace(
        sender_port=int.from_bytes(sender[-2:], "big"),
        receiver_port=port,
        names=list(columns),
        rows=len(table),
        columns=pack_columns(columns),
        left_out=left_out,
    )


def _scsi_responses(payload: bytes) -> int:
    """SCSI responses among the PDUs at the beginning of a target's segment, as far as captured."""
    count = at = 0
    while at + 8 <= len(payload):
        opcode = payload[at] & 0x3F
        if opcode not in _TARGET_OPCODES:
            break
        count += opcode == _SCSI_RESPONSE
        data_bytes = int.from_bytes(payload[at + 5 : at + 8], "big")
        at += _PDU_HEADER_BYTES + 4 * payload[at + 4] + (data_bytes + 3 & ~3)
    return count


def _unwrapped(place: I8) -> I8:
    """Sequence numbers beyond 2^32; a step back by more than half of that is a wrap, by less a retransmission."""
    steps = np.diff(place, prepend=place[:1])
    return place + _WRAP * np.cumsum((steps < -_WRAP // 2).astype(np.int64) - (steps > _WRAP // 2).astype(np.int64))


def packets(trace: PacketTrace) -> Packets:
    """The columns of a captured trace.

    Raises:
        RunFileError: it is damaged.
    """
    columns = unpack_columns(trace.names, trace.rows, trace.columns)
    # captures of earlier versions have none
    responses = columns.get(RESPONSES, np.zeros(trace.rows, dtype=np.int64))
    return Packets(**{name: columns[name] for name in NAMES}, responses=responses)
