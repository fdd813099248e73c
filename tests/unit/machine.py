"""A machine of fakes in place of offloadbench.kernel: one NIC, namespaces, and a log of what was changed."""

from __future__ import annotations

import dataclasses

import pytest

from offloadbench.base.errors import FeatureError, HostError
from offloadbench.kernel.netdev import features, link, nic
from offloadbench.kernel.netdev.features import Feature
from offloadbench.kernel.system import netns, processes
from offloadbench.kernel.trace import tracefs

NIC = "obfake0"


class Machine:
    """The state that the product believes to change.

    Attributes:
        below: NICs below it, where it is a VLAN or a bond, with their features.
        log: changes in the order in which they were made.
        failing, failing_once: what operations raise instead of acting, always or the next time.
        deaf: features that take no request.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.features = {
            "tx-tcp-segmentation": Feature(active=True, wanted=True, fixed=False),
            "tx-generic-segmentation": Feature(active=True, wanted=True, fixed=False),
            "rx-checksum": Feature(active=True, wanted=True, fixed=True),
        }
        self.max_segs = 65535
        self.mtu_bytes = 1500
        self.carrier_changes = 2
        self.namespaces: set[str] = set()
        self.nics = {NIC}
        self.below: dict[str, dict[str, Feature]] = {}
        self.log: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.failing_once: dict[str, Exception] = {}
        self.deaf: set[str] = set()
        monkeypatch.setattr(features, "read", self._read_features)
        monkeypatch.setattr(features, "write_wanted", self._write_wanted)
        monkeypatch.setattr(link, "read", self._read_link)
        monkeypatch.setattr(link, "name_of", lambda index, _: self._indexes().get(index, ""))
        monkeypatch.setattr(link, "below", self._below)
        monkeypatch.setattr(nic, "driver_info", lambda *_: ("veth", "1.0", "", ""))
        monkeypatch.setattr(link, "set_gso_max_segs", self._set_gso_max_segs)
        monkeypatch.setattr(netns, "exists", lambda name: name in self.namespaces)
        monkeypatch.setattr(netns, "remove", self._remove_namespace)
        monkeypatch.setattr(tracefs, "unmount_tracefs", self._unmount_tracefs)
        monkeypatch.setattr(processes, "end_of_run", self._end_of_run)

    def stop_at(self, operation: str) -> None:
        """Raise what was planned for this operation, if anything."""
        error = self.failing_once.pop(operation, None) or self.failing.get(operation)
        if error is not None:
            raise error

    def _read_features(self, ifname: str, namespace: str | None = None) -> dict[str, Feature]:
        del namespace
        self.stop_at("features.read")
        if ifname not in self.nics | self.below.keys():
            raise FeatureError(f"{ifname}: no such device")
        return dict(self.below.get(ifname, self.features))

    def _write_wanted(self, ifname: str, wanted: dict[str, bool], namespace: str | None = None) -> None:
        del namespace
        self.stop_at("features.write")
        self.log.append(f"{ifname} features {wanted}" if ifname in self.below else f"features {wanted}")
        held = self.below.get(ifname, self.features)
        for name, value in wanted.items():
            if name not in self.deaf:
                held[name] = dataclasses.replace(held[name], wanted=value, active=value)

    def _read_link(self, ifname: str, namespace: str | None = None) -> link.Link:
        del namespace
        self.stop_at("link.read")
        if ifname not in self.nics | self.below.keys():
            raise HostError(f"no NIC named {ifname!r}")
        limits = link.GsoLimits(max_segs=self.max_segs, max_size_bytes=65536, tso_max_segs=65535)
        index = next(index for index, name in self._indexes().items() if name == ifname)
        return link.Link(index, ifname, self.mtu_bytes, "veth", "pfifo_fast", True, limits, "UP", self.carrier_changes)

    def _indexes(self) -> dict[int, str]:
        return dict(enumerate([*self.nics, *self.below], 2))

    def _below(self, ifname: str, namespace: str | None = None) -> link.Below:
        del ifname, namespace
        return link.Below([link.Lower(name, NIC, "") for name in self.below])

    def _set_gso_max_segs(self, ifname: str, max_segs: int, namespace: str | None = None) -> None:
        del ifname, namespace
        self.stop_at("link.set_gso_max_segs")
        self.log.append(f"gso_max_segs {max_segs}")
        self.max_segs = max_segs

    def _remove_namespace(self, name: str) -> None:
        self.stop_at("netns.remove")
        self.log.append(f"remove {name}")
        self.namespaces.discard(name)

    def _unmount_tracefs(self) -> bool:
        self.stop_at("umount")
        self.log.append("umount")
        return True

    def _end_of_run(self, run_id: str) -> list[str]:
        self.log.append(f"end processes of {run_id}")
        return ["python (pid 1)"]
