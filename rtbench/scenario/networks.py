"""The network of a scenario, [network] (R18): its profiles, and what they and the keys ask for together.

Invariant: `asked` is pure, and all its numbers are known: a key of the scenario counts before its profile's. Called by
the checks, the trial and the manual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from rtbench.scenario.tables import NONE_PROFILE, NetworkTable

QUEUE_MS = 100.0
"""The queue of a link with a rate, where the scenario names none."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the network does to packets. `rate_mbit` 0: no limit. `up`: to the server; None: as to the subscribers."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    rate_mbit: float = 0.0
    queue_ms: float = 0.0
    up: Conditions | None = None


QUANTITIES = tuple(item.name for item in fields(Conditions) if item.name != "up")
UP = "up_"
"""Begins the keys of the direction to the server."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Conditions with a name. `source`: where its numbers are from."""

    conditions: Conditions
    source: str


WEBPAGETEST = "WebPageTest, `www/settings/connectivity.ini.sample`"

PROFILES: Mapping[str, Profile] = {
    "lan": Profile(
        Conditions(delay_ms=0.25),
        'RTT 0.5 ms: "round trip within same datacenter" of Jeff Dean\'s latency numbers',
    ),
    "wan": Profile(Conditions(delay_ms=14.0), f"RTT 28 ms: {WEBPAGETEST}, `Cable`"),
    "mobile": Profile(
        Conditions(delay_ms=85.0, jitter_ms=10.0), f"RTT 170 ms: {WEBPAGETEST}, `4G`; the jitter is our choice"
    ),
    "lossy": Profile(
        Conditions(delay_ms=35.0, jitter_ms=5.0, loss=0.01),
        f"RTT 70 ms: {WEBPAGETEST}, `LTE`; loss and jitter are our choice",
    ),
    "satellite": Profile(
        Conditions(delay_ms=279.0),
        "279.0 ms for one hop over a geostationary satellite at the edge of its view: RFC 2488, section 2",
    ),
}
"""By name. None has a rate: all subscribers share one link here, but each of them has a link of its own in such a
network."""


def asked(table: NetworkTable) -> Conditions | None:
    """The conditions that a scenario asks for; None where it asks for no network."""
    both, up = (
        {name: value for name in QUANTITIES if (value := getattr(table, prefix + name)) is not None}
        for prefix in ("", UP)
    )
    if table.profile == NONE_PROFILE and not (both or up):
        return None
    base = Conditions() if table.profile == NONE_PROFILE else PROFILES[table.profile].conditions
    return replace(_direction(base, both), up=_direction(base, both | up) if up else None)


def _direction(base: Conditions, named: Mapping[str, Any]) -> Conditions:
    found = replace(base, **named)
    return found if "queue_ms" in named or not found.rate_mbit else replace(found, queue_ms=QUEUE_MS)


def impossible(conditions: Conditions, table: NetworkTable) -> tuple[str, str] | None:
    """What of these conditions cannot be, as key with value, and what is allowed; None when all can."""
    for one, prefix in ((conditions, ""), (conditions.up, UP)):
        if one is None:
            continue
        if one.jitter_ms > one.delay_ms:
            return f"network.{prefix}jitter_ms = {one.jitter_ms:g}", (
                f"expected at most {prefix}delay_ms ({one.delay_ms:g})"
            )
        if getattr(table, f"{prefix}queue_ms") is not None and not one.rate_mbit:
            why = f"network.{prefix}queue_ms = {one.queue_ms:g}: without {prefix}rate_mbit no packet waits"
            return why, f"set network.{prefix}rate_mbit, too"
    return None
