"""The live list, the dashboard and what holds for every page, in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Browser = Played = Play = Any
"""See conftest."""

PAGES = {
    "/": "document.querySelectorAll('#streams tr').length >= 5",
    "/pages/list.html": "document.querySelectorAll('#list li').length >= 5",
    "/pages/dashboard.html": "document.querySelector('#updated').textContent !== '–'",
    "/pages/race.html": "Math.min(...(c => c.length ? c : [0])"
    "([...document.querySelectorAll('[data-figure=Messages] td')].map((td) => Number(td.textContent)))) > 5",
}
"""Each page, and how it shows that it is alive."""

NEWEST = """(() => {
  const items = [...document.querySelectorAll('#list li')];
  const newest = Number(document.querySelector('#messages').textContent);
  return {ids: items.map((item) => Number(item.dataset.id)), newest};
})()"""


@pytest.mark.parametrize("path", PAGES)
def test_a_page_lives_and_says_nothing_on_the_console(browser: Browser, demo: Played, path: str) -> None:
    browser.open(demo.url + path)
    browser.until(lambda: browser.js(PAGES[path]), "signs of life")
    assert browser.console() == []


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_on_a_telephone_in_either_scheme(browser: Browser, demo: Played, path: str, scheme: str) -> None:
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.open(demo.url + path)
    browser.until(lambda: browser.js(PAGES[path]), "signs of life")
    assert browser.js("document.documentElement.scrollWidth") <= 390
    channels = re.findall(r"\d+", browser.js("getComputedStyle(document.body).backgroundColor"))
    assert (int(channels[0]) < 128) == (scheme == "dark")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_used_without_a_mouse_and_without_seeing(browser: Browser, demo: Played, path: str) -> None:
    browser.open(demo.url + path)
    browser.until(lambda: browser.js(PAGES[path]), "signs of life")
    for name in ("main", "h1", "title", "html[lang]"):
        assert browser.js("document.querySelectorAll(arguments[0]).length", name) == 1
    controls = browser.driver.find_elements("css selector", "a, button, select, [tabindex]")
    shown = [control for control in controls if control.is_displayed()]
    assert [control.get_attribute("outerHTML") for control in shown if not control.accessible_name] == []
    # All of them can be reached by the keyboard, and it is seen where it is.
    reached = []
    for _ in shown:
        browser.driver.switch_to.active_element.send_keys("\ue004")  # Tab
        reached.append(browser.driver.switch_to.active_element)
        assert browser.js("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert set(reached) == set(shown)
    for chart in browser.driver.find_elements("css selector", "svg"):
        assert chart.aria_role in ("img", "image")
        browser.until(lambda chart=chart: chart.accessible_name, "a chart in words")


@pytest.mark.parametrize("subject", ["sse-aiohttp", "short-poll-aiohttp", "long-poll-aiohttp", "websocket-websockets"])
def test_every_server_shows_what_it_has(browser: Browser, play: Play, subject: str) -> None:
    played = play(subject)
    for path, alive in PAGES.items():
        browser.open(played.url + path)
        browser.until(lambda alive=alive: browser.js(alive), f"signs of life on {path}")
    assert browser.js("[...document.querySelectorAll('.lane')].length") == 1
    assert not browser.driver.find_element("css selector", ".lane button").is_displayed()
    assert browser.driver.find_element("id", "alone").is_displayed()
    assert browser.console() == []


# The live list


def test_the_list_stays_at_fifty(browser: Browser, demo: Played) -> None:
    browser.open(f"{demo.url}/pages/list.html")
    browser.until(lambda: browser.js("document.querySelectorAll('#stream option').length"), "the streams")
    browser.choose("#stream", "fanout")
    browser.until(lambda: browser.number("#messages") >= 75, "75 messages")
    seen = browser.js(NEWEST)
    assert len(seen["ids"]) == 50
    assert seen["ids"] == list(range(seen["ids"][0], seen["ids"][0] - 50, -1))
    browser.until(lambda: browser.js(NEWEST)["ids"][0] > seen["ids"][0] + 10, "more of them")
    assert len(browser.js(NEWEST)["ids"]) == 50
    assert (browser.number("#lost"), browser.number("#repeated")) == (0, 0)
    assert browser.console() == []


def test_the_list_can_be_held_and_let_go(browser: Browser, demo: Played) -> None:
    browser.open(f"{demo.url}/pages/list.html")
    browser.until(lambda: browser.js("document.querySelectorAll('#stream option').length"), "the streams")
    browser.choose("#stream", "fanout")
    browser.until(lambda: browser.number("#messages") >= 5, "messages")
    browser.click("#hold")
    held = browser.js(NEWEST)
    browser.until(lambda: browser.number("#messages") > held["newest"] + 60, "messages behind a held list")
    assert browser.js(NEWEST)["ids"] == held["ids"]
    browser.click("#hold")
    shown = browser.js(NEWEST)["ids"]
    assert len(shown) == 50
    assert shown == list(range(shown[0], shown[0] - 50, -1))
    assert shown[-1] > held["ids"][0]


def test_a_stream_that_ends_is_over(browser: Browser, demo: Played) -> None:
    browser.open(f"{demo.url}/pages/list.html")
    browser.until(lambda: browser.js("document.querySelectorAll('#stream option').length"), "the streams")
    browser.choose("#stream", "events")
    browser.until(lambda: browser.text("#state") == "ended", "the end")
    assert browser.number("#messages") == 100
    assert browser.js("document.querySelectorAll('#list li').length") == 50
    assert "ended by the server after 100" in browser.text("#log")
    assert browser.console() == []


def test_what_a_payload_says_is_text(browser: Browser, demo: Played, evil: str) -> None:
    browser.open(f"{demo.url}/pages/list.html")
    browser.until(lambda: browser.js("document.querySelectorAll('#stream option').length"), "the streams")
    browser.choose("#stream", "replay")
    browser.until(lambda: browser.number("#messages") == 3, "the trace")
    shown = browser.js("[...document.querySelectorAll('#list li code')].map((code) => code.textContent)")
    assert shown[0] == "harmless"
    assert shown[2] == evil
    assert evil.replace('"', r"\"") in shown[1]
    assert browser.js("document.querySelectorAll('#list img, #list script').length") == 0
    assert browser.driver.title.startswith("Live list")
    assert browser.console() == []


def test_a_killed_server_is_found_again_without_a_lost_or_repeated_message(browser: Browser, play: Play) -> None:
    played = play()
    browser.open(f"{played.url}/pages/list.html")
    browser.until(lambda: browser.js("document.querySelectorAll('#stream option').length"), "the streams")
    browser.choose("#stream", "fanout")
    browser.until(lambda: browser.number("#messages") >= 10, "messages")
    played.kill()
    browser.until(lambda: browser.text("#state") == "reconnecting", "that it noticed")
    before = browser.js(NEWEST)
    played.start()
    browser.until(lambda: browser.text("#state") == "open", "that it is back")
    browser.until(lambda: browser.number("#messages") >= before["newest"] + 30, "news")
    after = browser.js(NEWEST)
    assert (browser.number("#lost"), browser.number("#repeated"), browser.number("#reconnects")) == (0, 0, 1)
    assert after["ids"] == list(range(after["ids"][0], after["ids"][0] - len(after["ids"]), -1))
    assert after["newest"] - before["newest"] == after["ids"][0] - before["ids"][0]
    assert f"continues after {before['ids'][0]}" in browser.text("#log")
    assert browser.console(network=False) == []


# The dashboard

GAUGES = "[...document.querySelectorAll('.gauge .value b')].map((value) => Number(value.textContent))"
LINES = "[...document.querySelectorAll('.gauge .line')].map((line) => (line.getAttribute('d') ?? '').split('L').length)"


def test_the_dashboard_updates(browser: Browser, demo: Played) -> None:
    browser.open(f"{demo.url}/pages/dashboard.html")
    browser.until(lambda: min(browser.js(LINES) or [0]) >= 2, "two points of each line")
    time, values, points = browser.text("#updated"), browser.js(GAUGES), browser.js(LINES)
    assert all(0 <= value <= 100 for value in values)
    assert re.fullmatch(r"\d\d:\d\d:\d\d", time)
    browser.until(lambda: browser.text("#updated") != time, "another update")
    browser.until(lambda: min(browser.js(LINES)) > max(points), "longer lines")
    browser.until(lambda: browser.js(GAUGES) != values, "other values")
    assert "between" in browser.js("document.querySelector('.gauge svg').getAttribute('aria-label')")
    assert browser.console() == []


def test_the_dashboard_says_when_its_figures_are_old(browser: Browser, demo: Played) -> None:
    browser.open(f"{demo.url}/pages/dashboard.html")
    browser.until(lambda: browser.text("#updated") != "–", "an update")
    assert not browser.js("document.body.classList.contains('old')")
    demo.steer("sse", "pause?seconds=60")
    browser.until(lambda: browser.js("document.body.classList.contains('old')"), "that it is old")
    demo.steer("sse", "resume")
    browser.until(lambda: not browser.js("document.body.classList.contains('old')"), "that it is not old any more")
