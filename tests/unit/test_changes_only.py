"""What is set at the machine is set by a change, which is taken back; all else lies in a namespace that vanishes."""

from __future__ import annotations

import ast
from pathlib import Path

import offloadbench

PACKAGE = Path(offloadbench.__file__).parent
SETTERS = {
    "features.write_wanted", "link.set_mtu", "link.set_gso_max_segs", "link.configure", "link.deconfigure",
    "rings.write", "sysctl.write", "irq.set_affinity", "lending.lend", "lending.take_back", "netns.create",
    "neighbour.set_static",
    "neighbour.remove", "route.set_host_route", "route.remove_host_route", "steering.set_rps_cpus", "steering.poll_on",
    "qdisc.emulate", "link.create_veth", "link.create_bridge", "tracefs.unmount_tracefs",
}  # fmt: skip
# these act in a namespace that they have made themselves
OWN_NAMESPACE = {"bed/lab_bed.py", "bed/netem.py", "bed/local.py", "bed/pair.py"}


def _called(path: Path) -> set[str]:
    calls = (node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return {ast.unparse(call) for call in calls if isinstance(call, ast.Attribute)}


def test_only_changes_set_what_must_be_put_back() -> None:
    found = {path.relative_to(PACKAGE).as_posix(): _called(path) & SETTERS for path in PACKAGE.rglob("*.py")}
    outside = {name for name, calls in found.items() if calls and "changes" not in Path(name).parts}
    assert outside == OWN_NAMESPACE
    made = set().union(*(calls for name, calls in found.items() if Path(name).parts[0] == "changes"))
    # what is of a namespace only has no change of its own
    assert SETTERS - made == {
        "link.create_veth", "link.create_bridge", "steering.set_rps_cpus", "steering.poll_on", "qdisc.emulate",
    }  # fmt: skip
