"""A wrong request gets the right status and a small JSON error."""

from __future__ import annotations

from rtbench.conformance import case
from rtbench.conformance._checks import small_error
from rtbench.conformance._client import fetch, subscribing
from rtbench.conformance._target import Target
from rtbench.transports.catalogue import find


@case("errors", claims={"errors"}, quick=True)
def errors(target: Target) -> list[str]:
    """An unknown stream or channel gets 404, a bad parameter 400, each with `{"error": …}`."""
    path = target.path()
    prefix = find(target.transport).prefix
    asked = [
        (f"{prefix}/no-such-stream", 404),
        (f"{prefix}/", 404),
        (f"{path}/more", 404),
        (f"{path}?channel=99999999", 404),
        ("/plan/no-such-stream", 404),
        *((f"{path}?since={text}", 400) for text in ("abc", "-1", "1.5", "", "9" * 400)),
        (f"{path}?channel=x", 400),
        (f"/plan/{target.stream}?since=abc", 400),
    ]
    if target.transport == "long-poll":
        asked += [(f"{path}?timeout={text}", 400) for text in ("abc", "-1", "nan", "inf")]
    problems: list[str] = []
    for where, status in asked:
        answer = fetch(target, where, headers={} if where.startswith("/plan") else subscribing(target))
        problems += small_error(f"GET {where[:60]}", answer, status)
    return problems


@case("method", claims={"errors"}, quick=True)
def method(target: Target) -> list[str]:
    """A wrong method gets 405 with `{"error": …}`."""
    problems: list[str] = []
    for name in ("POST", "DELETE"):
        answer = fetch(target, target.path(), name, {"Content-Length": "0"})
        problems += small_error(f"{name} {target.path()}", answer, 405)
    return problems


@case("no-upgrade", claims={"errors"}, transports=("websocket",))
def no_upgrade(target: Target) -> list[str]:
    """A plain GET of a WebSocket's path gets 400 or 426 with a small JSON error."""
    return small_error(f"GET {target.path()}", fetch(target, target.path()), 400, 426)
