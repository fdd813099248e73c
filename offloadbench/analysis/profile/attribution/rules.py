"""The rules of a profile: from a function's name and its source path to a leaf."""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from functools import cache, cached_property, lru_cache

from offloadbench.model import Profile, Rule

USER, GUEST, IDLE, WAKE, OTHER, SHADOW = "user", "guest", "idle", "wakeup_latency", "other", "irq_shadow"
DRIVER = "driver"
AT_REST = (IDLE, WAKE)
"""Leaves of the time in which a CPU ran no instruction; they are in no share."""


class Rules:
    """A profile made ready to judge. Leaves are told by the first rule that matches, from top to bottom."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.softirq_entry = frozenset(profile.softirq_entry)
        self.shadow = frozenset(profile.irq_shadow) - self.softirq_entry
        self.by_function = _first_match(profile.functions)
        """Leaf that the name alone decides; "" for none."""
        self._in_function_folders = _any_match(profile.function_folders)
        self._in_name_folders = _any_match(profile.name_folders)
        self._file_patterns = [(pattern, _any_match([pattern])) for rule in profile.files for pattern in rule.match]
        self._said: dict[str, int] = {}
        self._by_file = _first_match(profile.files)
        self._helped = _first_match(profile.helpers)
        self._by_module_name = _first_match(profile.modules)
        prefixes = sorted((prefix, rule.leaf) for rule in reversed(profile.prefixes) for prefix in rule.match)
        self._prefixes = dict(prefixes)
        self._keys = sorted(self._prefixes)
        self._longest = max((len(key) for key in self._keys), default=0)
        self.idle_names = _any_match(name for rule in profile.functions if rule.leaf == IDLE for name in rule.match)
        """Whether a name is a halt or an idle loop, wherever it lies."""

    def by_source(self, name: str, path: str) -> str:
        """The leaf of a function whose source file is known; `other` when no rule names the file.

        A helper counts as the leaf that it mostly works for.
        """
        if self.idle_names(name):
            return IDLE
        leaf = self._by_file(path) or self._helped(path)
        # a module of drivers is all the driver's where it is loaded, so it is where it is linked in
        if self._in_function_folders(path) and not (leaf == DRIVER and path.endswith(".ko")):
            leaf = self.by_function(name) or leaf
        if not leaf and self._in_name_folders(path):
            leaf = self.by_function(name) or self.by_prefix(name)
        return leaf or OTHER

    def likeliest(self, name: str, paths: Sequence[str]) -> str:
        """Which of several source files a function is most probably from; "" where most of them do not agree.

        What is linked into the kernel goes before modules, since those have symbols of their own; then the leaf that
        most of them are of; of equals the one whose rule says most of the path: a file that a rule names was split off
        from those that a rule for a whole folder holds.
        """
        if len(paths) < 2:
            return "".join(paths)
        leaves = [self.by_source(name, path) for path in paths]
        # of modules, any may be the one that is linked in: no leaf is likelier for being named by a rule
        if all(path.endswith(".ko") for path in paths):
            (leaf, count), *_ = Counter(leaves).most_common(1)
            return paths[leaves.index(leaf)] if count > len(paths) / 2 else ""

        def weight(at: int) -> tuple[bool, bool, int, int]:
            linked = not paths[at].endswith(".ko")
            return leaves[at] != OTHER, linked, leaves.count(leaves[at]), self._said_of(paths[at])

        return paths[max(range(len(paths)), key=weight)]

    def _said_of(self, path: str) -> int:
        """Characters that the first rule for this file fixes."""
        said = self._said.get(path)
        if said is None:
            found = next((pattern for pattern, matches in self._file_patterns if matches(path)), "")
            said = self._said[path] = len(found.replace("*", ""))
        return said

    def is_helper(self, name: str, path: str) -> bool:
        """Whether the leaf of this function is that of its usual callers, not its own."""
        own = self.by_function(name) if self._in_function_folders(path) else ""
        return not (own or self._by_file(path)) and bool(self._helped(path))

    def by_module(self, module: str, ko_path: str) -> str:
        """The leaf of everything in a loadable module; "" when no rule knows it."""
        return self._by_module_name(module) or (self._by_file(ko_path) if ko_path else "")

    def by_prefix(self, name: str) -> str:
        """The leaf of the longest prefix of `name` among the rules; "" for none."""
        for length in range(min(self._longest, len(name)), 0, -1):
            key = name[:length]
            index = bisect.bisect_left(self._keys, key)
            if index < len(self._keys) and self._keys[index] == key:
                return self._prefixes[key]
        return ""

    @cached_property
    def floors(self) -> dict[str, str]:
        """leaf -> floor, with the leaves that have no rules."""
        return {USER: OTHER, GUEST: OTHER, OTHER: OTHER, SHADOW: OTHER, WAKE: OTHER} | {
            leaf.name: leaf.floor for leaf in self.profile.leaves
        }


def _expression(pattern: str) -> str:
    return translate(pattern)


def _any_match(patterns: Iterable[str]) -> Callable[[str], bool]:
    chosen = [_expression(pattern) for pattern in patterns]
    if not chosen:
        return lambda _: False
    matcher = re.compile("|".join(chosen)).match
    return lru_cache(maxsize=None)(lambda text: matcher(text) is not None)


def _first_match(rules: list[Rule]) -> Callable[[str], str]:
    """The leaf of the first rule with a pattern (shell wildcards) that matches; one pass over all rules."""
    if not rules:
        return lambda _: ""
    groups = [f"(?P<r{number}>{'|'.join(map(_expression, rule.match))})" for number, rule in enumerate(rules)]
    matcher = re.compile("|".join(groups)).match

    @cache
    def first(text: str) -> str:
        found = matcher(text)
        return rules[int(found.lastgroup[1:])].leaf if found and found.lastgroup else ""

    return first
