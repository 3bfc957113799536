"""A real browser for the tests of the report's page, where the machine has one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REQUIRED = "METARL_REQUIRE_BROWSER"
"""Variable that turns the skipping of these tests into a failure."""
SCREENSHOTS = "METARL_SCREENSHOTS"
"""Variable with the folder that screenshots are left in; by default pytest's own."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def missing(what):
    """Skips the test, visibly; fails it where a browser is required."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{what}, and {REQUIRED} is set: apt-get install chromium", pytrace=False)
    pytest.skip(f"{what}: the report is not tested in a browser (apt-get install chromium)")


@contextmanager
def chromium() -> Iterator:
    """Starts one, headless; it keeps no profile."""
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        missing(f"none of {', '.join(NAMES)} is on the path")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    # The superuser of a container has no sandbox to give.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


def screenshots_folder(default: Path) -> Path:
    """Where screenshots go."""
    folder = Path(os.environ.get(SCREENSHOTS) or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
