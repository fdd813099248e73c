"""Make anew what README shows of a real run: `python -m tools.readme` after a change of a text or of the report.

The run is tests/data/readme-run.json.xz; `output` is what `compare` prints of it, the picture is the top of its report.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tempfile
from pathlib import Path

from offloadbench import cli

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "tests" / "data" / "readme-run.json.xz"
PICTURE = ROOT / "docs" / "pictures" / "report-top.png"
# as README names it
_NAME = "first.json"
_BLOCK = re.compile(r"(?<=\n```text\n).*?(?=```\n)", re.DOTALL)
_WIDTH_PX, _HEIGHT_PX = 1300, 690


def output() -> str:
    """What `offloadbench compare first.json` prints of the run."""
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        shutil.copy(RUN, _NAME)
        with contextlib.redirect_stdout(printed):
            cli.main(["compare", _NAME])
    return printed.getvalue()


def shown(readme: str) -> str:
    """What README shows of it."""
    found = _BLOCK.search(readme)
    return found[0] if found else ""


def _take_picture() -> None:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        with contextlib.redirect_stdout(io.StringIO()):
            cli.main(["report", str(RUN), "--output", str(page)])
        # named, so that selenium does not ask its makers for one
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": _WIDTH_PX, "height": _HEIGHT_PX, "deviceScaleFactor": 1, "mobile": False},
            )
            browser.get(page.as_uri())
            browser.save_screenshot(str(PICTURE))
        finally:
            browser.quit()


def main() -> None:
    """Write README and the picture."""
    os.chdir(ROOT)
    readme = Path("README.md")
    text = readme.read_text(encoding="utf-8")
    readme.write_text(_BLOCK.sub(lambda _: output(), text, count=1), encoding="utf-8")
    _take_picture()


if __name__ == "__main__":
    main()
