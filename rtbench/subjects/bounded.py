"""Reads from a foreign server, bounded in time and in size.

A socket's own timeout limits one receive, so a server that keeps sending could hold its reader for ever. Invariant:
every read here ends at its deadline (`time.monotonic`) or at its limit, whichever comes first. Called by the trial, by
the conformance cases' client, and by `subjects.url` to detect a URL's transport.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from rtbench.transports import ProtocolError
from rtbench.transports.http import END_OF_HEAD, Body, Complete, Head, ResponseParser, request_head

MOST_BYTES = 64 * 2**20
"""The limit of a whole response: half a million messages in a plan."""


class TooLong(OSError):
    """The server sent more than the limit."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response: status, fields (names in lower case) and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def receive(link: socket.socket, deadline: float, most_bytes: int = MOST_BYTES) -> Iterator[bytes]:
    """Yield the received pieces; the last one is empty: the peer has closed.

    Raises TimeoutError at the deadline, TooLong at the limit, OSError when the connection breaks.
    """
    size = 0
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        link.settimeout(left_s)
        data = link.recv(65536)
        size += len(data)
        if size > most_bytes:
            raise TooLong(f"it sent more than {most_bytes:,} bytes and did not end")
        yield data
        if not data:
            return


def response(
    link: socket.socket, deadline: float, most_bytes: int = MOST_BYTES, head_only: bool = False
) -> Response | None:
    """The response to the request that was sent; None when the peer closed without sending anything.

    A 101, an event stream and, with `head_only`, any response end with their head. Raises OSError as `receive` does,
    ProtocolError for a response that is not HTTP.
    """
    parser = ResponseParser()
    head: Head | None = None
    body = bytearray()
    for data in receive(link, deadline, most_bytes):
        if data.startswith(b"HTTP/1.1 101 "):
            return Response(101, _fields(data))
        for part in parser.feed(data) if data else parser.eof():
            if isinstance(part, Head):
                head = part
                if head_only or part.headers.get("content-type", "").startswith("text/event-stream"):
                    return Response(part.status, part.headers)
            elif isinstance(part, Body):
                body += part.data
            elif isinstance(part, Complete) and head is not None:
                return Response(head.status, head.headers, bytes(body))
    return None


def get(url: str, within_s: float, most_bytes: int = MOST_BYTES, tls_ca: str = "") -> Response:
    """GET an http or https URL on a new connection. Raises OSError without a whole response before the deadline.

    `tls_ca`: a PEM file to trust; "": the machine's certificates.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OSError(f"{url} is not an HTTP URL")
    deadline = time.monotonic() + within_s
    tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with socket.create_connection((parts.hostname, parts.port or (443 if tls else 80)), within_s) as plain:
        link = plain
        if tls:
            context = ssl.create_default_context(cafile=tls_ca or None)
            link = context.wrap_socket(plain, server_hostname=parts.hostname)
        with link:
            link.sendall(request_head("GET", target, parts.netloc.rpartition("@")[2]))
            try:
                answer = response(link, deadline, most_bytes)
            except ProtocolError as error:
                raise OSError(f"it does not speak HTTP ({error})") from error
    if answer is None:
        raise OSError("it closed the connection without an answer")
    return answer


def _fields(data: bytes) -> dict[str, str]:
    lines = data.partition(END_OF_HEAD)[0].decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
