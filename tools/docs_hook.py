"""Hook of MkDocs: puts the parts that are made from the code in the place of their markers.

https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

# mkdocs loads this file by its path
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import reference

_MARKER = re.compile(r"^<!-- made: ([a-z-]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A page with its made parts."""
    return _MARKER.sub(lambda marker: reference.PARTS[marker[1]](), markdown)
