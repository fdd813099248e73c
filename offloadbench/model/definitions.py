"""Definitions written by hand, as TOML: cases, workloads, attribution profiles."""

from __future__ import annotations

from typing import Any, Literal

from offloadbench.model.base import Strict


class CaseDefinition(Strict, frozen=True, kw_only=True):
    """A case: the state of the offloads that a trial runs in (profiles/cases/*.toml).

    Attributes:
        features: kernel feature name -> wanted bit; absent features stay as found.
        gso_max_segs: 0 = as found; 1 = the socket builds no super-packets at all.
        defining: the features without which the case would run under a false name.
    """

    name: str
    order: int
    title: str
    groups: list[str]
    features: dict[str, bool]
    defining: list[str]
    gso_max_segs: int = 0


class WorkloadDefinition(Strict, frozen=True, kw_only=True):
    """A workload: parameters of one kind of traffic (workloads/*.toml)."""

    name: str
    kind: Literal["ftp", "iscsi", "stream"]
    title: str
    parameters: dict[str, Any]


class Leaf(Strict, frozen=True, kw_only=True):
    """The finest module: every sample lands in exactly one leaf."""

    name: str
    floor: str
    title: str = ""


class Rule(Strict, frozen=True, kw_only=True):
    """Whatever matches one of the patterns belongs to the leaf."""

    leaf: str
    match: list[str]


class Profile(Strict, frozen=True, kw_only=True):
    """An attribution profile (profiles/*.toml): leaves, rules that are tried from top to bottom, and roll-ups.

    Attributes:
        extends: a profile whose rules follow after these, and whose leaves, floors and lists hold where this has none.
        floors: floor -> its title.
        groups: name shown -> leaves that it sums; leaves in no group are shown as they are.
        names: files of name tables, beside the profile.
        modules: names of loadable modules (shell wildcards); they come before the path of the .ko.
        functions: function names (wildcards), for sources below `function_folders` and where the source is unknown.
        name_folders: source files (wildcards) of which the name decides where no rule names the file.
        files: source paths, and paths of .ko files, in the kernel tree (wildcards).
        helpers: source files of data structures that everybody uses, under the leaf that they mostly work for.
        prefixes: beginnings of function names; the longest wins.
        irq_shadow: symbols where clock samples pile up that fell due while interrupts were off.
        softirq_entry: of these, symbols where an interrupt hands over to softirqs: clock samples there fell due in its
            handler, or, on a CPU that halted, while it was being woken.
        irq_sampled: symbols of architectures whose PMU interrupts as any device does: hardware events skid there too.
        irqs_off: functions that run with interrupts off. A hardware event with samples there comes by an NMI.
        generic: leaves of work that is done for others; the second view charges it to the caller's module.
    """

    name: str
    title: str
    extends: str = ""
    floors: dict[str, str] = {}
    leaves: list[Leaf] = []
    groups: dict[str, list[str]] = {}
    names: list[str] = []
    modules: list[Rule] = []
    function_folders: list[str] = []
    functions: list[Rule] = []
    name_folders: list[str] = []
    files: list[Rule] = []
    helpers: list[Rule] = []
    prefixes: list[Rule] = []
    irq_shadow: list[str] = []
    softirq_entry: list[str] = []
    irq_sampled: list[str] = []
    irqs_off: list[str] = []
    generic: list[str] = []
