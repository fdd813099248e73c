"""The folder of a run's temporary files."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from offloadbench.base.errors import RestoreError
from offloadbench.changes.change import Change, Tell
from offloadbench.kernel.system import processes

# where Python looks for one without TMPDIR (tempfile._candidate_tempdir_list)
_USUAL = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 - to look, not to write


class RunFolder(Change, frozen=True, kw_only=True, tag="folder"):
    """A folder that the run makes for itself, with all that lies in it."""

    survives_restart = True

    path: Annotated[str, Meta(pattern=r"^/[^\x00-\x1f\x7f-\x9f]+\Z", max_length=4096)]

    @classmethod
    def of(cls, run_id: str) -> RunFolder:
        return cls(path=str(processes.folder_of_run(run_id)))

    def apply(self) -> None:
        Path(self.path).mkdir(mode=0o700)

    def undo(self, tell: Tell) -> None:
        try:
            found = Path(self.path).lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.geteuid()):
            raise RestoreError(f"{self.path} is not the folder that the run has made")
        shutil.rmtree(self.path)
        tell(f"{self.path} removed")

    @property
    def command(self) -> str:
        return f"rm -r {shlex.quote(self.path)}"

    def distrust(self, run_id: str) -> str:
        path = Path(self.path)
        if path.name != processes.folder_of_run(run_id).name or ".." in path.parts:
            return f"{self.path} is not of run {run_id}"
        if str(path.parent) not in (tempfile.gettempdir(), *_USUAL):
            return f"{path.parent} is not a folder for temporary files here (TMPDIR={path.parent} makes it one)"
        return ""
