"""The network between server and load, as a caveat of each: what was asked and what its router counted (R18).

Invariant: from the manifests alone; the observed loss stands beside the asked one. Called by `caveats`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rtbench.analysis.report.caveat import Caveat
from rtbench.scenario.networks import QUANTITIES, UP

if TYPE_CHECKING:
    from rtbench.analysis.evidence import Evidence


def caveats(evidence: Evidence) -> Iterator[Caveat]:
    """One for each network that trials had; none without a [network]."""
    found: dict[tuple[float, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for result in evidence.results:
        if network := result.trial.network:
            asked = tuple(network.get(prefix + name, network[name]) for prefix in ("", UP) for name in QUANTITIES)
            found[asked].append(network)
    for asked, networks in sorted(found.items()):
        yield Caveat("network", (f"{words(asked)}; {_counted(networks)}",), "", False)


def words(asked: tuple[float, ...]) -> str:
    """What was asked of a network: to the clients and to the server, each in the order of `QUANTITIES`."""
    down, up = asked[: len(QUANTITIES)], asked[len(QUANTITIES) :]
    if down == up:
        return f"a router between server and clients {_did(down, 'each way')}"
    return f"a router between server and clients {_did(down, 'to the clients')}, and {_did(up, 'to the server')}"


def _did(asked: tuple[float, ...], where: str) -> str:
    delay_ms, jitter_ms, loss, rate_mbit, queue_ms = asked
    jitter = f" ± {jitter_ms:g}" if jitter_ms else ""
    parts = [f"delayed packets by {delay_ms:g}{jitter} ms {where}"]
    if loss:
        parts.append(f"lost {loss:.4g} of them")
    if rate_mbit:
        parts.append(f"passed {rate_mbit:g} Mbit/s with a queue of {queue_ms:g} ms")
    return ", ".join(parts)


def _counted(networks: list[Mapping[str, Any]]) -> str:
    """What the routers counted over the windows, down and up."""
    ways = []
    for name, way in (("down", "to the clients"), ("up", "to the server")):
        packets, lost, full = (sum(one[name][key] for one in networks) for key in ("packets", "lost", "queue_full"))
        share = f"lost {lost / packets:.4g}" if packets else "lost none"
        ways.append(f"{packets:,} packets {way}, {share}" + (f", {full:,} found the queue full" if full else ""))
    late_ns = max(one["late_p99_ns"] for one in networks)
    return f"{'; '.join(ways)}; passed on at most {late_ns / 1e6:.2g} ms late at p99"
