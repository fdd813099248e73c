"""The driver of the NIC under test: its functions are the driver's, wherever its module comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from offloadbench.definitions import catalog
from offloadbench.model import Nic


@dataclass(frozen=True, slots=True)
class Family:
    """A driver that may be built in.

    Attributes:
        modules: kernel modules that it is made of.
        files: its source files and .ko files inside the kernel tree (wildcards).
        prefixes: beginnings of the names of its functions.
    """

    modules: tuple[str, ...]
    files: tuple[str, ...]
    prefixes: tuple[str, ...]

    def holds(self, path: str) -> bool:
        """Whether it is made of this file."""
        return any(fnmatchcase(path, pattern) for pattern in self.files)


@dataclass(frozen=True, slots=True)
class BoundDriver:
    """What is bound to the NIC under test and to the devices below it.

    Attributes:
        modules: kernel modules, whatever their .ko is called and wherever it lies.
        families: what is known of these drivers, for those that are built in.
    """

    modules: frozenset[str] = frozenset()
    families: tuple[Family, ...] = ()

    def built_in(self, name: str, paths: Sequence[str]) -> Family | None:
        """The driver that a function of the kernel itself belongs to; None for none of these.

        Args:
            paths: files that it may be from; () where they are not known, then its name decides.
        """
        for family in self.families:
            if any(map(family.holds, paths)) if paths else name.startswith(family.prefixes):
                return family
        return None


UNBOUND = BoundDriver()


def bound_to(nic: Nic) -> BoundDriver:
    """The drivers of a NIC, by what sysfs and the driver itself told when the run was made."""
    devices = [(nic.module, nic.driver), *((device.module, device.driver) for device in nic.lowers)]
    known = [found for _, name in devices if (found := catalog.driver(name))]
    told = [module for module, _ in devices if module]
    # a driver of which nothing is known calls itself by its module's name (KBUILD_MODNAME), unless sysfs knew better
    told += [name for module, name in devices if not (module or catalog.driver(name))]
    return BoundDriver(
        modules=frozenset(map(_module_name, filter(None, (*told, *_all(driver.modules for driver in known))))),
        families=tuple(Family(tuple(driver.modules), tuple(driver.files), tuple(driver.prefixes)) for driver in known),
    )


def _module_name(name: str) -> str:
    return name.replace("-", "_")


def _all(lists: Iterable[list[str]]) -> list[str]:
    return [item for items in lists for item in items]
