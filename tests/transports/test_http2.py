"""HTTP/2's client beside h2's own server: what a stream gets is what HTTP/1.1 would have brought."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.settings
import hyperframe.frame
import pytest

from rtbench.transports import ProtocolError
from rtbench.transports.http import request_head
from rtbench.transports.http2 import MAX_UNSENT_BYTES, WIDEST, Http2Client, Piece, Refused
from rtbench.transports.websocket import WebSocketClient

HEAD = request_head("GET", "/sse/fanout?since=0", "host:1", {"Accept": "text/event-stream", "Connection": "keep-alive"})
PUSHED = [(":status", "200"), ("content-type", "text/event-stream")]


class Server:
    """h2's server, with the preface and the SETTINGS of both sides exchanged."""

    def __init__(self, client: Http2Client, streams: int | None = None) -> None:
        self.client = client
        self.h2: Any = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        if streams is not None:
            self.h2.local_settings = h2.settings.Settings(
                client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: streams}
            )
        self.h2.initiate_connection()
        self.exchange()

    def exchange(self) -> list[Piece]:
        """What the client makes of the server's bytes; the server gets the client's."""
        self.h2.receive_data(self.client.to_send())
        found = self.client.feed(self.h2.data_to_send())
        self.h2.receive_data(self.client.to_send())
        return found

    def respond(self, stream: int, bodies: Iterable[bytes], fields: list[tuple[str, str]] = PUSHED) -> None:
        self.h2.send_headers(stream, fields)
        for body in bodies:
            self.h2.send_data(stream, body)


def joined(pieces: Iterable[Piece]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for piece in pieces:
        found[piece.stream] = found.get(piece.stream, b"") + piece.data
    return found


def test_a_stream_is_a_chunked_response_however_it_is_split() -> None:
    want = b"HTTP/1.1 200 \r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    want += b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"
    for size in (1, 7, 10_000):
        client = Http2Client()
        server = Server(client)
        stream = client.ask(HEAD)
        server.exchange()
        server.respond(stream, [b"data: 1\n\n", b"", b"data: 2\n\n"])
        server.h2.end_stream(stream)
        data = server.h2.data_to_send()
        pieces = [piece for at in range(0, len(data), size) for piece in client.feed(data[at : at + size])]
        assert joined(pieces) == {stream: want} and pieces[-1].over == "closed"


def test_a_response_with_a_length_keeps_it() -> None:
    client = Http2Client()
    server = Server(client)
    stream = client.ask(HEAD)
    server.exchange()
    server.respond(stream, [b"{}"], [(":status", "200"), ("content-length", "2")])
    assert joined(server.exchange()) == {stream: b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\n{}"}


def test_the_request_has_the_fields_of_http2() -> None:
    client = Http2Client()
    server = Server(client)
    client.ask(HEAD)
    (event,) = [e for e in server.h2.receive_data(client.to_send()) if type(e).__name__ == "RequestReceived"]
    fields = dict(event.headers)
    assert [fields[f":{name}"] for name in ("method", "scheme", "authority", "path")] == [
        "GET", "https", "host:1", "/sse/fanout?since=0",
    ]  # fmt: skip
    assert fields["accept"] == "text/event-stream" and not {"host", "connection"} & fields.keys()


def test_streams_of_a_connection_stay_apart() -> None:
    client = Http2Client()
    server = Server(client)
    a, b = client.ask(HEAD), client.ask(HEAD)
    server.exchange()
    server.respond(a, [b"data: a\n\n"])
    server.respond(b, [b"data: b\n\n"])
    server.h2.send_data(a, b"data: c\n\n")
    found = joined(server.exchange())
    assert b"data: a" in found[a] and b"data: c" in found[a] and b"data: b" not in found[a] and b"data: b" in found[b]


def test_a_limit_of_streams_is_named() -> None:
    client = Http2Client()
    Server(client, streams=1)
    client.ask(HEAD)
    assert client.limit == 1
    with pytest.raises(Refused, match="the server allows 1 streams a connection"):
        client.ask(HEAD)


def leave(server: Server, stream: int) -> None:
    server.h2.close_connection(last_stream_id=stream)


def refuse(server: Server, stream: int) -> None:
    server.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)


def reset(server: Server, stream: int) -> None:
    server.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)


@pytest.mark.parametrize(("end", "over"), [(refuse, "refused (the server takes"), (reset, "reset (INTERNAL_ERROR)")])
def test_a_stream_that_is_reset_says_why(end: Callable[[Server, int], None], over: str) -> None:
    client = Http2Client()
    server = Server(client)
    stream = client.ask(HEAD)
    server.exchange()
    end(server, stream)
    (piece,) = server.exchange()
    assert piece.stream == stream and piece.over.startswith(over)
    client.ask(HEAD)  # the connection goes on


def test_a_connection_that_is_leaving_takes_no_more_streams() -> None:
    client = Http2Client()
    server = Server(client)
    stream = client.ask(HEAD)
    server.exchange()
    leave(server, stream)
    client.feed(server.h2.data_to_send())
    assert client.leaving
    with pytest.raises(Refused, match="the connection is ending"):
        client.ask(HEAD)


def test_after_goaway_the_streams_that_the_server_took_go_on_and_later_ones_are_over() -> None:
    """RFC 9113 §6.8. In one read and in two."""
    for apart in (False, True):
        client = Http2Client()
        server = Server(client)
        taken, late = client.ask(HEAD), client.ask(HEAD)
        server.exchange()
        server.respond(taken, [b"data: 1\n\n"])
        before = server.h2.data_to_send()
        leave(server, taken)
        goaway = server.h2.data_to_send()
        data = hyperframe.frame.DataFrame(taken, b"data: 2\n\n", flags=["END_STREAM"]).serialize()
        pieces = client.feed(before)
        pieces += [*client.feed(goaway), *client.feed(data)] if apart else client.feed(goaway + data)
        assert client.leaving and b"data: 2" in joined(pieces)[taken]
        assert {piece.stream: piece.over for piece in pieces if piece.over} == {taken: "closed", late: "closed"}


def upgrade() -> bytes:
    return WebSocketClient("host:1", "/websocket/fanout?since=0").open()


def accepting(client: Http2Client) -> Server:
    """A server that announces RFC 8441."""
    server = Server(client)
    server.h2.update_settings({h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
    server.exchange()
    return server


def test_an_upgrade_becomes_an_extended_connect_and_its_answer_an_upgrades() -> None:
    client, codec = Http2Client(), WebSocketClient("host:1", "/websocket/fanout?since=0")
    server = accepting(client)
    stream = client.ask(codec.open())
    (event,) = [e for e in server.h2.receive_data(client.to_send()) if type(e).__name__ == "RequestReceived"]
    fields = dict(event.headers)
    assert [fields[f":{name}"] for name in ("method", "protocol", "scheme", "authority", "path")] == [
        "CONNECT", "websocket", "https", "host:1", "/websocket/fanout?since=0",
    ]  # fmt: skip
    assert not {"host", "connection", "upgrade", "sec-websocket-key"} & fields.keys()
    envelope = b'{"id":1,"data":{}}'
    server.respond(stream, [b"\x81" + bytes([len(envelope)]) + envelope, b"\x89\x01!"], [(":status", "200")])
    found = joined(server.exchange())[stream]
    assert [type(event).__name__ for event in codec.feed(found)] == ["Opened", "Message", "Heartbeat"]
    client.send(stream, codec.to_send())
    assert [e.data[:2] for e in server.h2.receive_data(client.to_send()) if hasattr(e, "data")] == [b"\x8a\x81"]


def test_a_refused_upgrade_is_an_ordinary_response() -> None:
    client = Http2Client()
    server = accepting(client)
    stream = client.ask(upgrade())
    server.exchange()
    server.respond(stream, [b"no"], [(":status", "403"), ("content-length", "2")])
    assert joined(server.exchange()) == {stream: b"HTTP/1.1 403 \r\ncontent-length: 2\r\n\r\nno"}


def test_a_server_without_websocket_over_http2_is_not_asked() -> None:
    client = Http2Client()
    Server(client)
    with pytest.raises(Refused, match="the server takes no WebSocket over HTTP/2: it did not announce RFC 8441"):
        client.ask(upgrade())


def test_frames_wait_for_the_servers_window_and_only_so_many() -> None:
    client = Http2Client()
    server = accepting(client)
    stream = client.ask(upgrade())
    server.exchange()
    server.respond(stream, [], [(":status", "200")])
    server.exchange()
    sent = b"x" * 70_000  # the window has 65,535 bytes
    client.send(stream, sent)
    events = server.h2.receive_data(client.to_send())
    got = b"".join(e.data for e in events if hasattr(e, "data"))
    assert len(got) == 65_535
    server.h2.acknowledge_received_data(len(got), stream)
    client.feed(server.h2.data_to_send())
    got += b"".join(e.data for e in server.h2.receive_data(client.to_send()) if hasattr(e, "data"))
    assert got == sent
    with pytest.raises(Refused, match="the server does not read"):
        client.send(stream, b"x" * (MAX_UNSENT_BYTES + 2 * 65_535))
    client.reset(stream)
    client.send(stream, b"late")  # it is over: nothing to send, and no error


def test_a_ping_is_answered() -> None:
    client = Http2Client()
    server = Server(client)
    server.h2.ping(b"12345678")
    client.feed(server.h2.data_to_send())
    events = server.h2.receive_data(client.to_send())
    assert client.pings == 1 and [type(event).__name__ for event in events] == ["PingAckReceived"]


def test_windows_are_as_wide_as_they_can_be_and_are_opened_again() -> None:
    client = Http2Client()
    server = Server(client)
    stream = client.ask(HEAD)
    server.exchange()
    server.respond(stream, [])
    assert server.h2.local_flow_control_window(stream) == WIDEST and client.updates == 0
    narrow = Http2Client(window=100_000)
    server = Server(narrow)
    stream = narrow.ask(HEAD)
    server.exchange()
    server.respond(stream, [b"x" * 16_000] * 4)
    server.exchange()
    narrow.top_up()
    server.h2.receive_data(narrow.to_send())
    assert narrow.updates == 2 and server.h2.local_flow_control_window(stream) == 100_000


def test_what_is_no_frame_ends_the_connection() -> None:
    client = Http2Client()
    Server(client)
    with pytest.raises(ProtocolError, match="HTTP/2"):
        client.feed(b"\x00\x00\x01" + bytes(6) + b"x")  # DATA of the connection itself
    with pytest.raises(Refused):
        client.ask(HEAD)
