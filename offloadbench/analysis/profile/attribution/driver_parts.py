"""Parts of leaves: the functions of a driver by what they do, and a leaf split by the modules in it on request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from offloadbench.model import Profile


class Parts:
    """The parts and splits of a profile, made ready to judge."""

    def __init__(self, profile: Profile) -> None:
        self._parts = [(part.leaf, _holds(part.files, part.modules), part.match) for part in profile.parts]
        self._shares = [
            (share.name, {leaf, *share.also_of}, _holds(share.files, share.modules))
            for leaf in profile.split
            for share in profile.splits.get(leaf, [])
        ]
        self._rest = {
            leaf: next((share.name for share in profile.splits.get(leaf, []) if not (share.files or share.modules)), "")
            for leaf in profile.split
        }
        self.needed = bool(self._parts or self._shares)

    def leaf(self, name: str, module: str, paths: Iterable[str]) -> str:
        """The leaf of the part that a function belongs to; "" for none."""
        files = tuple(paths)
        return next(
            (
                leaf
                for leaf, holds, patterns in self._parts
                if any(fnmatchcase(name, pattern) for pattern in patterns) and holds(module, files)
            ),
            "",
        )

    def share(self, leaf: str, module: str, paths: Iterable[str]) -> str:
        """What a function is shown under where its leaf is split, or a share takes of its leaf too; "" for none."""
        files = tuple(paths)
        found = (name for name, leaves, holds in self._shares if leaf in leaves and holds(module, files))
        return next(found, self._rest.get(leaf, ""))


def _holds(files: list[str], modules: list[str]) -> Callable[[str, tuple[str, ...]], bool]:
    def holds(module: str, paths: tuple[str, ...]) -> bool:
        return module in modules or any(fnmatchcase(path, pattern) for path in paths for pattern in files)

    return holds
