"""Servers at a URL: what they speak is found out, and nobody else's is loaded by accident."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest

from rtbench.campaign.preflight import allow
from rtbench.errors import UserError
from rtbench.scenario.loading import build
from rtbench.subjects import NOBODY, Subject
from rtbench.subjects import url as module
from rtbench.subjects.registry import find
from rtbench.subjects.url import subject_at

Answer = Callable[[bytes], str]


@pytest.fixture(autouse=True)
def unknown() -> Iterator[None]:
    """What was found out at a URL is forgotten: another test may have its port."""
    subject_at.cache_clear()
    yield
    subject_at.cache_clear()


@pytest.fixture
def answering() -> Iterator[Answer]:
    """`answering(data)`: HOST:PORT of a server that answers every request with these bytes; "": it hangs up."""
    listeners: list[socket.socket] = []
    threads: list[Thread] = []

    def begin(data: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(data)

        threads.append(Thread(target=serve))
        threads[-1].start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield begin
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(5)


def head(kind: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: 0\r\n\r\n".encode()


# What it speaks


def test_an_event_stream_is_sse(answering: Answer) -> None:
    url = f"http://{answering(head('text/event-stream; charset=utf-8'))}/updates?topic=a"
    found = find(url)
    assert (found.name, found.transport, found.url, found.publish) == (url, "sse", url, NOBODY)
    assert (found.arm, found.technique, found.capabilities) == ("remote", "unknown", frozenset())
    assert found.template.format(query="q", stream="s", channel=0, subscriber=0) == "/updates?topic=a"
    assert not found.played


@pytest.mark.parametrize(
    ("path", "transport"),
    [
        ("/poll/stocks", "short-poll"),
        ("/long-poll/stocks", "long-poll"),
        ("/anything", "short-poll"),
        ("", "short-poll"),
    ],
)
def test_json_is_polled(answering: Answer, path: str, transport: str) -> None:
    assert find(f"http://{answering(head('application/json'))}{path}").transport == transport


@pytest.mark.parametrize(
    ("url", "transport", "path"),
    [
        ("ws://127.0.0.1:9/feed", "websocket", "/feed"),
        ("wss://127.0.0.1:9/feed?a={b}", "websocket", "/feed?a={{b}}"),
        ("tcp://127.0.0.1:9", "tcp", "/"),
        ("https://127.0.0.1:9/events", "sse", "/events"),
        ("https://127.0.0.1:9/poll/x", "short-poll", "/poll/x"),
    ],
)
def test_the_scheme_says_it_without_asking(url: str, transport: str, path: str) -> None:
    found = subject_at(url)
    assert (found.transport, found.path) == (transport, path)
    assert found.template.format(query="", stream="", channel=0, subscriber=0) == path.replace("{{", "{").replace(
        "}}", "}"
    )


@pytest.mark.parametrize(("path", "transport"), [("/long-poll/x", "long-poll"), ("/quiet", "long-poll")])
def test_a_server_that_waits_before_it_answers_is_a_long_poll(
    monkeypatch: pytest.MonkeyPatch, path: str, transport: str
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert subject_at(f"http://127.0.0.1:{silent.getsockname()[1]}{path}").transport == transport


def test_a_head_that_does_not_end_is_waited_for_as_long_as_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while True:
                    connection.sendall(b"A: b\r\n")
                    time.sleep(0.005)

        thread = Thread(target=serve)
        thread.start()
        assert subject_at(f"http://127.0.0.1:{listener.getsockname()[1]}/quiet").transport == "long-poll"
        thread.join(5)


def test_an_event_stream_without_end_is_sse(endless: Callable[..., str]) -> None:
    assert subject_at(endless() + "/stream").transport == "sse"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (head("text/html", "404 Not Found"), "answers with status 404: check the path"),
        (b"", "closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
    ],
)
def test_what_cannot_be_subscribed_to(answering: Answer, data: bytes, says: str) -> None:
    with pytest.raises(UserError) as caught:
        subject_at(f"http://{answering(data)}/x")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_nothing_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(
        UserError, match=rf"cannot connect to http://127\.0\.0\.1:{port}/x .*refused.*start the server first"
    ):
        find(f"http://127.0.0.1:{port}/x")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://", "http:///x", "://x", "ws://:80", "http://[::1/x"])
def test_not_a_url(url: str) -> None:
    with pytest.raises(UserError, match="is not a server's URL: write http"):
        find(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/x", "http://127.0.0.1:http/x"])
def test_not_a_port(url: str) -> None:
    with pytest.raises(UserError, match="is not a server's URL"):
        find(url)


# Who may be loaded


def may(url: str, transport: str = "sse", **table: Any) -> None:
    subject = Subject("x", transport, "x", url=url, publish=NOBODY)
    bounds = {"connections": 100_000, "connections_by_peer": 100_000}
    allow(subject, build({"subscribers": 200, "ramp_hz": 20, "server": bounds, **table}, "here"))


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names and their addresses; nobody is asked."""
    names = {"here.test": ["127.0.0.1", "::1"], "there.test": ["192.0.2.1"], "both.test": ["127.0.0.1", "192.0.2.1"]}

    def getaddrinfo(host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        if host not in names:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in names[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/x", "http://localhost:8000", "http://[::1]:80/x"])
def test_this_machine_may_be_loaded_as_one_likes(url: str) -> None:
    may(url, subscribers=50_000, ramp_hz=10_000)


def test_names_are_looked_up(resolved: dict[str, list[str]]) -> None:
    may("http://here.test/", subscribers=50_000)
    for host in ("there.test", "both.test"):
        with pytest.raises(UserError, match=f"{host} is not this machine: --i-own-this-host if you may"):
            may(f"http://{host}/")
    with pytest.raises(UserError, match=r"http://nowhere\.test/: Name or service not known: is that the server's name"):
        may("http://nowhere.test/")


def test_another_machine_of_ones_own_has_limits(resolved: dict[str, list[str]]) -> None:
    own = {"i_own_this_host": True}
    may("http://there.test/", **own)
    with pytest.raises(UserError, match="connections are limited to 200 there, not 201: --set subscribers="):
        may("http://there.test/", subscribers=201, **own)
    with pytest.raises(UserError, match="new connections a second are limited to 20 there, not 21: --set ramp_hz="):
        may("http://there.test/", ramp_hz=21, **own)
    with pytest.raises(UserError, match=r"polls a second are limited to 50 there, not 200: --set poll\.interval_s="):
        may("http://there.test/", "short-poll", poll={"interval_s": 1.0}, **own)
    may("http://there.test/", "short-poll", poll={"interval_s": 4.0}, grace_s=5, **own)
    may("http://there.test/", "long-poll", **own)


def test_a_campaign_asks_first(resolved: dict[str, list[str]]) -> None:
    from rtbench.campaign.preflight import prepare

    row = {"name": "theirs", "transport": "sse", "url": "http://there.test/sse/x"}
    with pytest.raises(UserError, match=r"there\.test is not this machine"):
        prepare(build({"subjects": ["theirs"], "subject": [row]}, "here"))
