"""The story of TSO and initcwnd in a real browser: nothing is blocked or fetched, it fits, each width has a plot."""

from __future__ import annotations

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from offloadbench.analysis.initcwnd import story
from offloadbench.report.formats import story_page
from tests.browser.conftest import Console


@pytest.fixture(scope="module")
def browser(chrome: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> webdriver.Chrome:
    page = tmp_path_factory.mktemp("story") / "story.html"
    page.write_text(story_page.page(), encoding="utf-8")
    chrome.get(page.as_uri())
    return chrome


def test_console_is_silent_and_nothing_is_fetched(browser: webdriver.Chrome, console: Console) -> None:
    assert console() == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.find_element(By.TAG_NAME, "h1").text == story.HEADLINE


@pytest.mark.parametrize(("width", "shown"), [(1300, "wide"), (420, "narrow")])
def test_one_drawing_is_shown_and_the_page_fits(browser: webdriver.Chrome, width: int, shown: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    plots = browser.find_elements(By.CSS_SELECTOR, ".drawing svg")
    assert {plot.get_attribute("class") for plot in plots if plot.is_displayed()} == {shown}
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_table_sorts_by_what_left_with_tso_on(browser: webdriver.Chrome) -> None:
    table = browser.find_element(By.CSS_SELECTOR, "table.sortable")
    table.find_element(By.XPATH, ".//button[contains(., '274.el5')]").click()
    table.find_element(By.XPATH, ".//button[contains(., '274.el5')]").click()
    first = table.find_element(By.CSS_SELECTOR, "tbody tr td").text
    assert first == "10 s of silence, then 100000 B"
