"""Reading from a server that is not ours is over at its deadline or at its limit, whatever the server sends."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from threading import Thread

import pytest

from rtbench.subjects import bounded
from rtbench.subjects.bounded import TooLong, get, receive, response
from rtbench.transports import ProtocolError

Endless = Callable[..., str]


def ask(answer: bytes) -> bounded.Response | None:
    """The response that these bytes are, and then the end of the connection."""
    here, there = socket.socketpair()
    with here, there:
        there.sendall(answer)
        there.shutdown(socket.SHUT_WR)
        return response(here, time.monotonic() + 5)


def head(kind: str, rest: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b\r\n" % (kind.encode(), rest)


def test_pieces_come_as_they_are_and_the_last_is_empty() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"abc")
        there.close()
        assert list(receive(here, time.monotonic() + 5)) == [b"abc", b""]


def test_what_comes_always_is_over_at_the_deadline() -> None:
    """Each receive has something at once: the socket's own timeout is never reached."""
    here, there = socket.socketpair()
    with here, there:

        def drip() -> None:
            try:
                while True:
                    there.sendall(b".")
                    time.sleep(0.001)
            except OSError:
                return

        thread = Thread(target=drip)
        thread.start()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            list(receive(here, began + 0.1))
        assert 0.1 <= time.monotonic() - began < 60
        here.close()
        thread.join(5)


def test_what_comes_fast_is_over_at_the_limit() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"x" * 101)
        with pytest.raises(TooLong, match="it sent more than 100 bytes and did not end"):
            list(receive(here, time.monotonic() + 5, 100))


def test_a_response_is_its_status_its_fields_and_its_body() -> None:
    found = ask(head("text/plain", b"Content-Length: 3\r\n") + b"abc")
    assert found == bounded.Response(200, {"content-type": "text/plain", "content-length": "3"}, b"abc")
    chunked = ask(head("text/plain", b"Transfer-Encoding: chunked\r\n") + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    assert chunked is not None
    assert chunked.body == b"abc"
    closed = ask(head("text/plain") + b"abc")
    assert closed is not None
    assert closed.body == b"abc"


def test_an_event_stream_and_an_upgrade_are_over_with_their_head() -> None:
    stream = ask(head("text/event-stream") + b"data: 1\n\n")
    assert stream == bounded.Response(200, {"content-type": "text/event-stream"})
    assert ask(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n") == bounded.Response(
        101, {"upgrade": "websocket"}
    )


def test_a_server_that_closes_at_once_has_not_answered() -> None:
    assert ask(b"") is None
    with pytest.raises(ProtocolError, match="connection closed inside a response"):
        ask(b"HTTP/1.1 200 OK\r\n")


def test_getting_a_document(endless: Endless) -> None:
    assert get(endless("text/event-stream") + "/plan/x?a=b", 5).status == 200


def test_getting_what_has_no_end(endless: Endless) -> None:
    url = endless("application/json", b"[1,")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        get(url, 0.1)
    assert time.monotonic() - began < 60
    with pytest.raises(TooLong):
        get(endless("application/json", b"x" * 65536, 0), 5, most_bytes=10**6)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/x", "tcp://127.0.0.1:1", "http:///x"])
def test_what_cannot_be_asked_by_http(url: str) -> None:
    with pytest.raises(OSError, match="is not an HTTP URL"):
        get(url, 1)


@pytest.mark.parametrize(
    ("answer", "says"), [(b"", "closed the connection without an answer"), (b"SSH-2.0\r\n\r\n", "does not speak HTTP")]
)
def test_getting_what_does_not_answer(answer: bytes, says: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        with pytest.raises(OSError, match=says):
            get(f"http://127.0.0.1:{listener.getsockname()[1]}/", 5)
        thread.join(5)
