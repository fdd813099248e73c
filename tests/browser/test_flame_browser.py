"""The flame graph in a real browser: cases are chosen, frames zoomed, names found, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from offloadbench.definitions import catalog
from offloadbench.model import Run
from offloadbench.report.formats import html
from tests.browser.conftest import Console

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page(chains_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the same two cases; in the second a process bears a hostile name."""
    trials = []
    for trial in chains_run.trials:
        assert trial.profile is not None
        comms = [HOSTILE if comm == "kdamond.0" else comm for comm in trial.profile.comms]
        trials.append(msgspec.structs.replace(trial, profile=msgspec.structs.replace(trial.profile, comms=comms)))
    other = msgspec.structs.replace(chains_run, run_id="other", trials=trials)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html.render([chains_run, other], catalog.profile("linux"), ["a.json", "b.json"]), encoding="utf-8")
    return path


@pytest.fixture
def browser(chrome: webdriver.Chrome, page: Path, console: Console) -> Iterator[webdriver.Chrome]:
    chrome.set_window_size(1200, 900)
    chrome.get(page.as_uri())
    # unfolded, and drawn anew for the width that it has then
    chrome.execute_async_script(
        "document.getElementById('flame').open = true;"
        "const done = arguments[0];"
        "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50)));"
    )
    yield chrome
    assert console() == []
    assert chrome.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert chrome.execute_script("return document.images.length") == 0


def _frames(browser: webdriver.Chrome) -> dict[str, float]:
    """Label of each drawn frame -> its width in px."""
    found: list[tuple[str, float]] = browser.execute_script(
        "return [...document.querySelectorAll('#flame-canvas g')].map((group) =>"
        "[group.getAttribute('aria-label'), group.querySelector('rect').width.baseVal.value])"
    )
    return dict(found)


def _width(browser: webdriver.Chrome, name: str) -> float:
    return max(width for label, width in _frames(browser).items() if label.startswith(f"{name} "))


def _text(browser: webdriver.Chrome, part: str) -> str:
    return browser.find_element(By.ID, f"flame-{part}").text


def _frame(browser: webdriver.Chrome, name: str) -> WebElement:
    """The widest frame of this name."""
    groups = browser.find_elements(By.CSS_SELECTOR, f"#flame-canvas g[aria-label^='{name} ']")
    return max(groups, key=lambda group: float(group.rect["width"]))


def _click(browser: webdriver.Chrome, name: str) -> None:
    webdriver.ActionChains(browser).move_to_element(_frame(browser, name)).click().perform()


def _choose(browser: webdriver.Chrome, side: str, label: str) -> None:
    Select(browser.find_element(By.ID, f"flame-{side}")).select_by_visible_text(label)


def test_it_opens_with_the_difference_of_two_cases_of_the_first_run(browser: webdriver.Chrome, chains_run: Run) -> None:
    run = chains_run.run_id
    assert _text(browser, "state").startswith(f"run {run}, csum against run {run}, tso: ")
    options = [option.text for option in Select(browser.find_element(By.ID, "flame-left")).options]
    assert options == [f"run {one}, {case}" for one in (run, "other") for case in ("tso", "csum")]
    classes = browser.execute_script(
        "return [...new Set([...document.querySelectorAll('#flame-canvas g')].map((group) => group.classList[1]))]"
    )
    assert {"more3", "more1", "same"} <= set(classes)


def test_the_status_tells_function_module_value_share_and_difference(browser: webdriver.Chrome) -> None:
    label = next(label for label in _frames(browser) if label.startswith("tcp_sendmsg_locked "))
    assert re.fullmatch(
        r"tcp_sendmsg_locked · TCP · [\d.]+ ns of CPU time per byte, \d+ % of run \w+, csum · "
        r"\+[\d.]+ \(\+\d+ %\) against [\d.]+ in run \w+, tso",
        label,
    )
    webdriver.ActionChains(browser).move_to_element(_frame(browser, "tcp_sendmsg_locked")).perform()
    assert _text(browser, "status") == label


def test_a_case_against_itself_has_no_difference(browser: webdriver.Chrome, chains_run: Run) -> None:
    _choose(browser, "left", f"run {chains_run.run_id}, csum")
    groups = browser.find_elements(By.CSS_SELECTOR, "#flame-canvas g")
    assert all("same" in str(group.get_attribute("class")) for group in groups)


def test_the_same_case_of_two_runs_differs_in_its_renamed_process_only(
    browser: webdriver.Chrome, chains_run: Run
) -> None:
    _choose(browser, "left", f"run {chains_run.run_id}, tso")
    _choose(browser, "right", "run other, tso")
    coloured = browser.find_elements(By.CSS_SELECTOR, "#flame-canvas g.frame:not(.same)")
    labels = [str(group.get_attribute("aria-label")) for group in coloured]
    assert all(label.startswith(HOSTILE) or "against 0" in label for label in labels)
    assert any(label.startswith(f"{HOSTILE} · process") for label in _frames(browser))


def test_swap_turns_gains_into_losses(browser: webdriver.Chrome) -> None:
    before = _text(browser, "state")
    browser.find_element(By.ID, "flame-swap").click()
    assert _text(browser, "state") != before
    assert browser.find_elements(By.CSS_SELECTOR, "#flame-canvas g.less3")
    assert not browser.find_elements(By.CSS_SELECTOR, "#flame-canvas g.more3")


def test_click_zooms_and_reset_goes_back(browser: webdriver.Chrome) -> None:
    whole, before = _width(browser, "all"), _width(browser, "tcp_write_xmit")
    assert not browser.find_element(By.ID, "flame-reset").is_enabled()
    _click(browser, "tcp_write_xmit")
    assert _width(browser, "tcp_write_xmit") == pytest.approx(whole)
    assert whole > before
    browser.find_element(By.ID, "flame-reset").click()
    assert _width(browser, "tcp_write_xmit") == pytest.approx(before)


def test_children_are_never_wider_than_their_caller(browser: webdriver.Chrome) -> None:
    widths = list(_frames(browser).values())
    assert min(widths) >= 0.6
    assert max(widths) <= browser.find_element(By.ID, "flame-canvas").size["width"]


def test_search_marks_and_tells_the_share(browser: webdriver.Chrome) -> None:
    browser.find_element(By.ID, "flame-search").send_keys("TCP_sendmsg")
    hits = browser.find_elements(By.CSS_SELECTOR, "#flame-canvas g.hit")
    assert {str(hit.get_attribute("aria-label")).split(" ")[0] for hit in hits} == {"tcp_sendmsg", "tcp_sendmsg_locked"}
    found = re.fullmatch(r"2 names: (\d+) % of run \w+, csum, (\d+) % of run \w+, tso", _text(browser, "found"))
    assert found
    # both are on one path, and its weight counts once
    label = next(label for label in _frames(browser) if label.startswith("tcp_sendmsg "))
    assert f", {found[1]} % of" in label
    browser.find_element(By.ID, "flame-search").send_keys("nothing like it")
    assert _text(browser, "found") == "no match"


def test_the_keyboard_alone_is_enough(browser: webdriver.Chrome) -> None:
    browser.execute_script("document.querySelector('#flame-canvas g[tabindex=\"0\"]').focus()")
    for key in (Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN):
        webdriver.ActionChains(browser).send_keys(key).perform()
    chosen = browser.switch_to.active_element.get_attribute("aria-label")
    assert chosen and _text(browser, "status") == chosen
    webdriver.ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert browser.switch_to.active_element.get_attribute("aria-label") == chosen
    assert browser.find_element(By.ID, "flame-reset").is_enabled()
    webdriver.ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not browser.find_element(By.ID, "flame-reset").is_enabled()
    webdriver.ActionChains(browser).send_keys(Keys.ARROW_RIGHT).send_keys(Keys.ARROW_UP).perform()
    assert browser.execute_script("return document.activeElement.closest('#flame-canvas') !== null")


def test_one_case_has_the_colours_of_the_modules(browser: webdriver.Chrome) -> None:
    browser.find_element(By.ID, "flame-mode-module").click()
    assert "coloured by module" in _text(browser, "state")
    assert not browser.find_element(By.ID, "flame-left").is_displayed()
    fill = browser.execute_script(
        "const groups = [...document.querySelectorAll('#flame-canvas g')];"
        "const group = groups.find((one) => one.getAttribute('aria-label').startsWith('tcp_sendmsg '));"
        "return getComputedStyle(group.querySelector('rect')).fill"
    )
    assert fill == "rgb(0, 114, 178)"
    assert "TCP" in _text(browser, "legend")
    browser.find_element(By.ID, "flame-mode-difference").click()
    assert "same or within noise" in _text(browser, "legend")


@pytest.mark.parametrize("width", [1200, 500])
def test_it_fits_the_page_and_follows_its_width(browser: webdriver.Chrome, width: int) -> None:
    browser.set_window_size(width, 900)
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    canvas = browser.find_element(By.ID, "flame-canvas").size["width"]
    assert _width(browser, "all") == pytest.approx(canvas, abs=1)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_frames_can_be_read_in_both_themes(browser: webdriver.Chrome, theme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    pairs: list[tuple[str, str]] = browser.execute_script(
        "return [...document.querySelectorAll('#flame-canvas g')].filter((group) => group.querySelector('text'))"
        ".map((group) => [...group.children].map((part) => getComputedStyle(part).fill))"
    )
    assert pairs
    for frame, letters in pairs:
        one, other = sorted((_luminance(frame), _luminance(letters)))
        # WCAG 2.1, AA for text
        assert (other + 0.05) / (one + 0.05) >= 4.5, (frame, letters)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def _luminance(colour: str) -> float:
    """Relative luminance of an rgb() colour (WCAG 2.1)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_print_shows_the_chosen_state_without_controls(browser: webdriver.Chrome) -> None:
    _click(browser, "tcp_write_xmit")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not browser.find_element(By.ID, "flame-swap").is_displayed()
    assert browser.find_element(By.CSS_SELECTOR, "#flame-canvas svg").is_displayed()
    assert "against" in _text(browser, "state")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_scripts_a_line_stands_in_its_place(page: Path, chrome: webdriver.Chrome) -> None:
    chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    chrome.get(page.as_uri())
    try:
        chrome.find_element(By.CSS_SELECTOR, "#flame > summary").click()
        section = chrome.find_element(By.ID, "flame").text
    finally:
        chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "The flame graph needs JavaScript." in section
    assert "Baseline" not in section
