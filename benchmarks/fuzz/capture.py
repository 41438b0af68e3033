"""The recorder's decoding of a capture buffer, as a target.

Invariant: rows, controls and faults do not depend on the reads, and a codec that only decodes keeps no replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from benchmarks.fuzz.harness import Finding, Outcome
from benchmarks.fuzz.wires import FRAMES, KEY, STREAM_HEAD, UPGRADE, asked, text
from rtbench.loadtests.reactor.capture import NO_STAMP, CaptureBuffer
from rtbench.loadtests.reactor.links import PollLink
from rtbench.loadtests.recorder import Recorder
from rtbench.transports.conditional import CODECS
from rtbench.transports.poll import PollClient
from rtbench.transports.sse import codec as sse_codec
from rtbench.transports.tcp import codec as tcp_codec
from rtbench.transports.websocket import WebSocketClient
from rtbench.transports.websocket import codec as websocket_codec

_CAPTURE = CaptureBuffer(0)
_TRANSPORTS = ("sse", "websocket", "poll", "conditional", "tcp")


def _made(kind: str, mode: int) -> Any:
    one = asked(mode >> 3)
    if kind == "websocket":
        client = websocket_codec(one)
        client._protocol.key = KEY
        client.open()
        return client
    makers: dict[str, Any] = {"sse": sse_codec, "conditional": CODECS["conditional"], "tcp": tcp_codec}
    return makers[kind](one) if kind != "poll" else PollClient("h", "/x", 5)


def decode(mode: int, pieces: Sequence[bytes]) -> Outcome:
    kind = _TRANSPORTS[mode % 8 % len(_TRANSPORTS)]
    heads = {"sse": STREAM_HEAD, "websocket": UPGRADE, "tcp": b"ok\n"}
    reactor: Any = SimpleNamespace(capture=_CAPTURE, links=[], on_full=None)
    recorder = Recorder(reactor)
    subscriber: Any = SimpleNamespace(
        index=0,
        connections=0,
        cursor=None,
        channel=SimpleNamespace(number=0),
        load=SimpleNamespace(due_path=["due"]),
        on_message=None,
        make=lambda _: _made(kind, mode),
    )
    if kind in ("poll", "conditional"):
        link: Any = PollLink(reactor, subscriber, asked(mode))
        link.rows.extend(recorder.request(0, 0, 0, 0, 200, 0) for _ in range(2))
    else:
        link = SimpleNamespace(
            codec=_made(kind, mode),
            subscriber=subscriber,
            connection=0,
            last_stamp_ns=0,
            last_row=-1,
            first_message_ns=-1,
            secured_ns=-1,
        )
    reactor.links.append(link)
    _CAPTURE.clear()
    for piece in (heads.get(kind, b""), *pieces):
        if piece:
            at = _CAPTURE.at
            _CAPTURE.view[at : at + len(piece)] = piece
            _CAPTURE.reads.extend((0, 1, len(piece)))
            _CAPTURE.stamps += NO_STAMP
            _CAPTURE.at = at + len(piece)
    while not recorder.decode(3):
        pass
    if _owed(link.codec):
        raise Finding("replies pile up in a codec that only decodes")
    rows = recorder.deliveries.columns()
    seen = {name: rows[name].tolist() for name in ("channel", "seq", "payload_bytes", "digest")}
    return seen, recorder.requests.columns()["messages"].tolist(), recorder.controls, recorder.faults[:1], recorder.due


def _owed(codec: Any) -> int:
    """Pongs that nothing will send. (A close frame is one at most.)"""
    return sum(frame[0] & 0x0F == 0x0A for frame in codec._protocol.writes) if isinstance(codec, WebSocketClient) else 0


def seeds() -> list[bytes]:
    due = b'{"id":1,"data":{"due":1e999}}'
    body = b'{"messages":[{"id":1,"data":{}}],"next":1,"gap":null,"end":false}'
    return [
        b"".join(FRAMES[:5]),
        b"10\r\nid: 1\ndata: {}\n\n\r\n",
        text(due),
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
    ]
