"""`--nic eth1,eth2`: which load side, and which run file, each NIC of a list has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from offloadbench.base.errors import UsageError
from offloadbench.bed import lab_bed
from offloadbench.commands import endings


@dataclass(frozen=True, slots=True)
class NicTarget:
    """A NIC, its load side as `--peer` names it ("" where the NIC is both), and where its run goes."""

    nic: str
    peer: str
    output: Path


def targets(nics: str, peers: str, output: str, stamp: str) -> list[NicTarget]:
    """The NICs of a comma list, in its order.

    Args:
        peers: one for all, or as many as NICs; a lab NIC takes none.
        output: a file, a folder (it exists, or ends in a slash), or "" for a name made of NIC and `stamp`. A file's
            name gets the NIC in it where there are several.

    Raises:
        UsageError: a NIC is missing or twice there, or the load sides do not fit.
    """
    names = [word.strip() for word in nics.split(",")]
    if "" in names or len(set(names)) != len(names):
        raise UsageError(f"--nic {nics}: a NIC is missing or twice there", "write --nic eth1,eth2")
    return [
        NicTarget(name, peer, _output(name, output, stamp, several=len(names) > 1).absolute())
        for name, peer in zip(names, _load_sides(names, peers), strict=True)
    ]


def _load_sides(names: list[str], peers: str) -> list[str]:
    words = [word.strip() for word in peers.split(",")]
    if len(words) == len(names):
        return words
    if len(words) > 1:
        raise UsageError(
            f"--peer {peers}: {len(words)} load sides for {len(names)} NICs", "name one for all, or one for each NIC"
        )
    return ["" if name in lab_bed.NAMES else words[0] for name in names]


def _output(nic: str, output: str, stamp: str, *, several: bool) -> Path:
    if not output:
        return Path(f"{nic}-{stamp}.json")
    path = Path(output)
    if output.endswith("/") or path.is_dir():
        return path / f"{nic}.json"
    endings.check(path, endings.DOCUMENTS)
    if not several:
        return path
    # x.json.gz keeps both its suffixes
    stem, dot, suffixes = path.name.partition(".")
    return path.with_name(f"{stem}-{nic}{dot}{suffixes}")


def make_folder(folder: Path) -> None:
    """Make the folder that `--output DIR/` names, unless it is there.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}", "choose another --output") from error
