"""Polling: requests, responses, the cursor, and the glance that spares parsing."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbench.transports import Closed, Message, ProtocolError
from rtbench.transports.envelope import wrap
from rtbench.transports.poll import Glance, PollClient, PollResponse, glance

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "poll.json").read_text())["responses"]
EMPTY = b'{"messages":[],"next":4,"gap":null,"end":false}'


def splits(data: bytes) -> list[list[bytes]]:
    """Whole, byte by byte, and at random places."""
    chosen = [[data], [data[i : i + 1] for i in range(len(data))]]
    for seed in range(6):
        cuts = sorted(random.Random(seed).choices(range(len(data) + 1), k=seed + 1))
        chosen.append([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)])
    return chosen


def respond(body: bytes, status: bytes = b"200 OK", fields: bytes = b'ETag: "4"\r\n') -> bytes:
    return b"HTTP/1.1 %b\r\nServer: x\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


def drive(client: PollClient, pieces: list[bytes]) -> tuple[list[PollResponse], str]:
    out: list[PollResponse] = []
    for piece in pieces:
        try:
            out += client.feed(piece)
        except ProtocolError as error:
            return out + list(error.events), str(error)
    return out, ""


def show(response: PollResponse | Closed) -> object:
    if isinstance(response, Closed):
        return ["closed", response.clean, response.code, response.reason]
    return {
        "status": response.status,
        "next": response.next,
        "end": response.end,
        "messages": [[message.id, message.payload.decode("latin-1")] for message in response.messages],
        "controls": [[control.kind, dict(control.fields)] for control in response.controls],
        "received_bytes": response.received_bytes,
    }


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_responses(case: dict[str, Any]) -> None:
    data = case["input"].encode("latin-1")
    for index, pieces in enumerate(splits(data) + splits(data + b"HTTP/1.1 200")):
        client = PollClient("h", "/poll/x", since=case["start"])
        if index >= 8 and case["eof"] != [["closed", True, 0, "connection closed between responses"]]:
            return  # what comes after these is not a next response
        out, fault = drive(client, pieces)
        assert [show(response) for response in out] == case["expect"]
        if case["error"]:
            assert case["error"] in fault
            continue
        assert not fault
        assert (client.since, client.etag) == (case["since"], case["etag"])
        ending = client.eof()
        if index < 8:
            assert [show(response) for response in ending] == case["eof"]
        else:
            assert [show(response) for response in ending] == [
                ["closed", False, 0, "connection closed inside a response (head)"]
            ]
        assert client.eof() == []


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, "/poll/x"),
        ({"since": 0}, "/poll/x?since=0"),
        ({"since": 7, "timeout_s": 25.0}, "/poll/x?since=7&timeout=25"),
        ({"timeout_s": 0.5}, "/poll/x?timeout=0.5"),
        ({"path": "/poll/x?channel=3", "since": 7}, "/poll/x?channel=3&since=7"),
        ({"path": "/poll/x?channel=3", "timeout_s": 1}, "/poll/x?channel=3&timeout=1"),
    ],
)
def test_request(options: dict[str, Any], target: str) -> None:
    client = PollClient("h:1", **{"path": "/poll/x", "headers": {"A": "b"}, **options})
    assert client.request() == f"GET {target} HTTP/1.1\r\nHost: h:1\r\nA: b\r\n\r\n".encode()


def test_request_refuses() -> None:
    with pytest.raises(ValueError, match="cannot stand"):
        PollClient("h", "/a b")


def test_cursor_and_etag_go_into_the_next_request() -> None:
    client, other = PollClient("h", "/p"), PollClient("h", "/p", use_etag=False)
    for each in (client, other):
        each.feed(respond(EMPTY))
        assert each.since == 4
    assert client.request() == b'GET /p?since=4 HTTP/1.1\r\nHost: h\r\nIf-None-Match: "4"\r\n\r\n'
    assert other.request() == b"GET /p?since=4 HTTP/1.1\r\nHost: h\r\n\r\n"
    client.feed(respond(EMPTY.replace(b"4", b"5"), fields=b""))
    assert client.request() == b"GET /p?since=5 HTTP/1.1\r\nHost: h\r\n\r\n"


def test_reconnected_keeps_the_cursor() -> None:
    client = PollClient("h", "/p")
    client.feed(respond(EMPTY) + b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    assert len(client.eof()) == 1
    client.reconnected()
    (response,) = client.feed(respond(b'{"messages":[{"id":5,"data":1}],"next":5,"gap":null,"end":false}'))
    assert response.messages == (Message(5, b"1"),)
    assert response.keep_alive


def test_connection_close() -> None:
    (response,) = PollClient("h", "/p").feed(respond(EMPTY, fields=b"Connection: close\r\n"))
    assert not response.keep_alive


def test_json_payload() -> None:
    data = respond(b'{"messages":[{"id":5,"data":"abc"}],"next":5,"gap":null,"end":false}')
    assert PollClient("h", "/p").feed(data)[0].messages == (Message(5, b"abc"),)
    assert PollClient("h", "/p", json_payload=True).feed(data)[0].messages == (Message(5, b'"abc"'),)


@pytest.mark.parametrize("fields", [b"", b"Connection: keep-alive\r\n", b'ETAG:  "4" \r\nA: b\r\n', b'etag: "4"\r\n'])
def test_glance(fields: bytes) -> None:
    etag = b'"4"' if b"4" in fields else b""
    assert glance(respond(EMPTY, fields=fields)) == Glance(200, 4, etag, False)
    assert glance(respond(EMPTY.replace(b"false", b"true"), fields=fields)) == Glance(200, 4, etag, True)
    assert glance(b"HTTP/1.1 304 Not Modified\r\n" + fields + b"\r\n") == Glance(304, -1, etag, False)
    assert glance(b"HTTP/1.1 204 No Content\r\n" + fields + b"\r\n") == Glance(204, -1, etag, False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        respond(EMPTY)[:-1],
        respond(EMPTY) + b"x",
        respond(EMPTY)[:40],
        respond(EMPTY, b"404 Not Found"),
        respond(EMPTY, fields=b"Connection: close\r\n"),
        respond(EMPTY.replace(b"null", b"{}")),
        respond(EMPTY.replace(b"4", b"-4")),
        respond(EMPTY[:-1] + b',"retry":{"after_ms":1,"count":1}}'),
        respond(b'{"next":4,"gap":null,"end":false,"messages":[{"id":1,"data":{"next":2}}]}'),
        respond(b"{}"),
        respond(EMPTY).replace(b"Content-Length: ", b"Content-Length: x"),
        respond(EMPTY).replace(b"Content-Length", b"Length"),
        b"HTTP/1.1 304 Not Modified\r\n\r\nx",
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_not_plain_enough_to_glance(data: bytes) -> None:
    assert glance(data) is None


PAYLOADS = st.one_of(
    st.sampled_from(['],"next":9,"gap":null,"end":true}', '{"next":9,"gap":null,"end":true}', "[]", '"a"', "", "5"]),
    st.text(max_size=20),
).map(lambda text: text.encode("utf-8", "replace"))


@settings(max_examples=50, deadline=None)
@given(payloads=st.lists(PAYLOADS, max_size=4), cursor=st.integers(0, 10**18 - 1), end=st.booleans(), data=st.data())
def test_glance_agrees_with_the_parser(payloads: list[bytes], cursor: int, end: bool, data: st.DataObject) -> None:
    messages = b",".join(wrap(number, payload) for number, payload in enumerate(payloads))
    tail = b"true" if end else b"false"
    body = b'{"messages":[%b],"next":%d,"gap":null,"end":%b}' % (messages, cursor, tail)
    stream = respond(body)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    (response,), fault = drive(
        PollClient("h", "/p"), [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    )
    assert not fault
    assert glance(stream) == Glance(200, cursor, b'"4"', end)
    assert (response.next, response.end, response.received_bytes) == (cursor, end, len(stream))
    assert [message.id for message in response.messages] == list(range(len(payloads)))
    assert all(glance(stream[:cut]) is None for cut in cuts if cut < len(stream))
