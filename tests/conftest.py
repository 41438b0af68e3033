"""What all tests share: a browser, where there is one, and Hypothesis, which draws the same examples each time
(`--hypothesis-profile=explore` draws others).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from hypothesis import settings

from rtbench import programs

PATIENCE_S = 60

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("same")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `root` for an ordinary user."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: make test ARGS='-m root', as root")


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skips where network namespaces cannot be made. For tests marked `root`."""
    if programs.find("ip") is None:
        pytest.skip("network namespaces need the program ip: apt-get install iproute2")
    holder = [sys.executable, "-m", "rtbench.processes._namespace"]
    tried = subprocess.run(holder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"this machine makes no network namespace: {tried.stderr.strip()}")


@pytest.fixture(scope="session")
def chromium_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[str]], AbstractContextManager[Any]]:
    """`with chromium_with(arguments) as driver`: a Chromium of one's own. Skips where it is missing."""

    @contextmanager
    def run(arguments: Sequence[str]) -> Iterator[Any]:
        webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")
        from selenium.webdriver.chrome.service import Service

        browser, driver = programs.find("chromium"), programs.find("chromedriver")
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
