"""Each message is one frame or one chunk, because it is one write (R11)."""

from __future__ import annotations

import re

from rtbench.conformance import case
from rtbench.conformance._checks import few
from rtbench.conformance._client import Subscriber, fetch
from rtbench.conformance._target import Target
from rtbench.transports import Message, ProtocolError
from rtbench.transports.envelope import wrap
from rtbench.transports.http import END_OF_HEAD
from rtbench.transports.websocket import FrameSplitter, plain

COUNT = 20
_SIZE = re.compile(rb"([0-9A-Fa-f]+)\r\n")
_EVENT = re.compile(rb"id: [0-9]+\ndata: [^\r\n]*\n\n")


@case("framing-chunks", claims={"framing"}, transports=("sse",), quick=True)
def chunks(target: Target) -> list[str]:
    """Every message is one event in one chunk, with one `id` and one `data` line, and no BOM."""
    with Subscriber(target) as subscriber:
        found = subscriber.messages(COUNT)
        if subscriber.opened is None or "chunked" not in subscriber.opened.headers.get("transfer-encoding", ""):
            return [] if found else [f"no message came: {subscriber.why()}"]
    problems: list[str] = []
    events = 0
    body = bytes(subscriber.raw).partition(END_OF_HEAD)[2]
    at = 0
    while (size := _SIZE.match(body, at)) is not None:
        at = size.end() + int(size[1], 16) + 2
        data = body[size.end() : at - 2]
        if at > len(body):
            break
        if b"data:" in data and not data.startswith(b"event:"):
            events += 1
            if _EVENT.fullmatch(data) is None:
                problems.append(f"a chunk is not one event `id: N`, `data: PAYLOAD`, empty line: {data[:80]!r}")
    if events < len(found):
        problems.append(f"{len(found)} messages came in {events} chunks")
    return few(problems)


@case("framing-frames", claims={"framing"}, transports=("websocket",), quick=True)
def frames(target: Target) -> list[str]:
    """Every message is one unfragmented text frame of the form `{"id":N,"data":PAYLOAD}`."""
    with Subscriber(target) as subscriber:
        found = subscriber.messages(COUNT)
    if not found:
        return [f"no message came: {subscriber.why()}"]
    body = bytes(subscriber.raw).partition(END_OF_HEAD)[2]
    try:
        raw = FrameSplitter().feed(body)
    except ProtocolError as error:
        return [f"malformed frame: {error}"]
    texts = [frame for frame in raw if frame[0] & 0x0F in (0, 1, 2)]
    problems: list[str] = []
    envelopes = {wrap(m.id, m.payload, target.json_payload()): m.id for m in found if isinstance(m, Message)}
    for frame in texts[: len(found)]:
        if not plain(frame, 0, len(frame)):
            problems.append(f"a message is not one plain text frame: {frame[:60]!r}")
        elif not any(frame.endswith(text) for text in envelopes):
            problems.append(f'a frame is not {{"id":N,"data":PAYLOAD}} as it stands: {frame[:80]!r}')
    return few(problems)


@case("framing-poll", claims={"framing"}, transports=("short-poll", "long-poll"), quick=True)
def poll(target: Target) -> list[str]:
    """Every answer has its Content-Length, and the connection is kept alive."""
    answer = fetch(target, f"{target.path()}?since=0")
    if answer.status != 200:
        return [f"GET {target.path()}?since=0: wanted status 200, got {answer.shown}"]
    problems: list[str] = []
    if answer.headers.get("content-length") != str(len(answer.body)):
        problems.append(f"Content-Length is {answer.headers.get('content-length', 'missing')}, not {len(answer.body)}")
    if answer.headers.get("connection", "keep-alive").lower() == "close":
        problems.append("the server closes the connection after each poll")
    return problems
