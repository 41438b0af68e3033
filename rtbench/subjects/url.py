"""A foreign server at a URL, measured as far as possible.

Invariant: no foreign host is loaded by accident. Loopback is allowed; any other host needs `--i-own-this-host` and is
loaded within limits, which are checked before anything is sent. Called by the subjects' registry and the campaign.
"""

from __future__ import annotations

import socket
import time
from functools import cache
from urllib.parse import urlsplit

from rtbench.errors import UserError
from rtbench.subjects.bounded import response
from rtbench.subjects.model import NOBODY, Subject
from rtbench.transports import ProtocolError
from rtbench.transports.catalogue import catalogue
from rtbench.transports.http import request_head

_PATIENCE_S = 5.0


def check(url: str) -> None:
    """Raises UserError for a malformed URL."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https", "ws", "wss", "tcp") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port, half an IPv6 address
        good = False
    if not good:
        raise UserError(f"{url!r} is not a server's URL", "write http://HOST:PORT/PATH, ws://…, or tcp://…")


@cache
def subject_at(url: str) -> Subject:
    """The subject at a URL; its transport follows from the scheme, or from the server's answer.

    Raises UserError for a malformed URL or a server that does not answer.
    """
    check(url)
    parts = urlsplit(url)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    if parts.scheme in ("ws", "wss"):
        transport = "websocket"
    elif parts.scheme == "tcp":
        transport = "tcp"
    else:
        transport = _spoken(url, target)
    return Subject(
        name=url,
        transport=transport,
        stack=parts.netloc,
        arm="remote",
        technique="unknown",
        url=url,
        publish=NOBODY,
        path=target.replace("{", "{{").replace("}", "}}"),
        capabilities=frozenset(),
        description="a foreign server",
    )


def _spoken(url: str, target: str) -> str:
    """`sse` for an event stream; for JSON the polling transport of the path's prefix, else `short-poll`."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme == "https":
        return _by_path(target) or "sse"
    deadline = time.monotonic() + _PATIENCE_S
    try:
        with socket.create_connection((host, port), _PATIENCE_S) as link:
            accept = {"Accept": "text/event-stream, application/json"}
            link.sendall(request_head("GET", target, parts.netloc, accept))
            head = response(link, deadline, head_only=True)
    except TimeoutError:
        return _by_path(target) or "long-poll"  # it waits for a message
    except OSError as error:
        raise UserError(f"cannot connect to {url} ({error.strerror or error})", "start the server first") from error
    except ProtocolError as error:
        raise UserError(f"{url} does not speak HTTP ({error})", "write tcp:// for plain lines") from error
    if head is None:
        raise UserError(f"{url} closed the connection without an answer", "check the path")
    if head.status >= 400:
        raise UserError(f"{url} answers with status {head.status}", "check the path")
    if head.headers.get("content-type", "").startswith("text/event-stream"):
        return "sse"
    return _by_path(target) or "short-poll"


def _by_path(target: str) -> str:
    found = [one.name for one in catalogue().values() if one.prefix and target.startswith(one.prefix + "/")]
    return found[-1] if found else ""
