"""`/plan/STREAM`: when each message was due, for clients that charge latency from the plan (R1)."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

from rtbench.conformance import case
from rtbench.conformance._checks import few
from rtbench.conformance._client import Subscriber, fetch
from rtbench.conformance._target import Target
from rtbench.machine import clock

STEP_NS = 5_000_000
"""The allowed difference between two readings of the same two clocks."""


def _table(target: Target, path: str, problems: list[str]) -> dict[str, Any] | None:
    answer = fetch(target, path)
    value = answer.json()
    if answer.status != 200 or not isinstance(value, dict):
        problems.append(f"GET {path}: wanted a JSON object, got {answer.shown}")
        return None
    kinds = {"seed": int, "epoch": str, "boot_id": str, "ticks": list}
    wrong = [name for name, kind in kinds.items() if type(value.get(name)) is not kind]
    problems += [f"GET {path}: {name} is {value.get(name)!r:.60}" for name in wrong]
    if wrong:
        return None
    if any(not isinstance(tick, list) or [type(item) for item in tick] != [int, int] for tick in value["ticks"]):
        problems.append(f"GET {path}: ticks are not all [id, due in Unix nanoseconds]")
        return None
    return value


@case("plan", claims={"plan"}, quick=True)
def plan(target: Target) -> list[str]:
    """The plan has every received id, due before it arrived, and obeys `since`."""
    problems: list[str] = []
    with Subscriber(target) as subscriber:
        found = subscriber.messages(5)
        seen_ns = time.time_ns()
        path = f"/plan/{target.stream}"
        whole = _table(target, path, problems)
        if whole is None:
            return problems
        ticks = dict(whole["ticks"])
        for before, after in pairwise(whole["ticks"]):
            if after[0] != before[0] + 1 or after[1] < before[1]:
                problems.append(f"{path}: {after} follows {before}")
        for message in found:
            due = ticks.get(message.id)
            if due is None:
                problems.append(f"{path}: id {message.id} was sent and is not in the plan")
            elif due > seen_ns + STEP_NS:
                problems.append(f"{path}: id {message.id} was seen {(due - seen_ns) / 1e6:.1f} ms before it was due")
        if found:
            rest = _table(target, f"{path}?since={found[-1].id}", problems)
            if rest is not None and rest["ticks"] and rest["ticks"][0][0] != found[-1].id + 1:
                problems.append(f"{path}?since={found[-1].id} begins with id {rest['ticks'][0][0]}")
    return few(problems) + timetable(target, whole)


def timetable(target: Target, whole: dict[str, Any]) -> list[str]:
    """Problems with due times: they must be the seeded timetable's, in whole nanoseconds from one start."""
    ticks = whole["ticks"]
    if target.workload is None or not ticks:
        return []
    problems: list[str] = []
    if whole["seed"] != target.workload.seed:
        problems.append(f"the plan's seed is {whole['seed']}, the workload's {target.workload.seed}")
    first, first_due = ticks[0]
    known = target.ticks(ticks[-1][0])
    for number, due in ticks:
        wanted = known[number - 1].due_ns - known[first - 1].due_ns
        if due - first_due != wanted:
            problems.append(f"the plan has id {number} due {due - first_due} ns after id {first}, wanted {wanted} ns")
    if target.owned is not None:
        start = target.owned.started_ns[target.stream] + clock.offset_ns()
        off_ns = first_due - known[first - 1].due_ns - start
        if abs(off_ns) > STEP_NS:
            problems.append(f"the plan is {off_ns / 1e6:.1f} ms away from the publisher's timetable")
    return few(problems)
