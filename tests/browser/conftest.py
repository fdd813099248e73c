"""One headless Chromium for all tests of the report, and what it says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

Console = Callable[[], list[dict[str, object]]]
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def _tool(*names: str) -> str:
    """The first of these programs on PATH; missing ones skip here and fail in CI."""
    found = next((path for path in map(shutil.which, names) if path), "")
    if not found:
        reason = f"needs {names[0]} (apt install chromium chromium-driver)"
        if os.environ.get("OFFLOADBENCH_REQUIRE_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = _tool("chromium", "chromium-browser", "google-chrome")
    driver = _tool("chromedriver")
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


@pytest.fixture
def console(chrome: webdriver.Chrome) -> Console:
    """What the page wrote to its console since the last call."""

    def read() -> list[dict[str, object]]:
        entries: list[dict[str, object]] = chrome.get_log("browser")  # type: ignore[no-untyped-call]
        return entries

    return read
