"""First flights of kernels 2.6.18, 2.6.18-274.el5 and 2.6.27 as they were captured, and what is true of each."""

from __future__ import annotations

import json
import lzma
from typing import Any

from tests.conftest import DATA

FOLDER = DATA / "initcwnd" / "kernel-2.6.18"
TRUTH: dict[str, dict[str, Any]] = {
    capture["file"]: capture for capture in json.loads((FOLDER / "truth.json").read_text())["captures"]
}


def capture(name: str) -> bytes:
    """A pcap file of `TRUTH`, unpacked."""
    return lzma.decompress((FOLDER / f"{name}.xz").read_bytes())
