"""The subscribers that also send (the scenario's [chat]): their messages, timetable and outcomes.

Invariant: messages follow an absolute, phase-spread timetable (R1), from warm-up to the window's end. A slot without a
connection is recorded as not sent, never sent later. A WebSocket sends on its own connection. The other transports POST
to `/send/STREAM` on a kept-alive connection of the sender's own, and do not wait for the last answer before the next
request (interface.md, Wire). Made by the load when the window is known.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rtbench.loadtests.reactor.links import Link, WebSocketLink
from rtbench.loadtests.subscriber import among, phase_ns
from rtbench.messages.load import ChatSettings
from rtbench.streams import Pace, Source
from rtbench.streams.chat import utterance
from rtbench.transports import ProtocolError
from rtbench.transports.http import Complete, Head, Part, ResponseParser, request_head

if TYPE_CHECKING:
    from rtbench.loadtests.subscriber import Subscriber

APART = -1
"""The number of the connection on which a subscriber sends, apart from those on which it listens."""


def sends(chat: ChatSettings, subscriber: int) -> bool:
    """Whether this subscriber is a sender: senders are spread evenly over all subscribers."""
    return among(subscriber, chat.senders, chat.subscribers)


class _Silent:
    """The codec of a connection without incoming messages."""

    def feed(self, data: bytes) -> tuple[()]:
        return ()


class PostLink(Link):
    """One kept-alive connection for POSTs; answers come in order (RFC 9112 §9.3.2)."""

    def __init__(self, subscriber: Subscriber, answered: Callable[[int, int, int], None]) -> None:
        super().__init__(subscriber.load.reactor, subscriber)
        self.connection = APART
        self.accepted = True  # it may send without waiting for an answer
        self.codec = _Silent()
        self.look = self._watch
        self._parser = ResponseParser()
        self._answered = answered
        self._rows: deque[int] = deque()
        self._early = b""
        self._status = 0

    def post(self, data: bytes, row: int) -> None:
        """Send a request; its answer goes into the message's row."""
        self._rows.append(row)
        if self.connected_ns < 0:
            self._early += data
        else:
            self.send(data)

    def request(self) -> bytes:
        return self._early

    def noticed(self) -> None:
        """Do not report the end to the subscriber: the next message opens a new connection."""

    def _watch(self, start: int, end: int, now_ns: int) -> None:
        if self.response_ns < 0:
            self.response_ns = now_ns
        fault = ""
        try:
            parts: Sequence[Part] = self._parser.feed(bytes(self.reactor.capture.view[start:end]))
        except ProtocolError as error:
            parts, fault = error.events, str(error)
        for part in parts:
            if isinstance(part, Head):
                self._status = part.status
            elif isinstance(part, Complete) and self._rows:
                self._answered(self._rows.popleft(), now_ns, self._status)
        if fault:
            self.over(f"error ({fault})")


class Sender:
    """One subscriber's messages."""

    def __init__(self, subscriber: Subscriber, chat: ChatSettings) -> None:
        self._subscriber = subscriber
        self._period_ns = int(1e9 / chat.rate_hz)
        self._phase_ns = phase_ns(subscriber.index, self._period_ns)
        self._start_ns = self._end_ns = 0
        channel = subscriber.channel
        self._source = Source(chat.seed, chat.epoch_s, channel.index, channel.index + 1, Pace(), channel.stream)
        self._path = f"/send/{channel.query}"
        self._link: PostLink | None = None

    def begin(self, start_ns: int, end_ns: int) -> None:
        """Send from now until the window's end; slots are counted from the window's start, `start_ns`.

        Every slot of the window is sent, however late `begin` is called.
        """
        self._start_ns, self._end_ns = start_ns, end_ns
        first = -((start_ns + self._phase_ns - time.monotonic_ns()) // self._period_ns)
        self._at(min(first, 0))

    def _at(self, number: int) -> None:
        planned_ns = self._start_ns + self._phase_ns + number * self._period_ns
        if planned_ns < self._end_ns:
            self._subscriber.load.reactor.at(planned_ns, self._speak, number, planned_ns)

    def _speak(self, number: int, planned_ns: int) -> None:
        subscriber = self._subscriber
        payload = utterance(self._source, subscriber.index, number, planned_ns - self._start_ns)
        link = subscriber.link
        now_ns = time.monotonic_ns()
        if subscriber.transport == "websocket":
            ready = isinstance(link, WebSocketLink) and link.accepted and link.closed_ns < 0
            self._note(planned_ns, now_ns if ready else -1, payload)
            if ready:
                assert isinstance(link, WebSocketLink)
                link.send_text(payload.decode())
        else:
            row = self._note(planned_ns, now_ns, payload)
            self._post(payload, row)
        self._at(number + 1)

    def _note(self, planned_ns: int, now_ns: int, payload: bytes) -> int:
        recorder = self._subscriber.load.recorder
        return recorder.record_send(self._subscriber.index, planned_ns, now_ns, len(payload), zlib.crc32(payload))

    def _post(self, payload: bytes, row: int) -> None:
        load = self._subscriber.load
        target = load.target
        assert target is not None
        headers = {**load.settings.headers, "Content-Type": "application/json", "Content-Length": str(len(payload))}
        data = request_head("POST", self._path, target.host, headers) + payload
        if self._link is None or self._link.closed_ns >= 0:
            self._link = PostLink(self._subscriber, load.recorder.answer)
            self._link.post(data, row)
            load.reactor.connect(self._link, target.family, target.address, target.tls)
        else:
            self._link.post(data, row)
