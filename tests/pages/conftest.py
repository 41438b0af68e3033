"""A real browser, and a demo server that it can be shown: both started once, both surely ended.

Waiting is for conditions that the page shows, with a limit; what a test did to a lane is undone before the next one.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtbench.cli.serving import DEMO
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.server import ServerProcess
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import WorkloadTable

PATIENCE_S = 60
"""For what takes well under ten seconds on an idle machine."""

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

EVIL = """<img src=x onerror="document.title='broken'"><script>document.title='broken'</script>"""
"""A payload that must not become part of a page."""


class Played:
    """A publisher and a server in front of it, which can be killed and started again at its port."""

    def __init__(self, subject: str, scenario: Scenario, folder: Path, stack: contextlib.ExitStack) -> None:
        self._subject, self._scenario, self._folder, self._stack = subject, scenario, folder, stack
        self._publisher = self._publish()
        self._server = self._serve(0)
        self.url = self._server.url

    def _publish(self) -> PublisherProcess:
        log = self._folder / "publisher.log"
        publisher = PublisherProcess(self._scenario.make_workload(), self._scenario, self._folder, (), log)
        self._stack.enter_context(publisher)
        publisher.ready()
        publisher.play(self._scenario.stream)
        return publisher

    def _serve(self, port: int) -> ServerProcess:
        feed, log = self._publisher.socket_path, self._folder / "server.log"
        where = {"module": DEMO} if self._subject == "demo" else {}
        server = ServerProcess(self._subject, self._scenario, feed, (), log, port=port, **where)
        self._stack.enter_context(server)
        server.ready()
        return server

    def kill(self) -> None:
        """SIGKILL: no farewell of any kind."""
        self._server.kill()
        self._server.stop()

    def start(self) -> None:
        """Another server process at the same port."""
        self._server = self._serve(int(self.url.rpartition(":")[2]))

    def restart_publisher(self) -> None:
        """Another publisher: its ids begin again."""
        self._publisher.kill()
        self._publisher.stop()
        self._publisher = self._publish()

    def steer(self, lane: str, what: str) -> None:
        """What a button of the race page asks for."""
        request = urllib.request.Request(f"{self.url}/demo/lanes/{lane}/{what}", method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            json.load(answer)


Play = Callable[..., Played]


@pytest.fixture
def evil() -> str:
    """See EVIL."""
    return EVIL


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workload that tries to break out, and says something else after it."""
    path = tmp_path_factory.mktemp("trace") / "evil.jsonl"
    payloads = [EVIL, json.dumps({"title": EVIL}), "harmless"]
    path.write_text("".join(json.dumps({"offset_ns": 0, "payload": payload}) + "\n" for payload in payloads))
    return path


@pytest.fixture(scope="session")
def scenario(trace: Path) -> Scenario:
    """20 messages a second, so that a minute's worth of news does not take one."""
    streams = ("fanout", "metrics", "stocks", "events", "replay")
    return Scenario(stream=streams, workload=WorkloadTable(rate_hz=20, trace=str(trace)), epoch_s=int(time.time()))


@pytest.fixture
def play(scenario: Scenario, tmp_path: Path) -> Iterator[Play]:
    """Start a server with its publisher for this test only."""
    with contextlib.ExitStack() as stack:
        yield lambda subject="demo": Played(subject, scenario, tmp_path, stack)


@pytest.fixture(scope="session")
def shared(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    with contextlib.ExitStack() as stack:
        yield Played("demo", scenario, tmp_path_factory.mktemp("demo"), stack)


@pytest.fixture
def demo(shared: Played) -> Iterator[Played]:
    """The demo server that tests share; its lanes flow again afterwards."""
    yield shared
    for lane in ("sse", "websocket", "short-poll", "long-poll"):
        shared.steer(lane, "resume")


class Browser:
    """Chromium, and what a test asks of a page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Load a page."""
        self.driver.get(url)

    def js(self, expression: str, *arguments: Any) -> Any:
        """The value of an expression in the page, taken at one instant."""
        return self.driver.execute_script(f"return {expression}", *arguments)

    def text(self, selector: str) -> str:
        """What an element says."""
        return str(self.js("document.querySelector(arguments[0]).textContent", selector))

    def number(self, selector: str) -> int:
        """What an element says, as a number."""
        return int(self.text(selector))

    def click(self, selector: str) -> None:
        """As a user does: only what can be seen can be clicked."""
        element = self.driver.find_element("css selector", selector)
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def choose(self, selector: str, value: str) -> None:
        """Choose an option."""
        from selenium.webdriver.support.select import Select

        Select(self.driver.find_element("css selector", selector)).select_by_value(value)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until the condition holds; its value."""
        from selenium.common.exceptions import TimeoutException
        from selenium.webdriver.support.wait import WebDriverWait

        try:
            return WebDriverWait(self.driver, PATIENCE_S, poll_frequency=0.05).until(lambda _: condition())
        except TimeoutException:
            page = self.js("document.body.innerText")
            raise AssertionError(f"waited {PATIENCE_S} s for {what}; console {self.console()}; page:\n{page}") from None

    def console(self, network: bool = True) -> list[str]:
        """What the console said since the last time; `network`: also the browser's own lines on broken connections."""
        return [
            f"{line['level']} {line['source']}: {line['message']}"
            for line in self.driver.get_log("browser")
            if network or line["source"] != "network"
        ]


@pytest.fixture(scope="session")
def chromium(chromium_with: Callable[..., Any]) -> Iterator[Browser]:
    with chromium_with(QUIET) as driver:
        yield Browser(driver)


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The browser, with an empty page and an empty console."""
    size = {"width": 1280, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    chromium.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chromium.open("about:blank")
    chromium.console()
    yield chromium
    chromium.open("about:blank")  # closes every connection of the page
