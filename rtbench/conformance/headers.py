"""Response headers, and responses without compression."""

from __future__ import annotations

from rtbench.conformance import Skipped, case
from rtbench.conformance._client import fetch, subscribing
from rtbench.conformance._target import Target
from rtbench.streams import catalogue as streams


@case("headers", claims={"headers"}, transports=("sse",), quick=True)
def sse(target: Target) -> list[str]:
    """An SSE response has the headers that the article requires."""
    answer = fetch(target, target.path())
    if answer.status != 200:
        return [f"GET {target.path()}: wanted status 200, got {answer.shown}"]
    problems: list[str] = []
    kind = answer.headers.get("content-type", "missing")
    if kind.partition(";")[0].strip().lower() != "text/event-stream":
        problems.append(f"Content-Type should be text/event-stream, it is {kind}")
    control = [item.strip() for item in answer.headers.get("cache-control", "missing").lower().split(",")]
    if "no-cache" not in control:
        problems.append(f"Cache-Control should be no-cache, it is {', '.join(control)}")
    for name in ("X-Accel-Buffering", "X-Proxy-Buffering"):
        value = answer.headers.get(name.lower(), "missing")
        if value != "no":
            problems.append(f"{name} should be no, it is {value}")
    return problems


@case("headers-production", claims={"headers"}, transports=("sse",), quick=True)
def production(target: Target) -> list[str]:
    """The stream `production` has the article's stricter headers, exactly."""
    path = target.path("production")
    answer = fetch(target, path)
    if answer.status == 404 and (target.workload is None or "production" not in target.workload.streams):
        raise Skipped("it does not serve the stream production")
    if answer.status != 200:
        return [f"GET {path}: wanted status 200, got {answer.shown}"]
    wanted = {
        **streams()["production"].headers,
        "X-Accel-Buffering": "no",
        "X-Proxy-Buffering": "no",
    }
    return [
        f"{path}: {name} should be {value}, it is {answer.headers.get(name.lower(), 'missing')}"
        for name, value in wanted.items()
        if answer.headers.get(name.lower()) != value
    ]


@case("no-compression", claims={"uncompressed"}, quick=True)
def compression(target: Target) -> list[str]:
    """No response is compressed, even if the client offers it (R11)."""
    offer = {"Accept-Encoding": "gzip, deflate, br"}
    if target.transport == "websocket":
        offer["Sec-WebSocket-Extensions"] = "permessage-deflate; client_max_window_bits"
    path = target.path()
    if target.transport == "short-poll":
        path += "?since=0"  # long enough to be worth compressing
    answer = fetch(target, path, headers=subscribing(target, offer))
    wanted = 101 if target.transport == "websocket" else 200
    if answer.status != wanted:
        return [f"GET {path}: wanted status {wanted}, got {answer.shown}"]
    return [
        f"the response has {name}: {answer.headers[name]}"
        for name in ("content-encoding", "sec-websocket-extensions")
        if answer.headers.get(name, "identity") != "identity"
    ]
