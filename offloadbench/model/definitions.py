"""Definitions written by hand, as TOML: cases, workloads, attribution profiles."""

from __future__ import annotations

from typing import Any, Literal

from offloadbench.model.frozen import Strict


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


class Part(Strict, frozen=True, kw_only=True):
    """A part of a leaf: functions of some drivers, told by name.

    Attributes:
        leaf: where they go, instead of to the leaf that they would have.
        files: source files and .ko files inside the kernel tree (wildcards).
        modules: kernel modules, by name, whose functions these are wherever their .ko lies.
        match: names of functions (wildcards).
    """

    leaf: str
    files: list[str]
    modules: list[str] = []
    match: list[str]


class Share(Strict, frozen=True, kw_only=True):
    """One of those that a leaf is split into on request; the layer that it counts in stays that of its leaf.

    Attributes:
        name: shown instead of the leaf.
        files: source files and .ko files inside the kernel tree (wildcards); empty for the rest of the leaf.
        modules: kernel modules, by name, that belong here wherever their .ko lies.
        also_of: further leaves whose functions in these files it takes.
    """

    name: str
    title: str = ""
    files: list[str] = []
    modules: list[str] = []
    also_of: list[str] = []


class Profile(Strict, frozen=True, kw_only=True):
    """An attribution profile (profiles/*.toml): leaves, rules that are tried from top to bottom, and roll-ups.

    Attributes:
        extends: a profile whose rules follow after these, and whose leaves, floors and lists hold where this has none.
        floors: floor -> its title.
        groups: name shown -> leaves that it sums; leaves in no group are shown as they are.
        names: files of name tables, beside the profile.
        module_names: files of tables of the functions of loadable modules, beside the profile: asked about what no
            name table knows.
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
        parts: of leaves, by the names of functions; the first that fits takes a function.
        splits: leaf -> what it may be split into, the first that fits takes a function.
        split: leaves that are split; a definition leaves it empty, and whoever reads it asks for it.
        generic: leaves of work that is done for others; the second view charges it to the caller's module.
    """

    name: str
    title: str
    extends: str = ""
    floors: dict[str, str] = {}
    leaves: list[Leaf] = []
    groups: dict[str, list[str]] = {}
    names: list[str] = []
    module_names: list[str] = []
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
    parts: list[Part] = []
    splits: dict[str, list[Share]] = {}
    split: list[str] = []
