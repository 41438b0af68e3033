"""What a campaign asked for, in words: a key's values over the cells of a sweep, and the way to the subscribers.

Invariant: from campaign.json alone. Called by citations and claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NETWORK = {
    "delay_ms": "{} ms of delay", "jitter_ms": "{} ms of jitter", "loss": "loss of {}", "rate_mbit": "{} Mbit/s",
}  # fmt: skip


def values(document: Mapping[str, Any], key: str, value: Any) -> list[Any]:
    """The values of a key: those of a sweep's cells, once each, else the scenario's."""
    cells = document.get("cells") or ()
    return list(dict.fromkeys(cell[key] for cell in cells if key in cell)) or [value]


def span(document: Mapping[str, Any], key: str, value: Any, form: str) -> str:
    """`1,000`, or over the cells of a sweep `100 to 5,000`."""
    known = [one for one in values(document, key, value) if isinstance(one, (int, float))] or [value]
    low, high = min(known), max(known)
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"


def between(document: Mapping[str, Any], scenario: Mapping[str, Any]) -> list[str]:
    """What is between server and subscribers, beyond HTTP/1.1 in cleartext on loopback."""
    found = []
    versions = {version for version in values(document, "tls", scenario.get("tls")) if version}
    if versions:
        every = len(versions) == len(values(document, "tls", scenario.get("tls")))
        names = " and ".join(
            "TLS 1.3" if version is True else f"TLS {version}" for version in sorted(versions, key=str)
        )
        found.append(names if every else f"with and without {names}")
    streams = (scenario.get("http2") or {}).get("streams_per_connection") or 0
    if any(values(document, "http2.streams_per_connection", streams)):
        each = span(document, "http2.streams_per_connection", streams, ",")
        found.append(f"{each} subscribers a connection of HTTP/2")
    codings = [str(one) for one in values(document, "compression", scenario.get("compression")) if one]
    found += [f"compression {', '.join(codings)}"] if codings and codings != ["none"] else []
    network = scenario.get("network") or {}
    profiles = [str(one) for one in values(document, "network.profile", network.get("profile")) if one]
    found += [f"network {', '.join(profiles)}"] if profiles and profiles != ["none"] else []
    found += [words for key, form in _NETWORK.items() if (words := _each_way(document, network, key, form))]
    return found


def _each_way(document: Mapping[str, Any], network: Mapping[str, Any], key: str, form: str) -> str:
    """One quantity of a network; both directions where `up_` gives the one to the server a value of its own."""
    down, up = (values(document, f"network.{name}", network.get(name)) for name in (key, f"up_{key}"))
    if not any((*down, *up)):
        return ""
    to_clients, to_server = (
        form.format(span(document, f"network.{name}", network.get(name) or 0, "g")) for name in (key, f"up_{key}")
    )
    if up != [None] and to_server != to_clients:
        return f"{to_clients} to the clients and {to_server} to the server"
    return f"{to_clients} each way" if key == "delay_ms" else to_clients
