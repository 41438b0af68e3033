"""The judgement of a trial: audit, bytes, validity, steadiness.

Invariant: the judge reads the files as they were written, so that the stored data is what is judged. Called by the
trial after its processes are gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtbench.records import tables
from rtbench.records.audit import judge as audit
from rtbench.records.audit import match
from rtbench.records.manifest import Counts, Half, Steadiness
from rtbench.records.manifest import Silence as SilenceRecord
from rtbench.records.reason import Reason
from rtbench.records.record import Status, typed
from rtbench.records.visiting import VisitAudit
from rtbench.records.visiting import audit as audit_visits
from rtbench.subjects import Subject
from rtbench.transports.catalogue import find
from rtbench.trial import steadiness, validity
from rtbench.trial._arrivals import Arrivals
from rtbench.trial._impairment import record as impairment
from rtbench.trial._measuring import Measured
from rtbench.trial._run import Run
from rtbench.trial._uplink import uplink
from rtbench.trial.steadiness import BATCHES, Drift, Spent, edges
from rtbench.workload import Workload


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of a trial. Without arguments: of a trial that is not judged yet."""

    status: Status = "ok"
    reasons: list[Reason] = field(default_factory=list)
    warnings: list[Reason] = field(default_factory=list)
    counts: Counts = Counts()
    audit: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """A kind ("lost", …) to the first few (subscriber, seq) of it."""
    bytes: dict[str, int] = field(default_factory=dict)
    steadiness: Steadiness = Steadiness()
    halves: list[Half] = field(default_factory=list)
    silence: SilenceRecord = SilenceRecord()
    negotiated: dict[str, str] = field(default_factory=dict)
    """The settings that client and server negotiated, as seen by the load processes."""


def judge(run: Run, found: Measured) -> Judgement:
    """Judge `found` and the files in the trial's folder."""
    assert found.counters is not None
    spec, folder, window = run.spec, run.folder, found.window
    workload = spec.scenario.make_workload()
    deliveries = tables.read_table(folder / "deliveries.parquet", "deliveries")
    ticks = tables.read_table(folder / "ticks.parquet", "ticks")
    connections = tables.read_table(folder / "connections.parquet", "connections")
    channel_of = np.asarray([workload.channel_of(index) for index in range(spec.scenario.subscribers)], dtype=np.int64)
    joined = match(deliveries, ticks, channel_of)
    audited = audit(joined, deliveries, ticks, window, channel_of)
    played = _played(ticks, workload)
    churned = spec.scenario.churn.rate_hz > 0
    visiting = tables.read_table(folder / "visit_deliveries.parquet", "visit_deliveries") if churned else None
    visited = None if visiting is None else _visited(run, visiting, connections, ticks, window)
    polls = find(spec.subject.transport).polls
    requests = tables.read_table(folder / "requests.parquet", "requests") if polls else None
    arrivals = Arrivals.of(joined, deliveries, played, window, requests)
    evidence = validity.Inputs(
        window=window,
        load=found.reports,
        processes=found.counters.processes,
        network=found.counters.network,
        cores=os.cpu_count() or 1,
        ticks=played,
        deliveries=deliveries,
        limits=spec.scenario.validity,
        arrivals=arrivals if found.due != "unknown" else arrivals.between(0, 0),
        polls=polls,
        impairment=impairment(spec.scenario.conditions, found.counters.routed),
    )
    silent = spec.scenario.idle.minutes > 0
    reasons = [one for one in validity.check(evidence) if not (silent and one.kind == validity.NO_MESSAGES)]
    heartbeats = sum(report.controls.get("heartbeat", 0) for report in found.reports)
    outcomes, listening = connections["outcome"], connections["connection"] >= 0
    staying = connections["subscriber"] < spec.scenario.subscribers
    made = int(np.count_nonzero(listening))
    # A trial that was disturbed on purpose is not asked whether it was steady.
    asked = not found.events and len(ticks["due_ns"])
    spent = _spent(found.counters.columns, [deliveries, *([] if visiting is None else [visiting])])
    steady = _steady(arrivals, spent, window) if asked else _Steady()
    return Judgement(
        status=validity.status(reasons),
        reasons=reasons,
        warnings=[
            *validity.findings(evidence),
            *steady.warnings(spec.scenario.validity.drift_share),
            *_broken([fault for report in found.reports for fault in report.faults], spec.subject),
            *_made_again(int(np.count_nonzero(listening & staying)) - spec.scenario.subscribers),
        ],
        counts=Counts(
            subscribers=spec.scenario.subscribers,
            subscribed=len(np.unique(connections["subscriber"][staying & (connections["response_ns"] >= 0)])),
            **audited.counts(),
            connections=made,
            connections_failed=sum(outcome not in tables.SUCCEEDED for outcome in outcomes),
            **found.sends,
            **(visited.counts() if visited else {}),
        ),
        audit={kind: list(pairs) for kind, pairs in audited.examples.items()}
        | ({"visits_lost": list(visited.examples)} if visited else {}),
        bytes=_bytes({name: column[staying] for name, column in connections.items()}, deliveries, evidence.arrived),
        steadiness=steady.record(),
        halves=_halves(arrivals, spent, window, found.due != "unknown"),
        silence=found.counters.silence.record(spec.scenario, connections, window, heartbeats)
        if silent
        else SilenceRecord(),
        negotiated={
            "compression": compression(report.response_headers for report in found.reports),
            **tls(report.tls.negotiated for report in found.reports),
            # A connection on which ALPN did not choose it has failed.
            **({"http": "2"} if spec.scenario.http2.streams_per_connection else {}),
        },
    )


def _visited(
    run: Run,
    visiting: tables.Columns,
    connections: tables.Columns,
    ticks: tables.Columns,
    window: tuple[int, int],
) -> VisitAudit:
    """The audit of the visitors, which had `visiting`."""
    workload = run.spec.scenario.make_workload()
    visits = tables.read_table(run.folder / "visits.parquet", "visits")
    channel_of = [workload.channel_of(int(number)) for number in visits["subscriber"]]
    return audit_visits(visits, connections, visiting, ticks, window, channel_of)


def _bytes(connections: tables.Columns, deliveries: tables.Columns, inside: Any) -> dict[str, int]:
    """Bytes within the window; TCP bytes are those of connections that existed at both edges."""
    counted = (connections["tcp_received_bytes_at_start"] >= 0) & (connections["tcp_received_bytes_at_end"] >= 0)
    gained = {
        name: (connections[f"tcp_{name}_bytes_at_end"] - connections[f"tcp_{name}_bytes_at_start"])[counted]
        for name in ("received", "sent")
    }
    return {
        "payload": int(deliveries["payload_bytes"][inside].sum()),
        "messages_in_window": int(inside.sum()),
        "tcp_down": int(gained["received"].sum()),
        "tcp_up": int(gained["sent"].sum()),
    }


def _played(ticks: tables.Columns, workload: Workload) -> tables.Columns:
    """The ticks by which the publisher is judged: without the messages that subscribers send."""
    return {**ticks, "sent_ns": np.where(uplink(workload, ticks["channel"]), ticks["due_ns"], ticks["sent_ns"])}


@dataclass(frozen=True, slots=True)
class _Steady:
    """The drift tests of a trial; None: not asked, or too little data."""

    latency: Drift | None = None
    server: Drift | None = None
    client: Drift | None = None

    def warnings(self, limit: float) -> Iterator[Reason]:
        """A reason for each unsteady quantity, with the metrics that it spoils."""
        for what, drift, spoils in (
            ("latency", self.latency, validity.LATENCY),
            ("server CPU a message", self.server, ["server_cpu_ns_per_message", "machine_busy_ns_per_message"]),
            ("client CPU a message", self.client, ["client_cpu_ns_per_message"]),
        ):
            if drift is not None and drift.significant and abs(drift.share) > limit:
                its = "its median" if what == "latency" else "it"
                text = f"{what} was not steady: {its} changed by {drift.share:+.0%} over the window, limit {limit:.0%}"
                yield Reason("not steady", text, "a longer warm-up", spoils)

    def record(self) -> Steadiness:
        """The form in the manifest."""
        found: dict[str, float] = {}
        if self.latency:
            found |= {"drift_share": self.latency.share, "p": self.latency.p, "batches": self.latency.batches}
        for side, drift in (("server", self.server), ("client", self.client)):
            if drift:
                found |= {f"{side}_cpu_drift_share": drift.share, f"{side}_cpu_p": drift.p}
        return typed(Steadiness, found)


def _steady(arrivals: Arrivals, spent: Mapping[str, Spent], window: tuple[int, int]) -> _Steady:
    """The drift of latency through the window, by kernel stamps where half of the messages have one; and of CPU."""
    of, received_ns = arrivals.headline
    return _Steady(
        steadiness.drift(arrivals.due_ns[of], received_ns, window),
        *(spent[side].drift(window) for side in ("server", "client")),
    )


def _spent(probes: tables.Columns, deliveries: Sequence[tables.Columns]) -> dict[str, Spent]:
    """The CPU readings of server and client through the trial, with the arrivals at the client's kernel."""
    arrived = np.sort(
        np.concatenate([np.where(rows["kernel_ns"] >= 0, rows["kernel_ns"], rows["app_ns"]) for rows in deliveries])
    )
    none = np.empty(0, dtype=np.int64)
    return {
        side: Spent(probes.get("at_ns", none), probes.get(f"{column}_cpu_ns", none), arrived)
        for side, column in (("server", "server"), ("client", "load"))
    }


def _halves(arrivals: Arrivals, spent: Mapping[str, Spent], window: tuple[int, int], due_known: bool) -> list[Half]:
    """The figures of the window's halves; latency is null without known due times."""
    middle = edges(window)[BATCHES // 2]
    found = []
    for begin, end in ((window[0], middle), (middle, window[1])):
        here = arrivals.between(begin, end)
        found.append(
            Half(
                latency_kernel_p50_ns=here.kernel_p50_ns() if due_known else None,
                latency_app_p50_ns=here.app_p50_ns() if due_known else None,
                server_cpu_ns_per_message=spent["server"].per_message(begin, end),
                client_cpu_ns_per_message=spent["client"].per_message(begin, end),
            )
        )
    return found


def _broken(faults: Sequence[str], subject: Subject) -> Iterator[Reason]:
    if faults:
        text = f"the wire protocol was broken, first by {faults[0]}"
        yield Reason("protocol fault", text, f"run `{subject.verified_by}`", [])


def _made_again(connections: int) -> Iterator[Reason]:
    if connections > 0:
        text = f"{connections:,} connections were made again"
        yield Reason("reconnections", text, "see connections.parquet for outcomes", [])


def compression(headers: Iterable[Mapping[str, str]]) -> str:
    """The negotiated settings, from the response heads that the load processes saw (R11)."""
    found = {
        head[name] for head in headers for name in ("content-encoding", "sec-websocket-extensions") if name in head
    }
    # Whether a message refers to those before it is another key (`compression_context`).
    named = {name.partition(";")[0].strip().removeprefix("permessage-") for name in found}
    return ", ".join(sorted(named)) or "none"


def tls(negotiated: Iterable[Mapping[str, int]]) -> dict[str, str]:
    """The versions and cipher suites of TLS that the load processes negotiated (R11); empty in cleartext.

    Stacks choose different ciphers: OpenSSL's prefer AES-256, Go's AES-128.
    """
    pairs = {tuple(words.split(" ", 1)) for seen in negotiated for words in seen}
    if not pairs:
        return {}
    versions, ciphers = zip(*pairs, strict=True)
    return {"tls": ", ".join(sorted(set(versions))), "tls_cipher": ", ".join(sorted(set(ciphers)))}
