"""The page of a probe in a real browser: nothing is blocked, nothing is fetched, it fits, its tables sort."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from offloadbench.files import probe_file
from offloadbench.report.formats import probe_page
from tests.browser.conftest import Console

DATA = Path(__file__).resolve().parents[1] / "data" / "probe-lab.json.xz"


@pytest.fixture(scope="module")
def browser(chrome: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> webdriver.Chrome:
    page = tmp_path_factory.mktemp("probe") / "probe.html"
    page.write_text(probe_page.page([probe_file.load(DATA)], ["probe.json"]), encoding="utf-8")
    chrome.get(page.as_uri())
    return chrome


def test_console_is_silent_and_nothing_is_fetched(browser: webdriver.Chrome, console: Console) -> None:
    assert console() == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.find_element(By.TAG_NAME, "h1").text.startswith("The initial window of 10 and 40 segments leaves")


@pytest.mark.parametrize(("width", "shown"), [(1200, "wide"), (600, "narrow")])
def test_one_drawing_of_each_flight_is_shown_and_the_page_fits(
    browser: webdriver.Chrome, width: int, shown: str
) -> None:
    browser.set_window_size(width, 900)
    plots = browser.find_elements(By.CSS_SELECTOR, ".drawing svg")
    assert {plot.get_attribute("class") for plot in plots if plot.is_displayed()} == {shown}
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
