"""Headers: what caches, proxies and browsers on the way will do with the stream, and what they did."""

from __future__ import annotations

from rtbench.diagnosis import ERROR, EVERY, INFO, WARNING, Finding, Undecided, check
from rtbench.diagnosis._evidence import Evidence

_TRACES = ("Via", "X-Cache", "X-Cache-Hits", "CF-Ray", "CF-Cache-Status", "X-Served-By", "X-Amz-Cf-Id", "Age")
"""Fields that proxies and caches add."""


@check("headers", transports=("sse", "short-poll", "long-poll"))
def headers(seen: Evidence) -> list[Finding]:
    """No cache may keep the answer, and the head has nothing that stops a stream."""
    plain = seen.plain
    if plain.status != 200:
        raise Undecided("the answer has no body")
    found = []
    control = plain.headers.get("cache-control", "").lower()
    # Where validators are the cursor, as Nchan has it, a cache keeps one answer for each (RFC 9110 §12.5.5).
    keyed = seen.transport != "sse" and "if-none-match" in plain.headers.get("vary", "").lower()
    if not keyed and not any(word in control for word in ("no-cache", "no-store", "max-age=0")):
        text = "a cache on the way may keep the answer and give it to others"
        remedy = f"send Cache-Control: {'no-cache' if seen.transport == 'sse' else 'no-store'}"
        found.append(Finding("headers", WARNING, text, remedy, (plain.header("Cache-Control"),)))
    if seen.transport != "sse":
        return found
    if "content-length" in plain.headers:
        text = "a stream with a length ends there, and a proxy may wait for all of it"
        remedy = "leave Content-Length out; HTTP/1.1 servers then send chunks"
        found.append(Finding("headers", ERROR, text, remedy, (plain.header("Content-Length"),)))
    elif "transfer-encoding" not in plain.headers:
        text = "the answer is not chunked: a client cannot distinguish a cut from the end"
        remedy = "answer with HTTP/1.1 and Transfer-Encoding: chunked; nginx: proxy_http_version 1.1;"
        found.append(Finding("headers", INFO, text, remedy, (plain.line, plain.header("Transfer-Encoding"))))
    if "x-accel-buffering" not in plain.headers and "nginx" not in plain.headers.get("server", "").lower():
        text = "an nginx before this server would hold events back (it obeys and removes this header)"
        remedy = "send X-Accel-Buffering: no"
        found.append(Finding("headers", INFO, text, remedy, (plain.header("X-Accel-Buffering"),)))
    return found


@check("cached", transports=EVERY)
def cached(seen: Evidence) -> list[Finding]:
    """The answer comes from the server, not from a cache; what proxies on the way added is shown."""
    plain = seen.plain
    if not plain.status:
        raise Undecided("nothing was answered")
    traces = tuple(plain.header(name) for name in _TRACES if name.lower() in plain.headers)
    age = plain.headers.get("age", "0")
    cache = f"{plain.headers.get('x-cache', '')} {plain.headers.get('cf-cache-status', '')}".lower()
    if (age.isdigit() and int(age) > 0) or "hit" in cache.split():
        text = "the answer is a cache's copy"
        return [
            Finding("cached", ERROR, text, "send Cache-Control: no-store, and bypass the cache for this path", traces)
        ]
    if traces:
        remedy = "nothing to do, if this proxy is yours"
        return [Finding("cached", INFO, "a proxy on the way names itself", remedy, traces)]
    return []
