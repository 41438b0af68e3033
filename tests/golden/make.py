"""Makes results folders without a network: the committed golden one, and any other that a test asks for.

Invariant: the same Plan gives the same numbers. The latencies are drawn, the faults are put in by hand and their
counts are known: that is what the tests hold the analysis to. Run as `python tests/golden/make.py` to rewrite
tests/golden/results; tests call `write(path, Plan(...))`.
"""

from __future__ import annotations

import shutil
import sys
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rtbench.records.audit import audit
from rtbench.records.tables import sha256, write_json, write_table

HASH = "0f1e2d3c4b5a"
SECOND = 1_000_000_000
MILLISECOND = 1_000_000

SUBJECTS: dict[str, dict[str, Any]] = {
    "sse-aiohttp": {
        "transport": "sse",
        "stack": "aiohttp",
        "arm": "controlled",
        "delay": 2.0,
        "cpu": 7_000,
        "head": 40,
    },
    "websocket-aiohttp": {
        "transport": "websocket",
        "stack": "aiohttp",
        "arm": "controlled",
        "delay": 2.6,
        "cpu": 9_000,
        "head": 24,
    },
    "short-poll-aiohttp": {
        "transport": "short-poll",
        "stack": "aiohttp",
        "arm": "controlled",
        "delay": 2.2,
        "cpu": 60_000,
        "head": 300,
    },
    "long-poll-aiohttp": {
        "transport": "long-poll",
        "stack": "aiohttp",
        "arm": "controlled",
        "delay": 3.0,
        "cpu": 40_000,
        "head": 310,
    },
    "websocket-websockets": {
        "transport": "websocket",
        "stack": "websockets",
        "arm": "idiomatic",
        "delay": 3.4,
        "cpu": 11_000,
        "head": 22,
    },
}

STACKS = {
    "nchan": {"sse": 9_000, "websocket": 22_500, "long-poll": 18_000},
    "go": {"sse": 4_000, "websocket": 10_000, "long-poll": 1_500},
    "node": {"sse": 7_000, "websocket": 17_500, "long-poll": 42_000},
}
"""More stacks: server CPU in ns a message. WebSocket costs 2.5 times SSE on each, a long poll 2, 0.375 and 6 times."""

SUBJECTS |= {
    f"{transport}-{stack}": {
        "transport": transport, "stack": stack, "arm": "idiomatic", "delay": 2.0, "cpu": cpu, "head": 40,
    }
    for stack, costs in STACKS.items()
    for transport, cpu in costs.items()
}  # fmt: skip
SUBJECTS["sse-nchan-simple"] = {**SUBJECTS["sse-nchan"], "cpu": 90_000}


@dataclass(frozen=True)
class Plan:
    """What folder to make. `faults`: trial number -> kinds among lose, duplicate, reorder, corrupt, stamps."""

    subjects: tuple[str, ...] = ("sse-aiohttp", "websocket-aiohttp", "short-poll-aiohttp", "websocket-websockets")
    blocks: int = 3
    subscribers: int = 16
    rate_hz: float = 10.0
    warmup_s: float = 0.5
    window_s: float = 4.0
    grace_s: float = 1.0
    channels: str = "broadcast"
    seed: int = 1
    poll_s: float = 0.5
    faults: dict[int, tuple[str, ...]] = field(default_factory=dict)
    invalid: dict[int, tuple[str, ...]] = field(default_factory=dict)
    failed: tuple[int, ...] = ()
    interrupted_after: int | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    scenario_hash: str = HASH
    campaign: str = "20261124-031500-golden"
    warnings: tuple[dict[str, Any], ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    cells: tuple[dict[str, Any], ...] = ({},)
    """Cells of a sweep. The keys subscribers, workload.rate_hz and poll.interval_s change what is made."""
    cpu_law: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Subject to (ns, exponent): server CPU per message is ns · value^exponent of the cell's first key."""
    scenario: dict[str, Any] = field(default_factory=dict)


GOLDEN = Plan(
    faults={1: ("lose",), 4: ("duplicate", "reorder"), 7: ("corrupt",), 2: ("stamps",)},
    invalid={6: ("latency_app_*", "kernel_to_app_*")},
    failed=(11,),
    warnings=(
        {
            "kind": "asymmetry",
            "message": "websocket-websockets joins small writes; the others write each message by itself",
            "remedy": "compare it inside its own arm",
            "metrics": ["tcp_down_bytes_per_message"],
        },
    ),
)


def environment() -> dict[str, Any]:
    """An environment as the campaign records it, of a machine that does not exist."""
    return {
        "machine": {"name": "golden", "cores": 2, "memory_bytes": 8 * 2**30},
        "kernel": "6.1.0-golden",
        "python": "3.11.9",
        "cpu": {"model": "Example CPU @ 2.00GHz", "governor": "performance"},
        "packages": {"aiohttp": "3.14.5", "websockets": "17.4", "locust": "2.47.0"},
    }


def write(folder: Path, plan: Plan) -> Path:
    """Write a campaign under `folder` and return it."""
    rng = np.random.default_rng(plan.seed)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "trials").mkdir(parents=True)
    items = {_item(subject, cell): (subject, cell) for cell in plan.cells for subject in plan.subjects}
    order = [list(rng.permutation(np.array(list(items), dtype=object))) for _ in range(plan.blocks)]
    env = environment() | plan.environment
    listed: list[dict[str, Any]] = []
    number = 0
    for block, row in enumerate(order, start=1):
        for position, item in enumerate(row, start=1):
            subject, cell = items[item]
            number += 1
            if plan.interrupted_after is not None and number > plan.interrupted_after:
                continue
            status = "failed" if number in plan.failed else "invalid" if number in plan.invalid else "ok"
            directory = f"trials/{number:03d}-{subject}"
            (folder / directory).mkdir()
            head = {
                "schema": 1,
                "trial": number,
                "subject": subject,
                **_identity(subject),
                "block": block,
                "position": position,
                "seed": plan.seed,
                "scenario_hash": plan.scenario_hash,
                "status": status,
            }
            if cell:
                head["cell"] = cell
            _trial(folder / directory, _at(plan, cell), head, env, np.random.default_rng([plan.seed, number]))
            listed.append(
                {
                    "trial": number,
                    "subject": subject,
                    "block": block,
                    "position": position,
                    "status": status,
                    "directory": directory,
                    **({"item": item, "cell": cell} if cell else {}),
                }
            )
    whole = len(listed) == plan.blocks * len(items)
    channels = 1 if plan.channels == "broadcast" else plan.subscribers
    write_json(
        folder / "campaign.json",
        {
            "schema": 1,
            "rtbench": "0.1.0",
            "campaign": plan.campaign,
            "command": "rtbench run golden --seed 1",
            "scenario": _scenario(plan) | plan.scenario,
            "scenario_hash": plan.scenario_hash,
            "seed": plan.seed,
            "order": order,
            "environment": env,
            "warnings": list(plan.warnings),
            "channels": [{"channel": c, "stream": "fanout", "stream_channel": c} for c in range(channels)],
            "subjects": [{"subject": name, **_identity(name)} for name in plan.subjects],
            "trials": listed,
            **({"cells": list(plan.cells)} if plan.cells != ({},) else {}),
            "exit": 0 if whole else 130,
            "started_unix": 1_795_490_100,
            "finished_unix": 1_795_490_300,
        }
        | plan.extra,
    )
    return folder


def _item(subject: str, cell: dict[str, Any]) -> str:
    return f"{subject} [{' '.join(f'{key}={value}' for key, value in cell.items())}]" if cell else subject


def _at(plan: Plan, cell: dict[str, Any]) -> Plan:
    """The plan of one cell."""
    names = {"subscribers": "subscribers", "workload.rate_hz": "rate_hz", "poll.interval_s": "poll_s"}
    known = {names[key]: value for key, value in cell.items() if key in names}
    return replace(plan, cells=(cell,), **known)


def _identity(subject: str) -> dict[str, Any]:
    row = SUBJECTS[subject.split("@", maxsplit=1)[0]]
    return {
        "transport": row["transport"],
        "stack": row["stack"],
        "arm": row["arm"],
        "technique": "encode-once" if row["stack"] == "aiohttp" else "per-connection",
        "carries_id": "protocol",
    }


def _scenario(plan: Plan) -> dict[str, Any]:
    return {
        "name": "golden",
        "description": "A folder for the tests: numbers that were drawn, not measured",
        "subjects": list(plan.subjects),
        "subscribers": plan.subscribers,
        "stream": "fanout",
        "blocks": plan.blocks,
        "seed": plan.seed,
        "ramp_hz": 1000,
        "warmup_s": plan.warmup_s,
        "window_s": plan.window_s,
        "grace_s": plan.grace_s,
        "workers": 1,
        "epoch_s": 1_767_225_600,
        "server": {"heartbeat_s": 15},
        "workload": {"channels": plan.channels, "rate_hz": plan.rate_hz, "payload_bytes": 150, "arrival": "constant"},
        "poll": {"interval_s": plan.poll_s, "long_timeout_s": 25},
        "validity": {},
        "thresholds": {},
    }


def _ticks(plan: Plan, start_ns: int, rng: np.random.Generator) -> dict[str, Any]:
    channels = 1 if plan.channels == "broadcast" else plan.subscribers
    count = round((plan.warmup_s + plan.window_s) * plan.rate_hz)
    channel = np.tile(np.arange(channels), count)
    k = np.repeat(np.arange(count), channels)
    offset = channel * (SECOND / plan.rate_hz / channels)
    due = start_ns + (k * SECOND / plan.rate_hz + offset).astype(np.int64)
    digest = np.array([zlib.crc32(f"{c}:{n}".encode()) for c, n in zip(channel, k, strict=True)], dtype=np.uint32)
    return {
        "channel": channel,
        "seq": k + 1,
        "due_ns": due,
        "sent_ns": due + rng.gamma(2.0, 20_000, due.size).astype(np.int64),
        "payload_bytes": np.full(due.size, 150),
        "digest": digest,
    }


def _trial(folder: Path, plan: Plan, head: dict[str, Any], env: dict[str, Any], rng: np.random.Generator) -> None:
    look = SUBJECTS[head["subject"].split("@")[0]]
    trial, status = head["trial"], head["status"]
    start = 1_000 * SECOND + trial * 100 * SECOND
    window = (start + round(plan.warmup_s * SECOND), start + round((plan.warmup_s + plan.window_s) * SECOND))
    manifest: dict[str, Any] = dict(head)
    manifest |= {"clocks": {"step_ns_max": 1200}, "environment": env, "warnings": [], "bytes": {}}
    manifest["reasons"] = [
        {
            "kind": "client-late",
            "message": "the load generator read late",
            "remedy": "fewer subscribers",
            "metrics": [m],
        }
        for m in plan.invalid.get(trial, ())
    ]
    manifest["fairness"] = {
        "stack": head["stack"],
        "loop": "uvloop",
        "nodelay": True,
        "backlog": 4096,
        "compression": False,
    }
    if status == "failed":
        manifest["reasons"] = [
            {"kind": "server-died", "message": "the server ended with 139", "remedy": "see server.log", "metrics": []}
        ]
        manifest |= {"counts": {}, "processes": {}, "timeline": {"started_ns": start - SECOND}}
        write_json(folder / "manifest.json", manifest)
        return

    ticks = _ticks(plan, start, rng)
    deliveries, requests = _deliveries(plan, look, ticks, start, faults=plan.faults.get(trial, ()), rng=rng)
    connections = _connections(plan, look, deliveries, start, window=window, requests=requests, rng=rng)
    write_table(folder / "ticks.parquet", "ticks", ticks)
    write_table(folder / "deliveries.parquet", "deliveries", deliveries)
    write_table(folder / "connections.parquet", "connections", connections)
    if requests is not None:
        write_table(folder / "requests.parquet", "requests", requests)
    write_table(folder / "probes.parquet", "probes", _probes(plan, start))
    channel_of = np.arange(plan.subscribers) % (1 if plan.channels == "broadcast" else plan.subscribers)
    result = audit(deliveries, ticks, window, channel_of)
    inside = int(((deliveries["app_ns"] >= window[0]) & (deliveries["app_ns"] < window[1])).sum())
    block_effect = 1 + 0.1 * rng.standard_normal()
    each = look["cpu"]
    if head["subject"] in plan.cpu_law:
        level, exponent = plan.cpu_law[head["subject"]]
        each = level * float(next(iter(plan.cells[0].values()))) ** exponent
    cpu = {
        "server": round(inside * each * block_effect * (1 + 0.02 * rng.standard_normal())),
        "load": round(inside * 9_000 * block_effect * (1 + 0.02 * rng.standard_normal())),
        "publisher": round(inside * 300 * block_effect),
    }
    manifest["processes"] = {
        name: {
            "pid": 100 * trial + place,
            "cores": [place % 2],
            "cpu_ns_at_start": 5 * SECOND,
            "cpu_ns_at_end": 5 * SECOND + spent,
            "memory_bytes": 40_000_000,
        }
        for place, (name, spent) in enumerate(cpu.items())
    }
    manifest["processes"]["load"]["workers"] = 1
    manifest["processes"]["machine"] = {
        "busy_ns_at_start": 900 * SECOND,
        "busy_ns_at_end": 900 * SECOND + round(sum(cpu.values()) * 1.1),
        "steal_ns_at_start": 0,
        "steal_ns_at_end": 0,
    }
    manifest["window"] = {"start_ns": window[0], "end_ns": window[1]}
    manifest["counts"] = result.counts() | {
        "subscribers": plan.subscribers,
        "subscribed": plan.subscribers,
        "connections": plan.subscribers,
        "connections_failed": 0,
    }
    manifest["timeline"] = {
        "started_ns": start - 2 * SECOND,
        "ready_ns": start - SECOND,
        "subscribed_ns": start - SECOND // 4,
        "window_start_ns": window[0],
        "window_end_ns": window[1],
        "closed_ns": window[1] + round(plan.grace_s * SECOND),
    }
    write_json(folder / "manifest.json", manifest)


def _deliveries(
    plan: Plan,
    look: dict[str, Any],
    ticks: dict[str, Any],
    start: int,
    *,
    faults: tuple[str, ...],
    rng: np.random.Generator,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    broadcast = plan.channels == "broadcast"
    count = ticks["seq"].size
    if broadcast:
        tick = np.repeat(np.arange(count), plan.subscribers)
        subscriber = np.tile(np.arange(plan.subscribers), count)
    else:
        tick, subscriber = np.arange(count), ticks["channel"]
    due, sent = ticks["due_ns"][tick], ticks["sent_ns"][tick]
    kernel = sent + (look["delay"] * MILLISECOND * rng.gamma(4.0, 0.25, tick.size)).astype(np.int64)
    requests = None
    if look["transport"] == "short-poll":
        period = round(plan.poll_s * SECOND)
        phase = (subscriber * period) // plan.subscribers
        asked = start + phase + -((start + phase - sent) // period) * period  # the first poll at or after `sent`
        kernel = asked + (kernel - sent)
    # what arrives together is read together; a connection never overtakes itself
    by = np.lexsort((due, subscriber))
    high = kernel[by] + subscriber[by] * 10**14
    kernel[by] = np.maximum.accumulate(high) - subscriber[by] * 10**14
    app = kernel + (200_000 * rng.gamma(2.0, 0.5, tick.size)).astype(np.int64)
    app[by] = np.maximum.accumulate(app[by] + subscriber[by] * 10**14) - subscriber[by] * 10**14
    if look["transport"] == "short-poll":
        requests = _polls(plan, subscriber, kernel, app, start)
    elif look["transport"] == "long-poll":
        requests = _long_polls(plan, subscriber, app, start)
    stamp = kernel.copy()
    if "stamps" in faults:
        stamp[rng.random(tick.size) < 0.1] = -1
    rows = np.lexsort((subscriber, app))
    table = {
        "subscriber": subscriber[rows],
        "connection": subscriber[rows],
        "channel": ticks["channel"][tick][rows],
        "seq": ticks["seq"][tick][rows],
        "kernel_ns": stamp[rows],
        "app_ns": app[rows],
        "payload_bytes": ticks["payload_bytes"][tick][rows],
        "digest": ticks["digest"][tick][rows],
    }
    return _spoil(table, faults), requests


def _spoil(table: dict[str, Any], faults: tuple[str, ...]) -> dict[str, Any]:
    """Put the faults in, always at subscriber 3: 2 lost, 3 twice, 1 late, 2 corrupted."""
    mine = np.flatnonzero(table["subscriber"] == 3)
    middle = mine[mine.size // 2 :]
    if "lose" in faults:
        keep = np.ones(table["seq"].size, dtype=bool)
        keep[[middle[0], mine[-1]]] = False
        table = {name: column[keep] for name, column in table.items()}
    if "reorder" in faults:  # the two rows swap what they carry, their moments stay
        a, b = middle[0], middle[1]
        for name in ("seq", "digest"):
            table[name][[a, b]] = table[name][[b, a]]
    if "duplicate" in faults:
        again = np.concatenate([np.arange(table["seq"].size), middle[2:5]])
        table = {name: column[again] for name, column in table.items()}
        table["app_ns"][-3:] += 5 * MILLISECOND
        table["kernel_ns"][-3:] += 5 * MILLISECOND
    if "corrupt" in faults:
        table["digest"][middle[2]] ^= 1
        table["payload_bytes"][middle[4]] += 1
    return table


def _polls(plan: Plan, subscriber: Any, kernel: Any, app: Any, start: int) -> dict[str, Any]:
    period = round(plan.poll_s * SECOND)
    rounds = int((plan.warmup_s + plan.window_s + plan.grace_s) / plan.poll_s)
    who = np.repeat(np.arange(plan.subscribers), rounds)
    planned = start + (who * period) // plan.subscribers + np.tile(np.arange(rounds), plan.subscribers) * period
    turn = (kernel - start - (subscriber * period) // plan.subscribers) // period
    row = subscriber * rounds + turn
    messages = np.bincount(row, minlength=who.size)[: who.size]
    response = planned + 2 * MILLISECOND
    np.maximum.at(response, row, kernel)
    return {
        "subscriber": who,
        "planned_ns": planned,
        "started_ns": planned,
        "response_ns": response,
        "status": np.where(messages > 0, 200, 304),
        "messages": messages,
        "received_bytes": 300 + messages * 170,
    }


def _long_polls(plan: Plan, subscriber: Any, app: Any, start: int) -> dict[str, Any]:
    by = np.lexsort((app, subscriber))
    who, moment = subscriber[by], app[by]
    first = np.concatenate(([True], who[1:] != who[:-1]))
    asked = np.where(first, start - 1000, np.concatenate(([0], moment[:-1])) + 1000)
    return {
        "subscriber": who,
        "planned_ns": asked,
        "started_ns": asked,
        "response_ns": moment,
        "status": np.full(who.size, 200),
        "messages": np.ones(who.size),
        "received_bytes": np.full(who.size, 470),
    }


def _connections(
    plan: Plan,
    look: dict[str, Any],
    deliveries: dict[str, Any],
    start: int,
    *,
    window: tuple[int, int],
    requests: dict[str, Any] | None,
    rng: np.random.Generator,
) -> dict[str, Any]:
    n = plan.subscribers
    began = start - SECOND + np.arange(n) * 1000
    connected = began + rng.integers(40_000, 90_000, n)
    response = connected + rng.integers(300_000, 600_000, n)
    per_message = look["head"] + 150
    seen = {edge: np.zeros(n, dtype=np.int64) for edge in ("start", "end", "life")}
    asked = {edge: np.zeros(n, dtype=np.int64) for edge in ("start", "end", "life")}
    segments = {edge: np.zeros(n, dtype=np.int64) for edge in ("start", "end", "life")}
    for edge, moment in (("start", window[0]), ("end", window[1]), ("life", 2**62)):
        rows = deliveries["subscriber"][deliveries["app_ns"] < moment]
        seen[edge] = 250 + per_message * np.bincount(rows, minlength=n)
        segments[edge] = 1 + np.bincount(rows, minlength=n)  # the head, then one a message
        if requests is not None:
            asked[edge] = np.bincount(requests["subscriber"][requests["started_ns"] < moment], minlength=n)
    first = np.full(n, -1, dtype=np.int64)
    earliest = np.full(n, 2**62, dtype=np.int64)
    np.minimum.at(earliest, deliveries["subscriber"], deliveries["app_ns"])
    first[earliest < 2**62] = earliest[earliest < 2**62]
    return {
        "subscriber": np.arange(n),
        "connection": np.arange(n),
        "local_port": 40_000 + np.arange(n),
        "planned_ns": began,
        "started_ns": began,
        "connected_ns": connected,
        "secured_ns": np.full_like(response, -1),
        "response_ns": response,
        "first_message_ns": first,
        "closed_ns": np.full(n, window[1] + round(plan.grace_s * SECOND)),
        "outcome": ["open"] * n,
        "tcp_received_bytes": seen["life"],
        "tcp_sent_bytes": 180 + 160 * asked["life"],
        "tcp_received_bytes_at_start": seen["start"],
        "tcp_sent_bytes_at_start": 180 + 160 * asked["start"],
        "tcp_received_bytes_at_end": seen["end"],
        "tcp_sent_bytes_at_end": 180 + 160 * asked["end"],
        "tcp_received_segments": segments["life"],
        "tcp_received_segments_at_start": segments["start"],
        "tcp_received_segments_at_end": segments["end"],
    }


def _probes(plan: Plan, start: int) -> dict[str, Any]:
    at = start + np.arange(int(plan.warmup_s + plan.window_s) + 1) * SECOND
    second = np.arange(at.size)
    flat = {
        "server_cpu_ns": second * 50_000_000,
        "load_cpu_ns": second * 80_000_000,
        "publisher_cpu_ns": second * 2_000_000,
        "machine_busy_ns": second * 150_000_000,
        "steal_ns": second * 0,
        "server_memory_bytes": np.full(at.size, 40_000_000),
        "load_memory_bytes": np.full(at.size, 60_000_000),
        "server_run_delay_ns": second * 100_000,
        "load_run_delay_ns": second * 100_000,
        "hub_lag_max_ns": np.full(at.size, 300_000),
        "open_connections": np.full(at.size, plan.subscribers),
    }
    return {"at_ns": at, **flat}


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results"
    write(target, GOLDEN)
    sums = [f"{sha256(file)}  {file.relative_to(target)}\n" for file in sorted(target.rglob("*")) if file.is_file()]
    (target.parent / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")  # cd results; sha256sum -c ../SHA256SUMS
