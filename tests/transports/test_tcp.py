"""Messages over plain TCP, a line each: the same events however the bytes are split, and ends that are told apart."""

from __future__ import annotations

from typing import Any

import pytest

from rtbench.transports import Asked, Closed, Control, Heartbeat, Message, Opened, ProtocolError, tcp

CONVERSATION = b'ok\n{"id":1,"data":{"a":1}}\n\n{"id":2,"data":"text"}\n{"control":"end","last":2}\n'
EVENTS = [
    Opened(200, {}),
    Message(1, b'{"a":1}'),
    Heartbeat(),
    Message(2, b"text"),
    Control("end", {"last": 2}),
]


def client(**asked: Any) -> tcp.LineClient:
    return tcp.codec(Asked("unused", "/fanout?channel=1", **asked))


def test_the_request_is_a_line() -> None:
    assert client().open() == b"/fanout?channel=1\n"
    assert client(cursor=7).open() == b"/fanout?channel=1&since=7\n"
    assert client().to_send() == b""


@pytest.mark.parametrize("size", [1, 2, 7, len(CONVERSATION)])
def test_events_do_not_depend_on_how_the_bytes_were_split(size: int) -> None:
    one = client()
    events = [event for at in range(0, len(CONVERSATION), size) for event in one.feed(CONVERSATION[at : at + size])]
    assert events == EVENTS
    assert one.eof() == [Closed(True, reason="end of the connection")]
    assert one.eof() == []


def test_how_the_payload_is_read_is_the_subjects_to_say() -> None:
    assert client(carries_id="none").feed(b"ok\nanything\n")[1] == Message(-1, b"anything")
    assert client(carries_id="json:n").feed(b'ok\n{"n":5}\n')[1] == Message(5, b'{"n":5}')
    assert client(json_payload=True).feed(b'ok\n{"id":1,"data":"x"}\n')[1] == Message(1, b'"x"')


def test_a_refusal_has_a_text_and_closes() -> None:
    one = client()
    assert one.feed(b"error unknown stream\nmore\n") == [
        Opened(400, {}),
        Closed(False, reason="error unknown stream"),
    ]
    assert one.feed(b'{"id":1,"data":1}\n') == []
    assert one.eof() == []


def test_a_connection_that_closes_too_early() -> None:
    assert client().eof() == [Closed(False, reason="connection closed before the answer")]
    one = client()
    one.feed(b'ok\n{"id":1,')
    assert one.eof() == [Closed(False, reason="connection closed inside a line")]


def test_a_line_that_is_not_a_message_keeps_what_came_before_it() -> None:
    one = client()
    with pytest.raises(ProtocolError, match="malformed envelope") as caught:
        one.feed(b'ok\n{"id":1,"data":1}\nwhat?\n{"id":2,"data":2}\n')
    assert caught.value.events == (Opened(200, {}), Message(1, b"1"))
    assert one.feed(b'{"id":3,"data":3}\n') == []


def test_a_line_without_an_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_LINE_BYTES", 10)
    one = client()
    one.feed(b"ok\n" + b"x" * 10)
    with pytest.raises(ProtocolError, match="longer than 10 bytes"):
        one.feed(b"x")
