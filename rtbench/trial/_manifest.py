"""A trial's manifest (interface.md), built once from the trial's measurements and their judgement.

Invariant: this module makes all manifests, including that of a subject that failed verification. Called by the trial.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rtbench.records import tables
from rtbench.records.manifest import Clocks, Counts, Impairment, Manifest, Process, Tls, Window
from rtbench.records.reason import Reason
from rtbench.records.record import Status, changed, typed
from rtbench.trial._impairment import record as impairment
from rtbench.trial._judge import Judgement
from rtbench.trial._measuring import Measured
from rtbench.trial._run import Spec
from rtbench.trial.validity import EVERYTHING


def _outcome(spec: Spec, status: Status, reasons: list[Reason], warnings: list[Reason], counts: Counts) -> Manifest:
    """The identity of a trial and its result."""
    which = {
        "schema": tables.SCHEMA,
        "trial": spec.number,
        **spec.subject.describe(),
        "block": spec.block,
        "position": spec.position,
        "seed": spec.scenario.seed,
        "scenario_hash": spec.scenario_hash or spec.scenario.hash,
        "cell": spec.cell,
    }
    return changed(
        typed(Manifest, which),
        status=status,
        reasons=reasons,
        warnings=warnings,
        counts=counts,
        environment=spec.environment,
    )


def manifest(spec: Spec, found: Measured, judged: Judgement) -> Manifest:
    """The manifest of a finished trial; its `files` are added later."""
    counters, (memory, idle) = found.counters, found.ladder
    pairs = [list(pair) for pair in found.reports[0].clock_pairs] if found.reports else []
    controls: Counter[str] = Counter()
    for report in found.reports:
        controls.update(report.controls)
    return changed(
        _outcome(spec, judged.status, judged.reasons, [*found.warnings, *judged.warnings], judged.counts),
        window=Window(start_ns=found.window[0], end_ns=found.window[1]),
        clocks=typed(Clocks, {"pairs": pairs}),
        audit=judged.audit,
        processes={name: typed(Process, row) for name, row in counters.processes.items()} if counters else {},
        network=counters.network if counters else {},
        bytes={**(counters.wire if counters else {}), **judged.bytes},
        fairness=found.uses | judged.negotiated,
        timeline=found.timeline,
        due=found.due,
        unknown=found.unknown,
        events=found.events,
        faults=spec.scenario.as_dict()["faults"],
        steadiness=judged.steadiness,
        tls=_tls(spec, found),
        impairment=impairment(spec.scenario.conditions, counters.routed) if counters else Impairment(),
        halves=judged.halves,
        memory=memory,
        idle=idle,
        silence=judged.silence,
        controls=dict(controls),
    )


def _tls(spec: Spec, found: Measured) -> Tls:
    """What the load processes negotiated; empty where no connection had TLS."""
    negotiated: Counter[str] = Counter()
    for report in found.reports:
        negotiated.update(report.tls.negotiated)
    if not negotiated and not spec.subject.tls:
        return Tls()
    return Tls(
        version=spec.subject.tls,
        negotiated=dict(negotiated),
        resumed=sum(report.tls.resumed for report in found.reports),
        plaintext_bytes=sum(report.tls.plaintext_bytes for report in found.reports),
        handshakes=found.handshakes,
    )


def refusal(spec: Spec, problems: Sequence[str]) -> Manifest:
    """The manifest of a trial whose subject failed verification: failed, never fast (R12)."""
    text = f"verification failed: {'; '.join(problems[:3])}"
    reason = Reason("verification", text, f"run `{spec.subject.verified_by}`", EVERYTHING)
    return _outcome(spec, "failed", [reason], [], Counts())
