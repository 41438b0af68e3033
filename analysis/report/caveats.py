"""What speaks against believing a report: the list on its first screen (R8, R10, R11, R13, R16).

Invariant: every reason of every excluded trial is in the list, once; nothing is ever hidden to save room. Called by the
report.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from scipy import special

from rtbench.analysis.evidence import naming, total
from rtbench.analysis.evidence.stacks import plain
from rtbench.analysis.metrics import find
from rtbench.analysis.metrics.costs import SLOPES, given
from rtbench.analysis.report import aliasing, caveat, fairness, loopback, networks, thresholds
from rtbench.analysis.report.caveat import Agreeing, Caveat, Text, recorded
from rtbench.analysis.statistics.compare import LEVEL
from rtbench.analysis.statistics.quantiles import INSTANTS_NEEDED

if TYPE_CHECKING:
    from rtbench.analysis.evidence import Evidence
    from rtbench.analysis.samples.stalls import Stall


def collect(evidence: Evidence) -> list[Caveat]:
    """All caveats, the grave ones first."""
    sources: tuple[Callable[[Evidence], Iterator[Caveat]], ...] = (
        _one_stack, _unfinished, _too_few, _put_aside, _given, thresholds.caveats, _stalls, fairness.caveats, _arms,
        _tails, _beats, _censored, _bent, _unstamped, _noise, _multiplicity, _calibration, loopback.caveats, _unsealed,
        networks.caveats, _machine,
    )  # fmt: skip
    found: dict[tuple[str, str], Caveat] = {}
    for source in sources:
        for one in source(evidence):
            found.setdefault((one.kind, one.message), one)
    kept: Collection[Caveat] = found.values()
    if evidence.campaign.capacities:  # a search has judged what speaks against its probes
        own = {"unfinished", *(str(row.get("kind")) for row in evidence.campaign.document.get("warnings") or ())}
        kept = [replace(one, grave=one.grave and one.kind in own and not one.trials) for one in kept]
    return sorted(kept, key=lambda c: not c.grave)


def _one_stack(evidence: Evidence) -> Iterator[Caveat]:
    """Transports that are compared on one stack alone (R17): the first doubt, whatever else there is."""
    on = naming.transports_of_stacks(filter(plain, evidence.subjects))
    several = [naming.stack(stack) for stack, transports in on.items() if len(transports) > 1]
    if several and evidence.comparisons and not evidence.matrix:
        each = "one stack" if len(several) == 1 else "each transport on one stack"
        text = f"{each} ({', '.join(several)}): says nothing of others; what a transport costs depends on its stack"
        yield Caveat("one-stack", (text,), "`rtbench run matrix` compares transports on several", True)


def _unfinished(evidence: Evidence) -> Iterator[Caveat]:
    for document in evidence.campaign.documents:
        planned = sum(len(row) for row in document.get("order") or [])
        done = len({(row.get("block"), row.get("item") or row["subject"]) for row in document.get("trials") or []})
        if done < planned:
            yield Caveat(
                "unfinished", (f"{done} of {planned} planned trials were run",), "rtbench run … --resume", True
            )


def _too_few(evidence: Evidence) -> Iterator[Caveat]:
    if evidence.campaign.capacities:
        return  # a value's probes are as many as the search needs
    for subject in evidence.too_few:
        count = f" {subject.usable} usable trial{'s' * (subject.usable != 1)}: nothing is concluded about "
        text = caveat.subject(subject.name), " ", Agreeing("has", "have"), count, Agreeing("it", "them")
        failed = all(result.trial.status == "failed" for result in evidence.of(subject.name))
        remedy = "see why its trials failed" if failed else "run more blocks, or see why its trials were put aside"
        yield Caveat("too-few-trials", text, remedy, True)


def _put_aside(evidence: Evidence) -> Iterator[Caveat]:
    for result in evidence.results:
        trial = result.trial
        counts = trial.status == "ok"
        unsaid = () if counts else ({"kind": trial.status, "message": "no reason was recorded"},)
        for reason in trial.reasons or unsaid:
            yield Caveat(
                str(reason.get("kind", trial.status)),
                recorded(str(reason.get("message", "")), evidence.names),
                str(reason.get("remedy", "")),
                not counts,
                trials=((trial.number, trial.item),),
                status="" if counts else trial.status,
                spoils=() if trial.status == "failed" else tuple(reason.get("metrics") or ()),
            )


def _given(evidence: Evidence) -> Iterator[Caveat]:
    of_trials = {  # as `load` puts them among the campaign's own
        f"trial {trial.number}, {trial.item}: {warning['message']}": (trial, str(warning["message"]))
        for trial in evidence.campaign
        for warning in trial.manifest.get("warnings", ())
    }
    for warning in evidence.warnings:
        if warning.get("kind") == "damaged-trial":  # its trial says so already
            continue
        message = str(warning.get("message"))
        trials: tuple[tuple[int, str], ...] = ()
        if message in of_trials:
            trial, message = of_trials[message]
            trials = ((trial.number, trial.item),)
        text = recorded(message, evidence.names)
        yield Caveat(str(warning.get("kind")), text, str(warning.get("remedy", "")), True, trials)


def _stalls(evidence: Evidence) -> Iterator[Caveat]:
    for result in evidence.results:
        if result.stall is not None and result.trial.status != "invalid":
            yield Caveat(
                "stall",
                stalled(result.stall),
                "it counts, and a median does not show it; maxima and their intervals do: see what stopped",
                True,
                trials=((result.trial.number, result.trial.item),),
            )


_STOOD_STILL = {
    "due_to_sent": "before they were ready to send: the publisher stood still",
    "sent_to_kernel": "between ready to send and the client's kernel: the server, a proxy or the machine stood still",
    "kernel_to_app": "after the client's kernel had them: the load process stood still",
}


def stalled(stall: Stall) -> Text:
    """`nothing that was due from 4.4 s to 5.0 s of the window came in time: …`."""
    first, last = (caveat.number(at_s, ".1f") for at_s in (stall.first_s, stall.last_s))
    when = (" at ", first) if first.listed() == last.listed() else (" from ", first, " s to ", last)
    return (
        "nothing that was due", *when, " s of the window came in time: ", caveat.number(stall.messages),
        " messages, up to ", *caveat.quantity(stall.latest_ns, "ns"), " late, ", *caveat.quantity(stall.part_ns, "ns"),
        f" of it {_STOOD_STILL[stall.part]}",
    )  # fmt: skip


def _arms(evidence: Evidence) -> Iterator[Caveat]:
    groups = [(group.name, group.subjects) for group in naming.groups(evidence)]
    if len(groups) < 2:  # arms say nothing
        stacks = dict.fromkeys(s.stack for s in evidence.subjects)
        groups = [(naming.stack(stack), tuple(s for s in evidence.subjects if s.stack == stack)) for stack in stacks]
    if len(groups) > 1:
        named = "; ".join(
            f"{name}{': ' if name else ''}{', '.join(dict.fromkeys(s.base for s in subjects))}"
            for name, subjects in groups
        )
        message = f"subjects run on different stacks ({named}): a difference across them is one of stacks, too"
        yield Caveat("arms", (message,), "compare transports within the same stack", False)
    for _, subjects in evidence.arms:
        techniques = {s.technique for s in subjects}
        if len(techniques) > 1:
            named = "; ".join(
                f"{t}: {', '.join(s.name for s in subjects if s.technique == t)}" for t in sorted(techniques)
            )
            yield Caveat(
                "techniques",
                (f"subjects write to many connections in different ways ({named})",),
                "compare like with like",
                False,
            )


def _tails(evidence: Evidence) -> Iterator[Caveat]:
    instants = [r.series.instants for r in evidence.results if r.series]
    missing = [f"{name} (needs {n:,})" for name, n in INSTANTS_NEEDED.items() if instants and min(instants) < n]
    if missing:
        yield Caveat(
            "tail-not-claimed",
            (
                f"a window has {min(instants):,} distinct due instants, too few to claim a tail in time: "
                f"{', '.join(missing)}",
            ),
            "a longer window; the tail over subscribers (within a tick) is given instead",
            False,
        )


def _beats(evidence: Evidence) -> Iterator[Caveat]:
    scenario = evidence.campaign.document.get("scenario") or {}
    polled = any(s.transport == "short-poll" for s in evidence.subjects)
    for one in aliasing.aliasings(scenario, evidence.campaign.cells, polled):
        remedy = 'an interval that is not a simple fraction of the period, or `workload.arrival = "poisson"`'
        yield Caveat("beat", (one.text(),), remedy, False)


def _multiplicity(evidence: Evidence) -> Iterator[Caveat]:
    floor = " and the noise floor" if evidence.noise_floor else ""
    for family in evidence.families:
        if family.name == "headline" and family.comparisons:
            yield Caveat(
                "multiplicity",
                (
                    f"{family.size} (headline metrics) were judged together; were all subjects "
                    f"alike, some {family.comparisons * LEVEL:.0f} intervals would exclude 1 by chance. "
                    f"{family.alone:,} do, {family.differences:,} are called a difference after false-discovery "
                    f"control (Benjamini–Hochberg, {LEVEL:.0%}){floor}",
                ),
                "",
                False,
            )


def _censored(evidence: Evidence) -> Iterator[Caveat]:
    for subject in evidence.subjects:
        lost = total(evidence.of(subject.name), "lost")
        if lost:
            rest = (
                f" lost {lost:,.0f} messages; in ",
                Agreeing("its", "their"),
                " latencies they count as later than the window",
            )
            yield Caveat("lost", (caveat.subject(subject.name), *rest), "", True)


BEND_LEVEL = 0.01
"""Of the test whether memory (or idle CPU) over the rungs of a ladder is a straight line."""


def _bent(evidence: Evidence) -> Iterator[Caveat]:
    """Slopes of a line that does not fit: the trials' tests of a quadratic term together (Fisher's method)."""
    for subject in evidence.subjects:
        for metric in SLOPES:
            found = (given(r.trial, metric, "_curved_p") for r in evidence.of(subject.name) if r.trial.status == "ok")
            each = [max(p, sys.float_info.min) for p in found if p is not None]
            together = float(special.chdtrc(2 * len(each), -2 * sum(map(math.log, each)))) if each else 1.0
            if together < BEND_LEVEL:
                text = (
                    caveat.subject(subject.name), ": ", caveat.Names("metric", (metric,)),
                    ": a straight line over the rungs does not fit (p = ", caveat.number(together, ".2g"),
                    "); the slope is an average over them",
                )  # fmt: skip
                yield Caveat("bent", text, "see `memory.rungs` in the manifests", False)


def _unstamped(evidence: Evidence) -> Iterator[Caveat]:
    if "kernel" not in evidence.latency and evidence.results:
        text = "the kernel stamped too few messages: latency is that at the client's application"
        yield Caveat("application-latency", (text,), "", False)


def _noise(evidence: Evidence) -> Iterator[Caveat]:
    floor = evidence.noise_floor
    if floor is None:
        yield Caveat(
            "no-noise-floor",
            ("no A/A control ran: the noise floor of this campaign is not known",),
            "run `rtbench calibrate`, or an A/A pair (`--subjects A,A@2`)",
            False,
        )
        return
    shown = [
        f"{find(metric).title.lower()} {ratio - 1:.1%}"
        for metric, ratio in floor["metrics"].items()
        if metric in ("latency_kernel_p50_ns", "server_cpu_ns_per_message", "tcp_down_bytes_per_message")
    ]
    whose = "its own A/A pair" if floor["source"] == "campaign" else "this machine's A/A control"
    yield Caveat(
        "noise-floor",
        (
            f"noise floor over {floor['blocks']} blocks, from {whose}: {', '.join(shown)}; no smaller difference is "
            "called one, and nothing is called equivalent within less",
        ),
        "",
        False,
    )


def _calibration(evidence: Evidence) -> Iterator[Caveat]:
    found = evidence.calibration
    if found is None:
        yield Caveat(
            "not-calibrated",
            ("not calibrated: the harness's own error on this machine is not known",),
            "run `rtbench calibrate`",
            False,
        )
        return
    checks = found["checks"]
    missed = [row["name"] for row in checks if not row["met"]]
    when = time.strftime("%Y-%m-%d", time.gmtime(found["measured_unix"]))
    delays = [abs(row["deviation"]) for row in checks if row["name"].startswith("delay of")]
    error = f", known delays to {max(delays):.2f} ms" if delays else ""
    named = f" ({found['file']}, named by --calibration)" if "file" in found else ""
    text = f"calibrated on {when}{named}: {len(checks) - len(missed)} of {len(checks)} known truths met{error}"
    if missed:
        yield Caveat("calibration-not-met", (f"{text}; not met: {'; '.join(missed)}",), "run `rtbench calibrate`", True)
    else:
        yield Caveat("calibrated", (text,), "", False)
    here, there = evidence.campaign.document.get("environment") or {}, found.get("environment") or {}
    if (loop := there.get("inner_loop")) and here.get("inner_loop") and loop != here["inner_loop"]:
        text = (
            f"calibrated with the load generator's inner loop in {loop}, measured with the one in {here['inner_loop']}"
        )
        yield Caveat("calibrated-otherwise", (text,), "run `rtbench calibrate`", False)


def _unsealed(evidence: Evidence) -> Iterator[Caveat]:
    count = sum(not r.trial.sealed for r in evidence.results if r.trial.measured)
    if count:
        message = f"the files of {count} trial{'s' * (count != 1)} carry no checksums: an edit would not be noticed"
        yield Caveat("no-checksums", (message,), "", False)


def _machine(evidence: Evidence) -> Iterator[Caveat]:
    if any(result.trial.network for result in evidence.results):
        text = "one machine: server, publisher, clients and the router between them share it, and all clients one link"
        yield Caveat("one-machine", (text,), "take from here what delay and loss do, not what your network does", False)
        return
    yield Caveat(
        "one-machine",
        (
            "one machine, loopback: server, publisher and clients share it, the network adds no delay, and the kernel "
            "bills the receivers' work to the sender",
        ),
        "take from here which subject costs less; how much less takes two hosts",
        False,
    )
