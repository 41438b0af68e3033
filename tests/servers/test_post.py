"""Publishing by HTTP: in order, pipelined, never blocking; what was not answered for goes again."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from rtbench.messages.publisher import PostCounts, PostTo
from rtbench.scenario.loading import build
from rtbench.servers.publisher import post
from rtbench.servers.publisher.post import Poster
from rtbench.subjects import Post

WORKLOAD = build(
    {"stream": ["fanout", "events"], "subscribers": 4, "workload": {"channels": "unicast"}}, "x"
).make_workload()
OK = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
PATIENCE_S = 60


class Taker:
    """A server that answers when the test says so."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family)
        self.listener.settimeout(PATIENCE_S)
        self.port = self.listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self.bytes: list[bytes] = []

    def accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE_S)
        self.connections.append(connection)
        self.bytes.append(b"")

    def take(self, which: int = -1) -> tuple[str, dict[str, str], bytes]:
        """The next request of a connection: its line, fields and body."""
        while b"\r\n\r\n" not in self.bytes[which]:
            self._more(which)
        head, _, rest = self.bytes[which].partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        table = dict(field.split(": ", 1) for field in fields)
        size = int(table["Content-Length"])
        while len(rest) < size:
            self._more(which)
            rest = self.bytes[which].partition(b"\r\n\r\n")[2]
        self.bytes[which] = rest[size:]
        return line, table, rest[:size]

    def _more(self, which: int) -> None:
        data = self.connections[which].recv(65536)
        assert data, "the connection was closed"
        self.bytes[which] += data

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        self.listener.close()


@pytest.fixture
def taker() -> Iterator[Taker]:
    taker = Taker()
    yield taker
    taker.close()


@pytest.fixture
def poster(taker: Taker) -> Iterator[Any]:
    """`poster(**members of Post)`: a Poster to the taker."""
    made: list[Poster] = []

    def make(**changes: Any) -> Poster:
        host, port = changes.pop("host", "127.0.0.1"), changes.pop("port", taker.port)
        apart = changes.pop("post_port", 0)
        to = Post("/p/{stream}?c={channel}", port=apart, **changes)
        made.append(Poster(PostTo(host, port, to), WORKLOAD.channels()))
        return made[-1]

    yield make
    for one in made:
        for line in one._lines:
            if line.socket is not None:
                line.socket.close()


def turn(poster: Poster, wait_s: float = PATIENCE_S) -> None:
    """What the publisher's loop does once."""
    reading, writing = poster.descriptors()
    readable, writable, _ = select.select(reading, writing, [], wait_s)
    for descriptor in {*writable, *readable}:
        assert poster.ready(descriptor)


def settle(poster: Poster, done: Any) -> None:
    for _ in range(500):
        if done():
            return
        turn(poster, 0.02)
    raise AssertionError(poster.counts())


def test_a_message_is_a_request_with_its_envelope(taker: Taker, poster: Any) -> None:
    one = poster(headers={"Authorization": "apikey x"})
    one.post([(2, 7, b'{"a":1}'), (3, 8, b"text")])
    taker.accept()
    settle(one, lambda: one.counts().unanswered == 2 and not one.descriptors()[1])
    line, fields, body = taker.take()
    assert line == "POST /p/fanout?c=1 HTTP/1.1"
    assert fields == {
        "Host": f"127.0.0.1:{taker.port}", "Authorization": "apikey x", "Content-Length": str(len(body))
    }  # fmt: skip
    assert body == b'{"id":7,"data":{"a":1}}'
    line, _, body = taker.take()
    assert (line, body) == ("POST /p/events?c=1 HTTP/1.1", b'{"id":8,"data":"text"}')
    taker.connections[0].sendall(OK[:5])
    turn(one)
    taker.connections[0].sendall(OK[5:] + OK)
    settle(one, lambda: not one.waiting)
    assert one.counts() == PostCounts(posted=2)


def test_the_payload_alone_and_many_a_request(taker: Taker, poster: Any) -> None:
    one = poster(wrap=False, batch=3)
    one.post([(0, seq, b"m%d" % seq) for seq in range(1, 8)])
    taker.accept()
    settle(one, lambda: one.counts().unanswered == 3 and not one.descriptors()[1])
    assert [taker.take()[2] for _ in range(3)] == [b"m1\nm2\nm3", b"m4\nm5\nm6", b"m7"]


def test_a_body_in_the_server_s_own_shape(taker: Taker, poster: Any) -> None:
    one = poster(
        body='{"channel":"{stream}-{channel}","data":{message}}',
        headers={"X-API-Key": "k"},
        port=9,
        post_port=taker.port,
    )
    one.post([(2, 7, b'{"a":1}'), (3, 8, b'te"xt')])
    taker.accept()
    settle(one, lambda: one.counts().unanswered == 2 and not one.descriptors()[1])
    _, fields, body = taker.take()
    assert (fields["Content-Type"], fields["X-API-Key"]) == ("application/json", "k")
    assert fields["Host"] == f"127.0.0.1:{taker.port}"
    assert body == b'{"channel":"fanout-1","data":{"id":7,"data":{"a":1}}}'
    assert taker.take()[2] == b'{"channel":"events-1","data":{"id":8,"data":"te\\"xt"}}'


def test_a_form(taker: Taker, poster: Any) -> None:
    one = poster(body="topic={stream}&data={data}&id={id}", content_type="application/x-www-form-urlencoded")
    one.post([(3, 8, b"a&b c")])
    taker.accept()
    settle(one, lambda: not one.descriptors()[1])
    _, fields, body = taker.take()
    assert (fields["Content-Type"], body) == ("application/x-www-form-urlencoded", b"topic=events&data=a%26b+c&id=8")


CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_closes_after_each_answer(taker: Taker, poster: Any, known: bool) -> None:
    """One request a connection: from the start where the post says so, else from the first such answer on."""
    one = poster(wrap=False, headers={"Connection": "close"} if known else {})
    one.post([(0, seq, b"m%d" % seq) for seq in ((1, 2, 3) if known else (1,))])
    for seq in (1, 2, 3, 4):
        taker.accept()
        settle(one, lambda: not one.descriptors()[1])
        assert taker.take()[2] == b"m%d" % seq
        assert taker.bytes[-1] == b""  # nothing is pipelined behind it
        taker.connections[-1].sendall(CLOSING)
        settle(one, lambda done=seq: one.counts().posted == done)
        if seq == 1 and not known:
            one.post([(0, 2, b"m2"), (0, 3, b"m3")])
        if seq == 3:
            assert not one.waiting
            one.post([(0, 4, b"m4")])
    assert one.counts() == PostCounts(posted=4)  # and none of the connections counts as made again


def test_a_channel_keeps_to_one_connection(taker: Taker, poster: Any) -> None:
    one = poster(connections=2, wrap=False)
    one.post([(channel, seq, b"%d.%d" % (channel, seq)) for seq in (1, 2) for channel in range(4)])
    for _ in range(2):
        taker.accept()
    settle(one, lambda: one.counts().unanswered == 8 and not one.descriptors()[1])
    bodies = {tuple(taker.take(which)[2] for _ in range(4)) for which in range(2)}
    assert bodies == {(b"0.1", b"0.2", b"2.1", b"2.2"), (b"1.1", b"1.2", b"3.1", b"3.2")}


def test_what_the_server_does_not_take_is_PostCounts(taker: Taker, poster: Any) -> None:
    one = poster()
    one.post([(0, seq, b"1") for seq in range(1, 4)])
    taker.accept()
    taker.connections[0].sendall(
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno" + OK
    )
    settle(one, lambda: not one.waiting)
    assert one.counts() == PostCounts(posted=2, refused=1, refused_target="/p/fanout?c=0", refused_status=403)


def test_what_was_not_answered_goes_again_in_order_and_first(taker: Taker, poster: Any) -> None:
    one = poster(wrap=False)
    one.post([(0, seq, b"m%d" % seq) for seq in (1, 2, 3)])
    taker.accept()
    assert taker.take()[2] == b"m1"
    taker.connections[0].sendall(OK)
    settle(one, lambda: one.counts().posted == 1)
    taker.connections[0].close()
    settle(one, lambda: not one.descriptors()[0])
    one.post([(0, 4, b"m4")])  # while there is no connection
    settle(one, lambda: one.counts().reconnected == 1)
    taker.accept()
    settle(one, lambda: not one.descriptors()[1])
    assert [taker.take()[2] for _ in range(3)] == [b"m2", b"m3", b"m4"]
    taker.connections[1].sendall(OK * 3)
    settle(one, lambda: not one.waiting)
    assert one.counts() == PostCounts(posted=4, reconnected=1)


@pytest.mark.slow
def test_a_server_that_is_away_is_tried_again_without_another_message(poster: Any) -> None:
    before = Taker()
    port = before.port
    before.close()
    one = poster(port=port, wrap=False)
    one.post([(0, 1, b"m1")])
    for _ in range(10):
        turn(one, 0.02)  # refused, again and again
    assert one.counts().unanswered == 1
    after = Taker(port=port)
    try:
        settle(one, lambda: any(line.socket for line in one._lines) and select.select([after.listener], [], [], 0)[0])
        after.accept()
        for _ in range(3):
            turn(one, 0.02)
        assert after.take()[2] == b"m1"
        assert one.counts().reconnected == 0  # what was refused was no connection
    finally:
        after.close()


@pytest.mark.parametrize(
    "answer", [b"what?\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"]
)
def test_an_answer_that_is_not_http_is_a_lost_connection(taker: Taker, poster: Any, answer: bytes) -> None:
    one = poster()
    one.post([(0, 1, b"1")])
    taker.accept()
    taker.connections[0].sendall(answer)
    settle(one, lambda: one.counts().refused == 1)
    assert one.waiting


@pytest.mark.slow
def test_a_server_that_does_not_read_delays_no_other_server(taker: Taker, poster: Any) -> None:
    one = poster(wrap=False)
    big = b"x" * 2**20
    one.post([(0, seq, big) for seq in range(1, 17)])  # more than the sockets hold
    taker.accept()
    for _ in range(20):
        turn(one, 0)
    assert one.descriptors()[1]  # there is more to send when there is room
    one.post([(0, 17, b"last")])
    bodies = []
    for _ in range(17):
        while True:
            taker.connections[0].settimeout(0.05)
            try:
                bodies.append(taker.take()[2])
                break
            except TimeoutError:
                turn(one, 0)
    assert bodies == [big] * 16 + [b"last"]


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_over_ipv6(poster: Any) -> None:
    try:
        taker = Taker("::1")
    except OSError as error:
        pytest.skip(f"this machine has no ::1 ({error.strerror})")
    one = poster(host="::1", port=taker.port)
    try:
        one.post([(0, 1, b"1")])
        taker.accept()
        settle(one, lambda: not one.descriptors()[1])
        assert taker.take()[1]["Host"] == f"[::1]:{taker.port}"
    finally:
        taker.close()


def test_a_descriptor_of_somebody_else_is_not_ours(poster: Any) -> None:
    assert not poster().ready(0)


def test_waiting_before_the_next_attempt(monkeypatch: pytest.MonkeyPatch, poster: Any) -> None:
    before = Taker()
    port = before.port
    before.close()
    one = poster(port=port)
    monkeypatch.setattr(post, "AGAIN_S", 3600.0)
    one.post([(0, 1, b"1")])
    turn(one, 0)
    assert one.descriptors() == ([], [])  # lost, and not tried again before its time
    one.post([(0, 2, b"2")])
    assert one.descriptors() == ([], [])
    assert one.counts() == PostCounts(unanswered=2)


def test_settling_waits_for_answers_and_no_longer_than_it_may(taker: Taker, poster: Any) -> None:
    one = poster(wrap=False)
    one.settle(3600)  # there is nothing to wait for
    one.post([(0, 1, b"m1")])
    taker.accept()
    one.settle(0.01)
    assert one.counts() == PostCounts(unanswered=1)
    assert taker.take()[2] == b"m1"
    taker.connections[0].sendall(OK)
    one.settle(PATIENCE_S)
    assert one.counts() == PostCounts(posted=1)


def test_an_answer_that_is_too_long_is_a_refusal_and_is_not_asked_for_again(taker: Taker, poster: Any) -> None:
    one = poster(wrap=False)
    one.post([(0, 1, b"m1"), (0, 2, b"m2")])
    taker.accept()
    assert taker.take()[2] == b"m1"
    taker.connections[0].sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    endless = b"data: 1\n\n" * 5000
    taker.connections[0].settimeout(0.01)

    def refused() -> bool:
        with contextlib.suppress(OSError):
            taker.connections[0].sendall(endless)
        return one.counts().refused == 1

    settle(one, refused)
    settle(one, lambda: any(line.socket is not None for line in one._lines))
    taker.accept()
    settle(one, lambda: not one.descriptors()[1])
    assert taker.take()[2] == b"m2"
    taker.connections[1].sendall(OK)
    settle(one, lambda: not one.waiting)
    assert one.counts() == PostCounts(posted=1, refused=1, reconnected=1)


@pytest.mark.parametrize("more", [b"", b"."])
def test_an_answer_that_takes_too_long_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, taker: Taker, poster: Any, more: bytes
) -> None:
    monkeypatch.setattr(post, "ANSWER_S", 0.001)
    one = poster(wrap=False)
    one.post([(0, 1, b"m1")])
    taker.accept()
    taker.take()
    taker.connections[0].sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")

    def refused() -> bool:
        with contextlib.suppress(OSError):
            taker.connections[0].sendall(more)
        return one.counts().refused == 1

    settle(one, refused)
    assert one.counts() == PostCounts(refused=1)
    assert not one.waiting
