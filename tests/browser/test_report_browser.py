"""The report in a real browser: nothing is blocked, nothing is fetched, tables sort."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import Run
from offloadbench.report.formats import html
from tests.browser.conftest import Console
from tests.unit.repeats import noise, of_costs

DATA = Path(__file__).resolve().parents[1] / "data" / "report-lab-paper.json"


@pytest.fixture(scope="module")
def browser(chrome: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> webdriver.Chrome:
    page = tmp_path_factory.mktemp("report") / "report.html"
    page.write_text(html.render([run_file.load(DATA)], catalog.profile("linux"), ["run.json"]), encoding="utf-8")
    chrome.get(page.as_uri())
    return chrome


def _column(browser: webdriver.Chrome, caption: str, column: int) -> list[str]:
    cells: list[str] = browser.execute_script(
        "const tables = [...document.querySelectorAll('table')];"
        "const table = tables.find((one) => one.caption.textContent.includes(arguments[0]));"
        "return [...table.tBodies[0].rows].map((row) => row.cells[arguments[1]].textContent.trim());",
        caption,
        column,
    )
    return cells


def test_console_is_silent_and_nothing_is_fetched(browser: webdriver.Chrome, console: Console) -> None:
    assert console() == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_headline_is_visible_at_once(browser: webdriver.Chrome) -> None:
    heading = browser.find_element(By.TAG_NAME, "h1")
    assert heading.is_displayed()
    assert heading.text.startswith(
        "An indication from one trial a side, no verdict: with TSO, GSO and checksum offload"
    )
    assert heading.rect["y"] + heading.rect["height"] < 400


@pytest.mark.parametrize(("width", "shown"), [(1200, "wide"), (600, "narrow")])
def test_one_drawing_of_each_plot_is_shown(browser: webdriver.Chrome, width: int, shown: str) -> None:
    browser.set_window_size(width, 900)
    plots = browser.find_elements(By.CSS_SELECTOR, ".drawing svg")
    visible = {plot.get_attribute("class") for plot in plots if plot.is_displayed()}
    assert visible == {shown}
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_a_link_unfolds_what_it_leads_to(browser: webdriver.Chrome, console: Console) -> None:
    folded = browser.find_element(By.ID, "methods")
    assert folded.get_attribute("open") is None
    browser.execute_script("arguments[0].click()", browser.find_element(By.CSS_SELECTOR, "nav a[href='#methods']"))
    WebDriverWait(browser, 5).until(lambda _: folded.get_attribute("open") is not None)
    browser.execute_script("arguments[0].open = false", folded)
    assert console() == []


def test_click_on_a_column_sorts(browser: webdriver.Chrome, console: Console) -> None:
    browser.set_window_size(1200, 900)
    browser.execute_script("document.getElementById('trials').open = true")
    table = next(t for t in browser.find_elements(By.CSS_SELECTOR, "table") if "Every trial" in t.text)
    names = [head.text for head in table.find_elements(By.TAG_NAME, "th")]
    column = names.index("CPU s/GB")
    before = _column(browser, "Every trial", column)
    assert before == sorted(before, key=float)
    button = table.find_elements(By.CSS_SELECTOR, "th button")[column]
    browser.execute_script("arguments[0].click()", button)
    assert table.find_elements(By.TAG_NAME, "th")[column].get_attribute("aria-sort") == "ascending"
    browser.execute_script("arguments[0].click()", button)
    after = _column(browser, "Every trial", column)
    assert after == before[::-1] != before
    assert console() == []


@pytest.fixture(scope="module")
def ordered(chrome: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> webdriver.Chrome:
    """A report that orders a state."""
    costs = {
        name: [level * factor for factor in noise(6, 0.01, seed)]
        for seed, (name, level) in enumerate({"tso": 2.0, "none": 1.0}.items())
    }
    page = tmp_path_factory.mktemp("ordered") / "report.html"
    run = of_costs(run_file.load(DATA), costs)
    page.write_text(html.render([run], catalog.profile("linux"), ["run.json"]), encoding="utf-8")
    chrome.get(page.as_uri())
    return chrome


@pytest.mark.parametrize("width", [1200, 600])
def test_what_makes_a_switch_last_unfolds_and_fits(ordered: webdriver.Chrome, console: Console, width: int) -> None:
    ordered.set_window_size(width, 900)
    commands = [line.text for line in ordered.find_elements(By.CSS_SELECTOR, ".findings p.command code")]
    assert commands == ["ethtool -K <ifname> tx off rx off tso off", "ip link set dev <ifname> gso_max_segs 1"]
    folded = ordered.find_element(By.CSS_SELECTOR, ".findings details.lasting")
    recipes = folded.find_elements(By.TAG_NAME, "pre")
    assert len(recipes) == 3
    ordered.execute_script("arguments[0].open = false", folded)
    ordered.execute_script("arguments[0].click()", folded.find_element(By.TAG_NAME, "summary"))
    assert recipes[0].is_displayed()
    assert "TransmitChecksumOffload=no" in recipes[0].text
    assert ordered.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert console() == []


@pytest.mark.parametrize("width", [1300, 400])
def test_eight_trials_are_short_and_nothing_is_cut(
    chrome: webdriver.Chrome, tmp_path: Path, sample_run: Run, width: int
) -> None:
    costs = {name: [level * one for one in noise(4, 0.02, level)] for name, level in (("tso", 1), ("none", 3))}
    page = tmp_path / "eight.html"
    run = of_costs(sample_run, costs)
    assert len(run.trials) == 8
    page.write_text(html.render([run], catalog.profile("linux"), ["run.json"]), encoding="utf-8")
    chrome.set_window_size(width, 900)
    chrome.get(page.as_uri())
    assert width < 1300 or chrome.execute_script("return document.documentElement.scrollHeight") <= 6000
    assert chrome.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
