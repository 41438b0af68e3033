"""TLS where it is asked for (`tls` of a scenario): its version, its certificate, its HTTP by ALPN, and no cleartext."""

from __future__ import annotations

import socket
import ssl
import time

from rtbench.conformance import case
from rtbench.conformance._client import connect
from rtbench.conformance._target import Target
from rtbench.subjects.bounded import response
from rtbench.subjects.tls import fault
from rtbench.transports import ProtocolError
from rtbench.transports.http import request_head

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@case("tls", claims={"tls"}, needs={"tls"}, quick=True)
def tls(target: Target) -> list[str]:
    """It serves the version that is asked for, with the given certificate; no other version, no cleartext."""
    assert target.subject is not None
    wanted = target.subject.tls
    problems: list[str] = []
    with connect(target) as link:
        assert isinstance(link, ssl.SSLSocket)
        if (got := link.version()) != f"TLSv{wanted}":
            problems.append(f"wanted TLSv{wanted}, got {got}")
    problems += [_other(target, version) for version in _VERSIONS if version != wanted]
    problems.append(_offered_http2(target))
    problems.append(_cleartext(target))
    return [problem for problem in problems if problem]


def _shake(target: Target, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection with this context. Raises OSError."""
    plain = socket.create_connection((target.host, target.port), target.patience_s)
    try:
        return context.wrap_socket(plain, server_hostname=target.host)
    except OSError:
        plain.close()
        raise


def _context(target: Target) -> ssl.SSLContext:
    assert target.subject is not None
    return ssl.create_default_context(cafile=target.subject.tls_ca or None)


def _other(target: Target, version: str) -> str:
    """The problem with a server that speaks a version that is not asked for; "" if it refuses."""
    context = _context(target)
    context.minimum_version = context.maximum_version = _VERSIONS[version]
    try:
        _shake(target, context).close()
    except OSError:
        return ""
    return f"it also speaks TLSv{version}"


def _offered_http2(target: Target) -> str:
    context = _context(target)
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with _shake(target, context) as link:
            chosen = link.selected_alpn_protocol()
    except ssl.SSLError as error:
        return f"a client that offers h2 and http/1.1 is refused ({fault(error)})"
    assert target.subject is not None
    if target.subject.http2:
        return "" if chosen == "h2" else f"it chose {chosen or 'nothing'} of h2 and http/1.1, and HTTP/2 is measured"
    return f"it chose {chosen} of h2 and http/1.1, and HTTP/1.1 is measured" if chosen == "h2" else ""


def _cleartext(target: Target) -> str:
    """The problem with a server that answers a cleartext request on the port of its TLS."""
    try:
        with socket.create_connection((target.host, target.port), target.patience_s) as link:
            link.sendall(request_head("GET", target.path(), target.authority))
            found = response(link, time.monotonic() + target.patience_s, head_only=True)
    except (OSError, ProtocolError):
        return ""
    return f"a cleartext request gets status {found.status}" if found is not None and found.status < 400 else ""
