"""What a probe shows of the service level: holds, fails, or unclear because the harness may have spoiled it (R13, R19).

Late or lost is one loss ratio, known between two bounds. At most: every delivery after the limit, by the kernel's stamp
where there is one, else by the application's. Surely: the publisher's lag is taken out, and what a late load process
may have caused is left out. A level holds when the first is within the limit and fails when the second is beyond it;
between the two the harness decides, and the probe is unclear. Invariant: a function of the trial's folder alone, so
that a resumed search judges alike. Called by `rtbench.capacity.probing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtbench.capacity.search import Outcome
from rtbench.records import manifest, tables
from rtbench.records.audit import in_window, match
from rtbench.records.capacity import ProbeRow
from rtbench.records.manifest import Counts, Manifest, Process
from rtbench.records.reason import Reason
from rtbench.records.record import changed
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import SloTable
from rtbench.transports.catalogue import find

SATURATED = 0.95
"""The share of its cores that a server uses when they are its limit."""

_LOAD = "load generator"
_ROOM = {
    "few file descriptors left": "descriptors of the load generator",
    "few local ports left": "local ports",
}
"""Reasons against a trial whose cause is what the harness may use, to what limits then."""
_MACHINE = (
    "server kept from its core", "machine stolen from", "cores throttled", "clock stepped", "segments sent again",
    "receive buffers overrun",
)  # fmt: skip
"""Reasons whose cause is neither the server nor the harness."""
_PROCESSES = ("the load process", "the publisher", "the starver")
"""How the error of a trial begins that a process of the harness ended."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A probe as capacity.json has it, and the share of its core that the busiest of server and load used."""

    row: ProbeRow
    busy: float


@dataclass(frozen=True, slots=True)
class Loss:
    """Shares of the expected deliveries of a window. `latency_ns`: at the quantile; None: that one is lost."""

    expected: int
    at_most: float
    surely: float
    lost: float
    surely_lost: float
    latency_ns: int | None


def judge(directory: Path, number: int, value: float, scenario: Scenario) -> Judged:
    """Judge the trial in `directory` by the scenario's [slo]. `scenario`: that of its cell."""
    found = manifest.load(directory / "manifest.json")
    window = found.window
    window_s = (window.end_ns - window.start_ns) / 1e9 if window else 0.0
    if found.status == "failed" or not window or window_s <= 0 or not (directory / "deliveries.parquet").exists():
        verdict, why = _broken(found, directory, scenario)
        row = ProbeRow(
            value=value, late_or_lost=None, status=found.status or "failed", trial=number, verdict=verdict,
            window_s=0.0, limited_by=why,
        )  # fmt: skip
        return Judged(row, 0.0)
    late, slo = loss(directory, found, scenario), scenario.slo
    slow = _slow_to_set_up(directory, slo)
    failed = (found.counts or Counts()).connections_failed or 0
    allowed = 1 - slo.quantile + 1e-12
    share = server_share(found)
    held = late.at_most <= allowed and late.lost <= slo.lost and not slow and not failed
    beyond = late.surely > allowed or late.surely_lost > slo.lost
    harness, machine = _harness(found), _machine(found) if share < SATURATED else ""
    unset = bool(slow or failed)
    row = ProbeRow(
        value=value,
        late_or_lost=round(late.at_most, 9),
        surely=round(late.surely, 9),
        lost=round(late.lost, 9),
        latency_ns=late.latency_ns,
        status=found.status or "ok",
        trial=number,
        verdict="holds" if held else "fails",
        window_s=round(window_s, 3),
        limited_by="",
    )
    if unknown := _unknown(found, late):
        row = changed(row, verdict="unclear", limited_by=unknown)
    elif not held:
        if not machine and (beyond or (unset and not harness)):
            row = changed(row, limited_by=_limit(found, scenario, share, late, unset))
        else:
            cause = (machine if beyond or unset else "") or harness or _behind(directory, slo)
            row = changed(row, verdict="unclear", limited_by=cause)
    return Judged(row, max(share, load_share(found)))


def loss(directory: Path, found: Manifest, scenario: Scenario) -> Loss:
    """What was late or lost of the messages due in the window, between its bounds."""
    assert found.window is not None and found.window
    window, limit_ns = (found.window.start_ns, found.window.end_ns), scenario.slo.latency_ms * 1e6
    workload = scenario.make_workload()
    channel_of = np.asarray([workload.channel_of(index) for index in range(scenario.subscribers)], dtype=np.int64)
    columns = ["subscriber", "channel", "seq", "kernel_ns", "app_ns"]
    deliveries = tables.read_table(directory / "deliveries.parquet", "deliveries", columns)
    ticks = tables.read_table(directory / "ticks.parquet", "ticks", ["channel", "seq", "due_ns", "sent_ns"])
    joined = match(deliveries, ticks, channel_of)
    inside = in_window(ticks, window)
    expected = int(joined.audience[inside].sum())
    if not expected:
        return Loss(0, 0.0, 0.0, 0.0, 0.0, None)
    kept = joined.first & (joined.tick >= 0)
    kept &= inside[joined.tick]
    tick, kernel_ns, app_ns = joined.tick[kept], deliveries["kernel_ns"][kept], deliveries["app_ns"][kept]
    due_ns = ticks["due_ns"][tick]
    took_ns = np.where(kernel_ns >= 0, kernel_ns, app_ns) - due_ns
    lag_ns = np.maximum(0, ticks["sent_ns"][tick] - due_ns)
    certain = np.ones(kernel_ns.size, dtype=np.bool_)
    if _late_load(found):
        # A pushed message's own stamp is the kernel's word. A poll may have been sent late, and all its times with it.
        polled = find(scenario.subject_of(found.subject or "").transport).polls if found.subject else False
        certain = np.zeros_like(certain) if polled and server_share(found) < SATURATED else kernel_ns >= 0
    late, surely = took_ns > limit_ns, (took_ns - lag_ns > limit_ns) & certain
    lost = expected - took_ns.size
    surely_lost = 0 if _late_load(found) and server_share(found) < SATURATED else lost
    place = min(max(math.ceil(scenario.slo.quantile * expected) - 1, 0), expected - 1)
    latency_ns = int(np.partition(took_ns, place)[place]) if place < took_ns.size else None
    return Loss(
        expected,
        (int(np.count_nonzero(late)) + lost) / expected,
        (int(np.count_nonzero(surely)) + surely_lost) / expected,
        lost / expected,
        surely_lost / expected,
        latency_ns,
    )


def server_share(found: Manifest) -> float:
    """The share of its cores that the server, with its proxy, used in the window."""
    table = found.processes or {}
    cores = len((table.get("server") or Process()).cores or ()) or 1
    return sum(_share(found, table.get(name)) for name in ("server", "proxy")) / cores


def load_share(found: Manifest) -> float:
    """The share of a core that a load process used in the window, on average."""
    load = (found.processes or {}).get("load") or Process()
    return _share(found, load) / max(1, load.workers or 1)


def _share(found: Manifest, process: Process | None) -> float:
    if process is None or not found.window:
        return 0.0
    begin, end = process.cpu_ns_at_start, process.cpu_ns_at_end
    if not isinstance(begin, int) or not isinstance(end, int) or begin < 0:
        return 0.0
    return max(0, end - begin) / max(1, found.window.end_ns - found.window.start_ns)


def _late_load(found: Manifest) -> bool:
    return any(reason.kind.startswith(_LOAD) for reason in found.reasons or ())


def _unknown(found: Manifest, late: Loss) -> str:
    """Why latency is not known, which neither holds nor fails; empty: it is."""
    if found.due == "unknown":
        return "due times are not known"
    if not late.expected:
        return "nothing was due in the window"
    return next((f"machine ({one.kind})" for one in found.reasons or () if one.kind == "clock stepped"), "")


def _harness(found: Manifest) -> str:
    """What of the load generator was at its limit; empty: nothing."""
    if _late_load(found):
        return _LOAD
    return next((_ROOM[one.kind] for one in found.reasons or () if one.kind in _ROOM), "")


def _machine(found: Manifest) -> str:
    """What of the machine may have made messages late; empty: nothing."""
    return next((f"machine ({one.kind})" for one in found.reasons or () if one.kind in _MACHINE), "")


def _behind(directory: Path, slo: SloTable) -> str:
    """What was late where no limit of the load generator was crossed."""
    ticks = tables.read_table(directory / "ticks.parquet", "ticks", ["due_ns", "sent_ns"])
    late = np.count_nonzero(ticks["sent_ns"] - ticks["due_ns"] > 0.5e6 * slo.latency_ms)
    return "publisher" if late else _LOAD


def _broken(found: Manifest, directory: Path, scenario: Scenario) -> tuple[Outcome, str]:
    """Verdict and limit of a trial without a window: most often, not all subscribers got in."""
    reason = next(iter(found.reasons or ()), Reason("failed"))
    text = reason.message or ""
    if reason.kind == "verification":
        return "fails", "verification"
    if reason.kind == "measurement" or text.startswith(_PROCESSES):
        return "unclear", "publisher" if text.startswith("the publisher") else _LOAD
    if "subscribed" not in text:
        return "fails", f"server ({text})"
    busy, waited = _before_window(found, directory)
    if busy >= SATURATED:
        return "fails", "server core"
    if waited > scenario.validity.server_run_delay_share:
        return "unclear", "machine (server kept from its core)"
    return "fails", "set-up"


def _before_window(found: Manifest, directory: Path) -> tuple[float, float]:
    """The shares of its time that the server of a trial without a window used its cores, and waited for them."""
    file = directory / "probes.parquet"
    if not file.exists():
        return 0.0, 0.0
    rows = tables.read_table(file, "probes", ["at_ns", "server_cpu_ns", "server_run_delay_ns"])
    if rows["at_ns"].size < 2 or min(rows["server_cpu_ns"].min(), rows["server_run_delay_ns"].min()) < 0:
        return 0.0, 0.0
    cores = len(((found.processes or {}).get("server") or Process()).cores or ()) or 1
    spent, waited, took = (
        int(rows[name][-1] - rows[name][0]) for name in ("server_cpu_ns", "server_run_delay_ns", "at_ns")
    )
    return spent / took / cores, waited / took


def _slow_to_set_up(directory: Path, slo: SloTable) -> int:
    """The number of subscribers whose first response came later than allowed, or never."""
    columns = ["subscriber", "connection", "started_ns", "response_ns"]
    rows = tables.read_table(directory / "connections.parquet", "connections", columns)
    asked = rows["connection"] >= 0
    subscriber, started, response = (rows[name][asked] for name in ("subscriber", "started_ns", "response_ns"))
    if not subscriber.size:
        return 0
    never = np.iinfo(np.int64).max
    first = np.full(int(subscriber.max()) + 1, never, dtype=np.int64)
    answered = first.copy()
    np.minimum.at(first, subscriber, started)
    np.minimum.at(answered, subscriber, np.where(response >= 0, response, never))
    here = np.unique(subscriber)
    waited_ns = answered[here].astype(np.float64) - first[here]
    return int(np.count_nonzero(waited_ns > slo.set_up_s * 1e9))


def _limit(found: Manifest, scenario: Scenario, share: float, late: Loss, unset: bool) -> str:
    """What of the server kept the level from holding."""
    network: Mapping[str, int] = found.network or {}
    server = (found.processes or {}).get("server") or Process()
    counts = found.counts or Counts()
    if refused := {name: count for name, count in (server.refused or {}).items() if count}:
        return f"[server] {', '.join(sorted(refused))}"
    if unset:
        for name in ("listen_overflows", "listen_drops"):
            if network.get(f"{name}_end", 0) > network.get(f"{name}_begin", 0):
                return "listen backlog"
    if share >= SATURATED:
        return "server core" if len(server.cores or ()) <= 1 else "server cores"
    if late.lost and (counts.connections or 0) > scenario.subscribers:
        return "slow-consumer drops"
    if unset:
        return "set-up"
    return (
        "lost messages" if late.surely - late.lost <= 1 - scenario.slo.quantile else f"server (core {share:.0%} busy)"
    )
