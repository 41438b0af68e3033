"""The article's own routes: `/events`, `/metrics` and `/{channel}`, as Server-Sent Events."""

from __future__ import annotations

import json

from rtbench.conformance import Skipped, case
from rtbench.conformance._checks import right_bytes
from rtbench.conformance._client import Subscriber, fetch
from rtbench.conformance._target import Target

ROUTES = {
    "/events": "events",
    "/metrics": "metrics",
    "/news": "news",
    "/stocks": "stocks",
    "/chat": "chat",
    "/general": "general",
    "/weather": "general",
    "/sse-of-tomorrow": "general",
}
"""The stream of each route. Every unknown channel gives `general`."""
FEW = 3


@case("aliases", claims={"aliases"}, transports=("sse",), quick=True)
def aliases(target: Target) -> list[str]:
    """The article's routes give its streams, and an unknown channel gives `general`."""
    known = target.workload.streams if target.workload is not None else ()
    if target.owned is None and fetch(target, f"/{target.stream}").status == 404:
        raise Skipped("it has none of the article's routes")
    there = known or [s for s in set(ROUTES.values()) if fetch(target, target.path(s)).status in (200, 204)]
    problems: list[str] = []
    for path, stream in ROUTES.items():
        if stream not in there:
            continue
        with Subscriber(target, 0, stream, path=path) as subscriber:
            subscriber.open()  # with full patience; messages may not be due yet
            found = subscriber.messages(FEW, None if known and stream != target.uplink else 0.3)
            status = subscriber.opened.status if subscriber.opened is not None else 0
            if status != 200:
                problems.append(f"GET {path}: wanted status 200, got {status or subscriber.why()}")
            elif stream == target.uplink:
                pass  # subscribers decide what is sent
            elif known and not found:
                problems.append(f"GET {path}: no message of {stream}: {subscriber.why()}")
            elif known:
                problems += [f"GET {path}: {problem}" for problem in right_bytes(target, stream, found)]
            elif stream == "general":
                problems += [
                    f"GET {path}: wanted {stream}, got {one.payload!r}" for one in found if _kind(one.payload) != stream
                ]
    return problems


def _kind(payload: bytes) -> object:
    try:
        value = json.loads(payload)
    except ValueError:
        return None
    return value.get("type") if isinstance(value, dict) else None
