"""What a report tells of the profiles: sections, tables, the flame graph's data, the names of the article."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.tables.results import gather, instructions_per_cycle
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import Run, Trial
from offloadbench.report.formats import html
from offloadbench.report.plots import style
from offloadbench.report.sections import modules_section, processes_section
from tests.unit.builders import INSTRUCTIONS, load, profile_counts, samples, trial
from tests.unit.builders import run as made_run
from tests.unit.test_report import HOSTILE, Page

FOLDER = Path(__file__).resolve().parents[1] / "data"
KALLSYMS = "ffffffff81000000 T do_idle\nffffffff81000100 T tcp_sendmsg\nffffffff81000200 T ip_output\n"
SEND, IP = 0xFFFFFFFF81000108, 0xFFFFFFFF81000208
CYCLES = msgspec.structs.replace(INSTRUCTIONS, name="cycles", quantity="cycles")
replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def chains() -> Run:
    return run_file.load(FOLDER / "report-lab-chains.json")


def render(*runs: Run, profile: str = "linux") -> str:
    return html.render(runs, catalog.profile(profile), [f"{run.run_id}.json" for run in runs])


@pytest.fixture(scope="module")
def text(chains: Run) -> str:
    return render(chains)


def flame_data(text: str) -> dict[str, list[object]]:
    found = re.search(r'<script type="application/json" id="flame-data">(.*?)</script>', text, re.S)
    assert found
    data: dict[str, list[object]] = json.loads(found[1])
    return data


def test_it_says_how_sure_it_is(text: str) -> None:
    words = Page(text).text
    assert "How sure is this picture" in words
    assert re.search(r"tso: [\d.]+ % by source file, .*by call chain, .*by no rule", words)


def test_the_second_view_stands_beside_the_first_with_one_caption(text: str) -> None:
    assert text.count("Generic work charged to its caller") == 3  # wide, narrow, caption
    caption = "work that is done for others (data copies, zeroed memory, software checksum, lock, thunk, irq-off skid)"
    assert Page(text).text.count(caption) == 1


def test_without_chains_there_is_one_view_and_a_sentence() -> None:
    text = render(run_file.load(FOLDER / "report-lab-paper.json"))
    assert "charged to its caller" not in text
    assert "No call chains were recorded" in text
    assert "flame-data" not in text


def test_the_flame_graph_has_a_script_that_the_policy_knows_and_a_line_without_one(text: str) -> None:
    assert text.count("<script>") == 2
    assert text.count("'sha256-") == 3
    assert re.search(r"<noscript><p>.*--format folded", text)
    assert [side["label"] for side in flame_data(text)["sides"]] == ["tso", "csum"]  # type: ignore[index]


def test_a_hostile_process_stays_text(chains: Run) -> None:
    name = "</script><img src=x onerror=alert(1)>"
    trials = [
        replace(t, profile=replace(t.profile, comms=[name] * len(t.profile.comms))) for t in chains.trials if t.profile
    ]
    text = render(replace(chains, trials=trials))
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("img") == 0
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert name in flame_data(text)["names"]
    assert "<img" not in text and HOSTILE not in text


def test_frames_have_the_colours_of_the_plots(text: str) -> None:
    modules = {m["label"]: m["fill"] for m in flame_data(text)["modules"] if m}  # type: ignore[index]
    assert modules["TCP"] == style.module_colour("tcp")
    assert style.module_colour("tcp") in text.split('id="module-bars"')[1].split("</details>", maxsplit=1)[0]


def test_no_figure_is_printed_as_nan(text: str) -> None:
    assert not re.search(r"\bnan\b", Page(text).text, re.I)


@pytest.mark.parametrize("name", ["report-lab-chains.json", "report-lab-paper.json", "run-v1.json"])
def test_the_article_regroups_every_picture_and_table(name: str) -> None:
    text = render(run_file.load(FOLDER / name), profile="article-2005")
    words = Page(text).text
    for module in ("tcpip.sys", "NDIS.sys", "everything else"):
        assert module in words
    tables = text.split("<h2>Modules</h2>")[1].split("</section>")[0]
    rows = re.findall(r"<tr>\s*<td>(.*?)</td>", tables, re.S)
    assert {row.strip() for row in rows} <= {"tcpip.sys", "NDIS.sys", "q57xp32.sys", "everything else"}
    assert "TCP" not in re.sub(r"TCP/IP|GSO|TCP/IPv4", "", tables)


def test_the_articles_names_have_the_colours_of_the_floors() -> None:
    pairs = (
        ("tcpip.sys", "transport"),
        ("NDIS.sys", "netdev"),
        ("q57xp32.sys", "driver"),
        ("everything else", "other"),
    )
    for module, floor in pairs:
        assert style.module_colour(module) == style.floor_colour(floor)


def test_flames_are_grouped_too(chains: Run) -> None:
    modules = {m["label"] for m in flame_data(render(chains, profile="article-2005"))["modules"] if m}  # type: ignore[index]
    assert {"tcpip.sys", "NDIS.sys", "everything else"} <= modules <= {
        "tcpip.sys", "NDIS.sys", "q57xp32.sys", "everything else", "idle",
    }  # fmt: skip


def hardware(base: Run, cpus: int = 1) -> Run:
    """Instructions and cycles, TCP on CPU 0 and IP; the case `none` never ran IP."""

    def captured(case: str, rows: list[tuple[int, str, int, int, int, int, int]]) -> Trial:
        counts = profile_counts(rows, [INSTRUCTIONS, CYCLES])
        return trial(
            case=case, profile=counts, samples=samples(rows=1, cpu_idle_exact_s=0.5), window_s=1.0, load=load(1000, 1.0)
        )

    both = [(SEND, "K", 0, 0, 0, 3, 300), (SEND, "K", 0, 0, 1, 2, 200), (IP, "K", 0, 0, 0, 1, 100)]
    made = made_run(base, [captured("tso", both), captured("none", both[:2])], kallsyms=KALLSYMS)
    return replace(made, bed=replace(made.bed, dut_cpus=list(range(cpus))))


def test_instructions_per_cycle_are_a_column_and_a_dash_where_they_cannot_be(sample_run: Run) -> None:
    results = gather([hardware(sample_run)], catalog.profile("linux"))
    rates = instructions_per_cycle(results.modules)
    assert rates.to_dict() == {("lab", "ftp-get", "tso", "tcp"): 1.5, ("lab", "ftp-get", "none", "tcp"): 1.5}
    table = modules_section.modules(results, {})[0]
    assert [head.label for head in table.heads] == ["Module", "tso", "share", "IPC", "none", "share", "IPC", "Floor"]
    by_module = {row[0].text: [cell.text for cell in row] for row in table.rows}
    assert by_module["TCP"][3] == "1.50"
    assert by_module["IP"][3] == by_module["IP"][6] == "\N{EN DASH}"


def test_without_a_pmu_there_is_no_such_column(chains: Run) -> None:
    table = modules_section.modules(gather([chains], catalog.profile("linux")), {})[0]
    assert "IPC" not in [head.label for head in table.heads]


def test_one_cpu_is_a_sentence_and_several_are_a_table(sample_run: Run) -> None:
    tables, sentences = processes_section.cpus(gather([hardware(sample_run)], catalog.profile("linux")))
    assert (tables, sentences) == ([], ["lab, ftp-get: CPU 0 alone was measured."])
    tables, sentences = processes_section.cpus(gather([hardware(sample_run, cpus=2)], catalog.profile("linux")))
    assert sentences == []
    assert [[cell.text for cell in row] for row in tables[0].rows] == [
        ["tso", "0", "100 %", "75 %", "25 %"], ["none", "0", "100 %", "100 %", "0.0 %"],
    ]  # fmt: skip


def test_processes_of_others_are_marked_and_small_ones_summed(sample_run: Run) -> None:
    comms = ("ob-ftp-server", *(f"other-{number}" for number in range(20)))
    rows = [(SEND, "K", process, 0, 0, 1, 100 if process == 0 else 20 - process // 2) for process in range(21)]
    counts = profile_counts(rows, [INSTRUCTIONS], comms)
    made = made_run(
        sample_run,
        [trial(profile=counts, samples=samples(rows=1, cpu_idle_exact_s=0.5), window_s=1.0, load=load(1000, 1.0))],
        kallsyms=KALLSYMS,
    )
    table = processes_section.processes(gather([made], catalog.profile("linux")))[0]
    assert len(table.rows) == 13
    assert [cell.text for cell in table.rows[0][:2]] == ["ob-ftp-server", "25 %"]
    assert [badge.text for badge in table.rows[1][0].badges] == ["not the benchmark's"]
    assert table.rows[-1][0].text == "9 more"
    assert "other processes" in render(made)


def test_a_server_without_a_name_of_its_own_is_not_accused(sample_run: Run) -> None:
    table = processes_section.processes(gather([sample_run], catalog.profile("linux")))[0]
    assert not any(row[0].badges for row in table.rows)
    assert "cannot be told" in table.caption
