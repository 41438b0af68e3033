"""The race page in a real browser: four lanes move; one is stopped or cut, recovers, and the others do not notice."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Browser = Played = Play = Any
"""See conftest."""

LANES = ("sse", "websocket", "short-poll", "long-poll")
NAMES = ("Server-Sent Events", "WebSocket", "Short polling", "Long polling")

FIGURES = """Object.fromEntries([...document.querySelectorAll('.figures tbody tr')].map((row) =>
  [row.dataset.figure, [...row.querySelectorAll('td')].map((cell) => cell.textContent)]))"""
STATE = "document.querySelector(`.lane[data-transport=${arguments[0]}]`).dataset"


def figures(browser: Browser, name: str) -> list[str]:
    return list(browser.js(FIGURES)[name])


def messages(browser: Browser) -> list[int]:
    return [int(text or 0) for text in figures(browser, "Messages")]


@pytest.fixture
def race(browser: Browser, demo: Played) -> Browser:
    """The race page, all of its lanes moving, its short polls four a second."""
    browser.open(f"{demo.url}/pages/race.html")
    browser.until(lambda: browser.js("document.querySelectorAll('#stream option').length"), "the page")
    browser.choose("#interval", "250")
    moving(browser, 10)
    return browser


def moving(browser: Browser, count: int, but: int | None = None) -> None:
    """Wait until every lane (but one) has had so many messages more."""
    before = messages(browser)

    def enough() -> bool:
        pairs = enumerate(zip(messages(browser), before, strict=True))
        return all(now >= then + count for n, (now, then) in pairs if n != but)

    browser.until(enough, f"{count} messages more")


def whole(browser: Browser) -> None:
    """No lane has lost a message, or had one twice."""
    assert figures(browser, "Lost") == ["0"] * 4
    assert figures(browser, "Repeated") == ["0"] * 4


def test_the_four_lanes_move(race: Browser) -> None:
    moving(race, 20)
    whole(race)
    for lane in LANES:
        chart = race.driver.find_element("css selector", f".lane[data-transport={lane}] svg")
        assert race.js("arguments[0].querySelector('.line').getAttribute('d').split('L').length", chart) > 10
        race.until(lambda chart=chart: "Age of the data" in (chart.get_attribute("aria-label") or ""), "it in words")
        assert race.js(STATE, lane)["state"] == "open"
    counted = race.js(FIGURES)
    assert all(re.fullmatch(r"[\d.]+ (B|kB|MB)", text) for name in ("Bytes down", "Bytes up") for text in counted[name])
    requests = [int(text) for text in counted["Requests"]]
    assert requests[:2] == [1, 1]
    assert requests[2] > 3 and requests[3] > 10
    assert counted["Reconnects"] == ["0"] * 4
    assert "nothing is corrected" in race.text("#clocks")
    assert race.console() == []


def test_a_browser_whose_clock_is_another_one_is_corrected(browser: Browser, demo: Played) -> None:
    source = "{ const real = Date.now; Date.now = () => real() + 5000; }"
    added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
    try:
        browser.open(f"{demo.url}/pages/race.html")
        browser.until(lambda: browser.js("document.querySelectorAll('#stream option').length"), "the page")
        moving(browser, 20)
        assert re.search(r"differs from this browser’s by -(4\.9\d|5\.0\d) s .*is corrected", browser.text("#clocks"))
        assert "ms" in figures(browser, "Age on arrival, median")[0]
        whole(browser)
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_another_workload_begins_anew(race: Browser) -> None:
    race.choose("#stream", "stocks")
    race.until(lambda: all(5 <= count < 40 for count in messages(race)), "stocks")
    moving(race, 5)
    whole(race)
    assert race.console() == []


def test_the_picture_can_be_held(race: Browser) -> None:
    race.click("#hold")
    drawn = race.js("document.querySelector('.lane .line').getAttribute('d')")
    counted = messages(race)
    told = race.js("performance.now()")
    race.until(lambda: race.js("performance.now()") > told + 1000, "a second")
    assert race.js("document.querySelector('.lane .line').getAttribute('d')") == drawn
    assert messages(race) == counted
    race.click("#hold")
    race.until(lambda: race.js("document.querySelector('.lane .line').getAttribute('d')") != drawn, "that it moves on")
    race.until(lambda: messages(race)[0] >= counted[0] + 10, "what came meanwhile")
    whole(race)


def test_a_page_that_is_left_gives_its_connections_back(race: Browser, demo: Played) -> None:
    """A browser keeps pages for its back button; with their connections, six of them would be all there is."""
    for _ in range(4):
        race.open(f"{demo.url}/")
        race.until(lambda: race.js("document.querySelectorAll('#streams tr').length"), "the first page")
        race.driver.back()
        race.until(lambda: race.js("document.querySelectorAll('#stream option').length"), "the race")
        moving(race, 3)
    whole(race)
    assert race.console() == []


@pytest.mark.parametrize("lane", LANES)
def test_a_stopped_lane_stands_and_then_catches_up(race: Browser, demo: Played, lane: str) -> None:
    which = LANES.index(lane)
    race.choose("#seconds", "20")
    race.click(f".lane[data-transport={lane}] [data-do=pause]")
    race.until(lambda: race.js(STATE, lane).get("paused") == "true", "that it is stopped")
    moving(race, 5, but=which)  # what was on its way has come
    stopped = messages(race)
    assert "stopped" in race.text(f".lane[data-transport={lane}] .state")
    moving(race, 20, but=which)
    assert messages(race)[which] == stopped[which]
    age = race.js(
        "Number(document.querySelector(arguments[0]).textContent.split(' ')[0])", f"[data-transport={lane}] .age b"
    )
    assert race.js("document.querySelector(arguments[0]).textContent", f"[data-transport={lane}] .age b").endswith(" s")
    assert age >= 1
    assert race.js(f"document.querySelectorAll('[data-transport={lane}] .bands .paused').length") == 1
    demo.steer(lane, "resume")
    race.until(lambda: race.js(STATE, lane).get("paused") == "false", "that it is written to")
    race.until(lambda: max(messages(race)) - messages(race)[which] <= 10, "that it has caught up")
    moving(race, 5)
    whole(race)
    assert figures(race, "Reconnects")[which] == "0"
    assert f"{NAMES[which]}: the server writes again" in race.text("#log")
    assert race.console() == []


@pytest.mark.parametrize("lane", LANES)
def test_a_cut_lane_comes_back_by_itself(race: Browser, lane: str) -> None:
    which = LANES.index(lane)
    race.click(f".lane[data-transport={lane}] [data-do=cut]")
    race.until(lambda: f"{NAMES[which]}: connection lost" in race.text("#log"), "that it is lost")
    race.until(lambda: f"{NAMES[which]}: back after" in race.text("#log"), "that it is back")
    assert "none lost" in race.text("#log")
    race.until(lambda: max(messages(race)) - messages(race)[which] <= 10, "that it has caught up")
    moving(race, 5)
    whole(race)
    reconnects = figures(race, "Reconnects")
    assert int(reconnects[which]) >= 1
    assert [count for n, count in enumerate(reconnects) if n != which] == ["0"] * 3
    assert race.js(f"document.querySelectorAll('[data-transport={lane}] .bands .away').length") >= 1
    assert race.console(network=False) == []


def test_a_seventh_connection_waits_until_one_is_closed(race: Browser) -> None:
    race.choose("#seconds", "20")
    race.click(".lane[data-transport=sse] [data-do=pause]")  # a stopped lane is no full browser
    race.until(lambda: race.js(STATE, "sse").get("paused") == "true", "that it is stopped")
    race.click("#open")
    race.until(lambda: "waits. Now" in race.text("#outcome"), "one that waits")
    states = race.js("[...document.querySelectorAll('#slots li')].map((slot) => slot.dataset.state)")
    assert states == ["open"] * 6 + ["waiting"]
    counted = messages(race)
    race.until(lambda: messages(race)[1] > counted[1], "the WebSocket, which does not count")
    race.until(lambda: "together" in race.text("#outcome"), "the end of it")
    outcome = race.text("#outcome")
    assert outcome.startswith("6 were open together. Number 7 opened")
    waited_s = re.search(r"([\d.]+) s old in short polling", outcome)
    assert waited_s, outcome
    assert float(waited_s[1]) >= 2
    moving(race, 20)
    race.until(lambda: max(messages(race)) - min(messages(race)) <= 10, "the polls")
    whole(race)
    assert figures(race, "Reconnects") == ["0"] * 4
    assert race.console() == []


def test_a_killed_server_is_found_again_by_all_four(browser: Browser, play: Play) -> None:
    played = play()
    browser.open(f"{played.url}/pages/race.html")
    browser.until(lambda: browser.js("document.querySelectorAll('#stream option').length"), "the page")
    moving(browser, 10)
    played.kill()
    browser.until(lambda: all("lost" in line for line in lost(browser)) and len(lost(browser)) == 4, "four losses")
    played.start()
    browser.until(lambda: all(name + ": back after" in browser.text("#log") for name in NAMES), "all four")
    moving(browser, 20)
    whole(browser)
    assert figures(browser, "Reconnects") == ["1"] * 4
    assert browser.console(network=False) == []


def lost(browser: Browser) -> list[str]:
    lines = browser.js("[...document.querySelectorAll('#log li')].map((line) => line.textContent)")
    return [line for line in lines if line.endswith("connection lost")]


def test_a_restarted_publisher_is_announced_and_the_race_continues(browser: Browser, play: Play) -> None:
    played = play()
    browser.open(f"{played.url}/pages/race.html")
    browser.until(lambda: browser.js("document.querySelectorAll('#stream option').length"), "the page")
    moving(browser, 60)
    played.restart_publisher()
    browser.until(lambda: "publisher restarted" in browser.text("#log"), "the note of the restart")
    moving(browser, 20)
    ages = "[...document.querySelectorAll('.lane .age b')].map((age) => age.textContent)"
    browser.until(
        lambda: all(re.fullmatch(r"under 1 ms|\d+ ms|1\.\d+ s", age) for age in browser.js(ages)), "young data"
    )
    assert browser.console() == []
