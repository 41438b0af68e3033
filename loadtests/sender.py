"""The subscribers that send, too (the scenario's [chat]): what they send, when, and what became of it.

Invariant: what is sent follows an absolute, phase-spread timetable (R1), from warm-up to the window's end; a slot that
finds the way to the server closed is noted as not sent, never sent later. A WebSocket sends on its own connection;
the other transports have no way back and POST to `/send/STREAM` on a connection of the sender's own, kept alive, the
next one sent without waiting for the last one's answer (interface.md, Wire). Made by the load when the window is known.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtbench.loadtests.reactor.links import Link, WebSocketLink
from rtbench.loadtests.subscriber import phase_ns
from rtbench.messages.load import ChatSettings
from rtbench.streams import Pace, Source
from rtbench.streams.chat import utterance
from rtbench.transports import ProtocolError
from rtbench.transports.http import Complete, Head, ResponseParser, request_head

if TYPE_CHECKING:
    from rtbench.loadtests.subscriber import Subscriber

APART = -1
"""The number of the connection on which a subscriber sends: it is none of those on which it listens."""


def sends(chat: ChatSettings, subscriber: int) -> bool:
    """Whether this subscriber is a sender: they are spread evenly over all."""
    return (subscriber + 1) * chat.senders // chat.subscribers > subscriber * chat.senders // chat.subscribers


class _Silent:
    """The codec of a connection on which no messages come."""

    def feed(self, data: bytes) -> tuple[()]:
        return ()


class PostLink(Link):
    """One kept-alive connection for POSTs; their answers come in order (RFC 9112 §9.3.2)."""

    def __init__(self, subscriber: Subscriber, answered: Callable[[int, int, int], None]) -> None:
        super().__init__(subscriber.load.reactor, subscriber)
        self.connection = APART
        self.accepted = True  # there is no answer to wait for before one may speak
        self.codec = _Silent()
        self.look = self._watch
        self._parser = ResponseParser()
        self._answered = answered
        self._rows: deque[int] = deque()
        self._early = b""
        self._status = 0

    def post(self, data: bytes, row: int) -> None:
        """Send a request; the row of its message is told the answer."""
        self._rows.append(row)
        if self.connected_ns < 0:
            self._early += data
        else:
            self.send(data)

    def request(self) -> bytes:
        return self._early

    def noticed(self) -> None:
        """Nobody subscribes on it: the subscriber does not hear of its end, the next message makes another one."""

    def _watch(self, start: int, end: int, now_ns: int) -> None:
        if self.response_ns < 0:
            self.response_ns = now_ns
        try:
            parts = self._parser.feed(bytes(self.reactor.capture.view[start:end]))
        except ProtocolError as error:
            self.over(f"error ({error})")
            return
        for part in parts:
            if isinstance(part, Head):
                self._status = part.status
            elif isinstance(part, Complete) and self._rows:
                self._answered(self._rows.popleft(), now_ns, self._status)


class Sender:
    """One subscriber's words."""

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
        """Speak from now on until the window's end; `start_ns` is its start, from which slots are counted.

        The window's slots are all said, however late one comes to it.
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
