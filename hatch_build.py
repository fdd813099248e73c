"""Build hook: the man page and the shell completions, made from the parser, go into the wheel below share/.

There a shell and man(1) find them beside the program's bin/ folder, in a virtual environment too.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_COMPLETIONS = {
    "bash": "share/bash-completion/completions/offloadbench",
    "zsh": "share/zsh/site-functions/_offloadbench",
}
_MAN_PAGE = "share/man/man1/offloadbench.1"


class ShellBuildHook(BuildHookInterface[Any]):
    """Adds what shells read."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the files below build/ and tell the builder where they belong."""
        del version
        sys.path.insert(0, self.root)
        try:
            from offloadbench.commands import completion
            from tools import man_page

            texts = {place: completion.script(shell) for shell, place in _COMPLETIONS.items()}
            texts[_MAN_PAGE] = man_page.text()
        finally:
            sys.path.remove(self.root)
        for place, text in texts.items():
            path = Path(self.root) / "build" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            build_data["shared_data"][str(path)] = place
