"""Links: what a connection owes its server while it is read, what it is called when it is over, and its bytes."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gevent
import pytest

from rtbench.loadtests.reactor import links
from rtbench.loadtests.reactor.reactor import outcome
from rtbench.loadtests.reactor.tcp_info import TcpCounts, tcp_counts
from rtbench.transports.poll import PollClient

Make = Callable[..., Any]
A = b'{"a":1}'


def unmasked(frame: bytes) -> bytes:
    """A client's small frame without its mask (RFC 6455 §5.3)."""
    assert frame[1] & 0x80
    mask, body = frame[2:6], frame[6:]
    return frame[:1] + bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))


def state(here: Any) -> tuple[int, dict[str, int]]:
    return here.load.subscribed_count, here.load.failed


# Requests


@pytest.mark.parametrize(
    ("transport", "request_line"),
    [
        ("sse", b"GET /sse/fanout HTTP/1.1\r\n"),
        ("websocket", b"GET /ws/fanout HTTP/1.1\r\n"),
        ("short-poll", b"GET /poll/fanout HTTP/1.1\r\n"),
        ("long-poll", b"GET /long-poll/fanout?timeout=25 HTTP/1.1\r\n"),
    ],
)
def test_asks_for_its_channel(bench: Make, transport: str, request_line: bytes) -> None:
    sent = bench().link(transport).socket.sent
    assert sent.startswith(request_line)
    assert b"\r\nHost: server:8080\r\n" in sent


@pytest.mark.parametrize(
    ("transport", "says"),
    [
        ("sse", b"\r\nLast-Event-ID: 7\r\n"),
        ("websocket", b"GET /ws/fanout?channel=1&since=7 HTTP"),
        ("short-poll", b"GET /poll/fanout?channel=1&since=7 HTTP"),
        ("long-poll", b"GET /long-poll/fanout?channel=1&since=7&timeout=25 HTTP"),
    ],
)
def test_resumes_with_its_cursor(bench: Make, transport: str, says: bytes) -> None:
    here = bench(unicast=True)
    here.load.subscriber(transport)
    subscriber = here.load.subscriber(transport)
    subscriber.cursor = 7
    assert says in here.connect(subscriber).socket.sent


def test_compression_is_not_asked_for(bench: Make) -> None:
    for transport in ("sse", "websocket", "short-poll", "long-poll"):
        sent = bench().link(transport).socket.sent.lower()
        assert b"encoding" not in sent
        assert b"extensions" not in sent


# Subscribing


def test_push_link_is_subscribed_when_its_head_is_whole(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("sse")
    for at, byte in enumerate(wire.sse_head):
        assert state(here) == (0, {})
        here.reactor.read(link, bytes([byte]), 0, 100 + at)
    assert state(here) == (1, {})
    assert link.response_ns == 100
    assert link.look is None  # from now on a read is for the buffer alone
    assert here.load.on_connection == [link]


@pytest.mark.parametrize("transport", ["sse", "websocket"])
@pytest.mark.parametrize("status", [206, 404, 503])
def test_another_status_is_a_refusal(bench: Make, wire: Any, transport: str, status: int) -> None:
    here = bench()
    link = here.link(transport)
    here.reactor.read(link, wire.empty(status))
    assert link.outcome == f"error (status {status})"
    assert link.socket.closed
    assert state(here) == (0, {f"error (status {status})": 1})
    assert here.load.on_connection == [link]


def test_204_stops_an_event_source_and_is_not_a_failure(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("sse")
    here.reactor.read(link, wire.empty(204))
    assert link.outcome == "stopped (status 204)"
    assert link.subscriber.over_for_good
    assert state(here) == (0, {})
    assert here.load.given_up == 1
    # To a WebSocket it says nothing: a library would try again.
    link = here.link("websocket")
    here.reactor.read(link, wire.empty(204))
    assert link.outcome == "error (status 204)"
    assert not link.subscriber.over_for_good


def test_a_head_without_an_end_is_an_error(bench: Make) -> None:
    here = bench()
    link = here.link("sse")
    here.reactor.read(link, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000)
    assert link.closed_ns == -1
    here.reactor.read(link, b"x" * 40_000)
    assert link.outcome == "error (no response head)"


def test_polling_is_subscribed_with_its_first_answer(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("short-poll")
    here.reactor.read(link, wire.answer(following=0))
    link.ask(1)
    here.reactor.read(link, wire.answer((1, A), following=1))
    assert state(here) == (1, {})
    assert here.load.on_connection == [link]


# The end


@pytest.mark.parametrize("transport", ["sse", "websocket", "short-poll"])
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_lost_subscriber_is_not_subscribed(bench: Make, wire: Any, transport: str, how: str) -> None:
    here = bench()
    link = here.link(transport)
    first = {"sse": wire.sse_head, "short-poll": wire.answer(following=0)}
    here.reactor.read(link, first.get(transport) or wire.upgrade(link.socket.sent))
    assert state(here) == (1, {})
    link.over(how)
    link.over("error (again)")  # nothing to it
    assert state(here) == (0, {} if how == "closed" else {how: 1})
    assert link.outcome == how
    assert link.closed_ns > 0
    assert here.load.on_connection == [link]  # the connect, once
    assert link.subscriber.link is None


@pytest.mark.parametrize("transport", ["sse", "websocket", "short-poll"])
def test_a_server_that_closes_without_an_answer_is_a_failure(bench: Make, transport: str) -> None:
    here = bench()
    link = here.link(transport)
    link.over("closed")
    assert link.outcome == "closed unanswered"
    assert state(here) == (0, {"closed unanswered": 1})
    assert here.load.on_connection == [link]


def test_a_poll_that_fails_later_was_subscribed_before(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("short-poll")
    here.reactor.read(link, wire.answer(following=0))
    link.ask(1)
    here.reactor.read(link, wire.empty(500))
    assert state(here) == (0, {"error (status 500)": 1})
    assert here.load.on_connection == [link]


def test_a_poll_of_a_stream_that_failed_for_good(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("short-poll")
    here.reactor.read(link, wire.empty(503, b"Retry-After: 5\r\n"))
    assert link.outcome == "failed by its stream"
    assert link.subscriber.over_for_good
    assert state(here) == (0, {})


def test_a_poll_that_a_proxy_answers_while_its_server_is_away(bench: Make, wire: Any) -> None:
    """HAProxy's own 503 has no Retry-After: who polls comes again, as after another's 502."""
    here = bench()
    link = here.link("short-poll")
    here.reactor.read(link, wire.empty(503))
    assert link.outcome == "error (status 503)"
    assert not link.subscriber.over_for_good


def test_a_stream_that_is_all_in_the_first_answer(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("short-poll")
    here.reactor.read(link, wire.answer((1, A), following=1, end=True))
    assert (link.outcome, link.accepted) == ("ended", True)
    assert link.subscriber.over_for_good
    assert state(here) == (0, {})
    assert here.deliveries("seq") == [(1,)]


def test_a_farewell_in_the_read_of_the_head(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("websocket")
    data = wire.upgrade(link.socket.sent) + wire.text(1, A) + wire.frame(8, b"\x03\xe8")
    here.reactor.read(link, data)
    assert (link.outcome, link.accepted) == ("ended", True)
    assert link.subscriber.over_for_good
    assert state(here) == (0, {})
    assert here.deliveries("seq") == [(1,)]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_event_source_sees_the_end_of_a_response_whose_connection_stays(bench: Make, wire: Any, size: int) -> None:
    here = bench(streams=("chat",))
    link = here.link("sse")
    data = wire.sse_head + wire.sse(1, A) + b"0\r\n\r\n"
    for at in range(0, len(data), size):
        assert link.outcome == "open"
        here.reactor.read(link, data[at : at + size])
    assert (link.outcome, link.socket.closed) == ("closed", True)
    assert not link.subscriber.over_for_good  # it asks once more, and is answered with 204
    assert here.deliveries("seq") == [(1,)]


def test_a_chunk_that_looks_like_the_last_one_is_none(bench: Make, wire: Any) -> None:
    here = bench(streams=("chat",))
    link = here.link("sse")
    here.reactor.read(link, wire.sse_head)
    here.reactor.read(link, wire.chunk(b"id: 1\ndata: 0\r\n\r\n"))
    here.reactor.read(link, b"10\r\n\r\n")
    assert link.outcome == "open"


def test_a_stream_without_an_end_is_not_looked_at(bench: Make, wire: Any) -> None:
    link = bench().link("sse")
    link.reactor.read(link, wire.sse_head)
    assert link.look is None


def test_a_server_that_closes_after_an_answer(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("short-poll")
    here.reactor.read(link, wire.answer((1, A), following=1, head=b"Connection: close\r\n"))
    assert (link.outcome, link.accepted) == ("closed", True)
    assert here.requests()[0][4:6] == (200, 1)


def test_received_bytes_are_decoded_before_a_subscriber_reconnects(bench: Make, wire: Any) -> None:
    here = bench()
    subscriber = here.load.subscriber("sse")
    subscribing = here.subscribing(subscriber)
    link = subscriber.link
    here.reactor.read(link, wire.sse_head + wire.sse(41, A))
    link.over("closed")
    gevent.sleep(0)
    assert subscriber.cursor is None and not subscribing.dead
    here.turn()
    assert subscriber.cursor == 41 and subscribing.dead
    again = here.connect(subscriber)
    assert again.connection == 1
    assert b"Last-Event-ID: 41" in again.socket.sent


# WebSocket: pings and closes are answered at once


@pytest.mark.parametrize("split", [False, True])
def test_a_ping_is_answered(bench: Make, wire: Any, split: bool) -> None:
    here = bench()
    link = here.link("websocket")
    here.reactor.read(link, wire.upgrade(link.socket.sent))
    link.socket.sent = b""
    data = wire.text(1, A) + wire.frame(9, b"still there?") + wire.text(2, A)
    for piece in [data[at : at + 1] for at in range(len(data))] if split else [data]:
        here.reactor.read(link, piece)
    assert unmasked(link.socket.sent) == b"\x8astill there?"
    assert here.deliveries("seq") == [(1,), (2,)]
    assert here.load.recorder.controls == {"heartbeat": 1}


@pytest.mark.parametrize(
    ("code", "says", "good"),
    [
        (1000, "ended", True),
        (1001, "closed", False),
        (1011, "failed by its stream", True),
        (1013, "error (close code 1013)", False),
    ],
)
def test_a_close_is_answered(bench: Make, wire: Any, code: int, says: str, good: bool) -> None:
    here = bench()
    link = here.link("websocket")
    here.reactor.read(link, wire.upgrade(link.socket.sent))
    link.socket.sent = b""
    here.reactor.read(link, wire.frame(8, code.to_bytes(2, "big") + b"bye"))
    assert unmasked(link.socket.sent) == b"\x88" + code.to_bytes(2, "big")
    assert link.outcome == says
    assert link.subscriber.over_for_good is good


def test_a_masked_frame_breaks_the_protocol(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("websocket")
    here.reactor.read(link, wire.upgrade(link.socket.sent))
    here.reactor.read(link, b"\x81\x82maskhi")
    assert link.outcome.startswith("error (")
    assert state(here)[0] == 0


# Polling: the glance and the whole client ask the same


ANSWERS = [
    lambda wire: wire.answer((5, A), following=5),
    lambda wire: wire.answer(following=9),
    lambda wire: wire.empty(304, b'ETag: "9"\r\n'),
    lambda wire: wire.empty(304),
    lambda wire: wire.empty(204, b'ETag: "12"\r\n'),
    lambda wire: wire.empty(204),
]


@pytest.mark.parametrize("first", ANSWERS)
@pytest.mark.parametrize("second", ANSWERS)
@pytest.mark.parametrize("cursor", [None, 3])
def test_next_request_is_the_whole_clients(
    bench: Make, wire: Any, first: Callable[[Any], bytes], second: Callable[[Any], bytes], cursor: int | None
) -> None:
    here = bench()
    subscriber = here.load.subscriber("short-poll")
    subscriber.cursor = cursor
    link = here.connect(subscriber)
    whole = PollClient("server:8080", "/poll/fanout", cursor, json_payload=True)
    for answer in (first, second):
        data = answer(wire)
        here.reactor.read(link, data)
        whole.feed(data)
        link.socket.sent = b""
        link.ask(1)
        assert link.socket.sent == whole.request()


def test_polling_that_is_over_asks_no_more(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("short-poll")
    here.reactor.read(link, wire.answer(following=0))
    link.over("closed")
    sent = link.socket.sent
    link.ask(1)
    assert link.socket.sent == sent


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}!"])
def test_not_an_answer_ends_the_connection(bench: Make, data: bytes) -> None:
    here = bench()
    link = here.link("short-poll")
    here.reactor.read(link, data)
    assert link.outcome.startswith("error (")
    assert link.accepted is False


# Sending


def test_what_does_not_fit_is_sent_when_there_is_room(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("websocket")
    link.socket.sent, link.socket.room = b"", 3
    link.send(b"abcde")
    link.send(b"fgh")
    assert link.socket.sent == b"abc"
    assert here.reactor.listening[-1] == (link, True)
    link.socket.room = 2
    link.flush()
    assert link.socket.sent == b"abcde"
    link.socket.room = 100
    link.flush()
    assert link.socket.sent == b"abcdefgh"
    assert here.reactor.listening[-1] == (link, False)


def test_a_connection_that_breaks_while_sending_shows_as_a_read(bench: Make) -> None:
    link = bench().link("sse")
    link.socket.broken = True
    link.send(b"anything")
    assert link.closed_ns == -1


# Plain TCP, and a greeting


def test_plain_tcp_asks_with_a_line_and_is_answered_with_one(bench: Make) -> None:
    here = bench(unicast=True)
    here.load.subscriber("tcp")
    subscriber = here.load.subscriber("tcp")
    subscriber.cursor = 7
    link = here.connect(subscriber)
    assert link.socket.sent == b"/fanout?channel=1&since=7\n"
    here.reactor.read(link, b"o")
    assert state(here) == (0, {})
    here.reactor.read(link, b'k\n{"id":8,"data":[1]}\n')
    assert state(here) == (1, {})
    assert here.deliveries("seq", "payload_bytes") == [(8, 3)]


def test_plain_tcp_refuses_in_words(bench: Make) -> None:
    here = bench()
    link = here.link("tcp")
    here.reactor.read(link, b"error unknown stream\n")
    assert link.outcome == "error (error unknown stream)"
    assert state(here)[0] == 0
    assert not link.subscriber.over_for_good


def test_a_greeting_goes_out_after_the_server_accepted(bench: Make, wire: Any) -> None:
    here = bench(greeting=("subscribe", "now"), subprotocol="chat.v1", headers={"X-Key": "k"})
    link = here.link("websocket")
    assert b"\r\nX-Key: k\r\n" in link.socket.sent
    assert b"Sec-WebSocket-Protocol: chat.v1\r\n" in link.socket.sent
    head = wire.upgrade(link.socket.sent)
    link.socket.sent = b""
    here.reactor.read(link, head)
    assert (b"subscribe" in unmasked(link.socket.sent), link.outcome) == (True, "open")
    link.send_text("more")
    assert unmasked(link.socket.sent[-10:]) == b"\x81more"


# Names of ends


def test_outcomes_have_names() -> None:
    assert [outcome(number) for number in (errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT)] == [
        "refused",
        "reset",
        "reset",
        "timeout",
    ]
    assert outcome(errno.EHOSTUNREACH) == "error (No route to host)"
    assert outcome(None).startswith("error (")


# TCP_INFO


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        other, _ = server.accept()
        with client, other:
            yield client, other


def take(sock: socket.socket, size: int) -> None:
    while size:
        size -= len(sock.recv(min(size, 65536)))


@pytest.mark.parametrize(("there", "back"), [(0, 0), (1, 0), (0, 1), (77, 12_345), (1_000_000, 1_000_000)])
def test_tcp_bytes_are_exact(pair: tuple[socket.socket, socket.socket], there: int, back: int) -> None:
    client, server = pair
    for sender, receiver, size in ((client, server, there), (server, client, back)):
        for at in range(0, size, 20_000):
            part = min(20_000, size - at)
            sender.sendall(b"x" * part)
            take(receiver, part)
    assert tcp_counts(client)[:2] == (back, there)
    assert tcp_counts(server)[:2] == (there, back)


def test_a_segment_is_a_write(pair: tuple[socket.socket, socket.socket]) -> None:
    """Seven writes that are read one by one, then three that are read together: what is merged there was counted."""
    client, server = pair
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(7):
        server.sendall(b"x" * 150)
        take(client, 150)
    for _ in range(3):
        server.sendall(b"x" * 150)
    take(client, 450)
    assert tcp_counts(client) == TcpCounts(1500, 0, 10)
    assert tcp_counts(server).received_segments == 0


def test_tcp_bytes_of_a_connection_that_the_peer_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    client.sendall(b"hello")
    take(server, 5)
    server.sendall(b"goodbye")
    server.close()
    take(client, 7)
    assert client.recv(1) == b""
    assert tcp_counts(client) == (7, 5, 1)


def test_no_tcp_no_bytes() -> None:
    one, two = socket.socketpair()
    with closing(one), closing(two):
        assert tcp_counts(one) == (-1, -1, -1)

    class Old:
        def getsockopt(self, *_: int) -> bytes:
            return bytes(104)  # a kernel before 4.19

    assert tcp_counts(Old()) == TcpCounts()


@pytest.mark.parametrize("size", [100, 50_000])
def test_a_head_over_the_limit_is_refused_with_its_end_too(bench: Make, wire: Any, size: int) -> None:
    """The codec refuses it when it decodes: the link must not go on as if the subscription stood."""
    here = bench()
    link = here.link("sse")
    head = wire.sse_head[:-2] + b"A: " + b"a" * 65536 + b"\r\n\r\n"
    for at in range(0, len(head), size):
        if link.closed_ns < 0:
            here.reactor.read(link, head[at : at + size])
    assert link.outcome == "error (no response head)"
    assert not link.accepted


def test_a_server_that_pings_and_does_not_read_is_given_up(bench: Make, wire: Any, monkeypatch: Any) -> None:
    """Without a limit its pongs would fill the memory of the load process."""
    monkeypatch.setattr(links, "MAX_UNSENT_BYTES", 100_000)
    here = bench()
    link = here.link("websocket")
    here.reactor.read(link, wire.upgrade(link.socket.sent))
    link.socket.room = 0
    pings = wire.frame(9, b"p" * 100) * 600
    for _ in range(3):
        if link.closed_ns < 0:
            here.reactor.read(link, pings)
    assert link.outcome == "error (the server does not read)"
    assert link.socket.closed
    assert link._unsent == b""
