"""The demo's lanes: stopped, cut and counted; the others go on."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from rtbench.cli.serving import DEMO
from rtbench.messages.server import Limits
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.server import ServerProcess
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import WorkloadTable
from rtbench.servers.demo.demo import MOST_PAGES, Accounts, Lane
from rtbench.servers.kit.cursor import BadParameter
from rtbench.subjects.registry import catalogue

LIMITS = Limits(ring_messages=10, ring_bytes=2**20, buffer_bytes=4096, heartbeat_s=15.0)


@pytest.fixture
def run_with_lane(greeting_of: Any) -> Callable[[Callable[[Lane, list[str]], Awaitable[None]]], None]:
    """Run a test on a loop with a lane; it is given what the pages were told, too."""

    def run(test: Callable[[Lane, list[str]], Awaitable[None]]) -> None:
        async def whole() -> None:
            told: list[str] = []
            lane = Lane("sse", Readable(), LIMITS, lambda: told.append("told"))
            lane.hello(greeting_of("fanout"))
            await test(lane, told)

        asyncio.run(whole())

    return run


class Readable:
    """Messages as `message N PAYLOAD`, notices as JSON."""

    heartbeat = b"heartbeat"

    def message(self, seq: int, payload: bytes) -> bytes:
        return b"message %d %b" % (seq, payload)

    def control(self, kind: str, fields: dict[str, Any]) -> bytes:
        return json.dumps({"kind": kind, **fields}).encode()


def test_a_stopped_lane_holds_everything_back_and_writes_it_in_order(run_with_lane, new_transport, ticks_of) -> None:
    async def test(lane: Lane, told: list[str]) -> None:
        transport, (channel,) = new_transport(), lane.channels
        await lane.attach(transport, channel, None)
        lane.publish(ticks_of(1))
        lane.pause(60)
        lane.publish(ticks_of(2, 3))
        lane.publish(ticks_of(4))
        lane._write(channel.connections, lane.encoder.heartbeat)
        assert (transport.ids, len(transport.writes), channel.ring.last) == ([1], 1, 1)
        assert lane.state()["paused_ms"] > 59_000
        lane.resume()
        assert (transport.ids, channel.ring.last) == ([1, 2, 3, 4], 4)
        lane._write(channel.connections, lane.encoder.heartbeat)
        assert transport.writes[-1] == b"heartbeat"
        assert lane.state()["paused_ms"] == 0
        assert len(told) >= 2

    run_with_lane(test)


def test_a_lane_goes_on_by_itself(run_with_lane, new_transport, ticks_of) -> None:
    async def test(lane: Lane, told: list[str]) -> None:
        transport, (channel,) = new_transport(), lane.channels
        await lane.attach(transport, channel, None)
        lane.pause(60)
        lane.pause(0.001)  # the last word counts
        lane.publish(ticks_of(1))
        async with asyncio.timeout(10):
            while not transport.ids:
                await asyncio.sleep(0)
        assert transport.ids == [1]

    run_with_lane(test)


def test_what_is_held_back_when_the_publisher_begins_again_belongs_to_its_run(
    run_with_lane, new_transport, ticks_of, greeting_of
) -> None:
    async def test(lane: Lane, told: list[str]) -> None:
        transport, (channel,) = new_transport(), lane.channels
        await lane.attach(transport, channel, None)
        lane.pause(60)
        lane.publish(ticks_of(1, 2))
        lane.hello(greeting_of("fanout", epoch="e2"))
        lane.publish(ticks_of(1))
        assert transport.ids == [1, 2, 1]
        assert [notice["kind"] for notice in transport.notices] == ["gap"]

    run_with_lane(test)


def test_a_server_that_stops_says_farewell_on_a_stopped_lane_too(run_with_lane, new_transport, ticks_of) -> None:
    async def test(lane: Lane, told: list[str]) -> None:
        transport, (channel,) = new_transport(), lane.channels
        connection = await lane.attach(transport, channel, None)
        lane.pause(60)
        lane.publish(ticks_of(1))
        lane.stop()
        assert transport.ids == [1]
        assert await connection.finished == "stop"

    run_with_lane(test)


def test_accounts_are_kept_for_so_many_pages() -> None:
    accounts = Accounts()
    assert accounts.find(None, "sse") is None
    first = accounts.find("p0", "sse")
    assert first is not None
    assert first is accounts.find("p0", "sse")
    assert first is not accounts.find("p0", "websocket")
    first.down = 5
    for number in range(1, MOST_PAGES + 1):
        accounts.find(f"p{number}", "sse")
    again = accounts.find("p0", "sse")
    assert again is not None and again.down == 0


@pytest.mark.parametrize("page", ["", "A", "a" * 9, "ä", "a b", "../x"])
def test_what_names_no_page(page: str) -> None:
    with pytest.raises(BadParameter, match="page"):
        Accounts().find(page, "sse")


def test_it_is_not_a_subject() -> None:
    assert [name for name in catalogue() if "demo" in name] == []


# The whole process


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("demo")
    scenario = Scenario(workload=WorkloadTable(rate_hz=50))
    with PublisherProcess(scenario.make_workload(), scenario, folder, (), folder / "publisher.log") as publisher:
        publisher.ready()
        with ServerProcess("demo", scenario, publisher.socket_path, (), folder / "server.log", module=DEMO) as server:
            publisher.play(scenario.stream)
            server.ready()
            yield server


def ask(server: ServerProcess, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def watch(server: ServerProcess, page: str) -> Iterator[dict[str, Any]]:
    """What a page is told, one after the other."""
    url = server.url.replace("http:", "ws:") + f"/demo/watch/fanout?page={page}"
    with connect(url, compression=None) as socket:
        while True:
            yield json.loads(socket.recv(timeout=60))


@pytest.mark.slow
def test_bytes_are_those_of_the_connection(demo: ServerProcess) -> None:
    """A client that counts every byte itself, on a connection that also fetches what is not its own."""
    host, port = demo.url.removeprefix("http://").split(":")
    head = "GET {} HTTP/1.1\r\nHost: here\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as link:
        own_up = own_down = 0
        for path in ("/poll/fanout?since=0&page=raw", "/pages/race.js", "/poll/fanout?page=raw", "/plan/fanout"):
            link.sendall(head.format(path).encode())
            answer = whole_answer(link)
            if "page=raw" in path:
                own_up += len(head.format(path))
                own_down += len(answer)
        told = next(watch(demo, "raw"))["lanes"]
    assert told["short-poll"] == {"down": own_down, "up": own_up, "requests": 2, "paused_ms": 0, "cut_ms": 0}
    assert [told[lane]["down"] for lane in ("sse", "websocket", "long-poll")] == [0, 0, 0]


def whole_answer(link: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += link.recv(65536)
    found = re.search(rb"(?i)content-length: (\d+)", data)
    assert found
    size = data.index(b"\r\n\r\n") + 4 + int(found[1])
    while len(data) < size:
        data += link.recv(65536)
    return data


@pytest.mark.slow
def test_bytes_of_a_stream_are_counted_as_they_are_written(demo: ServerProcess) -> None:
    host, port = demo.url.removeprefix("http://").split(":")
    request = b"GET /sse/fanout?since=0&page=stream HTTP/1.1\r\nHost: here\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as link:
        link.sendall(request)
        data = b""
        while data.count(b"\nid: ") < 20:
            data += link.recv(65536)
        ask(demo, "POST", "/demo/lanes/sse/pause?seconds=60")
        told = next(watch(demo, "stream"))["lanes"]["sse"]
        while len(data) < told["down"]:
            data += link.recv(65536)
    ask(demo, "POST", "/demo/lanes/sse/resume")
    assert (told["up"], told["down"], told["requests"]) == (len(request), len(data), 1)


@pytest.mark.slow
def test_the_plan_goes_on_while_a_lane_is_stopped(demo: ServerProcess) -> None:
    ask(demo, "POST", "/demo/lanes/short-poll/pause?seconds=30")
    seen, told = 0, {}
    for told in watch(demo, "plan"):
        seen += len(told["plan"]["ticks"])
        if seen > 60:
            break
    assert told["lanes"]["short-poll"]["paused_ms"] > 0
    assert told["lanes"]["long-poll"]["paused_ms"] == 0
    assert ask(demo, "POST", "/demo/lanes/short-poll/resume") == (200, {"paused_ms": 0, "cut_ms": 0})
    assert ask(demo, "GET", "/poll/fanout?since=0")[1]["next"] > 0


@pytest.mark.slow
def test_rights_and_ways_of_steering(demo: ServerProcess) -> None:
    own = {"Origin": demo.url}
    assert ask(demo, "POST", "/demo/lanes/sse/resume", own)[0] == 200
    for origin in ("http://example.org", "null", "http://127.0.0.1:1"):
        status, answer = ask(demo, "POST", "/demo/lanes/sse/cut", {"Origin": origin})
        assert (status, set(answer)) == (403, {"error"})
    for path, status in (
        ("/demo/lanes/smoke-signals/cut", 404),
        ("/demo/lanes/sse/explode", 404),
        ("/demo/lanes/sse/pause?seconds=61", 400),
        ("/demo/lanes/sse/pause?seconds=x", 400),
    ):
        assert ask(demo, "POST", path)[0] == status, path
    assert ask(demo, "GET", "/demo/lanes/sse/cut")[0] == 405
    assert ask(demo, "GET", "/demo/watch/fanout")[0] == 400
    assert ask(demo, "GET", "/demo/watch/no-such-stream")[0] == 404
    assert ask(demo, "GET", "/poll/fanout?page=NOT")[0] == 400


@pytest.mark.slow
def test_a_cut_lane_is_away_for_a_moment(demo: ServerProcess) -> None:
    host, port = demo.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as link:
        link.sendall(b"GET /sse/fanout HTTP/1.1\r\nHost: here\r\n\r\n")
        assert link.recv(65536).startswith(b"HTTP/1.1 200")
        told = watch(demo, "cut")
        next(told)
        assert ask(demo, "POST", "/demo/lanes/sse/cut")[1]["cut_ms"] > 0
        with contextlib.suppress(ConnectionResetError):
            while link.recv(65536):
                pass
        with pytest.raises((ConnectionError, http.client.BadStatusLine)):
            ask(demo, "GET", "/sse/fanout")
        assert ask(demo, "GET", "/poll/fanout?since=0")[0] == 200
        # What is told may be older than the cut, so the lane itself is asked, once for each thing told.
        assert any(_subscribes(host, int(port)) for _ in itertools.islice(told, 300))


def _subscribes(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=60) as link:
            link.sendall(b"GET /sse/fanout HTTP/1.1\r\nHost: here\r\n\r\n")
            return link.recv(65536).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("lane", ["sse", "websocket", "short-poll", "long-poll"])
def test_it_ends_in_time_whatever_a_lane_does(lane: str, tmp_path: Path) -> None:
    scenario = Scenario()
    with PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "publisher.log") as publisher:
        publisher.ready()
        server = ServerProcess("demo", scenario, publisher.socket_path, (), tmp_path / "server.log", module=DEMO)
        with server:
            publisher.play(scenario.stream)
            server.ready()
            told = watch(server, "end")
            next(told)
            ask(server, "POST", f"/demo/lanes/{lane}/pause?seconds=60")
            host, port = server.url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port)), timeout=60) as link:
                link.sendall(b"GET /long-poll/fanout?since=0 HTTP/1.1\r\nHost: here\r\n\r\n")
                server.stop(60)
        assert server.stopped_in_s is not None  # it left by itself, by its own limit (LAST_S) at the latest
        assert server.exited() == 0
        assert server.tail() == ""
