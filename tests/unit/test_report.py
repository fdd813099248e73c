"""The report: self-contained, escaped, and there whatever the run holds."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from offloadbench import cli
from offloadbench.analysis.statistics.estimates import mean_interval
from offloadbench.base import forked
from offloadbench.base.errors import UsageError
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import Run
from offloadbench.report import plot, svg
from offloadbench.report.formats import html
from tests.unit.repeats import of_costs

DATA = Path(__file__).resolve().parents[1] / "data" / "report-lab-paper.json"
replace = msgspec.structs.replace
HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


@pytest.fixture(scope="module")
def run() -> Run:
    return run_file.load(DATA)


def render(*runs: Run) -> str:
    return html.render(runs, catalog.profile("linux"), [f"{run.run_id}.json" for run in runs])


@pytest.fixture(scope="module")
def text(run: Run) -> str:
    return render(run)


def test_needs_nothing_but_itself(text: str) -> None:
    page = Page(text)
    for name in ("src", "href", "action", "data", "poster", "xlink:href"):
        assert all(value.startswith("#") for value in page.attributes(name)), name
    assert not any(tag in ("link", "iframe", "object", "embed", "base", "img") for tag, _ in page.tags)
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    assert style and "url(" not in style[1] and "@import" not in style[1]


def test_the_page_is_the_same_however_many_processes_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    chains = run_file.load(DATA.with_name("report-lab-chains.json"))
    monkeypatch.setattr(plot, "_WORTH_PROCESSES", 1)
    pages = {}
    for cpus in (1, 2):
        monkeypatch.setattr(forked, "cpus", lambda cpus=cpus: cpus)
        pages[cpus] = render(chains)
    assert pages[1] == pages[2]


def test_policy_allows_its_own_style_and_script_only(text: str) -> None:
    page = Page(text)
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy and policy.startswith("default-src 'none';") and "unsafe" not in policy
    for tag in ("style", "script"):
        inner = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        assert len(inner) == 1
        digest = base64.b64encode(hashlib.sha256(inner[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert page.attributes("style") == []
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_ids_are_unique_and_every_reference_is_met(text: str) -> None:
    page = Page(text)
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    wanted = {value[1:] for value in page.attributes("href")} | set(re.findall(r"url\(#([^)]+)\)", text))
    assert wanted <= set(ids)


def test_plots_tell_what_they_show(text: str) -> None:
    plots = [attributes for tag, attributes in Page(text).tags if tag == "svg"]
    assert len(plots) == 16  # eight plots, wide and narrow
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)


def test_opens_with_the_finding(text: str) -> None:
    heading = re.search(r"<h1>(.*?)</h1>", text)
    assert heading and heading[1].startswith(
        "An indication from one trial a side, no verdict: with TSO, GSO and checksum offload, 83 % less CPU"
    )
    assert text.index("<h1>") < text.index("<svg") < text.index('id="caveats"')
    # one trial a side gives no command
    assert "ethtool -K" not in text


def hostile(run: Run) -> Run:
    words = f'{HOSTILE} $\\frac{{$ \x1b[31m \x00 " onload=x'
    trials = [
        replace(run.trials[0], outcome="failed", reason=words, warnings=[words]),
        *(replace(trial, workload=words) for trial in run.trials[1:]),
    ]
    return replace(
        run,
        nic=replace(run.nic, name=words, ifname=words, problems=[words]),
        host=replace(run.host, cpu_model=words, sysctls={words: words}),
        command=[words],
        warnings=[words],
        trials=trials,
    )


def test_hostile_names_stay_text(run: Run) -> None:
    text = render(hostile(run))
    page = Page(text)
    assert HOSTILE not in text
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert HOSTILE in page.text
    assert "\x00" not in text and "\x1b" not in text


def test_names_that_are_no_formula_are_drawn(run: Run) -> None:
    text = render(replace(run, nic=replace(run.nic, name="a$b_{c$ \N{CJK UNIFIED IDEOGRAPH-7DB2}")))
    assert "a$b_{c$ \N{CJK UNIFIED IDEOGRAPH-7DB2}" in Page(text).text


def test_without_a_good_trial_it_says_so(run: Run) -> None:
    trials = [replace(trial, outcome="failed", reason="no route", samples=None, profile=None) for trial in run.trials]
    text = render(replace(run, trials=trials))
    assert "No trial gave a result" in text
    assert "no route" in text
    assert "<svg" not in text


def test_without_any_trial_it_still_stands(run: Run) -> None:
    assert "No trial gave a result" in render(replace(run, trials=[]))


def test_without_a_profile_the_rest_is_drawn(run: Run) -> None:
    text = render(replace(run, trials=[replace(trial, profile=None) for trial in run.trials]))
    assert text.count("<svg") == 6  # throughput, effects and seconds, wide and narrow
    assert "no profile was recorded" in text


def test_one_case_alone_is_no_comparison(run: Run) -> None:
    text = render(replace(run, trials=run.trials[:1]))
    assert "No two cases can be compared here." in text


def test_several_nics_are_drawn_side_by_side(run: Run) -> None:
    other = replace(run, run_id="b", nic=replace(run.nic, name="eth9"))
    page = Page(render(run, other))
    assert "lab, ftp-get" in page.text and "eth9, ftp-get" in page.text
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))


def test_repeats_are_drawn_as_dots(run: Run) -> None:
    twice = [replace(trial, repeat=repeat) for trial in run.trials for repeat in (1, 2)]
    assert "dots are trials" in render(replace(run, trials=twice))


def test_three_repeats_have_an_interval_and_two_have_none(sample_run: Run) -> None:
    costs = {"tso": [1.0, 1.1, 1.05], "none": [2.0, 2.2, 2.1]}
    page = render(of_costs(sample_run, costs))
    _, low, high = mean_interval(costs["none"])
    assert "95 % intervals of the geometric mean (Student's t on logarithms)" in Page(page).text
    assert f"none: 2.10 CPU s/GB ({low:.2f} to {high:.2f})" in page
    assert "95 % intervals" not in render(of_costs(sample_run, {name: found[:2] for name, found in costs.items()}))


def test_runs_pooled_in_one_bar_have_no_interval(sample_run: Run) -> None:
    costs = {"tso": [1.0, 1.1, 1.05], "none": [2.0, 2.2, 2.1]}
    assert "95 % intervals" not in render(of_costs(sample_run, costs), of_costs(sample_run, costs, run_id="b", seed=7))


def test_the_same_run_gives_the_same_page(run: Run, text: str) -> None:
    assert render(run) == text


def test_printable_marks_what_no_page_can_show() -> None:
    assert svg.printable("a\x00b\x1bc\td") == "a\ufffdb\ufffdc\td"


def test_command_writes_and_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "report.html"
    output.write_text("old")
    assert cli.main(["report", str(DATA), "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert output.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_command_tells_where_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(DATA), "--output", str(tmp_path / "no" / "r.html")]) == UsageError.exit_code
    assert "No such file or directory" in capsys.readouterr().err


def test_command_spares_the_run_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "run.json"
    copy.write_bytes(DATA.read_bytes())
    assert cli.main(["report", str(copy), "--output", str(copy)]) == UsageError.exit_code
    assert "is one of the run files" in capsys.readouterr().err
    assert copy.read_bytes() == DATA.read_bytes()


def test_the_command_line_waits_for_no_library() -> None:
    libraries = "('pandas', 'seaborn', 'jinja2')"
    code = f"import sys, offloadbench.commands.report; print(any(n in sys.modules for n in {libraries}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
