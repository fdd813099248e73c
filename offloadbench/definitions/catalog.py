"""Definitions: workloads, cases and profiles, found as TOML data.

They ship inside the wheel (offloadbench/workloads, offloadbench/profiles) and lie beside the package in a
checkout or an editable install. A path given by the user overrides them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import msgspec

from offloadbench.base import similar
from offloadbench.base.errors import UsageError
from offloadbench.definitions import module_names as module_tables
from offloadbench.definitions import name_tables as names
from offloadbench.model import CaseDefinition, Driver, Profile, WorkloadDefinition

# ethtool's short names (ethtool: common.c, netlink/features.c)
ALIASES: dict[str, tuple[str, ...]] = {
    "rx": ("rx-checksum",),
    "tx": (
        "tx-checksum-ipv4",
        "tx-checksum-ip-generic",
        "tx-checksum-ipv6",
        "tx-checksum-fcoe-crc",
        "tx-checksum-sctp",
    ),
    "sg": ("tx-scatter-gather", "tx-scatter-gather-fraglist"),
    "tso": (
        "tx-tcp-segmentation",
        "tx-tcp6-segmentation",
        "tx-tcp-ecn-segmentation",
        "tx-tcp-accecn-segmentation",
        "tx-tcp-mangleid-segmentation",
    ),
    "gso": ("tx-generic-segmentation",),
    "gro": ("rx-gro",),
    "lro": ("rx-lro",),
}
# `ethtool -K tso on` sets it too, which changes what is sent; the shipped cases leave it as found
_OFF_BY_DEFAULT = frozenset({"tx-tcp-mangleid-segmentation"})
# those of an alias's bits without which a case would run under a false name: the traffic is TCP over IPv4
_DECISIVE = frozenset(
    {"rx-checksum", "tx-checksum-ipv4", "tx-checksum-ip-generic", "tx-scatter-gather", "tx-tcp-segmentation"}
    | {"tx-generic-segmentation", "rx-gro", "rx-lro"}
)
# the group of cases that are written as settings; they come after all that ship
OWN_GROUP = "own"
_OWN_ORDER = 1000
# of a GSO packet: IFLA_GSO_MAX_SEGS up to GSO_MAX_SEGS (include/linux/netdevice.h)
_SEGMENTS = range(1, 65536)

# statistics that the kernel itself names, whatever the driver
QUEUE_STATISTICS, LINK_STATISTICS = "qstats", "link"
KERNEL_STATISTICS = (QUEUE_STATISTICS, LINK_STATISTICS)

T = TypeVar("T", CaseDefinition, Driver, Profile, WorkloadDefinition)


def definitions_folder(name: str) -> Path:
    """The folder of one kind of definition: `workloads` or `profiles`."""
    package = Path(__file__).resolve().parents[1]
    for base in (package, package.parent):
        if (base / name).is_dir():
            return base / name
    raise UsageError(f"the definitions in {name}/ are missing from this installation", "install offloadbench again")


def _load(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "give the path of a definition") from error
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", "compare it with the definitions that ship with offloadbench") from error


def _load_named(name: str, folder: Path, kind: type[T]) -> T:
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.toml"))
        raise UsageError(
            f"no {kind.__name__.lower().removesuffix('definition')} named {name!r}",
            similar.hint(name, known, f"known: {', '.join(known)}"),
        )
    return _load(path, kind)


def workload(name: str) -> WorkloadDefinition:
    """A workload by name, or by the path of a TOML file."""
    return _load_named(name, definitions_folder("workloads"), WorkloadDefinition)


def profile(name: str, split: Sequence[str] = ()) -> Profile:
    """An attribution profile by name, or by the path of a TOML file, joined with the profiles that it extends.

    Args:
        split: leaves to split, as the profile says how.

    Returns:
        The profile with `extends` empty, and `names` and `module_names` as paths.

    Raises:
        UsageError: unknown, not a profile, it extends itself, or it does not say how to split a leaf.
    """
    found = _joined(name, ())
    for leaf in split:
        if leaf not in found.splits:
            known = ", ".join(found.splits) or "none"
            raise UsageError(
                f"--split {leaf}: profile {found.name} does not say into what",
                similar.hint(leaf, found.splits, f"it can split: {known}"),
            )
    return msgspec.structs.replace(found, split=list(dict.fromkeys(split)))


def _joined(name: str, seen: tuple[str, ...]) -> Profile:
    folder = definitions_folder("profiles")
    if name in seen:
        raise UsageError(f"profile {name} extends itself: {' -> '.join([*seen, name])}", "break the circle")
    own = _load_named(name, folder, Profile)
    beside = Path(name).parent if name.endswith(".toml") else folder
    own = msgspec.structs.replace(
        own,
        names=[str(beside / file) for file in own.names],
        module_names=[str(beside / file) for file in own.module_names],
    )
    if not own.extends:
        return own
    base = _joined(own.extends, (*seen, name))
    return Profile(
        name=own.name,
        title=own.title,
        floors=own.floors or base.floors,
        leaves=[*own.leaves, *(leaf for leaf in base.leaves if leaf.name not in {mine.name for mine in own.leaves})],
        groups=own.groups or base.groups,
        names=[*own.names, *base.names],
        module_names=[*own.module_names, *base.module_names],
        modules=[*own.modules, *base.modules],
        function_folders=[*own.function_folders, *base.function_folders],
        name_folders=[*own.name_folders, *base.name_folders],
        functions=[*own.functions, *base.functions],
        files=[*own.files, *base.files],
        helpers=[*own.helpers, *base.helpers],
        prefixes=[*own.prefixes, *base.prefixes],
        irq_shadow=own.irq_shadow or base.irq_shadow,
        softirq_entry=own.softirq_entry or base.softirq_entry,
        irq_sampled=own.irq_sampled or base.irq_sampled,
        irqs_off=own.irqs_off or base.irqs_off,
        generic=own.generic or base.generic,
        parts=[*own.parts, *base.parts],
        splits={**base.splits, **own.splits},
    )


@lru_cache(maxsize=8)
def _name_table(files: tuple[str, ...]) -> names.NameTable:
    return names.merge([names.load(Path(file)) for file in files]) if files else names.EMPTY


def name_table(profile: Profile) -> names.NameTable:
    """The functions that the profile's name tables know.

    Raises:
        UsageError: a table is missing or damaged.
    """
    return _name_table(tuple(profile.names))


@lru_cache(maxsize=8)
def _module_names(files: tuple[str, ...]) -> module_tables.ModuleNames:
    return module_tables.ModuleNames(files)


def module_names(profile: Profile) -> module_tables.ModuleNames:
    """The functions of loadable modules that the profile's tables know; read when first asked."""
    return _module_names(tuple(profile.module_names))


@lru_cache(maxsize=1)
def drivers() -> dict[str, Driver]:
    """What is known of drivers: name of the definition -> definition."""
    folder = definitions_folder("profiles") / "drivers"
    return {path.stem: _load(path, Driver) for path in sorted(folder.glob("*.toml"))}


@lru_cache(maxsize=64)
def driver(kernel_name: str) -> Driver | None:
    """What is known of a driver by the kernel's name of it; None where nothing is."""
    return next((known for known in drivers().values() if kernel_name in known.kernel_names), None)


def all_cases() -> list[CaseDefinition]:
    """Every case that ships, in its order on the ladder."""
    folder = definitions_folder("profiles") / "cases"
    return sorted((_load(path, CaseDefinition) for path in folder.glob("*.toml")), key=lambda case: case.order)


def select_cases(spec: str) -> list[CaseDefinition]:
    """The cases that `--cases` means, each once, in their order.

    Args:
        spec: comma list of `all`, groups (`paper`, `ladder`, `one-off`, `factorial`), names, paths of TOML files, and
            settings (`tso=off,tx=on`). The settings between two semicolons make one case; it leaves the rest as found.

    Raises:
        UsageError: a word that means nothing, or a contradiction.
    """
    known = all_cases()
    chosen: dict[str, CaseDefinition] = {}
    for number, part in enumerate(spec.split(";")):
        words = [word.strip() for word in part.split(",")]
        for word in (word for word in words if "=" not in word):
            if word.endswith(".toml"):
                own = _load(Path(word), CaseDefinition)
                chosen[own.name] = own
                continue
            matches = [case for case in known if word in ("all", case.name) or word in case.groups]
            if not matches:
                groups = sorted({group for case in known for group in case.groups})
                names = ["all", *groups, *(case.name for case in known)]
                raise UsageError(
                    f"--cases: no case or group named {word!r}",
                    similar.hint(word, names, f"known: {', '.join(names)}, or tso=off,tx=on"),
                )
            chosen.update({case.name: case for case in matches if case.name not in chosen})
        settings = [word for word in words if "=" in word]
        if settings:
            own = own_case(settings, _OWN_ORDER + number)
            chosen[own.name] = own
    return sorted(chosen.values(), key=lambda case: case.order)


def own_case(settings: list[str], order: int = _OWN_ORDER) -> CaseDefinition:
    """A case written as settings: `tso=off`, `tx-udp-segmentation=on`, `gso_max_segs=1`. They are also its name.

    Raises:
        UsageError: not `name=on` or `name=off`, or a feature set both ways.
    """
    features: dict[str, bool] = {}
    defining: list[str] = []
    segments = 0
    for setting in settings:
        key, _, value = (part.strip() for part in setting.partition("="))
        if key == "gso_max_segs" and value.isascii() and value.isdigit():
            if int(value) not in _SEGMENTS:
                raise UsageError(
                    f"--cases {setting}: the kernel takes {_SEGMENTS[0]} to {_SEGMENTS[-1]}",
                    "write gso_max_segs=1 for no GSO packets, or leave it out: as found",
                )
            if segments not in (0, int(value)):
                raise UsageError(f"--cases {','.join(settings)}: {key} is set twice", "leave one of them out")
            segments = int(value)
            continue
        if value not in ("on", "off") or not key:
            raise UsageError(
                f"--cases {setting}: not a setting", "write tso=off, a feature of `ethtool -k` or an alias"
            )
        wanted = value == "on"
        names = [name for name in ALIASES.get(key, (key,)) if not (wanted and name in _OFF_BY_DEFAULT)]
        if any(features.get(name, wanted) != wanted for name in names):
            raise UsageError(f"--cases {','.join(settings)}: {key} is set both ways", "leave one of them out")
        features |= dict.fromkeys(names, wanted)
        defining += [name for name in names if key not in ALIASES or name in _DECISIVE]
    return CaseDefinition(
        name="+".join(setting.replace(" ", "") for setting in settings),
        order=order,
        title=f"as found but {', '.join(settings)}",
        groups=[OWN_GROUP],
        features=features,
        defining=list(dict.fromkeys(defining)),
        gso_max_segs=segments,
    )


def override_parameters(workloads: list[WorkloadDefinition], settings: list[str]) -> list[WorkloadDefinition]:
    """Apply `--set key=value` to every workload that knows the key; a key that none knows is an error."""
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting!r} has no '='", "write --set key=value")
        if not any(key in definition.parameters for definition in workloads):
            known = sorted({name for definition in workloads for name in definition.parameters})
            raise UsageError(
                f"--set {key}: no chosen workload has this key", similar.hint(key, known, f"known: {', '.join(known)}")
            )
        workloads = [
            msgspec.structs.replace(
                definition,
                parameters={**definition.parameters, key: _same_type(key, text, definition.parameters[key])},
            )
            if key in definition.parameters
            else definition
            for definition in workloads
        ]
    return workloads


def _same_type(key: str, text: str, default: object) -> object:
    """The value as the type that the definition uses for this key; a size may be written with its unit."""
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise UsageError(f"--set {key}={text}: not a truth value", "write true or false")
        return text == "true"
    if isinstance(default, int) and text.isascii() and text.isdigit():
        return int(text)
    return text
