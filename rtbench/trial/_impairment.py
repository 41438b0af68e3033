"""The network of a trial with a [network]: its router, what that counted, and what it says of a trial that fails (R18).

Invariant: what was asked and what was counted stand beside each other in the manifest. The counters are read at the
window's edges. Called by the process group, the trial's counters and the manifest.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtbench.messages.router import Counted, Link, Packets
from rtbench.processes.namespaces import Network, Routing
from rtbench.records.manifest import Impairment, Way
from rtbench.scenario.networks import QUANTITIES, UP, Conditions
from rtbench.trial._run import Run


def network_of(run: Run) -> Network:
    """The namespaces of a trial, with the router between them that its scenario asks for."""
    conditions = run.spec.scenario.conditions
    routing = None
    if conditions is not None:
        up = conditions.up or conditions
        routing = Routing(_link(conditions), _link(up), run.spec.scenario.seed, run.place.publisher)
    return Network(run.folder / "network.log", routing)


def _link(asked: Conditions) -> Link:
    return Link(
        delay_ns=round(asked.delay_ms * 1e6),
        jitter_ns=round(asked.jitter_ms * 1e6),
        loss=asked.loss,
        rate_bps=asked.rate_mbit * 1e6,
        queue_ns=round(asked.queue_ms * 1e6),
    )


def because(network: Network | None) -> str:
    """What the router did so far to a trial whose subscribers do not connect; empty without a router."""
    if network is None or network.router is None:
        return ""
    counted = network.router.count()
    packets = counted.down.packets + counted.up.packets
    lost = counted.down.lost + counted.up.lost
    dropped = counted.down.queue_full + counted.up.queue_full
    if not packets:
        return "; no packet reached the network"
    return f"; of {packets:,} packets the network lost {lost:,} and its queue dropped {dropped:,}"


def record(asked: Conditions | None, edges: Sequence[Counted]) -> Impairment:
    """The part of the manifest, from the counters at the window's edges; empty without a router or a window."""
    if asked is None or len(edges) != 2:
        return Impairment()
    begin, end = edges
    return Impairment(
        **{name: getattr(asked, name) for name in QUANTITIES},
        **({UP + name: getattr(asked.up, name) for name in QUANTITIES} if asked.up else {}),
        down=_way(begin.down, end.down),
        up=_way(begin.up, end.up),
        late_p50_ns=end.late_p50_ns,
        late_p99_ns=end.late_p99_ns,
        late_max_ns=end.late_max_ns,
    )


def _way(begin: Packets, end: Packets) -> Way:
    def gained(name: str) -> int:
        return int(getattr(end, name) - getattr(begin, name))

    return Way(
        packets=gained("packets"),
        bytes=gained("bytes"),
        forwarded=gained("forwarded"),
        lost=gained("lost"),
        queue_full=gained("queue_full"),
        own_drops=end.own_drops - begin.own_drops,
        queued_max_ns=end.queued_max_ns,
    )
