"""What a setting of a measurement is; `offloadbench.base.settings` is the table of them.

Imported by every `--help`: standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any, Final, Literal

# kinds of testbed: the two labs, two ports of this machine, a load host, the workers of a fleet, a target not ours
BedKind = Literal["lab", "lab-veth", "pair", "host", "fleet", "outside"]
LAB: Final = "lab"
LAB_VETH: Final = "lab-veth"
PAIR: Final = "pair"
HOST: Final = "host"
FLEET: Final = "fleet"
OUTSIDE: Final = "outside"

# commands that take settings; a batch takes them as keys of its plan
RUN, SWEEP, BATCH, BENCH, PROBE = "run", "sweep", "batch", "lab", "probe"


def as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a kind of testbed does not have a setting: `{option}` and `{nic}` stand for what was typed."""

    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A row: whatever takes, stores, compares or names a setting does it by these.

    Attributes:
        name: the option with underscores, the key in `offloadbench.toml`, and, in capitals, the environment variable.
        help: without the default, which is added.
        defaults: command that takes it -> its default there, as it is typed; None: none is set.
        field: with its unit: of `RunOptions`, of the link, of an axis, of a table's column; "" where it says how a
            command goes about its work and not what is measured.
        title: for people; "" where it is never shown.
        metavar: "" for what is on or off.
        typed: what argparse makes of the word.
        choices: all that may be typed, where they are few.
        repeated: may be typed several times.
        least: of a number.
        parse: what is typed, or stands in a plan -> the field's value. Raises UsageError.
        form: a value for people.
        phrase: what a report says of a link with it; "" where there is nothing to say.
        key: of a batch's plan; "" for its name.
        axis: a list of values makes an axis of a sweep or batch.
        of_link: a field of `offloadbench.model.EmulatedLink`.
        lacks: kinds of testbed that do not have it.
        place: where a run file has the field: `plan`, `bed`, `bed.settings`; "" where it has none.
        before: the value of files that were written before it was recorded.
        recorded: reads the value from a run, where it is not simply the field.
        asked: makes of a parsed value what `recorded` gives.
        leaves_open: a word that asks for no value of its own.
        resume: a run that goes on takes it as it was `recorded` and nothing else, or it is `free`: of how the run goes
            on, or `never`: what it would change is measured already.
        compare: two runs with other values answer another `question`; or it is a `difference` between them; or neither,
            because it is looked at by itself: as found at NIC and kernel, or with workloads and cases.
    """

    name: str
    help: str
    defaults: Mapping[str, Any]
    field: str = ""
    title: str = ""
    metavar: str = ""
    typed: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    repeated: bool = False
    least: float | None = None
    parse: Callable[[Any], Any] = as_it_is
    form: Callable[[Any], str] = str
    phrase: Callable[[Any], str] | None = None
    key: str = ""
    axis: bool = False
    of_link: bool = False
    lacks: Mapping[BedKind, Lack] = attribute(default_factory=dict)
    place: Literal["", "plan", "bed", "bed.settings"] = ""
    before: Any = None
    recorded: Callable[[Any], Any] | None = None
    asked: Callable[[Any], Any] = as_it_is
    leaves_open: str = ""
    resume: Literal["recorded", "free", "never"] = "recorded"
    compare: Literal["", "question", "difference"] = ""

    @property
    def option(self) -> str:
        """As it is typed."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def plan_key(self) -> str:
        return self.key or self.name

    @property
    def is_flag(self) -> bool:
        return not self.metavar and not self.choices

    def values(self, words: Sequence[str]) -> list[Any]:
        """`0`, `10`, `20ms` -> the values: a number without a unit has the unit of the last."""
        unit = re.sub(r"[0-9. ]", "", words[-1])
        return [self.parse(word if re.search(r"[a-zA-Z%]", word) else word + unit) for word in words]
