"""Servers with one fault each, on raw sockets: what they send is exactly what stands here."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

PACE_S = 0.05
Handler = Callable[["Link"], None]


class Over(Exception):
    """The client left, or the test is over."""


class Link:
    """One connection: its request's head and what a handler needs to answer it."""

    def __init__(self, link: socket.socket, over: Event) -> None:
        self.socket, self.over = link, over
        head = b""
        while b"\r\n\r\n" not in head:
            data = link.recv(65536)
            if not data:
                raise Over
            head += data
        lines = head.decode("latin-1").split("\r\n")
        self.path = lines[0].split(" ")[1]
        fields = [line.partition(":") for line in lines[1:]]
        self.headers = {name.strip().lower(): value.strip() for name, _, value in fields if name}

    def nodelay(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        if self.over.is_set():
            raise Over
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Over from error

    def rest(self, seconds: float) -> None:
        """A server's own pace."""
        if self.over.wait(seconds):
            raise Over

    def head(self, status: str = "200 OK", **fields: str) -> None:
        lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def stream(self, **fields: str) -> None:
        self.nodelay()
        self.head(**{**STREAM, **fields})

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def gone(self) -> None:
        """Wait until the client leaves."""
        self.socket.settimeout(0.05)
        while not self.over.is_set():
            try:
                if not self.socket.recv(65536):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


STREAM = {
    "Content_Type": "text/event-stream",
    "Cache_Control": "no-cache",
    "X_Accel_Buffering": "no",
    "Transfer_Encoding": "chunked",
}


@contextmanager
def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of a server in which `handler` answers each connection, on a thread of its own."""
    over, threads = Event(), []

    def answer(accepted: socket.socket) -> None:
        with contextlib.suppress(Over, OSError), accepted if tls is None else tls.wrap_socket(accepted, True) as link:
            handler(Link(link, over))

    def accept() -> None:
        while True:
            try:
                accepted, _ = door.accept()
            except OSError:
                return
            threads.append(Thread(target=answer, args=(accepted,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as door:
        waiter = Thread(target=accept)
        waiter.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{door.getsockname()[1]}/events"
        finally:
            over.set()
            door.shutdown(socket.SHUT_RDWR)
    for thread in (waiter, *threads):
        thread.join(30)
        assert not thread.is_alive()


class Clock:
    """Numbers that rise with time, the same for every connection of a server."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def now(self) -> int:
        return int((time.monotonic() - self.start) / PACE_S) + 1


def event(number: int, text: str = "", *, named: bool = True) -> bytes:
    data = text or json.dumps({"n": number})
    return (f"id: {number}\n" if named else "").encode() + f"data: {data}\n\n".encode()


def numbers(link: Link, clock: Clock, *, resumes: bool = True) -> Iterator[int]:
    """The numbers that this connection gets, each when it is due."""
    last = link.headers.get("last-event-id", "")
    begin = int(last) + 1 if resumes and last.isdigit() else clock.now()
    for number in itertools.count(begin):
        while clock.now() < number:
            link.rest(PACE_S / 5)
        yield number


# Event streams


def clean(link: Link, clock: Clock) -> None:
    link.stream()
    link.chunk(b": hello\n\n")
    for number in numbers(link, clock):
        link.chunk(event(number))


def buffered(link: Link, clock: Clock) -> None:
    """A buffer that is sent when it is full, wherever an event is."""
    link.stream()
    held = b""
    for number in numbers(link, clock):
        held += event(number, "x" * 50)
        while len(held) >= 1000:
            link.chunk(held[:1000])
            held = held[1000:]


def in_clumps(link: Link, clock: Clock) -> None:
    """Whole events, all of 1.2 s at once; they bear their time. Every connection gets them at once."""
    link.stream()
    held = b""
    for number in numbers(link, clock):
        held += event(number, json.dumps({"at": int(1000 * time.time())}))
        if number % 24 == 0:
            link.chunk(held)
            held = b""


def zipped(flush: int) -> Callable[[Link, Clock], None]:
    def handler(link: Link, clock: Clock) -> None:
        if "gzip" not in link.headers.get("accept-encoding", ""):
            clean(link, clock)
        link.stream(Content_Encoding="gzip")
        zipper = zlib.compressobj(wbits=31)
        for number in numbers(link, clock):
            if data := zipper.compress(event(number)) + zipper.flush(flush):
                link.chunk(data)

    return handler


def silent(link: Link, clock: Clock) -> None:
    link.stream()
    link.chunk(event(1) + event(2) + event(3))
    link.gone()


def cut(link: Link, clock: Clock) -> None:
    link.stream()
    link.chunk(event(1) + event(2) + event(3))
    link.rest(0.8)


def small_writes(link: Link, clock: Clock) -> None:
    """Nagle's algorithm is on, and an event is two writes."""
    link.head(**STREAM)
    for number in numbers(link, clock):
        if number % 4 == 0:
            data = event(number)
            link.send(b"%x\r\n" % len(data))
            link.send(data + b"\r\n")


def bare(link: Link, clock: Clock) -> None:
    """No header that a stream needs, HTTP/1.0's end, no ids."""
    link.nodelay()
    link.head(Content_Type="text/event-stream")
    for number in numbers(link, clock):
        link.send(event(number, named=False))


def with_a_length(link: Link, clock: Clock) -> None:
    link.nodelay()
    link.head(Content_Type="text/event-stream; charset=iso-8859-1", Cache_Control="no-cache", Content_Length="1000000")
    for number in numbers(link, clock):
        link.send(event(number))


def forgets(link: Link, clock: Clock) -> None:
    link.stream()
    for number in numbers(link, clock, resumes=False):
        link.chunk(event(number))


def repeats(link: Link, clock: Clock) -> None:
    link.stream()
    for number in itertools.count(1):
        while clock.now() < number:
            link.rest(PACE_S / 5)
        link.chunk(event(number))


def loses(link: Link, clock: Clock) -> None:
    link.stream()
    for number in numbers(link, clock):
        if number % 5:
            link.chunk(event(number))


def plain_text(link: Link, clock: Clock) -> None:
    link.stream(Content_Type="text/plain")
    for number in numbers(link, clock):
        link.chunk(event(number))


def unterminated(link: Link, clock: Clock) -> None:
    link.stream()
    for number in numbers(link, clock):
        link.chunk(b"data: %d\n" % number)


def strange_lines(link: Link, clock: Clock) -> None:
    link.stream()
    for number in numbers(link, clock):
        link.chunk(b'id: %d\ndata: {\n"n": %d}\n\n' % (number, number))


def storms(link: Link, clock: Clock) -> None:
    link.stream()
    link.chunk(b"retry: 10\n\n")
    for number in numbers(link, clock):
        link.chunk(event(number))


def late_head(link: Link, clock: Clock) -> None:
    link.rest(1.2)
    clean(link, clock)


def ends_and_begins_again(link: Link, clock: Clock) -> None:
    link.stream()
    for number in range(1, 6):
        link.chunk(event(number))
    link.send(b"0\r\n\r\n")


def ends_for_good(link: Link, clock: Clock) -> None:
    if link.headers.get("last-event-id") == "5":
        link.head("204 No Content")
    else:
        ends_and_begins_again(link, clock)


def cached(link: Link, clock: Clock) -> None:
    link.stream(Age="7", Via="1.1 somewhere")
    for number in numbers(link, clock):
        link.chunk(event(number))


def mute(link: Link, clock: Clock) -> None:
    link.gone()


def missing(link: Link, clock: Clock) -> None:
    link.head("404 Not Found", Content_Length="0")


def fire_hose(link: Link, clock: Clock) -> None:
    """As fast as it goes, for ever."""
    link.stream()
    for first in itertools.count(1, 1000):
        link.chunk(b"".join(event(number) for number in range(first, first + 1000)))


def one_event_for_ever(link: Link, clock: Clock) -> None:
    link.stream()
    link.chunk(b"data: ")
    while True:
        link.chunk(b"x" * 65536)


# Polls


def endless(link: Link, clock: Clock) -> None:
    link.head(Content_Type="application/json", Cache_Control="no-store", Transfer_Encoding="chunked")
    while True:
        link.chunk(b" " * 65536)


def whole(link: Link, clock: Clock) -> None:
    body = b'{"price": 1}'
    link.head(Content_Type="application/json", Content_Length=str(len(body)), ETag='"1"', Cache_Control="no-store")
    link.send(body)


# WebSocket


def upgraded(link: Link, **fields: str) -> None:
    key = link.headers.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
    link.nodelay()
    link.head(
        "101 Switching Protocols", Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Accept=accept, **fields
    )


def text(data: bytes) -> bytes:
    return bytes((0x81, len(data))) + data


def deaf(link: Link, clock: Clock) -> None:
    """Answers neither ping nor close frame, takes any origin, and compresses if asked."""
    asked = "permessage-deflate" in link.headers.get("sec-websocket-extensions", "")
    upgraded(link, **({"Sec_WebSocket_Extensions": "permessage-deflate"} if asked else {}))
    deaf_from_now(link, clock)


def greeted(link: Link, clock: Clock) -> None:
    """Says nothing until its client has."""
    upgraded(link)
    if link.socket.recv(100):
        deaf_from_now(link, clock)


def deaf_from_now(link: Link, clock: Clock) -> None:
    for number in numbers(link, clock):
        link.send(text(b'{"seq":%d}' % number))


def fails(link: Link, clock: Clock) -> None:
    upgraded(link)
    for number in range(1, 5):
        link.send(text(b'{"seq":%d}' % number))
    link.send(b"\x88\x02\x03\xf3")  # 1011


def no_upgrade(link: Link, clock: Clock) -> None:
    link.head("426 Upgrade Required", Content_Length="0")


Planted = Callable[[Link, Clock], None]


@contextmanager
def planted(handler: Planted, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of a server with that fault."""
    clock = Clock()
    with serving(lambda link: handler(link, clock), tls) as url:
        yield url
