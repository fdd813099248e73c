"""Signatures of file systems, volume managers and partition tables, as wipefs(8) finds them; it erases nothing here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

from offloadbench.base.errors import HostError

_TIMEOUT_S = 30.0


def names(head: bytes, tail: bytes, size_bytes: int) -> list[str]:
    """Names of the signatures on a disk, such as `ext4` and `gpt`; each once.

    Args:
        head, tail: the first and last bytes of the disk; what lies between is taken for zeros.
        size_bytes: of the disk.

    Raises:
        HostError: wipefs is not installed, or does not understand what it finds.
    """
    if shutil.which("wipefs") is None:
        raise HostError("wipefs is not installed", "apt-get install util-linux")
    number = os.memfd_create("offloadbench-edges")
    try:
        os.truncate(number, size_bytes)
        _fill(number, head, 0)
        _fill(number, tail, size_bytes - len(tail))
        command = ["wipefs", "--no-act", "--json", f"/proc/self/fd/{number}"]
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False, pass_fds=[number])
    except subprocess.TimeoutExpired as error:
        raise HostError("wipefs does not come to an end", "see wipefs(8)") from error
    finally:
        os.close(number)
    if done.returncode:
        raise HostError(f"wipefs: {done.stderr.decode(errors='replace').strip()}", "see wipefs(8)")
    if not done.stdout.strip():
        return []
    try:
        found = [str(one["type"]) for one in json.loads(done.stdout)["signatures"]]
    except (ValueError, KeyError, TypeError) as error:
        raise HostError("wipefs prints no list of signatures", "see wipefs(8): --json") from error
    return list(dict.fromkeys(found))


def _fill(number: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(number, view, offset)
        view, offset = view[written:], offset + written
