"""Compressed bodies and messages: any split gives the same text, and no peer decides how much memory that takes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest

from rtbench.transports import Asked, Closed, Message, ProtocolError, TooLarge
from rtbench.transports.coding import CODINGS, MOST_BYTES, Decoder, decoder
from rtbench.transports.poll import PollClient
from rtbench.transports.sse import SSEClient
from rtbench.transports.websocket import ControlScanner, FrameError, WebSocketClient, codec, plain

zstandard = pytest.importorskip("zstandard", reason="zstandard is missing: make setup")

PACK: dict[str, Callable[[bytes], bytes]] = {
    "deflate": zlib.compress,
    "gzip": gzip.compress,
    "zstd": lambda text: zstandard.ZstdCompressor().compress(text),
}
TEXT = b"".join(b"id: %d\ndata: number %d\n\n" % (n, n) for n in range(1, 40))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("step", [1, 7, 63, 64, 65, 10_000])
def test_any_split_gives_the_same_text(coding: str, step: int) -> None:
    data = PACK[coding](TEXT)
    one = Decoder(coding)
    assert b"".join(one.feed(data[at : at + step]) for at in range(0, len(data), step)) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("step", [1, 50, 10_000])
def test_members_come_one_after_another(coding: str, step: int) -> None:
    data = PACK[coding](b"one") + PACK[coding](b"two") + PACK[coding](b"x" * 100_000)
    one = Decoder(coding)
    found = b"".join(one.feed(data[at : at + step]) for at in range(0, len(data), step))
    assert found == b"onetwo" + b"x" * 100_000


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_too_large(coding: str) -> None:
    with pytest.raises(TooLarge):
        Decoder(coding).feed(PACK[coding](b"\0" * (MOST_BYTES + 1)))


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_not_that_coding_breaks_the_protocol(coding: str) -> None:
    with pytest.raises(ProtocolError, match=f"malformed {coding} body"):
        Decoder(coding).feed(b"data: 1\n\n" * 20)


def test_which_coding_a_response_has() -> None:
    assert decoder({}) is decoder({"content-encoding": "identity"}) is None
    assert decoder({"content-encoding": " X-GZIP "}) is not None
    with pytest.raises(ProtocolError, match="content coding 'br'"):
        decoder({"content-encoding": "br"})


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Encoding: %b\r\n%b\r\n"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("step", [1, 33, 10_000])
def test_an_event_stream_is_read_through_its_coding(coding: str, step: int) -> None:
    packed = PACK[coding](TEXT)
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (packed[:40], packed[40:])) + b"0\r\n\r\n"
    data = HEAD % (b"text/event-stream", coding.encode(), b"Transfer-Encoding: chunked\r\n") + body
    client = SSEClient("h", "/x")
    events = [event for at in range(0, len(data), step) for event in client.feed(data[at : at + step])]
    assert [event for event in events if isinstance(event, Message)] == [
        Message(n, b"number %d" % n) for n in range(1, 40)
    ]
    assert isinstance(events[-1], Closed) and events[-1].clean


@pytest.mark.parametrize("coding", CODINGS)
def test_a_poll_is_read_through_its_coding(coding: str) -> None:
    body = PACK[coding](b'{"messages":[{"id":1,"data":{"a":1}}],"next":1,"gap":null,"end":false}')
    data = HEAD % (b"application/json", coding.encode(), b"Content-Length: %d\r\n" % len(body)) + body
    client = PollClient("h", "/x", 0)
    assert client.glance(data) is None
    (found,) = client.feed(data)
    assert found.messages == (Message(1, b'{"a":1}'),) and found.received_bytes == len(data)


def test_what_a_client_offers() -> None:
    asked = Asked("h", "/x", compression="gzip", headers={"A": "b"})
    assert asked.fields == {"A": "b", "Accept-Encoding": "gzip"}
    assert Asked("h", "/x").fields == {}
    offer = codec(Asked("h", "/x", compression="deflate")).open()
    assert b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" in offer
    assert b"Extensions" not in codec(Asked("h", "/x", compression="gzip")).open()


def deflated(press: zlib._Compress, text: bytes, first: int = 0xC1) -> bytes:
    data = (press.compress(text) + press.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return bytes((first, len(data))) + data


def opened(extension: str) -> WebSocketClient:
    """A client whose server answered its offer with `extension`."""
    from websockets.utils import accept_key

    client = codec(Asked("h:80", "/ws/x", compression="deflate"))
    key = next(line for line in client.open().decode().split("\r\n") if line.startswith("Sec-WebSocket-Key"))[19:]
    client.feed(
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key)}\r\n{extension}\r\n"
        ).encode()
    )
    return client


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
TEXTS = [b'{"id":%d,"data":{"n":%d,"same":"words again and again"}}' % (n, n) for n in range(1, 6)]
MESSAGES = [Message(n, b'{"n":%d,"same":"words again and again"}' % n) for n in range(1, 6)]


@pytest.mark.parametrize("step", [1, 20, 10_000])
def test_messages_that_refer_to_those_before_them(step: int) -> None:
    press = zlib.compressobj(wbits=-15)
    data = b"".join(deflated(press, text) for text in TEXTS)
    client = opened(DEFLATE)
    assert [m for at in range(0, len(data), step) for m in client.feed(data[at : at + step])] == MESSAGES


@pytest.mark.parametrize("parameter", ["", "; server_no_context_takeover"])
def test_messages_of_their_own_beside_uncompressed_ones(parameter: str) -> None:
    client = opened(f"Sec-WebSocket-Extensions: permessage-deflate{parameter}\r\n")
    data = b"".join(deflated(zlib.compressobj(wbits=-15), text) for text in TEXTS[:3])
    data += bytes((0x81, len(TEXTS[3]))) + TEXTS[3] + deflated(zlib.compressobj(wbits=-15), TEXTS[4])
    assert client.feed(data) == MESSAGES


def test_a_compressed_message_in_fragments() -> None:
    press = zlib.compressobj(wbits=-15)
    whole = (press.compress(TEXTS[0]) + press.flush(zlib.Z_SYNC_FLUSH))[:-4]
    data = bytes((0x41, 10)) + whole[:10] + b"\x89\x00" + bytes((0x80, len(whole) - 10)) + whole[10:]
    found = opened(DEFLATE).feed(data + deflated(press, TEXTS[1]))
    assert [event for event in found if isinstance(event, Message)] == MESSAGES[:2]


def test_a_compressed_message_that_was_not_agreed_on_breaks_the_protocol() -> None:
    frame = deflated(zlib.compressobj(wbits=-15), TEXTS[0])
    with pytest.raises(FrameError, match="reserved bits"):
        opened("").feed(frame)
    with pytest.raises(FrameError, match="reserved bits"):
        opened(DEFLATE).feed(b"\xc9\x00")  # a compressed ping
    with pytest.raises(ProtocolError, match="malformed deflate message"):
        opened(DEFLATE).feed(b"\xc1\x03\xff\xff\xff")
    assert plain(frame, 0, len(frame))
    assert ControlScanner(deflate=True).scan(frame[:5]) == b""
    with pytest.raises(FrameError, match="reserved bits"):
        ControlScanner().scan(frame)


def test_a_message_that_grows_too_large() -> None:
    press = zlib.compressobj(wbits=-15)
    data = (press.compress(b"0" * (17 * 2**20)) + press.flush(zlib.Z_SYNC_FLUSH))[:-4]
    with pytest.raises(TooLarge, match="message of more than"):
        opened(DEFLATE).feed(bytes((0xC1, 126)) + len(data).to_bytes(2, "big") + data)
