"""A page of another site can neither open a WebSocket nor post, unless the server's operator lists its origin."""

from __future__ import annotations

from rtbench.conformance import case
from rtbench.conformance._checks import small_error
from rtbench.conformance._client import Answer, fetch, upgrade
from rtbench.conformance._target import Target

FOREIGN = ("http://example.org", "null", "https://{host}.example.org", "http://{name}:1")
"""Origins of other sites; the last two only look like this one."""


def _origins(target: Target) -> list[str]:
    return [each.format(host=target.authority, name=target.host) for each in FOREIGN]


@case("origin", claims={"origin"}, transports=("websocket",))
def socket(target: Target) -> list[str]:
    """A WebSocket with another site's `Origin` gets 403; with its own, or without one, it opens (RFC 6455 §10.2)."""
    path, problems = target.path(), list[str]()
    for origin in _origins(target):
        answer = fetch(target, path, headers=upgrade({"Origin": origin}))
        problems += small_error(f"GET {path} as a WebSocket with Origin {origin}", answer, 403)
    for fields in ({"Origin": f"http://{target.authority}"}, {}):
        answer = fetch(target, path, headers=upgrade(fields))
        if answer.status != 101:
            problems.append(f"GET {path} as a WebSocket with {fields or 'no Origin'}: wanted 101, got {answer.shown}")
    return problems


@case("origin-post", claims={"origin", "conversation"}, needs={"uplink"}, transports=("sse", "short-poll", "long-poll"))
def post(target: Target) -> list[str]:
    """A POST with another site's `Origin` gets 403; with its own it is taken."""
    path = f"/send/{target.uplink}"

    def ask(origin: str) -> Answer:
        return fetch(target, path, "POST", {"Content-Length": "2", "Origin": origin}, body=b"{}")

    problems = list[str]()
    for origin in _origins(target):
        problems += small_error(f"POST {path} with Origin {origin}", ask(origin), 403)
    if (answer := ask(f"http://{target.authority}")).status != 202:
        problems.append(f"POST {path} with its own Origin: wanted 202, got {answer.shown}")
    return problems


@case("no-cors", claims={"origin"})
def cors(target: Target) -> list[str]:
    """An answer has no `Access-Control-Allow-Origin`: pages of other sites cannot read it unless that was asked for."""
    headers = {"Origin": "http://example.org"}
    answer = fetch(target, "/plan/" + target.stream, headers=headers)
    found = answer.headers.get("access-control-allow-origin")
    return [f"Access-Control-Allow-Origin is {found} though nothing was asked for"] if found is not None else []
