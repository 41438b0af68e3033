"""One subscriber: its channel, its cursor, its connections one after another, and the timetable of its polls.

Invariant: a subscriber listens to exactly one channel, subscribers are numbered from 0 over all load processes without
a gap, and a subscriber resumes with the last id that it received. Owned by a Locust user; its links belong to the
reactor.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import gevent
from gevent.event import AsyncResult

from rtbench.errors import UserError
from rtbench.loadtests.reactor.links import Link, PollLink, link_of
from rtbench.loadtests.reactor.tls import Tls
from rtbench.loadtests.reconnect_policy import wait_s
from rtbench.records.tables import FOR_GOOD
from rtbench.transports import Asked, Message
from rtbench.transports.catalogue import find, maker
from rtbench.workload import Channel

if TYPE_CHECKING:
    from rtbench.loadtests.load import Load

_GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly over [0, 1) for any count: phases for any number of pollers."""


def phase_ns(subscriber: int, period_ns: int) -> int:
    """The offset of a subscriber's slots within the period, in ns."""
    return int(subscriber * _GOLDEN % 1 * period_ns)


def among(subscriber: int, count: int, of: int) -> bool:
    """Whether this subscriber is one of `count` that are spread evenly over `of` subscribers."""
    return subscriber < of and (subscriber + 1) * count // of > subscriber * count // of


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The server's address, resolved once."""

    host: str
    family: int
    address: tuple[Any, ...]
    tls: Tls | None = None

    @classmethod
    def of(cls, url: str, tls_ca: str = "", protocol: str = "") -> Endpoint:
        """From `http://HOST:PORT` or `https://HOST:PORT`; `tls_ca` is a PEM file to trust, `protocol` what ALPN offers.

        Raises UserError for anything else and for a name that does not resolve.
        """
        no_address = UserError(f"--host {url!r} is not a server's address", "write http://HOST:PORT")
        try:
            parts = urlsplit(url)
            port = {"https": 443, "wss": 443}.get(parts.scheme, 80) if parts.port is None else parts.port
        except ValueError as error:
            raise no_address from error
        secure = parts.scheme in ("https", "wss")
        plain = parts.scheme in ("http", "ws", "tcp")
        if not (secure or plain) or not parts.hostname or not port or parts.path.strip("/"):
            raise no_address
        try:
            family, _, _, _, address = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0]
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise UserError(f"--host {url!r}: {why}", "check the server's name") from error
        return cls(parts.netloc, family, address, Tls.of(parts.hostname, tls_ca, protocol) if secure else None)


class Subscriber:
    """One client of a channel."""

    def __init__(self, load: Load, index: int, transport: str, channel: Channel, json_payload: bool | None) -> None:
        self.load = load
        self.index = index
        self.transport = transport
        self.channel = channel
        self.json_payload = json_payload
        self.cursor: int | None = None
        self.connections = 0
        self.attempts = 0
        """Failed attempts since the last successful connection."""
        self.retry_ms: int | None = None
        self.over_for_good = False
        self.link: Link | None = None
        self.session: Any = None
        """The TLS session of its last connection, which the next one resumes if the server allows it."""
        self._closed_ns = 0
        """When the last connection ended."""
        self._planned_ns = 0
        """When the next connection is to begin; 0: now."""
        self._waited_s = 0.0
        """Time from the last connection's end until its advice was decoded; part of the wait."""
        self._over: AsyncResult[Link] = AsyncResult()
        self._accepted: AsyncResult[bool] = AsyncResult()
        self.settings = load.settings
        """What is asked of the server: the load's, unless this subscriber has a path or headers of its own."""
        self.on_message: Callable[[Message], object] | None = None
        """Called with each message when it is decoded."""
        self._phase_ns = phase_ns(index, load.settings.poll_interval_ns)

    def subscribe(self, target: Endpoint, at_ns: int = 0) -> None:
        """Connect at `at_ns` (0: now), subscribe, and return when the connection is over."""
        self.begin(target, at_ns)
        self.until_over()

    def begin(self, target: Endpoint, at_ns: int = 0) -> None:
        """Connect at `at_ns` (0: now) and subscribe; return at once."""
        self._over, self._accepted = AsyncResult(), AsyncResult()
        self._planned_ns = at_ns or self._planned_ns
        if at_ns > time.monotonic_ns():
            self.load.reactor.at(at_ns, self.connect, target)
        else:
            self.connect(target)

    def accepted(self) -> bool:
        """Whether the server accepts the subscription that has begun; waits for its answer."""
        return bool(self._accepted.get())

    def until_over(self, timeout_s: float | None = None) -> None:
        """Return when the connection is over; after `timeout_s`, or when the caller is killed, close it."""
        try:
            link = self._over.get(timeout=timeout_s)
        except gevent.Timeout:
            link = self.link
        finally:
            if self.link is not None:
                self.link.over("closed by the subscriber")
        if link is not None and not self.over_for_good:
            self.load.catch_up()  # only decoding gives the codec the cursor and the retry advice
            self.learn(link)

    def learn(self, link: Link) -> None:
        """Take the retry advice of a finished connection."""
        advised_ms: int | None = getattr(link.codec, "retry_ms", None)
        self.session = getattr(link.socket, "session", None)
        self.retry_ms = self.retry_ms if advised_ms is None else advised_ms  # 0 means at once
        self._closed_ns = link.closed_ns
        self._waited_s = (time.monotonic_ns() - link.closed_ns) / 1e9

    def asked(self, target: Endpoint) -> Asked:
        """The next subscription's request."""
        settings, channel = self.settings, self.channel
        template = settings.path or find(self.transport).prefix + "/{query}"
        return Asked(
            host=target.host,
            path=template.format(
                query=channel.query,
                stream=channel.stream,
                channel=channel.index,
                subscriber=self.index - self.load.origin,
            ),
            cursor=self.cursor if self.cursor != -1 else None,  # the last message had no id
            timeout_s=settings.long_timeout_s if self.transport == "long-poll" else None,
            headers=settings.headers,
            subprotocol=settings.subprotocol,
            greeting=settings.greeting,
            carries_id=settings.carries_id,
            payload=settings.payload,
            json_payload=self.json_payload,
            compression=settings.compression,
        )

    def make(self, asked: Asked) -> Any:
        """A codec for that request."""
        return maker(self.transport, self.load.settings.codec)(asked)

    def connect(self, target: Endpoint) -> Link:
        """Connect and subscribe."""
        reactor = self.load.reactor
        link = self.link = link_of(find(self.transport))(reactor, self, self.asked(target))
        link.deaf = not self.connections and self.load.number(self) < self.load.settings.deaf
        link.session = self.session
        link.attempt_ns, self._planned_ns = self._planned_ns or time.monotonic_ns(), 0
        self.connections += 1
        if self.load.pool is not None and target.tls is not None:
            self.load.pool.connect(link, self.load.number(self), target.family, target.address, target.tls)
        else:
            reactor.connect(link, target.family, target.address, target.tls)
        return link

    # Called by the link

    def subscribed(self, link: Link) -> None:
        """The server accepted the subscription."""
        self.attempts = 0
        self.load.subscribed(link)
        self._accepted.set(True)

    def again_s(self) -> float:
        """Seconds to wait before the next connection."""
        policy = self.load.settings.reconnect_policy
        wanted_s = wait_s(policy, self.transport, self.index, self.attempts, self.retry_ms)
        self.attempts += 1
        self._planned_ns = self._closed_ns + int(wanted_s * 1e9) if self._closed_ns else 0
        return max(0.0, wanted_s - self._waited_s)

    def ended(self, link: Link) -> None:
        """The connection is over."""
        self.load.ended(link)
        refused = self.transport == "sse" and link.status not in (0, 200)  # an EventSource fails for good (9.2.3)
        self.over_for_good = link.outcome in FOR_GOOD or refused
        self.load.given_up += self.over_for_good
        if link is self.link:
            self.link = None
            self._accepted.set(link.accepted)
            self._over.set(link)

    def answered(self, link: PollLink, status: int, size: int, now_ns: int) -> int:
        """Record a poll's answer; returns the place of its row."""
        return self.load.recorder.request(self.index, link.planned_ns, link.asked_ns, now_ns, status, size)

    def schedule(self, link: PollLink, now_ns: int, more: bool = False) -> None:
        """Schedule the next poll: a long poll at once, a short one at its next slot of an absolute, phase-spread plan.

        `more`: at once in any case, for the answer may have left messages behind (`PollResponse.more`).
        Slots that passed before the answer came are skipped. That hides no coordinated omission: latency is charged
        from the plan of messages (R1), not of polls.
        """
        if more or self.transport == "long-poll":
            link.ask(now_ns)
            return
        interval_ns, base_ns = self.load.settings.poll_interval_ns, self.load.base_ns + self._phase_ns
        slot_ns = base_ns + ((now_ns - base_ns) // interval_ns + 1) * interval_ns
        self.load.reactor.at(slot_ns, link.ask, slot_ns)
