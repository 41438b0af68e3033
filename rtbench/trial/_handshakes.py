"""What a TLS handshake costs the process that speaks TLS: its CPU over some connections that ask nothing.

Before the first subscriber connects, so that nothing else is in the figures but the ticks that the hub keeps. Full
handshakes first, then ones that resume a session, if the server gives out any. The CPU of the TCP connection is in it.
Invariant: every connection is verified as the load verifies it, and is closed before the ramp. Called by the trial; not
with namespaces of its own, where this process cannot connect.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from urllib.parse import urlsplit

from rtbench.errors import SubjectError
from rtbench.records.manifest import Handshakes
from rtbench.subjects.bounded import response
from rtbench.subjects.tls import fault
from rtbench.transports import ProtocolError
from rtbench.transports.http import request_head
from rtbench.trial._process_group import ProcessGroup

COUNT = 50
"""Connections of each kind."""
_PATIENCE_S = 5.0
_SETTLED_NS = 50_000_000
"""How long the server has to close them."""


def handshakes(group: ProcessGroup) -> Handshakes:
    """The figures; empty without TLS, or where this process cannot connect.

    Raises SubjectError for a certificate that is refused.
    """
    subject = group.run.spec.subject
    if not subject.tls or subject.url or group.network is not None:
        return Handshakes()
    context = ssl.create_default_context(cafile=subject.tls_ca)
    try:
        session = _session(group.url, context)
        full_ns, _ = _round(group, context, None)
        resumed_ns, resumed = _round(group, context, session) if session is not None else (0, 0)
    except ssl.SSLError as error:
        raise SubjectError(f"{group.url}: {fault(error)}", "see the logs beside this manifest") from error
    except OSError as error:
        raise SubjectError(f"{group.url}: no TLS connection ({error})", "see the logs beside this manifest") from error
    if full_ns < 0:
        return Handshakes()
    return Handshakes(full=COUNT, full_cpu_ns=full_ns, resumed=resumed, resumed_cpu_ns=resumed_ns)


def _shake(url: str, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    parts = urlsplit(url)
    plain = socket.create_connection((parts.hostname or "", parts.port or 443), _PATIENCE_S)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(plain, server_hostname=parts.hostname, session=session)
    except OSError:
        plain.close()
        raise


def _session(url: str, context: ssl.SSLContext) -> ssl.SSLSession | None:
    """A session to resume. In TLS 1.3 the server sends it after the handshake: the answer to a request brings it."""
    with _shake(url, context) as link:
        link.sendall(request_head("GET", "/plan/rtbench", urlsplit(url).netloc, {"Connection": "close"}))
        with contextlib.suppress(ProtocolError, TimeoutError):
            response(link, time.monotonic() + _PATIENCE_S, head_only=True)
        return link.session


def _round(group: ProcessGroup, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[int, int]:
    """The CPU of COUNT connections, in ns (-1: not known), and how many resumed the session."""
    server = group.proxy or group.server
    resumed = 0
    before_ns = server.cpu_ns()
    for _ in range(COUNT):
        with _shake(group.url, context, session) as link:
            resumed += bool(link.session_reused)
            link.settimeout(_PATIENCE_S)
            with contextlib.suppress(OSError):  # some close without an answer
                link.unwrap()
    group.until(time.monotonic_ns() + _SETTLED_NS)
    after_ns = server.cpu_ns()
    return (after_ns - before_ns if before_ns >= 0 else -1), resumed
