"""Polling by conditional GET: the validators of an answer are the cursor of the next request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtbench.transports import Asked, Closed, Control, Message, ProtocolError
from rtbench.transports.conditional import CODECS, ConditionalClient, codec

CONVERSATIONS = json.loads((Path(__file__).parents[1] / "vectors" / "conditional.json").read_text())["conversations"]

FIRST = b"GET /subscribe/fanout/0 HTTP/1.1\r\nHost: here\r\nAccept: text/json\r\n\r\n"


def answer(body: bytes, tag: str = "1", status: str = "200 OK", close: bool = False) -> bytes:
    """As Nchan answers."""
    head = f"HTTP/1.1 {status}\r\nLast-Modified: Tue, 24 Nov 2026 10:00:00 GMT\r\nEtag: {tag}\r\n"
    head += "Connection: close\r\n" if close else ""
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=[one["name"] for one in CONVERSATIONS])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_conversations(conversation: dict[str, Any], size: int) -> None:
    asked = Asked("here", "/subscribe/fanout/0", headers={"Accept": "text/json"}, carries_id="payload")
    client = CODECS[conversation["codec"]](asked)
    assert client.request() == FIRST
    for turn in conversation["turns"]:
        data = turn["answer"].encode("latin-1")
        (found,) = [one for at in range(0, len(data), size) for one in client.feed(data[at : at + size])]
        assert [[one.id, one.payload.decode()] for one in found.messages] == turn["messages"]
        assert (found.status, found.next, found.more) == (turn["status"], turn["next"], turn["more"])
        assert (found.received_bytes, found.end, found.controls) == (len(data), False, ())
        assert client.request() == FIRST[:-2] + turn["validators"].encode() + b"\r\n"


def test_an_interval_poll_that_is_refused_has_not_begun() -> None:
    client = CODECS["interval"](Asked("here", "/subscribe/fanout/0", headers={"Accept": "text/json"}))
    (refused,) = client.feed(answer(b"what?", status="403 Forbidden"))
    assert (refused.status, refused.messages, refused.more) == (403, (), False)
    assert client.request() == FIRST


@pytest.fixture
def client() -> ConditionalClient:
    return codec(Asked("here", "/subscribe/fanout/0", headers={"Accept": "text/json"}, carries_id="payload"))


def test_the_first_request_is_from_now(client: ConditionalClient) -> None:
    assert client.request() == FIRST
    assert client.since is None


def test_validators_go_back(client: ConditionalClient) -> None:
    data = answer(b'{"id":7,"data":{"a":1}}', tag="3")
    (found,) = client.feed(data)
    assert found.messages == (Message(7, b'{"a":1}'),)
    assert (found.status, found.next, found.end, found.received_bytes, found.keep_alive) == (
        200,
        7,
        False,
        len(data),
        True,
    )
    assert client.since == 7
    assert client.request() == FIRST[:-2] + (
        b"If-Modified-Since: Tue, 24 Nov 2026 10:00:00 GMT\r\nIf-None-Match: 3\r\n\r\n"
    )


@pytest.mark.parametrize("size", [1, 3, 50])
def test_answers_do_not_depend_on_how_the_bytes_were_split(client: ConditionalClient, size: int) -> None:
    data = answer(b'{"id":7,"data":1}', "1") + answer(b'{"id":8,"data":"x"}', "2")
    found = [one for at in range(0, len(data), size) for one in client.feed(data[at : at + size])]
    assert [one.messages for one in found] == [(Message(7, b"1"),), (Message(8, b"x"),)]
    assert b"If-None-Match: 2\r\n" in client.request()


@pytest.mark.parametrize("status", ["304 Not Modified", "408 Request Timeout"])
def test_nothing_came(client: ConditionalClient, status: str) -> None:
    client.feed(answer(b'{"id":7,"data":1}', "3"))
    before = client.request()
    data = b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status.encode()
    (found,) = client.feed(data)
    assert (found.status, found.messages, found.next) == (304, (), 7)
    assert client.request() == before


def test_a_notice_is_not_a_message(client: ConditionalClient) -> None:
    (found,) = client.feed(answer(b'{"control":"end","last":7}'))
    assert (found.messages, found.controls) == ((), (Control("end", {"last": 7}),))


def test_another_status_is_passed_on(client: ConditionalClient) -> None:
    (found,) = client.feed(answer(b"what?", status="403 Forbidden", close=True))
    assert (found.status, found.messages, found.keep_alive) == (403, (), False)


@pytest.mark.parametrize("body", [b"what?", b'{"id":7,"data":1}\nwhat?\n', b"\n"])
def test_a_body_that_is_not_an_envelope(client: ConditionalClient, body: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed envelope"):
        client.feed(answer(body))


def test_the_end_of_the_connection(client: ConditionalClient) -> None:
    assert client.eof() == [Closed(True, reason="connection closed between responses")]
    assert client.eof() == []


def test_the_end_within_an_answer_and_a_new_connection(client: ConditionalClient) -> None:
    client.feed(answer(b'{"id":7,"data":1}', "3"))
    client.feed(answer(b'{"id":8,"data":1}', "4")[:-3])
    (closed,) = client.eof()
    assert isinstance(closed, Closed)
    assert not closed.clean
    assert b"If-None-Match: 3\r\n" in client.request()  # message 8 is asked for again
    client.reconnected()
    (found,) = client.feed(answer(b'{"id":8,"data":1}', "4"))
    assert found.messages == (Message(8, b"1"),)


def test_an_answer_that_lasts_as_long_as_its_connection(client: ConditionalClient) -> None:
    client.feed(b'HTTP/1.1 200 OK\r\nEtag: 1\r\n\r\n{"id":7,"data":1}')
    found, closed = client.eof()
    assert getattr(found, "messages", None) == (Message(7, b"1"),)
    assert isinstance(closed, Closed)
    assert closed.clean


def test_glance_is_always_none(client: ConditionalClient) -> None:
    assert client.glance(answer(b'{"id":7,"data":1}')) is None
