"""How far a search may go: by the command, by the scenario, or by what the load generator may use (R13).

Invariant: below the ceiling, no limit that is known beforehand stops a probe. Called by `rtbench capacity`.
"""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass, replace

from rtbench.campaign.preflight import SPARE_DESCRIPTORS, ports
from rtbench.errors import UserError
from rtbench.scenario.checks import requests_hz
from rtbench.scenario.model import Scenario

SUBSCRIBERS, RATE = "subscribers", "workload.rate_hz"
KEYS = (SUBSCRIBERS, RATE)
"""The keys that can be searched."""

_MOST = {SUBSCRIBERS: 100_000.0, RATE: 100_000.0}
"""The largest values that a scenario takes."""
_LEAST_HZ = 0.001


_MOST_REQUESTS_HZ = 10_000_000.0
"""The largest `server.requests_hz` of a scenario."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The largest value of a search, and what sets it. `harness`: whether that is the load generator."""

    value: float
    why: str
    harness: bool = False


def ceiling(scenario: Scenario, by: str, to: float | None) -> Ceiling:
    """The ceiling of a search over `by`. `to`: the user's own. Raises UserError for one that is too low."""
    found = [Ceiling(_MOST[by], "the largest value of a scenario")]
    if to is not None:
        if not to >= (least := 1.0 if by == SUBSCRIBERS else _LEAST_HZ):
            raise UserError(f"--to {to:g} is less than {least:g}", "name a larger value")
        value = min(to, _MOST[by])
        found.append(Ceiling(math.floor(value) if by == SUBSCRIBERS else value, "--to"))
    if by == SUBSCRIBERS:
        table, senders = scenario.server, scenario.chat.senders
        most = min(table.connections, table.connections_by_peer) - senders
        found.append(Ceiling(most, "[server] connections, connections_by_peer"))
        low, high = ports()
        usable = int((high - low) * scenario.validity.ports_share)
        found.append(Ceiling(usable, "local ports (net.ipv4.ip_local_port_range)", harness=True))
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY:
            found.append(Ceiling(hard - SPARE_DESCRIPTORS, "file descriptors (ulimit -Hn)", harness=True))
    return min(found, key=lambda one: one.value)


def roomy(scenario: Scenario, by: str, most: Ceiling) -> Scenario:
    """The scenario with servers that take the polls of the largest load: the search is for what they can do."""
    asked = replace(scenario, subscribers=int(most.value)) if by == SUBSCRIBERS else scenario
    if by == RATE:
        asked = replace(scenario, workload=replace(scenario.workload, rate_hz=most.value))
    hz = max(scenario.server.requests_hz, *(requests_hz(asked, name) for name in scenario.subjects))
    hz = min(float(hz), _MOST_REQUESTS_HZ)
    return replace(scenario, server=replace(scenario.server, requests_hz=hz))


def check(scenario: Scenario, by: str, first: float, most: Ceiling) -> None:
    """Raises UserError for a scenario, or values, that cannot be searched."""
    if scenario.sweep:
        raise UserError(f"{scenario.name}: [sweep] and a search for the capacity exclude each other", "remove [sweep]")
    if scenario.memory.ladder:
        raise UserError(
            f"{scenario.name}: memory.ladder and a search for the capacity exclude each other", "--set memory.ladder=[]"
        )
    if by == RATE and scenario.stream != ("fanout",):
        text = f"{scenario.name}: --by {RATE} needs the stream fanout, not {', '.join(scenario.stream)}"
        raise UserError(text, "--set stream=fanout; other streams have a pace of their own")
    if not first > 0:
        raise UserError(f"--from {first:g} is not more than 0", "for example --from 100")
    if first > most.value:
        raise UserError(f"--from {first:g} is more than {most.value:g} ({most.why})", "begin with less, or raise that")
    if by == SUBSCRIBERS and first != int(first):
        raise UserError(f"--from {first:g}: subscribers are whole numbers", "for example --from 100")
