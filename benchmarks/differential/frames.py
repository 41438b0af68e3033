"""WebSocket streams through our codec and through websockets' Sans-I/O protocol.

Our codec gives what is unusual to that protocol, a frame at a time; this shows that splitting, the way in place and the
judging of headers change nothing. Differences that are meant have a name in `EXPLAINED`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from benchmarks.differential.counts import Counts
from benchmarks.fuzz.harness import drive, splits
from benchmarks.fuzz.targets import unmasked
from benchmarks.fuzz.wires import KEY, UPGRADE
from rtbench.transports import Closed, Heartbeat, Message
from rtbench.transports.envelope import reader
from rtbench.transports.websocket import FrameError, FrameSplitter, WebSocketClient

LIMIT = 65536
EXPLAINED = {
    "payload length not in its shortest form": "RFC 6455 §5.2 demands the shortest form; websockets takes any",
    "message is not UTF-8": "websockets leaves UTF-8 to the layer above its protocol",
}
"""Beginnings of our faults, and why websockets differs."""
SHORTEST = EXPLAINED["payload length not in its shortest form"]
TWO_FAULTS = "a header with two faults: we name reserved bits or the form first, websockets the length"
BY_ITS_HEADER = "we refuse a frame when its header is there, websockets when it is whole"


def ours(pieces: list[bytes]) -> tuple[list[object], str, list[tuple[int, bytes]]]:
    """Events, fault and frames sent."""
    client = WebSocketClient("h", "/x", LIMIT, read=reader("none"))
    client._protocol.key = KEY
    client.open()
    client.feed(UPGRADE)
    events, fault, _ = drive(client, pieces)
    shown: list[object] = []
    for event in events:
        if isinstance(event, Message):
            shown.append(event.payload)
        elif isinstance(event, Heartbeat):
            shown.append("ping")
        else:
            assert isinstance(event, Closed)
            shown.append((event.code, event.reason))
    return shown, fault.partition(": ")[2], _codes(client.to_send())


class Reference:
    """A `ClientProtocol` behind its handshake, with messages put together."""

    def __init__(self) -> None:
        self._protocol = ClientProtocol(parse_uri("ws://h/x"), max_size=LIMIT)
        self._protocol.key = KEY
        self._protocol.send_request(self._protocol.connect())
        self._protocol.data_to_send()
        self._protocol.receive_data(UPGRADE)
        self._protocol.events_received()
        self.events: list[object] = []
        self.sent: list[tuple[int, bytes]] = []
        self._fragments = b""

    def feed(self, data: bytes) -> None:
        """Take the whole stream."""
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.PING:
                self.events.append("ping")
            elif frame.opcode is Opcode.CLOSE:
                close = self._protocol.close_rcvd
                assert close is not None
                self.events.append((close.code, close.reason))
            elif frame.opcode is not Opcode.PONG:
                self._fragments += frame.data
                if frame.fin:
                    self.events.append(self._fragments)
                    self._fragments = b""
        self.sent += _codes(b"".join(self._protocol.data_to_send()))

    @property
    def fault(self) -> str:
        """The reason for which it failed the connection."""
        return str(self._protocol.parser_exc or "")


_1002, _1009 = [(0x88, b"\x03\xea")], [(0x88, b"\x03\xf1")]


def _long_form(data: bytes) -> bool:
    """Whether the frame that we refuse has its length in the form for 126 bytes and more."""
    try:
        FrameSplitter(LIMIT).feed(data)
    except FrameError as error:
        at = sum(map(len, error.events))
        return data[at + 1] & 0x7F >= 126
    return False


def _codes(data: bytes) -> list[tuple[int, bytes]]:
    """Frames sent; of a close frame only its code, for the texts of reasons differ."""
    return [(first, payload[:2] if first == 0x88 else payload) for first, payload in unmasked(data)]


def compare(number: int, data: bytes, counts: Counts) -> None:
    """Add one stream to the counts."""
    pieces = next(islice(chain([[data]], splits(data)), number % 3, None))
    events, fault, sent = ours(pieces)
    other = Reference()
    other.feed(data)
    counts.streams += 1
    counts.events += len(events)
    if (events, bool(fault), sent) == (other.events, bool(other.fault), other.sent):
        return
    reason = next((why for known, why in EXPLAINED.items() if fault.startswith(known)), "")
    if fault.startswith("control frame") and _long_form(data):
        reason = SHORTEST
    if (
        not reason
        and fault
        and other.fault
        and (sent[:-1], sent[-1:], other.sent[-1:]) == (other.sent[:-1], _1002, _1009)
    ):
        reason = TWO_FAULTS
    if not reason and fault and not other.fault and events == other.events:
        other.feed(bytes(LIMIT))  # the rest of the frame that we refused by its header
        if other.fault and events == other.events and sent == other.sent:
            reason = BY_ITS_HEADER
    if reason and events == other.events[: len(events)]:
        counts.explain(reason)
    else:
        theirs = (other.events, other.fault, other.sent)
        counts.unexplained.append((number, f"{data.hex()}: ours {(events, fault, sent)!r}, websockets {theirs!r}"))


def run(streams: Iterable[tuple[int, bytes]]) -> Counts:
    """Compare numbered streams."""
    counts = Counts()
    for number, data in streams:
        compare(number, data, counts)
    return counts
