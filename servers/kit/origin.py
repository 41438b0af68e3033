"""Which pages may connect and post: those of this server, and those of the origins that its operator lists.

A browser lets a page of any site open a WebSocket or send a simple POST to any server, with the user's address (RFC
6455 §10.2, WHATWG Fetch §3.2). It sends the page's origin along, which a page cannot change. Invariant: a request
without `Origin` is allowed, since it does not come from a page of another site. Every server of ours in Python asks
`allowed` before it upgrades a connection or takes a POST; Go, Node and hyperlane have the same rule in their language.
"""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["REFUSAL", "allowed", "cors"]

REFUSAL = "a page of another site may not do this; --allow-origin lists those that may"
ANY = "*"


def allowed(origin: str | None, host: str, listed: Collection[str] = ()) -> bool:
    """Whether a request with this `Origin` and this `Host` may go on. `listed`: `[server] allow_origin`."""
    if origin is None or origin in listed or ANY in listed:
        return True
    scheme, separator, place = origin.partition("://")  # "null" has no place: it equals no host
    return bool(separator) and scheme in ("http", "https") and place.lower() == host.lower()


def cors(origin: str | None, listed: Collection[str]) -> dict[str, str]:
    """The response fields that let a page of a listed origin read an answer; none for any other page."""
    if origin is None or not (origin in listed or ANY in listed):
        return {}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "ETag", "Vary": "Origin"}
