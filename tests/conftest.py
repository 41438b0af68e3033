"""What all tests share: a browser, where there is one, and Hypothesis, which draws the same examples each time
(`--hypothesis-profile=explore` draws others).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from hypothesis import settings

PATIENCE_S = 60

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("same")

@pytest.fixture(scope="session")
def chromium_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[str]], AbstractContextManager[Any]]:
    """`with chromium_with(arguments) as driver`: a Chromium of one's own. Skips where it is missing."""

    @contextmanager
    def run(arguments: Sequence[str]) -> Iterator[Any]:
        webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")
        from selenium.webdriver.chrome.service import Service

        browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if browser is None or driver is None:
            pytest.skip("needs a browser and its driver: apt-get install chromium chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for argument in (*arguments, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        running = webdriver.Chrome(options, Service(driver))
        running.set_page_load_timeout(PATIENCE_S)
        running.set_script_timeout(PATIENCE_S)
        try:
            yield running
        finally:
            running.quit()

    return run
