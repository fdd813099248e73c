"""The table of settings: what is made of its rows, how few files name one, and the way of `--rtt` from end to end."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, get_args

import msgspec
import pytest

import offloadbench
from offloadbench import cli
from offloadbench.analysis.comparison.compatibility import metadata_differences, obstacles
from offloadbench.base import environment
from offloadbench.base import setting as kinds
from offloadbench.base.errors import RunFileError, UsageError
from offloadbench.base.settings import AXES, LINK_FIELDS, SETTINGS, chosen, in_record, recorded
from offloadbench.bed import lab_bed, opening
from offloadbench.bed.cable import EmulatedCable
from offloadbench.bed.fleet import fleet_bed
from offloadbench.bed.testbed import WIRES
from offloadbench.commands.options import run_defaults
from offloadbench.engine import options as engine_options
from offloadbench.engine import standing_bed
from offloadbench.engine import sweep_run as sweeps
from offloadbench.engine.options import RunOptions
from offloadbench.engine.run import execute as engine
from offloadbench.files import run_file, sweep_file
from offloadbench.model import BedRecord, EmulatedLink, Run
from offloadbench.model.batch_plan import PlanFile
from offloadbench.model.emulated_link import link_part
from offloadbench.report import machine
from offloadbench.report.formats import markdown
from tests.conftest import CommandLine

PACKAGE = Path(offloadbench.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = {setting.name: setting for setting in SETTINGS}
RUN_FIELDS = {one.name for one in dataclasses.fields(RunOptions)}


# ---------------------------------------------------------------- the rows


def test_names_and_fields_are_unique() -> None:
    fields = [setting.field for setting in SETTINGS if setting.field]
    assert len(NAMES) == len(SETTINGS)
    assert len(set(fields)) == len(fields)


def test_every_field_is_one_of_the_options_of_a_run_or_of_the_link() -> None:
    link = {field.name for field in msgspec.structs.fields(EmulatedLink)}
    for setting in SETTINGS:
        if setting.field:
            assert setting.field in (link if setting.of_link else RUN_FIELDS), setting.name
    assert {setting.field for setting in SETTINGS if setting.of_link} == set(LINK_FIELDS)


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_that_goes_on_as_it_was_is_read_from_the_run_and_told(name: str, sample_run: Run) -> None:
    setting = NAMES[name]
    if setting.resume != "recorded":
        assert not setting.place
        return
    assert setting.title
    assert setting.form(recorded(setting, sample_run))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_compared_is_recorded(name: str) -> None:
    setting = NAMES[name]
    assert not setting.compare or setting.place


def test_the_defaults_of_the_table_are_those_of_a_run_that_is_asked_for_nothing() -> None:
    bare = RunOptions(nic="lab", cases="", workloads=[], output=Path())
    values = chosen({}, kinds.RUN)
    for setting in SETTINGS:
        if setting.field and not setting.of_link and values[setting.field] is not None and setting.name != "precision":
            assert values[setting.field] == getattr(bare, setting.field), setting.name
    assert {field: values[field] for field in LINK_FIELDS} == {
        field: getattr(bare.link, field) for field in LINK_FIELDS
    }


def test_words_to_choose_among_are_those_that_the_testbeds_know() -> None:
    (of_index,) = (field.type for field in msgspec.structs.fields(sweep_file.Sweep) if field.name == "wire")
    assert NAMES["wire"].choices == WIRES == get_args(of_index)
    assert NAMES["on_lost_worker"].choices == (fleet_bed.FAIL, fleet_bed.SHRINK)


def test_a_key_of_a_plan_is_made_from_each_row_of_a_batch() -> None:
    keys = {field.name for field in msgspec.structs.fields(PlanFile)}
    assert {setting.plan_key for setting in SETTINGS if kinds.BATCH in setting.defaults} <= keys


# ---------------------------------------------------------------- a testbed refuses what it does not have

PEERS = {
    "lab": ("lab", ""), "lab-veth": ("lab-veth", ""), "pair": ("eth1", "nic:eth2"), "host": ("eth1", "wait"),
    "fleet": ("eth1", "fleet:tcp://h:1"), "outside": ("eth1", ""),
}  # fmt: skip
LACKS = [(setting.name, bed) for setting in SETTINGS for bed in setting.lacks]
ASKED: dict[str, Any] = {
    "on_lost_worker": "shrink", "wire": "netem", "sysctls": {"net.ipv4.tcp_sack": "0"}, "mtu_bytes": 4000,
    "rx_ring": 512, "tx_ring": 512, "line_rate_bits_per_s": 10**8, "rtt_s": 0.02, "jitter_s": 0.005,
    "loss_ratio": 0.01, "queue_bytes": 65536,
}  # fmt: skip


def test_every_kind_of_testbed_is_known_by_nic_and_load_side() -> None:
    assert {opening.kind_of(*where) for where in PEERS.values()} == set(PEERS)


@pytest.mark.parametrize(("name", "bed"), LACKS)
def test_what_a_testbed_lacks_is_refused_by_name_even_where_no_command_line_was_read(name: str, bed: str) -> None:
    setting, (nic, peer) = NAMES[name], PEERS[bed]
    value = {setting.field: ASKED[setting.field]}
    asked = {"link": EmulatedLink(**value)} if setting.of_link else value
    options = RunOptions(nic=nic, peer=peer, cases="tso", workloads=[], output=Path(), **asked)
    with pytest.raises(UsageError) as caught:
        engine_options.check_settings(options)
    assert setting.option in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("bed", PEERS)
def test_a_testbed_takes_all_that_it_has(bed: str) -> None:
    nic, peer = PEERS[bed]
    has = [setting for setting in SETTINGS if setting.lacks and bed not in setting.lacks]
    link = {setting.field: ASKED[setting.field] for setting in has if setting.of_link}
    others = {setting.field: ASKED[setting.field] for setting in has if not setting.of_link}
    engine_options.check_settings(
        RunOptions(nic=nic, peer=peer, cases="tso", workloads=[], output=Path(), link=EmulatedLink(**link), **others)
    )


def test_a_plan_is_refused_by_the_key_that_its_nic_does_not_have(command_line: CommandLine, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('nics = ["lab"]\nworkloads = ["tcp-stream"]\nrx_ring = [0, 512]\n')
    finished = command_line("batch", str(plan), "--dry-run")
    assert (finished.code, "rx_ring: lab has no rings" in finished.err) == (2, True)


# ---------------------------------------------------------------- environment and file


@pytest.mark.parametrize(
    ("variable", "hint"), [("DURATON", "did you mean OFFLOADBENCH_DURATION?"), ("COLOUR", "help run")]
)
def test_a_variable_that_nobody_knows_gets_a_line(tmp_path: Path, variable: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"OFFLOADBENCH_{variable}") as caught:
        run_defaults.expand(["run", "--nic", "lab"], {f"OFFLOADBENCH_{variable}": "7"}, tmp_path)
    assert hint in caught.value.hint


def test_a_misspelt_key_of_the_file_is_answered_with_the_one_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / run_defaults.FILE).write_text("rx_rings = 512\n")
    with pytest.raises(UsageError, match="rx-rings is no option of run") as caught:
        run_defaults.expand(["run"], {}, tmp_path)
    assert caught.value.hint.startswith("did you mean rx-ring?")


def test_every_setting_of_run_has_a_variable_and_a_key(tmp_path: Path) -> None:
    for setting in SETTINGS:
        if kinds.RUN not in setting.defaults or setting.name == "resume":
            continue
        value = "1" if setting.is_flag else "7"
        words = run_defaults.expand(["run"], {f"OFFLOADBENCH_{setting.name.upper()}": value}, tmp_path)
        assert words[1:] == [setting.option if setting.is_flag else f"{setting.option}=7"]


def test_the_variables_that_are_no_options_are_those_that_the_program_reads() -> None:
    sources = [*FILES, PACKAGE.parent / "bootstrap", PACKAGE.parent / "tests" / "lab" / "conftest.py"]
    found = {name for path in sources for name in re.findall(r"OFFLOADBENCH_[A-Z_]+", path.read_text(encoding="utf-8"))}
    options = {f"OFFLOADBENCH_{setting.name.upper()}" for setting in SETTINGS}
    assert found - options - {"OFFLOADBENCH_"} == set(environment.VARIABLES) | environment.OTHERS


# ---------------------------------------------------------------- record, resume, comparison


def _with(run: Run, **settings: Any) -> Run:
    return msgspec.structs.replace(run, bed=msgspec.structs.replace(run.bed, settings={**run.bed.settings, **settings}))


def test_the_record_of_a_testbed_keeps_what_was_asked_for_and_a_run_goes_on_with_it(
    sample_run: Run, tmp_path: Path, command_line: CommandLine
) -> None:
    asked = RunOptions(
        nic=sample_run.nic.name, cases="", workloads=[], output=tmp_path / "x.json", resume=True,
        sysctls={"net.ipv4.tcp_sack": "0"}, mtu_bytes=4000, rx_ring=512,
    )  # fmt: skip
    kept = engine_options.recorded_with_bed(asked)
    assert kept == {"sysctls": {"net.ipv4.tcp_sack": "0"}, "mtu_bytes": 4000, "rx_ring": 512}
    prior = _with(sample_run, **kept)
    resumed = engine._resumed(dataclasses.replace(asked, sysctls={}, mtu_bytes=0, rx_ring=0), prior)
    assert (resumed.sysctls, resumed.mtu_bytes, resumed.rx_ring) == (asked.sysctls, 4000, 512)
    assert EmulatedLink(**link_part(resumed.link)) == msgspec.structs.replace(
        EmulatedLink(**link_part(prior.bed)), loss_seed=0
    )
    run_file.save(prior, asked.output)
    words = ["run", "--resume", str(asked.output), "--dry-run"]
    assert command_line(*words, "--mtu", "4000", "--sysctl", "net.ipv4.tcp_sack=0").code == 0
    finished = command_line(*words, "--mtu", "9000")
    assert finished.code == 2
    assert "--mtu 9000: " in finished.err
    assert "was measured with MTU 4000" in finished.err


def test_a_run_of_before_a_setting_was_recorded_had_its_default(sample_run: Run) -> None:
    bare = msgspec.structs.replace(sample_run, bed=msgspec.structs.replace(sample_run.bed, settings={}))
    assert [recorded(NAMES[name], bare) for name in ("sysctl", "mtu", "rx_ring", "on_lost_worker")] == [
        {},
        0,
        0,
        "fail",
    ]


@pytest.mark.parametrize("settings", [{"mtu_bytes": "big"}, {"sysctls": 7}, {"on_lost_worker": []}, {"rx_ring": None}])
def test_a_damaged_record_ends_in_one_line(
    sample_run: Run, tmp_path: Path, command_line: CommandLine, settings: dict[str, Any]
) -> None:
    path = tmp_path / "x.json"
    run_file.save(_with(sample_run, **settings), path)
    with pytest.raises(RunFileError, match="reads"):
        engine._resumed(RunOptions(nic="", cases="", workloads=[], output=path), run_file.load(path))
    assert command_line("report", str(path), "--format", "md", "--output", str(tmp_path / "x.md")).code in (0, 8)


def test_settings_that_differ_are_told_when_runs_are_compared(sample_run: Run) -> None:
    other = _with(sample_run, sysctls={"net.ipv4.tcp_sack": "0"})
    plan = msgspec.structs.replace(other.plan, waits=True, duration_s=sample_run.plan.duration_s + 7)
    bed = msgspec.structs.replace(other.bed, rtt_s=0.5)
    other = msgspec.structs.replace(other, run_id="other", plan=plan, bed=bed)
    told = metadata_differences(sample_run, other)
    assert "sysctls of both ends: none -> net.ipv4.tcp_sack=0" in told
    assert "waits: off -> on" in told
    found = obstacles(sample_run, other)
    assert any(text.startswith("other link: ") and "added RTT 500 ms" in text for text in found)
    assert any(text.startswith("other window: ") for text in found)


def test_values_that_read_alike_are_told_exactly(sample_run: Run) -> None:
    runs = [
        msgspec.structs.replace(sample_run, plan=msgspec.structs.replace(sample_run.plan, warmup_s=warmup_s))
        for warmup_s in (5.0, 5.0000001)
    ]
    assert "warm-up: 5.0 -> 5.0000001" in metadata_differences(*runs)


def test_the_report_shows_what_was_set_by_its_title(sample_run: Run) -> None:
    assert in_record("mtu_bytes", 4000) == ("MTU", "4000")
    assert in_record("push_back", True) == ("push_back", "True")
    (group,) = (one for one in machine.machine(_with(sample_run, tx_ring=512)) if "Settings" in one.title)
    assert ("tx ring", "512") in group.items
    assert markdown.render.__module__.endswith("markdown")


# ---------------------------------------------------------------- sweeps and batches


def _sweep(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> Any:
    monkeypatch.setattr(sweeps, "execute", lambda found, *_: found)
    return command_line("sweep", "--workloads", "tcp-stream", "--output", str(folder), *words)


def test_any_axis_of_the_table_is_one_of_a_sweep_and_the_same_elsewhere_holds_everywhere(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _sweep(command_line, monkeypatch, tmp_path / "x", "--mtu", "1500,4000", "--waits", "--wire", "auto")
    sweep = sweep_file.load(tmp_path / "x")
    assert sweep.axes == {"mtu_bytes": [1500, 4000]}
    made = [sweeps.options_of(sweep, point, tmp_path, []) for point in sweep.points]
    assert [(one.mtu_bytes, one.waits, one.wire) for one in made] == [(1500, True, "auto"), (4000, True, "auto")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--waits"], "its waits is off, not on"),
        (["--duration", "7"], "its window is 10 s, not 7 s"),
        (["--sysctl", "net.ipv4.tcp_sack=0"], "its sysctls of both ends is none, not net.ipv4.tcp_sack=0"),
        (["--rtt", "0,20ms"], "its grid is another"),
    ],
)
def test_a_sweep_that_goes_on_names_what_it_was_begun_with(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], said: str
) -> None:
    _sweep(command_line, monkeypatch, tmp_path / "x")
    finished = _sweep(command_line, monkeypatch, tmp_path / "x", "--resume", *words)
    assert finished.code == 2
    assert said in finished.err


def test_the_index_of_an_older_version_goes_on(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It knew no MTU of a sweep, no jitter, and nothing of what all points have in common but its own fields."""
    _sweep(command_line, monkeypatch, tmp_path / "x")
    path = tmp_path / "x" / sweep_file.INDEX_NAME
    index = msgspec.json.decode(path.read_bytes())
    del index["others"]
    for point in index["points"]:
        del point["bed"]["mtu_bytes"], point["bed"]["jitter_s"]
    path.write_bytes(msgspec.json.encode(index))
    assert _sweep(command_line, monkeypatch, tmp_path / "x", "--resume").err == ""


@pytest.mark.parametrize("command", ["run", "sweep", "batch"])
def test_what_another_setting_leaves_out_is_refused(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plan.toml").write_text('nics = ["lab"]\nworkloads = ["ftp-get"]\nprofile = false\ncall_graph = true\n')
    words = {
        "run": ["--nic", "lab", "--cases", "tso", "--no-profile", "--call-graph"],
        "sweep": ["--workloads", "ftp-get", "--output", "x", "--no-profile", "--call-graph"],
        "batch": ["plan.toml"],
    }[command]
    finished = command_line(command, *words)
    assert (finished.code, "--call-graph belongs to the profile" in finished.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


def test_what_an_index_does_not_know_is_not_handed_on(tmp_path: Path, command_line: CommandLine) -> None:
    command_line("sweep", "--workloads", "tcp-stream", "--output", str(tmp_path / "x"), "--dry-run")
    sweep = sweep_file.begun(
        chosen({}, kinds.SWEEP) | {"cases": "tso", "seed": 1, "colour": "red"},
        nics={"lab": ""}, axes={},
        points=[
            sweep_file.Point(
                number=1, bed={"nic": "lab", "shape": 3}, parameters={}, workloads=["tcp-stream"], file="001.json",
                sysctls={},
            )
        ],
    )  # fmt: skip
    assert sweeps.options_of(sweep, sweep.points[0], tmp_path, []).nic == "lab"


# ---------------------------------------------------------------- how few files name a setting


def _naming(*words: str) -> list[str]:
    """The files that name all of these, as whole words."""
    return [
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if all(re.search(rf"\b(?:{word})\b", path.read_text(encoding="utf-8")) for word in words)
    ]


def test_the_settings_of_the_cable_are_named_in_five_files_at_most() -> None:
    """A row, a field, and the two that carry it out: whatever else would name one could lose the next."""
    carried = ["base/settings.py", "bed/cable.py", "kernel/netdev/qdisc.py", "model/emulated_link.py"]
    assert _naming("rtt|rtt_s", "loss|loss_ratio", "queue|queue_bytes", "line_rate|line_rate_bits_per_s") == carried
    assert _naming("jitter|jitter_s") == carried
    assert _naming("loss_ratio") == carried
    # a link of its own is made there, with room for what the advice allows under way
    assert set(_naming("queue_bytes")) == {*carried, "engine/tcp_tuning/prove.py"}


def test_who_emulates_the_cable_is_named_in_five_files_at_most() -> None:
    named = _naming(r"wire: (?:Wire|Literal\[.*\])|(?:options|cable)\.wire|name=\"wire\"")
    assert len(named) <= 5, named


# ---------------------------------------------------------------- the way of `--rtt`

TYPED, VALUE_S, WORDS = "12.3457ms", 0.0123457, "12.3457 ms"


def _is_the_value(value: object) -> bool:
    if isinstance(value, str):
        return TYPED in value or WORDS in value
    return isinstance(value, float | int) and any(abs(value - one) < 1e-9 * one for one in (VALUE_S, 6172850))


def _is_at_hand(value: object) -> bool:
    """The value by itself, or what holds it as its own: a record of the link, or words and values by their names."""
    if isinstance(value, Mapping):
        return any(_is_the_value(value.get(name)) for name in ("rtt", "rtt_s"))
    return _is_the_value(value) or (isinstance(value, msgspec.Struct) and _is_the_value(getattr(value, "rtt_s", None)))


class Walk:
    """Files of the package in which a variable has the value at hand, seen whenever a function returns."""

    def __init__(self) -> None:
        self.files: set[str] = set()

    def look(self, frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "return" and PACKAGE in path.parents and any(map(_is_at_hand, frame.f_locals.values())):
            self.files.add(path.relative_to(PACKAGE).as_posix())

    def __call__(self, walked: Callable[[], Any]) -> Any:
        sys.setprofile(self.look)
        try:
            return walked()
        finally:
            sys.setprofile(None)


def test_rtt_goes_through_eight_files_at_most(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sample_run: Run) -> None:
    """From the command line to the process that delays the packets, to the record, to the report."""
    walk = Walk()
    seen: list[RunOptions] = []

    def preview(options: RunOptions) -> list[str]:
        seen.append(options)
        return []

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine, "preview", preview)
    words = ["run", "--nic", "lab", "--cases", "tso", "--rtt", TYPED, "--dry-run"]
    assert walk(lambda: cli.main(words)) == 0
    (options,) = seen
    walk(lambda: engine_options.check_settings(options))

    # nothing is built: the namespaces and the process of the cable are the lab tests'
    monkeypatch.setattr(lab_bed.Lab, "_build", lambda self, emulated, remember: None)
    journal: Any = SimpleNamespace(run_id="r1", mark=0, add=lambda *_, **__: None, forget=lambda *_, **__: None)
    site = standing_bed.Site(options, journal, tmp_path, lambda event: None)
    walk(site.build)
    cable = walk(lambda: EmulatedCable.of(0, 1, link_part(site.bed.cable)))
    assert cable._delay_ns == round(VALUE_S * 1e9 / 2)

    bed: BedRecord = walk(lambda: standing_bed.describe_bed(site.bed, True))
    report = walk(lambda: machine.methods(msgspec.structs.replace(sample_run, bed=bed)))
    assert any(WORDS in text for _, text in report.items)
    assert walk.files == {
        "base/settings.py", "base/units.py", "model/emulated_link.py", "engine/standing_bed.py", "bed/opening.py",
        "bed/lab_bed.py", "bed/cable.py", "report/machine.py",
    }  # fmt: skip
    assert len(walk.files) <= 8


def test_axes_are_settings_of_a_testbed() -> None:
    assert {setting.name for setting in AXES} == {setting.name for setting in SETTINGS if setting.axis}
