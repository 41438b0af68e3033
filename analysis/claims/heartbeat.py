"""Claim 6: a heartbeat is needed to notice dead peers.

A server that is stopped (SIGSTOP) is a dead peer without a FIN: its kernel goes on acknowledging, only it says nothing.
A killed process is none: its kernel says so at once. The subscribers of push transports let go of a connection that was
silent for two heartbeats (loadtests/load.py); what TCP itself noticed has another outcome.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtbench.analysis import format
from rtbench.analysis.claims.claim import Finding, Hypothesis, Outcome, Point
from rtbench.analysis.claims.points import plain
from rtbench.analysis.evidence import Evidence, Result
from rtbench.analysis.sweep.cells import at, scenario

SILENT = "silent for two heartbeats"
UNNOTICED = ("open", "closed by the subscriber")


@dataclass(frozen=True, slots=True)
class Noticed:
    """How the connections that lived when a server was stopped ended before it went on."""

    alive: int
    by_heartbeat: int
    by_tcp: int
    after_ns: float | None
    """Median time from the stop until a subscriber let go for silence."""

    def plus(self, other: Noticed) -> Noticed:
        silent, ended = self.by_heartbeat + other.by_heartbeat, self.by_tcp + other.by_tcp
        return Noticed(self.alive + other.alive, silent, ended, None)


def judge(evidence: Evidence) -> Finding | None:
    heartbeat_s = at(scenario(evidence), "server.heartbeat_s")
    points: list[Point] = []
    total = Noticed(0, 0, 0, None)
    for subject in plain(evidence, "sse", "websocket"):
        for result in evidence.of(subject.name):
            found = _noticed(result, heartbeat_s)
            if found is not None:
                total = total.plus(found)
                points += _points(result, found)
    if not total.alive:
        return None
    text = (
        f"Of {total.alive:,} connections to a server that was stopped, {total.by_heartbeat:,} were given up for two "
        f"missing heartbeats and {total.by_tcp:,} were ended by TCP. {'; '.join(p.text for p in points)}."
    )
    outcome: Outcome = "contradicted" if total.by_tcp else "not resolved"
    if not total.by_tcp and total.by_heartbeat == total.alive:
        outcome = "supported"
    flips = "A process that dies on a living host is noticed by TCP itself: its kernel sends FIN or RST."
    return Finding(outcome, text, tuple(points), flips)


def _noticed(result: Result, heartbeat_s: float | None) -> Noticed | None:
    """None where no server was stopped for longer than two heartbeats: there was nothing to notice."""
    if not result.metrics or not heartbeat_s:
        return None
    stops = [
        (e["began_ns"], e["ended_ns"])
        for e in result.trial.manifest.get("events") or ()
        if e.get("do") == "stop" and e.get("what") == "server" and e["ended_ns"] - e["began_ns"] > 2e9 * heartbeat_s
    ]
    if not stops:
        return None
    began, ended = stops[0]
    table = result.trial.read("connections")
    closed, outcome = table["closed_ns"], table["outcome"].astype(str)
    alive = (table["connected_ns"] >= 0) & (table["connected_ns"] < began) & ((closed < 0) | (closed >= began))
    during = alive & (closed >= began) & (closed < ended) & ~np.isin(outcome, UNNOTICED)
    silent = during & (outcome == SILENT)
    after = float(np.median(closed[silent] - began)) if silent.any() else None
    return Noticed(int(alive.sum()), int(silent.sum()), int((during & ~silent).sum()), after)


def _points(result: Result, found: Noticed) -> list[Point]:
    who = f"{result.trial.subject}, trial {result.trial.number}"
    if found.after_ns is None:
        return []
    text = f"{who}: given up {format.quantity(found.after_ns, 'ns')} after the stop, median"
    return [Point("closed_ns", result.trial.subject, "", found.after_ns, None, None, "ns", "", text)]


HYPOTHESIS = Hypothesis(
    number=6,
    claim="A heartbeat is needed to notice dead peers.",
    hypothesis="While a server is silent and its host is up, TCP reports nothing to any subscriber; all notice by "
    "missing heartbeats.",
    test="Push connections that lived when the server was stopped for longer than two heartbeats: supported when all "
    "were given up for silence and none was ended by TCP before the server went on; contradicted when TCP ended one.",
    scenario="rtbench run heartbeat --claims",
    metric="lost",
    judge=judge,
)
