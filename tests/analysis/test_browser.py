"""The report in a real browser: whole from file://, with and without scripts, usable, printable and accessible."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtbench.analysis.history.index import rebuild
from rtbench.analysis.regression.baseline import against
from rtbench.analysis.regression.formats import render
from rtbench.analysis.report.report import build

QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip
AXE = "axe-core@4.10.3"
PATIENCE_S = 60

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build([golden], tmp_path_factory.mktemp("browser") / "report").path.resolve().as_uri()


@pytest.fixture(scope="module")
def chromium(chromium_with: Callable[..., Any]) -> Iterator[Any]:
    with chromium_with(QUIET) as driver:
        yield driver


def show(chromium: Any, url: str, width: int = 1280, theme: str = "light", scripts: bool = True) -> Any:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
    chromium.get(url)
    return chromium


def of(page: Any, expression: str) -> Any:
    return page.execute_cdp_cmd("Runtime.evaluate", {"expression": expression, "returnByValue": True})["result"][
        "value"
    ]


def test_whole_from_a_file_with_nothing_on_the_console_and_nothing_fetched(chromium: Any, url: str) -> None:
    page = show(chromium, url)
    assert page.get_log("browser") == []
    assert of(page, "performance.getEntriesByType('resource').length") == 0
    assert of(page, "document.querySelectorAll('figure svg').length") >= 8


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_nothing_is_wider_than_the_screen(chromium: Any, url: str, width: int, scripts: bool) -> None:
    page = show(chromium, url, width, scripts=scripts)
    wide = page.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]["width"]
    assert wide == width


def test_the_first_screen_has_the_answer_the_table_the_figure_and_the_doubts(chromium: Any, url: str) -> None:
    page = show(chromium, url)
    top = "(sel) => document.querySelector(sel).getBoundingClientRect().top"
    for selector in (".answer li:nth-child(3)", "#results table", "#decision svg", ".caveats.grave"):
        assert of(page, f"({top})({json.dumps(selector)})") < 900, selector
    assert of(page, "document.querySelector('#results table').getBoundingClientRect().bottom") < 900
    bottom = of(page, "document.querySelector('.decide').getBoundingClientRect().bottom")
    assert 0 <= of(page, f"({top})('.caveats.mild')") - bottom < 40  # the mild ones follow figure and grave ones


def test_without_scripts_everything_is_there_and_no_control_that_does_nothing(chromium: Any, url: str) -> None:
    page = show(chromium, url, scripts=False)
    assert of(page, "document.getElementById('theme').offsetParent") is None
    assert of(page, "document.getElementById('presets').offsetParent") is None
    assert "Audit of deliveries" in of(page, "document.body.innerText")
    assert of(page, "document.querySelectorAll('figure svg title').length") > 50  # values by hovering, natively


def test_theme_by_system_and_by_choice(chromium: Any, url: str) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(253, 253, 251)", "rgb(22, 22, 20)"
    page = show(chromium, url, theme="dark")
    assert of(page, paper) == dark
    page.find_element("id", "theme").click()
    assert of(page, paper) == light
    page = show(chromium, url)
    assert of(page, paper) == light
    page.find_element("id", "theme").send_keys("\n")  # by the keyboard
    assert of(page, paper) == dark


def test_a_preset_hides_subjects_in_every_figure_and_table(chromium: Any, url: str) -> None:
    page = show(chromium, url)
    seen = (
        '[...document.querySelectorAll(\'[data-subject="short-poll-aiohttp"], [data-with="short-poll-aiohttp"]\')]'
        ".filter((e) => e.getClientRects().length).length"
    )
    before = of(page, seen)
    assert before > 20
    page.find_element("css selector", "#presets [data-show=push]").send_keys(" ")
    assert of(page, seen) == 0
    assert of(page, "location.hash") == "#show=push"
    sent = of(page, "location.href")
    page.find_element("css selector", "#presets [data-show=all]").send_keys("\n")
    assert of(page, seen) == before and of(page, "location.hash") == ""
    show(chromium, "about:blank")
    page = show(chromium, sent)
    assert of(page, seen) == 0
    assert of(page, "document.querySelector('[data-show=push]').ariaPressed") == "true"


def test_a_row_and_a_sorting_can_be_sent(chromium: Any, url: str) -> None:
    page = show(chromium, url)
    page.find_element("css selector", "#results tr[data-subject=sse-aiohttp] .pick").send_keys("\n")
    page.find_element("css selector", "#results thead th:nth-child(2) button").send_keys(" ")
    chosen = "document.querySelector('#results tr[data-subject=sse-aiohttp] .pick').ariaPressed"
    other = "getComputedStyle(document.querySelector('#decision [data-subject=\"websocket-aiohttp\"]')).opacity"
    sorted_by = "document.querySelector('#results thead th:nth-child(2)').ariaSort"
    assert (of(page, chosen), of(page, other), of(page, sorted_by)) == ("true", "0.22", "ascending")
    sent = of(page, "location.href")
    assert "row=sse-aiohttp" in sent and "sort=" in sent
    show(chromium, "about:blank")
    page = show(chromium, sent)
    assert (of(page, chosen), of(page, other), of(page, sorted_by)) == ("true", "0.22", "ascending")
    page.find_element("css selector", "#results tr[data-subject=sse-aiohttp] td").click()
    assert (of(page, chosen), of(page, other)) == ("false", "1")
    page.find_element("css selector", "#bytes tr[data-subject=sse-aiohttp] .how").send_keys("\n")
    assert of(page, "document.getElementById('made-1').checkVisibility()") is True
    selenium = pytest.importorskip("selenium.webdriver.support.wait")
    # The event of a new hash comes after the click has returned.
    selenium.WebDriverWait(page, PATIENCE_S, 0.05).until(lambda _: "at=made-1" in of(page, "location.hash"))


def test_every_control_is_reached_and_worked_by_keyboard_alone(chromium: Any, url: str) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    page = show(chromium, url)

    def press(key: str) -> None:
        ActionChains(page).send_keys(key).perform()

    def reach(selector: str) -> None:
        """Tab forward to it; it then has a frame that can be seen."""
        for _ in range(60):
            press(Keys.TAB)
            if of(page, f"document.activeElement.matches({json.dumps(selector)})"):
                frame = "((s) => `${s.outlineStyle} ${s.outlineWidth}`)(getComputedStyle(document.activeElement))"
                assert of(page, frame) == "solid 2px", selector
                return
        raise AssertionError(f"60 tabs do not reach {selector}")

    reach(".skip")
    reach("#theme")
    press(Keys.ENTER)
    assert of(page, "document.documentElement.dataset.theme") == "dark"
    reach("#results thead th:nth-child(2) .sort")
    press(Keys.SPACE)
    assert of(page, "document.querySelector('#results thead th:nth-child(2)').ariaSort") == "ascending"
    assert of(page, "[...document.querySelectorAll('tr.arm')].every((arm) => arm.hidden)") is True
    reach("#results tr[data-subject=websocket-aiohttp] .pick")
    press(Keys.ENTER)
    assert "row=websocket-aiohttp" in of(page, "location.hash")
    press(Keys.ESCAPE)
    assert "row=" not in of(page, "location.hash")
    reach("#results tr[data-subject=websocket-aiohttp] .how")
    press(Keys.ENTER)
    made = "document.querySelector('details[data-subject=websocket-aiohttp] dl')"
    assert of(page, f"{made}.checkVisibility()") is True
    reach("#results details[data-subject=short-poll-aiohttp] summary")
    press(Keys.ENTER)
    assert of(page, "document.querySelector('details[data-subject=short-poll-aiohttp]').open") is True
    reach("#decision .drawer summary")
    press(Keys.SPACE)
    assert "Trials used" in of(page, "document.querySelector('#decision .drawer').innerText")
    reach("#presets [data-show=push]")
    press(Keys.SPACE)
    assert "show=push" in of(page, "location.hash")


def test_an_arms_heading_goes_with_its_rows(chromium: Any, url: str) -> None:
    page = show(chromium, url)
    headings = "[...document.querySelectorAll('tr.arm')].map((arm) => arm.getClientRects().length > 0)"
    assert of(page, headings) == [True, True]
    page.find_element("css selector", "#presets [data-show=stack]").click()
    assert of(page, headings) == [True, False]
    page.find_element("css selector", "#presets [data-show=all]").click()
    assert of(page, headings) == [True, True]


@pytest.fixture(scope="module")
def compared(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of `rtbench compare`."""
    page = tmp_path_factory.mktemp("compared") / "page.html"
    page.write_text(render(against(golden, golden), "html"))
    return page.as_uri()


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_page_of_a_comparison(chromium: Any, compared: str, axe: str, width: int, theme: str) -> None:
    page = show(chromium, compared, width, theme)
    assert page.get_log("browser") == []
    assert page.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]["width"] == width
    _axe_finds_nothing(page, axe, least=10)


def test_a_table_is_sorted_by_what_its_cells_mean(chromium: Any, url: str) -> None:
    page = show(chromium, url)
    column = (
        "[...document.querySelectorAll('#results table tbody tr:not(.arm)')]"
        ".map((row) => row.cells[1].innerText.split('\\n')[0])"
    )
    factor = {"µs": 1e3, "ms": 1e6, "s": 1e9}

    def values() -> list[float]:
        found = [re.fullmatch(r"([\d.]+) (µs|ms|s)", text) for text in of(page, column)]
        return [float(match[1]) * factor[match[2]] for match in found if match]

    original = values()
    head = page.find_element("css selector", "#results thead th:nth-child(2) button")
    head.click()
    assert values() == sorted(original) and len(original) == 4
    assert of(page, "document.querySelector('#results thead th:nth-child(2)').ariaSort") == "ascending"
    head.send_keys("\n")
    assert values() == sorted(original, reverse=True)


def test_the_mark_under_the_pointer_says_its_value(chromium: Any, url: str) -> None:
    from selenium.webdriver import ActionChains

    page = show(chromium, url)
    mark = page.find_element(
        "css selector",
        "#decision [data-tip^='SSE on aiohttp, Latency'] use, #decision [data-tip^='SSE on aiohttp, Latency'] path",
    )
    ActionChains(page).move_to_element(mark).perform()
    assert re.match(r"SSE on aiohttp, (Latency|trial)", of(page, "document.getElementById('tip').innerText"))
    assert of(page, "document.getElementById('tip').hidden") is False
    assert (
        of(page, "getComputedStyle(document.querySelector('#decision [data-subject=\"websocket-aiohttp\"]')).opacity")
        == "0.22"
    )


def test_paper_is_light_and_every_fold_that_adds_something_is_open(chromium: Any, url: str) -> None:
    page = show(chromium, url, theme="dark")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert of(page, "getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()") == "#fff"
    printed = page.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    pages = len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed)))
    assert 4 <= pages <= 20


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's source, from npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("axe-core comes from npm: apt-get install npm")
    folder = tmp_path_factory.mktemp("axe")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), AXE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not give {AXE} within two minutes")
    if done.returncode:
        pytest.skip(f"npm cannot give {AXE}: {done.stderr.strip()[-200:]}")
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def history(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of past campaigns: one that is whole, one with long words, one that is damaged."""
    holder = tmp_path_factory.mktemp("history") / "results"
    shutil.copytree(golden, holder / "golden")
    build([holder / "golden"])
    (holder / ("long" * 40)).mkdir()
    (holder / ("long" * 40) / "campaign.json").write_text('{"schema": 1, "environment": {"cpu": "%s"}}' % ("x" * 400))
    (holder / "bad").mkdir()
    (holder / "bad/campaign.json").write_text("{")
    page = rebuild(holder)
    assert page is not None
    return page.as_uri()


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_page_of_past_campaigns(chromium: Any, history: str, axe: str, width: int, theme: str) -> None:
    page = show(chromium, history, width, theme)
    assert page.get_log("browser") == []
    assert page.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]["width"] == width
    paper = of(page, "getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(253, 253, 251)", "dark": "rgb(22, 22, 20)"}[theme]
    _axe_finds_nothing(page, axe, least=10)
    page.find_element("link text", "report").click()
    assert of(page, "document.querySelectorAll('#answer').length") == 1


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing(chromium: Any, url: str, axe: str, width: int, theme: str) -> None:
    page = show(chromium, url, width, theme)
    page.execute_script("for (const fold of document.querySelectorAll('details')) fold.open = true;")
    _axe_finds_nothing(page, axe, least=20)


def _axe_finds_nothing(page: Any, axe: str, least: int) -> None:
    page.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    found = page.execute_async_script("axe.run(document).then(arguments[0])")
    assert len(found["passes"]) > least
    assert [(v["id"], v["impact"], v["nodes"][0]["html"][:200]) for v in found["violations"]] == []
