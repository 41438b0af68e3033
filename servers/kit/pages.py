"""The pages that every server of ours serves at `/`: files under `pages/`, and a description of the server.

Invariant: a page gets its scripts and styles from this server only, as files, and its policy forbids anything else;
no request can read a file outside that folder. Each stack serves them in its own way: `aiohttp_app.mount_pages`,
`websocket_websockets`, the demo.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rtbench import streams

__all__ = ["ABOUT", "FOLDER", "POLICY", "TYPES", "Page", "about", "find"]

FOLDER = Path(__file__).parents[1] / "pages"
ABOUT = "/pages/server.json"
"""The description of this server: the one page that is made, not read from a file."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",  # a WebSocket to this host and port among them (CSP 3, §6.7.2.8)
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Page(NamedTuple):
    """One file as it is sent; `headers` include its Content-Type."""

    body: bytes
    headers: Mapping[str, str]


@cache
def _files() -> dict[str, Page]:
    """All files, by path. Read at the first request, which a measured server never gets."""
    found = {
        f"/pages/{path.name}": Page(path.read_bytes(), {"Content-Type": TYPES[path.suffix], **HEADERS})
        for path in sorted(FOLDER.iterdir())
        if path.suffix in TYPES
    }
    return {"/": found["/pages/index.html"], **found}


def find(path: str) -> Page | None:
    """The file at that path of the URL, or None."""
    return _files().get(path)


def about(name: str, stack: str, transports: Iterable[str], played: Iterable[str], demo: bool = False) -> Page:
    """The description for the pages: transports and streams of this server, whether it is the demo, its clock.

    `now_ns` is Unix time when the answer is made: a page finds out with it whether its clock is the server's.
    """
    known = streams.catalogue()
    table = {
        "subject": name,
        "stack": stack,
        "transports": list(transports),
        "streams": [
            {"name": each, "description": known[each].description, "finite": known[each].finite} for each in played
        ],
        "demo": demo,
        "now_ns": time.time_ns(),
    }
    return Page(
        json.dumps(table).encode(), {"Content-Type": "application/json", **HEADERS, "Cache-Control": "no-store"}
    )
