"""WebSocket: frames, the codec behind a handshake, and the scanner that puts decoding off."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from rtbench.transports import Closed, Control, Event, Heartbeat, Message, Opened, ProtocolError
from rtbench.transports.envelope import wrap
from rtbench.transports.http import MAX_HEAD_BYTES
from rtbench.transports.websocket import ControlScanner, FrameError, FrameSplitter, WebSocketClient, plain

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "websocket.json").read_text())["frames"]


def splits(data: bytes) -> list[list[bytes]]:
    """Whole, byte by byte, and at random places."""
    chosen = [[data], [data[i : i + 1] for i in range(len(data))]]
    for seed in range(6):
        cuts = sorted(random.Random(seed).choices(range(len(data) + 1), k=seed + 1))
        chosen.append([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)])
    return chosen


def handshake(client: WebSocketClient) -> bytes:
    """What a server of `websockets`' own answers."""
    server = ServerProtocol()
    server.receive_data(client.open())
    (request,) = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    return b"".join(server.data_to_send())


def opened(**options: Any) -> WebSocketClient:
    client = WebSocketClient("h:80", "/ws/x", **options)
    (event,) = client.feed(handshake(client))
    assert isinstance(event, Opened)
    assert event.status == 101
    return client


def drive(client: WebSocketClient, pieces: list[bytes]) -> tuple[list[Event], str]:
    out: list[Event] = []
    for piece in pieces:
        try:
            out += client.feed(piece)
        except ProtocolError as error:
            return out + list(error.events), str(error)
    return out, ""


def unmask(data: bytes) -> list[str]:
    """First byte and payload of every client frame; all of them are masked and short."""
    frames = []
    while data:
        size = data[1] & 0x7F
        assert data[1] & 0x80
        key, masked = data[2:6], data[6 : 6 + size]
        payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(masked))
        frames.append(f"{data[0]:02x}:{payload.hex()}")
        data = data[6 + size :]
    return frames


def show(event: Event) -> list[object]:
    match event:
        case Opened():
            return ["opened", event.status]
        case Message():
            return ["message", event.id, event.payload.decode("latin-1")]
        case Control():
            return ["control", event.kind, dict(event.fields)]
        case Heartbeat():
            return ["heartbeat"]
        case Closed():
            return ["closed", event.clean, event.code, event.reason]


def text(data: bytes) -> bytes:
    return Frame(Opcode.TEXT, data).serialize(mask=False)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_frames(case: dict[str, Any]) -> None:
    data, trailing = bytes.fromhex(case["input"]), bytes.fromhex(case["trailing"])
    for pieces in splits(data) + splits(data + trailing):
        client = opened()
        out, fault = drive(client, pieces)
        assert [show(event) for event in out] == case["expect"]
        sent = unmask(client.to_send())
        if case["error"]:
            assert case["error"] in fault
            assert sent[:-1] == case["sent"]
            assert sent[-1].startswith("88:03")  # whatever fails says so with a close frame (§7.1.7)
            with pytest.raises(ProtocolError):
                client.feed(b"x")
            assert [type(event) for event in client.eof()] == [Closed]
        else:
            assert not fault
            assert sent == case["sent"]
            assert [show(event) for event in client.eof()] == case["eof"]
        assert client.eof() == []
        assert client.feed(b"after the end") == []


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_scanner_owes_what_the_codec_owes(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["input"]) + bytes.fromhex(case["trailing"])
    if case["error"]:
        return
    for pieces in splits(data):
        scanner = ControlScanner()
        sent = unmask(b"".join([scanner.scan(piece) for piece in pieces]))
        # The echo may leave the reason out (§5.5.1).
        assert [frame[:7] if frame.startswith("88") else frame for frame in sent] == [
            frame[:7] if frame.startswith("88") else frame for frame in case["sent"]
        ]
        closing = [event for event in case["expect"] if event[0] == "closed"]
        assert scanner.closed == bool(closing)
        assert scanner.close_code == (closing[0][2] if closing else None)


def test_handshake_in_any_split_with_frames_behind_it() -> None:
    for split in range(2, 9):
        client = WebSocketClient("h:80", "/ws/x", subprotocols=["a"], headers={"User-Agent": "rtbench", "Origin": "o"})
        assert b"User-Agent: rtbench\r\n" in client.open()
        data = handshake(client) + text(wrap(1, b"{}")) + b"\x89\x00"
        out, fault = drive(client, [data[i : i + split] for i in range(0, len(data), split)])
        assert not fault
        assert [show(event) for event in out] == [["opened", 101], ["message", 1, "{}"], ["heartbeat"]]


def test_request() -> None:
    request = WebSocketClient("h:80", "/ws/x?since=3", headers={"Host": "other"}).open()
    assert request.startswith(b"GET /ws/x?since=3 HTTP/1.1\r\n")
    assert b"\r\nHost: other\r\n" in request
    assert b"\r\nHost: h" not in request
    assert b"Extensions" not in request
    with pytest.raises(ValueError, match="cannot stand"):
        WebSocketClient("h", "/a\r\nb")


@pytest.mark.parametrize("status", [b"404 Not Found", b"503 Service Unavailable"])
def test_refused(status: bytes) -> None:
    data = b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\nA: b\r\nA: c\r\n\r\n{}"
    number = int(status[:3])
    for pieces in splits(data):
        client = WebSocketClient("h", "/ws/x")
        client.open()
        out, fault = drive(client, pieces)
        assert not fault
        assert out[0] == Opened(number, {"content-length": "2", "a": "b, c"})
        assert out[1:] == [Closed(False, reason=f"status {number}")]
        assert client.eof() == []
        assert client.to_send() == b""


def test_wrong_accept() -> None:
    client = WebSocketClient("h", "/ws/x")
    data = handshake(client).replace(b"Sec-WebSocket-Accept: ", b"A: b\r\nA: c\r\nSec-WebSocket-Accept: x")
    first, second = client.feed(data)
    assert isinstance(first, Opened)
    assert first.headers["a"] == "b, c"
    assert isinstance(second, Closed)
    assert not second.clean
    assert "Sec-WebSocket-Accept" in second.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0\r\n\r\n", "malformed HTTP"),
        (b"HTTP/1.1 101 \r\nno colon\r\n\r\n", "handshake"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "interim"),
        (b"HTTP/1.1 101 X\r\nA: " + b"a" * MAX_HEAD_BYTES, "longer"),
    ],
)
def test_no_handshake(data: bytes, reason: str) -> None:
    client = WebSocketClient("h", "/ws/x")
    client.open()
    out, fault = drive(client, [data])
    assert out == []
    assert reason in fault
    (closed,) = client.eof()
    assert isinstance(closed, Closed)
    assert closed.reason == fault


def test_eof_in_the_handshake() -> None:
    client = WebSocketClient("h", "/ws/x")
    client.feed(b"HTTP/1.1 101")
    assert client.eof() == [Closed(False, 1006, "connection closed without the handshake's response")]


def test_client_closes() -> None:
    client = WebSocketClient("h", "/ws/x")
    client.close()
    data = handshake(client)
    assert client.to_send() == b""
    client.feed(data)
    client.close(1000, "bye")
    client.close()
    assert unmask(client.to_send()) == ["88:03e8" + b"bye".hex()]
    assert client.feed(text(wrap(1, b"{}"))) == [Message(1, b"{}")]
    assert client.feed(b"\x88\x02\x03\xe8") == [Closed(True, 1000, "")]
    assert client.to_send() == b""


@pytest.mark.parametrize("size", [65535, 65536, 70000])
def test_long_messages(size: int) -> None:
    payload = b"[%b]" % (b"1" * (size - len(wrap(1, b"[]", True))))
    data = text(wrap(1, payload)) + text(wrap(2, b"{}"))
    for pieces in ([data], [data[:3], data[3:9], data[9:2000], data[2000:]]):
        assert drive(opened(), pieces) == ([Message(1, payload), Message(2, b"{}")], "")


def test_limit() -> None:
    fits, more = text(wrap(1, b'"' + b"x" * 80 + b'"')), text(wrap(2, b'"' + b"x" * 81 + b'"'))
    limit = len(fits) - 2
    for pieces in splits(fits + more):
        client = opened(max_message_bytes=limit)
        out, fault = drive(client, pieces)
        assert out == [Message(1, b"x" * 80)]
        assert fault == f"frame of {limit + 1} bytes, limit {limit}"
        assert unmask(client.to_send())[-1].startswith("88:03f1")  # 1009
    client = opened(max_message_bytes=limit)
    out, fault = drive(client, [b"\x01\x5a" + b"x" * 90, b"\x80\x5a" + b"x" * 90])
    assert (out, bool(fault)) == ([], True)
    assert unmask(client.to_send())[-1].startswith("88:03f1")


def test_a_header_is_judged_before_its_payload_is_kept() -> None:
    splitter = FrameSplitter(1000)
    assert splitter.feed(b"\x81\x7e\x03") == []
    assert not splitter.idle
    with pytest.raises(FrameError, match="limit 1000") as caught:
        splitter.feed(b"\xe9")
    assert caught.value.code == 1009


def test_json_payload() -> None:
    data = text(b'{"id":1,"data":"abc"}')
    assert opened().feed(data) == [Message(1, b"abc")]
    assert opened(json_payload=True).feed(data) == [Message(1, b'"abc"')]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 1000, 65535])
def test_plain(size: int) -> None:
    frame = text(b"x" * size)
    assert plain(frame, 0, len(frame))
    assert plain(b"ab" + frame + b"c", 2, len(frame) + 2)
    assert not plain(frame + b"x", 0, len(frame) + 1)
    assert not plain(frame, 0, len(frame) - 1)
    assert not plain(b"\x01" + frame[1:], 0, len(frame))
    assert not plain(b"\x82" + frame[1:], 0, len(frame))


def test_not_plain() -> None:
    for frame in (text(b"x" * 65536), b"\x81\x7e\x00\x01x", b"\x81\x7e\x00", b"\x81\xfd" + b"x" * 129, b"\x81", b""):
        assert not plain(frame, 0, len(frame))


def test_scanner_steps_over_the_handshake() -> None:
    client = WebSocketClient("h", "/ws/x")
    data = handshake(client) + text(wrap(1, b"{}")) + b"\x89\x01p"
    for pieces in splits(data):
        scanner = ControlScanner(handshake=True)
        assert not scanner.idle
        assert unmask(b"".join([scanner.scan(piece) for piece in pieces])) == ["8a:70"]
        assert scanner.idle
        assert not scanner.closed


def test_scanner_refused_and_closed() -> None:
    scanner = ControlScanner(handshake=True)
    assert scanner.scan(b"HTTP/1.1 404 Not Found\r\n\r\n\x89\x00") == b""
    assert scanner.close_code == 1006
    assert scanner.scan(b"\x89\x00") == b""
    with pytest.raises(ProtocolError, match="longer"):
        ControlScanner(handshake=True).scan(b"x" * (MAX_HEAD_BYTES + 1))
    with pytest.raises(FrameError, match="masked"):
        ControlScanner().scan(b"\x81\x80")


def test_scanner_faults_are_for_good() -> None:
    scanner = ControlScanner()
    with pytest.raises(FrameError) as caught:
        scanner.scan(b"\x89\x01p\x83\x00")
    assert caught.value.events == (b"\x89\x01p",)
    with pytest.raises(FrameError, match="reserved opcode"):
        scanner.scan(b"\x89\x00")


FRAMES = st.one_of(
    st.integers(0, 99).map(lambda number: text(wrap(number, b'{"a":%d}' % number))),
    st.sampled_from(
        [b"\x89\x01p", b"\x8a\x00", b"\x01\x02{}", b"\x00\x00", b"\x80\x01 ", b"\x88\x02\x03\xe8", b"\x81"]
    ),
    st.text(max_size=100).map(lambda payload: text(wrap(7, payload.encode("utf-8", "replace")))),
    st.binary(min_size=1, max_size=3),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(FRAMES, min_size=1, max_size=8), st.data())
def test_splits_do_not_matter(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = drive(opened(), [stream])
    assert drive(opened(), frames) == expected
    assert drive(opened(), pieces) == expected
    assert drive(opened(), [bytes([byte]) for byte in stream]) == expected
