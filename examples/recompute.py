"""Works out a report again from its raw files: `python recompute.py RESULTS_FOLDER… REPORT.json`.

Written from docs/data.md and docs/recompute.md alone, with numpy and pyarrow: nothing of rtbench is used. Prints what
differs and how many numbers were compared; exit 1 when something differs. The sections are those of docs/recompute.md.
"""

from __future__ import annotations

import json
import math
import sys
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

Json = dict[str, Any]
Table = dict[str, Any]

LEVELS = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
INSTANTS_NEEDED = {"p99": 368, "p999": 3688}
SUCCEEDED = (
    "open",
    "closed",
    "closed by the subscriber",
    "cut",
    "ended",
    "failed by its stream",
    "stopped (status 204)",
)
SPOILT_BY_DEFAULT = (
    "latency_*", "due_to_sent_*", "sent_to_*", "request_to_*", "kernel_to_app_*", "poll_round_trip_*", "connect_*",
    "response_*", "first_message_*", "server_cpu_*", "client_cpu_*", "proxy_cpu_*", "machine_busy_*", "arrival_gap_*",
)  # fmt: skip
POLLING = ("short-poll", "long-poll")
SLOPES = {
    "server_memory_bytes_per_connection": ("memory", "server_bytes_per_connection"),
    "kernel_memory_bytes_per_connection": ("memory", "kernel_bytes_per_connection"),
    "server_memory_idle_bytes_per_connection": ("memory", "server_idle_bytes_per_connection"),
    "kernel_memory_idle_bytes_per_connection": ("memory", "kernel_idle_bytes_per_connection"),
    "idle_cpu_ns_per_connection_second": ("idle", "cpu_ns_per_connection_second"),
}


def nearest_rank(values: Any, level: float, lost: int = 0) -> float | None:
    """Section 1: the nearest rank among `values` and `lost` more that are infinite; None where it is infinite."""
    count = len(values) + lost
    if not count:
        return None
    place = min(count - 1, max(0, math.ceil(level * count - 1e-9) - 1))
    return float(np.sort(values)[place]) if place < len(values) else None


def fits(metric: str, patterns: Any) -> bool:
    return any(fnmatchcase(metric, pattern) for pattern in patterns)


class Trial:
    """Sections 2 to 9: one trial, from its manifest and tables."""

    def __init__(self, folder: Path, row: Json, campaign: Json) -> None:
        self.folder = folder / row["directory"]
        self.manifest: Json = json.loads((self.folder / "manifest.json").read_text())
        scenario, cell = campaign["scenario"], row.get("cell") or {}
        stream = cell.get("stream", scenario["stream"])
        streams = self.streams = 1 if isinstance(stream, str) else len(stream)
        unicast = cell.get("workload.channels", (scenario.get("workload") or {}).get("channels")) == "unicast"
        counts = self.manifest.get("counts") or {}
        self.subscribers: int = counts.get("subscribers") or cell.get("subscribers", scenario["subscribers"])
        who = np.arange(self.subscribers)
        self.channel_of = who if unicast else who % streams

    def table(self, kind: str) -> Table:
        file = pq.ParquetFile(self.folder / f"{kind}.parquet").read()
        return {name: file.column(name).to_numpy() for name in file.column_names}

    def metrics(self) -> Json:
        """Every metric that has a value."""
        if self.manifest["status"] == "failed" or not self.manifest.get("window"):
            return {}
        self.start, self.end = self.manifest["window"]["start_ns"], self.manifest["window"]["end_ns"]
        self.ticks, self.deliveries, self.connections = map(self.table, ("ticks", "deliveries", "connections"))
        self._join()
        found = self._delivery() | self._latency() | self._within_tick() | self._costs() | self._bytes()
        found |= self._set_up() | self._recovery() | self._spacing() | self._storm() | self._churn()
        if self.manifest["transport"] in POLLING:
            found |= self._polls()
        unknown = self.manifest.get("unknown") or ()
        return {name: value for name, value in found.items() if value is not None and not fits(name, unknown)}

    def _join(self) -> None:
        """Section 2: the tick of each delivery, first arrivals, the window."""
        ticks, rows = self.ticks, self.deliveries
        tick_of = {
            pair: row for row, pair in enumerate(zip(ticks["channel"].tolist(), ticks["seq"].tolist(), strict=True))
        }
        who, channel = rows["subscriber"], rows["channel"]
        mine = (who >= 0) & (who < self.subscribers)
        mine &= self.channel_of[np.where(mine, who, 0)] == channel
        pairs = zip(channel.tolist(), rows["seq"].tolist(), strict=True)
        self.tick = np.array([tick_of.get(pair, -1) for pair in pairs], dtype=np.int64)
        self.tick[~mine] = -1
        self.first = np.zeros(len(who), dtype=bool)
        known = np.flatnonzero(self.tick >= 0)
        if known.size:
            cell = who[known].astype(np.int64) * len(ticks["seq"]) + self.tick[known]
            self.first[known[np.unique(cell, return_index=True)[1]]] = True
        self.inside = (ticks["due_ns"] >= self.start) & (ticks["due_ns"] < self.end)
        self.in_window = self.tick >= 0
        self.in_window[known] = self.inside[self.tick[known]]
        listeners = np.bincount(self.channel_of, minlength=1 + int(ticks["channel"].max(initial=0)))
        self.audience = listeners[ticks["channel"]]
        self.kept = np.flatnonzero(self.first & self.in_window)
        self.stamped = rows["kernel_ns"][self.kept] >= 0
        app = rows["app_ns"]
        arrived = self.first & (app >= self.start) & (app < self.end)
        self.arrived = int(arrived.sum())
        self.arrived_bytes = int(rows["payload_bytes"][arrived].sum())
        self.churned = (self.folder / "visits.parquet").exists()
        seen: set[tuple[int, int]] = set()
        visited = self.table("visit_deliveries") if self.churned else {name: [] for name in rows}
        for who, seq, app_ns, size in zip(
            *(visited[name] for name in ("subscriber", "seq", "app_ns", "payload_bytes")), strict=True
        ):
            if (who, seq) not in seen and self.start <= app_ns < self.end:
                self.arrived, self.arrived_bytes = self.arrived + 1, self.arrived_bytes + int(size)
            seen.add((who, seq))

    def _delivery(self) -> Json:
        """Section 3: the audit."""
        rows, ticks = self.deliveries, self.ticks
        reordered = 0
        for subscriber in range(self.subscribers):
            mine = np.flatnonzero((rows["subscriber"] == subscriber) & (self.tick >= 0))
            if mine.size:
                seq = rows["seq"][mine]
                before = np.maximum.accumulate(np.concatenate(([-1], seq[:-1])))
                reordered += int((self.first[mine] & self.in_window[mine] & (seq < before)).sum())
        at = np.maximum(self.tick, 0)
        differs = np.zeros(len(at), dtype=bool)
        if ticks["seq"].size:
            differs = rows["digest"] != ticks["digest"][at]
            differs |= rows["payload_bytes"] != ticks["payload_bytes"][at]
        expected = int(self.audience[self.inside].sum())
        self.lost = expected - self.kept.size
        return {
            "expected": expected,
            "delivered": self.kept.size,
            "lost": self.lost,
            "duplicated": int((self.in_window & ~self.first).sum()),
            "reordered": reordered,
            "corrupted": int(((self.in_window & differs) | (self.tick < 0)).sum()),
            "stamped_share": int(self.stamped.sum()) / self.kept.size if self.kept.size else None,
            "delivered_hz": self.arrived / ((self.end - self.start) / 1e9),
        }

    def _latency(self) -> Json:
        """Section 4: latency and its parts."""
        rows, tick = self.deliveries, self.tick[self.kept]
        due, sent = self.ticks["due_ns"][tick], self.ticks["sent_ns"][tick]
        app, kernel = rows["app_ns"][self.kept], rows["kernel_ns"][self.kept]
        some = self.stamped
        spans = {
            "latency_app": app - due,
            "due_to_sent": sent - due,
            "latency_kernel": (kernel - due)[some],
            "sent_to_kernel": (kernel - sent)[some],
            "kernel_to_app": (app - kernel)[some],
        }
        if self.manifest["transport"] in POLLING:
            spans |= self._split(sent[some], kernel[some], app[some])
        instants = np.unique(self.ticks["due_ns"][self.inside & (self.audience > 0)]).size
        self.claimed = {level for level in LEVELS if instants >= INSTANTS_NEEDED.get(level, 0)}
        return {
            f"{name}_{level}_ns": nearest_rank(values, LEVELS[level], self.lost if name.startswith("latency") else 0)
            for name, values in spans.items()
            for level in self.claimed
        }

    def _split(self, sent: Any, kernel: Any, app: Any) -> Json:
        """The request that fetched a message: its subscriber's last one that began before `app_ns`."""
        requests, who = self.table("requests"), self.deliveries["subscriber"][self.kept][self.stamped]
        wait, answer = [], []
        for subscriber in np.unique(who):
            started = np.sort(requests["started_ns"][requests["subscriber"] == subscriber])
            mine = who == subscriber
            place = np.searchsorted(started, app[mine], side="left") - 1
            asked = place >= 0
            begin = np.maximum(started[place[asked]], sent[mine][asked])
            wait.append(begin - sent[mine][asked])
            answer.append(kernel[mine][asked] - begin)
        none = [np.empty(0, dtype=np.int64)]
        return {"sent_to_request": np.concatenate(wait or none), "request_to_kernel": np.concatenate(answer or none)}

    def _within_tick(self) -> Json:
        """Section 5: the percentile over the subscribers of a tick, then the lower median over the ticks."""
        found: Json = {}
        shared = np.flatnonzero(self.inside & (self.audience > 1))
        if not shared.size:
            return found
        tick = self.tick[self.kept]
        due = self.ticks["due_ns"][tick]
        for stamp in ("kernel", "app"):
            values = self.deliveries[f"{stamp}_ns"][self.kept] - due
            have = self.stamped if stamp == "kernel" else np.ones(tick.size, dtype=bool)
            order = np.lexsort((values[have], tick[have]))
            ordered, of = values[have][order], tick[have][order]
            unknown = np.bincount(tick[~have], minlength=len(self.inside))
            each: dict[str, list[float]] = {level: [] for level in ("p50", "p99", "max")}
            for row in shared:
                count = int(self.audience[row] - unknown[row])
                here = ordered[np.searchsorted(of, row) : np.searchsorted(of, row, side="right")]
                for level in each if count > 0 else ():
                    value = nearest_rank(here, LEVELS[level], count - len(here))
                    each[level].append(math.inf if value is None else value)
            for level, over in each.items():
                middle = nearest_rank(over, 0.5)
                finite = middle is not None and math.isfinite(middle)
                found[f"latency_{stamp}_within_tick_{level}_ns"] = middle if finite else None
        return found

    def _per_message(self, amount: float | None) -> float | None:
        return amount / self.arrived if amount is not None and self.arrived else None

    @staticmethod
    def _gained(row: Json, counter: str) -> int | None:
        begin, end = row.get(f"{counter}_at_start"), row.get(f"{counter}_at_end")
        return end - begin if begin is not None and end is not None and 0 <= begin <= end else None

    def _costs(self) -> Json:
        """Section 6: processor time, and the slopes of the ladder."""
        processes = self.manifest.get("processes") or {}
        found: Json = {
            f"{name}_cpu_ns_per_message": self._per_message(self._gained(processes.get(process) or {}, "cpu_ns"))
            for name, process in (("server", "server"), ("proxy", "proxy"), ("client", "load"))
        }
        found["machine_busy_ns_per_message"] = self._per_message(
            self._gained(processes.get("machine") or {}, "busy_ns")
        )
        for process in ("server", "load") if self.end - self.start >= 60 * 10**9 else ():
            row = processes.get(process) or {}
            begin, end = row.get("descriptors_at_start", -1), row.get("descriptors_at_end", -1)
            found[f"{process}_descriptors_growth"] = end - begin if min(begin, end) >= 0 else None
            found |= self._growth(process)
        return found | {name: (self.manifest.get(table) or {}).get(key) for name, (table, key) in SLOPES.items()}

    def _growth(self, process: str) -> Json:
        """The line through the means of twelve equal parts of the window."""
        rows = self.table("probes")
        at, values = rows["at_ns"], rows[f"{process}_memory_bytes"]
        kept = (at >= self.start) & (at < self.end) & (values >= 0)
        part = (at[kept] - self.start) * 12 // (self.end - self.start)
        if len(set(part.tolist())) < 12:
            return {}
        base = values[kept][0]
        means = np.array([float(np.mean(values[kept][part == number] - base)) for number in range(12)])
        x = (np.arange(12) - 5.5) / 12
        slope = float((x * means).sum() / (x**2).sum())
        left = means - means.mean() - slope * x
        half = t_quantile(10) * math.sqrt(float((left**2).sum()) / 10 / float((x**2).sum()))
        hours = (self.end - self.start) / 3.6e12
        ends = {"": slope, "_low": slope - half, "_high": slope + half}
        return {f"{process}_memory_growth_bytes_per_hour{end}": value / hours for end, value in ends.items()}

    def _bytes(self) -> Json:
        """Section 7: payload, TCP stream, wire."""
        found: Json = {
            "payload_bytes_per_message": self._per_message(self.arrived_bytes),
            "wire_bytes_per_message": self._per_message(self._gained(self.manifest.get("bytes") or {}, "wire_bytes")),
        }
        rows = self.connections
        none = np.full(len(rows["started_ns"]), -1)  # a column that an older folder lacks
        counters = {
            "down_bytes": "tcp_received_bytes", "up_bytes": "tcp_sent_bytes", "segments": "tcp_received_segments"
        }  # fmt: skip
        for name, counter in counters.items():
            total: int | None = 0
            whole, at_start, at_end = (rows.get(f"{counter}{edge}", none) for edge in ("", "_at_start", "_at_end"))
            for row in range(len(rows["started_ns"])):
                started, closed = int(rows["started_ns"][row]), int(rows["closed_ns"][row])
                begin, end = int(at_start[row]), int(at_end[row])
                if 0 <= closed < self.start or started >= self.end:
                    continue
                if begin < 0 and started >= self.start:
                    begin = 0
                if end < 0 and 0 <= closed < self.end:
                    end = int(whole[row])
                total = None if total is None or begin < 0 or end < 0 else total + end - begin
            found[f"tcp_{name}_per_message"] = self._per_message(total)
            tls = self.manifest.get("tls") or {}
            if name == "down_bytes" and total is not None and tls.get("negotiated") and "plaintext_bytes" in tls:
                found["tls_bytes_per_message"] = self._per_message(total - tls["plaintext_bytes"])
        cpu = self._gained((self.manifest.get("processes") or {}).get("server") or {}, "cpu_ns")
        if self.manifest["transport"] not in POLLING:
            found["server_cpu_ns_per_segment"] = cpu / total if cpu is not None and total else None
        return found

    def _set_up(self) -> Json:
        """Section 8: set-up."""
        rows = self.connections
        found: Json = {"connections_failed": sum(outcome not in SUCCEEDED for outcome in rows["outcome"])}
        for name, moment in (("connect", "connected"), ("response", "response"), ("first_message", "first_message")):
            came = (rows[f"{moment}_ns"] >= 0) & (rows["connection"] >= 0)
            found[f"{name}_p50_ns"] = nearest_rank((rows[f"{moment}_ns"] - rows["started_ns"])[came], 0.5)
        if "secured_ns" in rows:
            took = np.sort((rows["secured_ns"] - rows["connected_ns"])[rows["secured_ns"] >= 0])
            found |= {f"handshake_{level}_ns": nearest_rank(took, LEVELS[level]) for level in ("p50", "p99")}
        made = (self.manifest.get("tls") or {}).get("handshakes") or {}
        for kind, name in (("full", "handshake"), ("resumed", "resumed_handshake")):
            count = made.get(kind)
            found[f"server_cpu_ns_per_{name}"] = made[f"{kind}_cpu_ns"] / count if count else None
        return found

    def _polls(self) -> Json:
        """Section 9: polls."""
        rows = self.table("requests")
        began = (rows["started_ns"] >= self.start) & (rows["started_ns"] < self.end)
        asked = int(began.sum())
        cpu = self._gained((self.manifest.get("processes") or {}).get("server") or {}, "cpu_ns")
        came = began & (rows["response_ns"] >= 0)
        answered = came & (rows["status"] > 0)
        empty = int((rows["messages"][answered] == 0).sum())
        return {
            "requests_per_message": self._per_message(asked),
            "server_cpu_ns_per_request": cpu / asked if cpu is not None and asked else None,
            "empty_poll_share": empty / int(answered.sum()) if answered.any() else None,
            "poll_round_trip_p50_ns": nearest_rank((rows["response_ns"] - rows["started_ns"])[came], 0.5),
        }

    def _recovery(self) -> Json:
        """Section 10: after a kill of the server, or a cut of connections."""
        events = self.manifest.get("events") or ()
        interruptions = (("kill", "server"), ("cut", "connections"))
        begun = [event["began_ns"] for event in events if (event["do"], event["what"]) in interruptions]
        if not begun:
            return {}
        kill, rows = min(begun), self.connections
        cut = {
            who for who, outcome in zip(rows["subscriber"].tolist(), rows["outcome"], strict=True) if outcome == "cut"
        }
        hit = set(range(self.subscribers)) if any(event["do"] == "kill" for event in events) else cut
        again = (rows["started_ns"] > kill) & (rows["first_message_ns"] > kill)
        back: dict[int, int] = {}
        for subscriber, moment in zip(
            *(rows[name][again].tolist() for name in ("subscriber", "first_message_ns")), strict=True
        ):
            if subscriber in hit:
                back[subscriber] = min(back.get(subscriber, moment - kill), moment - kill)
        never = len(hit) - len(back)
        after = rows["started_ns"] > kill
        later = rows["started_ns"][after]
        tried = sum(who in hit for who in rows["subscriber"][after].tolist())
        made = {
            (who, connection): started
            for who, connection, started in zip(
                *(rows[name].tolist() for name in ("subscriber", "connection", "started_ns")), strict=True
            )
        }
        due = self.ticks["due_ns"][self.tick[self.kept]].tolist()
        who, on = (self.deliveries[name][self.kept].tolist() for name in ("subscriber", "connection"))
        return {
            **{f"recovery_{p}_ns": nearest_rank(list(back.values()), LEVELS[p], never) for p in ("p50", "p99", "max")},
            "replayed": sum(made.get((who[i], on[i]), 0) > due[i] for i in range(len(due))),
            "herd_peak_hz": float(np.bincount((later - kill) // 100_000_000).max() / 0.1) if later.size else 0.0,
            "attempts_per_recovery": tried / len(back) if back else None,
        }

    def _storm(self) -> Json:
        """Section 19: a storm."""
        cuts = [event for event in self.manifest.get("events") or () if event["do"] == "cut"]
        if not cuts:
            return {}
        began, rows = min(event["began_ns"] for event in cuts), self.connections
        lines = sorted(range(len(rows["started_ns"])), key=lambda row: int(rows["started_ns"][row]))
        who = sorted({int(rows["subscriber"][row]) for row in lines if rows["outcome"][row] == "cut"})
        later = [row for row in lines if rows["started_ns"][row] > began]
        closed: dict[int, int] = {}
        for row in lines:
            if rows["outcome"][row] == "cut":
                closed.setdefault(int(rows["subscriber"][row]), int(rows["closed_ns"][row]))
        first: dict[int, int] = {}
        again: dict[int, int] = {}
        for row in later:
            subscriber = int(rows["subscriber"][row])
            if rows["connection"][row] >= 0 and subscriber in who:
                first.setdefault(subscriber, row)
                if rows["response_ns"][row] >= 0:
                    again.setdefault(subscriber, row)
        back = max(int(rows["response_ns"][row]) for row in again.values()) if who and len(again) == len(who) else None
        due, channel = self.ticks["due_ns"], self.ticks["channel"]
        gap = missed = 0
        kept_of = self.deliveries["subscriber"][self.kept]
        for subscriber in who:
            of_channel = self.inside & (channel == self.channel_of[subscriber])
            until = int(rows["started_ns"][again[subscriber]]) if subscriber in again else self.end
            gap += int((of_channel & (due >= began) & (due < until)).sum())
            missed += int(of_channel.sum()) - int((kept_of == subscriber).sum())
        network = self.manifest.get("network") or {}
        full = [self._gained(network, name) for name in ("listen_overflows", "listen_drops")]
        away = sum(int(rows["response_ns"][row]) - began for row in again.values())
        cpu = self._storm_cpu(began, back, len(who), away)
        least = None
        tcp = (rows["connected_ns"] - rows["started_ns"])[(rows["connected_ns"] >= 0) & (rows["started_ns"] >= 0)]
        planned = [int(rows["planned_ns"][row]) for row in first.values()] if "planned_ns" in rows else []
        if cpu is not None and len(planned) == len(who) and min(planned) >= 0 and tcp.size:
            cores = len(((self.manifest.get("processes") or {}).get("server") or {}).get("cores") or (0,))
            waits = sorted(max(0, int(rows["planned_ns"][row]) - closed[who]) for who, row in first.items())
            least = max(wait + (len(waits) - k) * max(0.0, cpu) / cores for k, wait in enumerate(waits))
            least += 2 * int(tcp.min())
        return {
            "storm_cut": sum(event.get("count") or 0 for event in cuts),
            "storm_subscribed_max_ns": None if back is None else back - began,
            "storm_minimum_ns": least,
            "storm_gap": gap,
            "storm_missed": missed,
            "storm_attempts_failed": sum(rows["outcome"][row] not in SUCCEEDED for row in later),
            "storm_listen_overflows": None if None in full else max(one for one in full if one is not None),
            "storm_server_cpu_ns_per_return": cpu,
            **self._uncut(began, back, set(who)),
        }

    def _storm_cpu(self, began: int, back: int | None, returned: int, away: int) -> float | None:
        """What the server used beyond what those that were there cost before the cut, by those that returned."""
        if back is None:
            return None
        at, cpu = (self.table("probes")[name].tolist() for name in ("at_ns", "server_cpu_ns"))
        begin = sum(moment < self.start for moment in at)
        before = sum(moment <= began for moment in at) - 1
        after = sum(moment < back for moment in at)
        if not begin < before < after < len(at) or min(cpu[begin], cpu[before], cpu[after]) < 0:
            return None
        pace = (cpu[before] - cpu[begin]) / (at[before] - at[begin])
        there = at[after] - at[before] - away / self.subscribers
        return float((cpu[after] - cpu[before] - pace * there) / returned)

    def _uncut(self, began: int, back: int | None, cut: set[int]) -> Json:
        """Latency of those that were not cut, until all were back and in the same time before."""
        if len(cut) == self.subscribers:
            return {}
        end, found = self.end if back is None else back, {}
        tick = self.tick[self.kept]
        due = self.ticks["due_ns"][tick]
        who, app, kernel = (self.deliveries[name][self.kept] for name in ("subscriber", "app_ns", "kernel_ns"))
        staying = ~np.isin(who, sorted(cut))
        for name, low, high in (
            ("storm_uncut", began, end), ("storm_uncut_before", max(self.start, 2 * began - end), began)
        ):  # fmt: skip
            then = self.inside & (self.ticks["due_ns"] >= low) & (self.ticks["due_ns"] < high)
            expected = sum(
                int((self.ticks["channel"][then] == self.channel_of[subscriber]).sum())
                for subscriber in range(self.subscribers)
                if subscriber not in cut
            )
            mine = staying & then[tick]
            stamped = mine & (kernel >= 0)
            enough = 2 * int(stamped.sum()) >= int(mine.sum())
            values = (kernel - due)[stamped] if enough else (app - due)[mine]
            for level in ("p50", "max"):
                found[f"{name}_{level}_ns"] = nearest_rank(values, LEVELS[level], expected - int(mine.sum()))
        return found

    def _churn(self) -> Json:
        """Section 20: visitors."""
        if not self.churned:
            return {}
        visits, rows, ticks = self.table("visits"), self.connections, self.ticks
        row_of = {int(who): row for row, who in enumerate(rows["subscriber"])}
        had: dict[int, list[int]] = {}
        tick_of = {pair: n for n, pair in enumerate(zip(ticks["channel"].tolist(), ticks["seq"].tolist(), strict=True))}
        count = dict.fromkeys(("expected", "lost", "duplicated", "reordered", "corrupted", "undecided"), 0)
        table = self.table("visit_deliveries")
        for n, who in enumerate(table["subscriber"].tolist()):
            channel, seq = int(table["channel"][n]), int(table["seq"][n])
            tick = tick_of.get((channel, seq)) if channel == who % self.streams else None
            if tick is None or who not in row_of:
                count["corrupted"] += 1
                continue
            mine = had.setdefault(who, [])
            if self.inside[tick]:
                wrong = any(table[name][n] != ticks[name][tick] for name in ("digest", "payload_bytes"))
                count["corrupted"] += wrong
                count["duplicated"] += seq in mine
                count["reordered"] += seq not in mine and any(other > seq for other in mine)
            mine.append(seq)
        times: dict[str, list[float]] = {"response_ns": [], "first_message_ns": []}
        never = dict.fromkeys(times, 0)
        began = failed = 0
        for n, who in enumerate(visits["subscriber"].tolist()):
            row = row_of[who]
            lost = self._visit(who, int(visits["had_until_ns"][n]), row, had.get(who, []), count)
            planned = int(visits["planned_ns"][n])
            early = rows["outcome"][row] not in ("open", "closed by the subscriber")
            unanswered = rows["response_ns"][row] < 0 and (early or int(visits["had_until_ns"][n]) >= planned)
            if self.start <= planned < self.end:
                began, failed = began + 1, failed + (early or unanswered)
                for moment, values in times.items():
                    if rows[moment][row] >= 0:
                        values.append(int(rows[moment][row]) - planned)
                    else:
                        never[moment] += bool(unanswered or lost)
        server = (self.manifest.get("processes") or {}).get("server") or {}
        edges = [server.get(f"descriptors_at_{edge}") for edge in ("start", "end")]
        mine = [row_of[who] for who in visits["subscriber"].tolist()]
        there = [
            sum(rows["started_ns"][row] < at and not 0 <= rows["closed_ns"][row] < at for row in mine)
            for at in (self.start, self.end)
        ]
        known = None not in edges and min(edges) >= 0
        probes = self.table("probes")
        part = (probes["at_ns"] - self.start) * 12 // (self.end - self.start)
        readable = (probes["server_memory_bytes"] >= 0) & (probes["at_ns"] >= self.start)
        memory = {
            when: probes["server_memory_bytes"][readable & (part == number)]
            for when, number in (("before", 0), ("after", 11))
        }
        return {
            "churn_visits": began,
            "churn_failed": failed,
            **{f"churn_{kind}": total for kind, total in count.items()},
            **{
                f"churn_{name}_{level}_ns": nearest_rank(times[moment], LEVELS[level], never[moment])
                for name, moment in (("subscribed", "response_ns"), ("first_message", "first_message_ns"))
                for level in ("p50", "p99")
            },
            **{
                f"churn_server_memory_{when}_bytes": float(values.mean()) if values.size else None
                for when, values in memory.items()
            },
            "churn_descriptors_kept": edges[1] - edges[0] - (there[1] - there[0]) if known else None,
            **self._cost_of_join(mine),
        }

    def _visit(self, who: int, had_until: int, row: int, had: list[int], count: Json) -> int:
        """Count what one visitor had to have; returns how many it lost."""
        rows, ticks = self.connections, self.ticks
        answered, closed = int(rows["response_ns"][row]), int(rows["closed_ns"][row])
        if answered < 0:
            return 0
        lost = 0
        for n in np.flatnonzero(self.inside & (ticks["channel"] == who % self.streams)):
            seq, due = int(ticks["seq"][n]), int(ticks["due_ns"][n])
            head = ticks["sent_ns"][n] >= answered or (had and seq >= min(had))
            tail = due < had_until or (had and seq <= max(had))
            if head and tail:
                count["expected"] += 1
                count["lost"] += seq not in had
                lost += seq not in had
            elif head and (closed < 0 or due < closed):
                count["undecided"] += 1
        return lost

    def _cost_of_join(self, mine: list[int]) -> Json:
        """The server's CPU for a join and its leave: least squares over the intervals between probes."""
        probes, rows = self.table("probes"), self.connections
        kept = (probes["at_ns"] >= self.start) & (probes["at_ns"] < self.end) & (probes["server_cpu_ns"] >= 0)
        at, cpu = probes["at_ns"][kept], probes["server_cpu_ns"][kept]
        if at.size <= 12:
            return {}

        def between(moments: Any) -> Any:
            return np.diff(np.searchsorted(np.sort(moments), at))

        came = np.concatenate([self.deliveries["app_ns"], self.table("visit_deliveries")["app_ns"]])
        moves = (between(rows["started_ns"][mine]) + between(rows["closed_ns"][mine])) / 2
        x = np.stack([np.diff(at) / 1e9, between(came), moves], axis=1)
        scale = np.abs(x).max(axis=0)
        if not scale.all() or np.linalg.matrix_rank(x / scale) < 3:
            return {}
        inverse = np.linalg.pinv(x / scale)
        cost = inverse @ np.diff(cpu)
        left = np.diff(cpu) - x / scale @ cost
        freedom = at.size - 1 - 3
        half = t_quantile(freedom) * math.sqrt(float(left @ left) / freedom * float(inverse[-1] @ inverse[-1]))
        ends = {"": 0.0, "_low": -half, "_high": half}
        return {
            f"churn_server_cpu_ns_per_join{end}": (float(cost[-1]) + more) / scale[-1] for end, more in ends.items()
        }

    def _spacing(self) -> Json:
        """Section 11: gaps between arrivals, where due times are not known."""
        if self.manifest.get("due") != "unknown":
            return {}
        rows = self.deliveries
        who, app, kernel = (rows[name][self.kept] for name in ("subscriber", "app_ns", "kernel_ns"))
        gaps: list[int] = []
        for subscriber in np.unique(who):
            mine = np.flatnonzero(who == subscriber)
            mine = mine[np.argsort(app[mine], kind="stable")]
            arrival, following = [], None
            for row in mine[::-1]:
                following = int(kernel[row]) if kernel[row] >= 0 else following
                arrival.append(int(app[row]) if following is None else following)
            gaps += [max(0, after - before) for after, before in pairwise(arrival)]
        return {f"arrival_gap_{p}_ns": nearest_rank(gaps, LEVELS[p]) for p in ("p50", "p99") if p in self.claimed}


# Section 12: which trial counts


def believed(trial: Json, metric: str) -> bool:
    """`trial`: a row of report.json."""
    if trial["status"] == "failed":
        return False
    unnamed: Any = () if trial["status"] == "ok" else SPOILT_BY_DEFAULT
    patterns = [p for reason in trial["reasons"] for p in (reason.get("metrics") or unnamed)]
    return not fits(metric, patterns if trial["reasons"] else unnamed)


def counting(trials: list[Json], item: str, metric: str) -> dict[tuple[int, int], float]:
    """(block, attempt) to the value that counts."""
    found = {}
    for trial in trials:
        value = trial["metrics"].get(metric)
        if trial["subject"] == item and value is not None and believed(trial, metric):
            found[trial["block"], trial["attempt"]] = value
    return found


# Section 13: Student's t and chi-squared


def _beta(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (Lentz's method)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 500):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / (1 + term * d), 1 + term / c
            value *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return front * value / a


def two_sided(t: float, freedom: int) -> float:
    """P(|T| > |t|)."""
    return _beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def t_quantile(freedom: int) -> float:
    """The t beyond which 2.5 % lie, by bisection."""
    low, high = 0.0, 1e6
    while high - low > 4e-16 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle, freedom) > 0.05 else (low, middle)
    return (low + high) / 2


def chi2_above(x: float, freedom: int) -> float:
    """P(X > x): the upper incomplete gamma function, by its finite sums for whole and half degrees."""
    half = x / 2
    if freedom % 2:
        total, term = math.erfc(math.sqrt(half)), math.exp(-half) * math.sqrt(half) / math.gamma(1.5)
        for k in range(1, (freedom + 1) // 2):
            total += term
            term *= half / (k + 0.5)
        return total
    total, term = 0.0, math.exp(-half)
    for k in range(1, freedom // 2 + 1):
        total += term
        term *= half / k
    return total


# Sections 14 to 16: summaries, comparisons, the noise floor


def summary(values: list[float], unit: str) -> Json:
    if not values:
        return {"trials": 0, "median": None, "low": None, "high": None}
    found: Json = {"trials": len(values), "median": float(np.median(values)), "low": None, "high": None}
    if len(values) > 1:
        logarithmic = unit not in ("share", "messages", "connections") and min(values) > 0
        scale = np.log(values) if logarithmic else np.array(values)
        half = t_quantile(len(values) - 1) * scale.std(ddof=1) / math.sqrt(len(values))
        ends = [scale.mean() - half, scale.mean() + half]
        found["low"], found["high"] = (math.exp(end) if logarithmic else float(end) for end in ends)
    return found


def pooled_variance(logs: dict[str, dict[tuple[int, int], float]]) -> tuple[float, int] | None:
    """The residual variance of the table and its degrees of freedom; None where it may not be shared."""
    rows = [row for row in logs.values() if row]
    blocks = sorted(set.intersection(*(set(row) for row in rows)))
    if len(rows) < 3 or len(blocks) < 2:
        return None
    table = np.array([[row[block] for block in blocks] for row in rows])
    left = table - table.mean(axis=1)[:, None] - table.mean(axis=0)[None, :] + table.mean()
    subjects, width = len(rows), len(blocks)
    own = (left**2).sum(axis=1) / (width - 1)
    mean = own.mean()
    if mean > 0:
        if own.min() <= mean * 1e-12:
            return None
        statistic = (width - 1) * (subjects * math.log(mean) - np.log(own).sum())
        correction = 1 + (subjects + 1) / (3 * subjects * (width - 1))
        if chi2_above(statistic / correction, subjects - 1) <= 0.5:
            return None
    freedom = (subjects - 1) * (width - 1)
    return float((left**2).sum() / freedom), freedom


Blocks = dict[tuple[int, int], float]


def paired(values: dict[str, Blocks], a: str, b: str) -> tuple[float, int, bool, float | None, int] | None:
    """The mean log-ratio, its blocks, whether pooled, its variance and degrees. `values`: every item of the cell, in
    the order of the scenario."""
    logs = {item: {block: math.log(v) for block, v in row.items() if v > 0} for item, row in values.items()}
    blocks = sorted(logs[a].keys() & logs[b].keys())
    if not blocks:
        return None
    differences = np.array([logs[a][block] - logs[b][block] for block in blocks])
    mean = float(differences.mean())
    if len(blocks) < 2:
        return mean, 1, False, None, 0
    variance, freedom = float(differences.var(ddof=1)), len(blocks) - 1
    shared = pooled_variance(logs)
    if shared is not None and variance <= 1.5 * 2 * shared[0]:
        return mean, len(blocks), True, 2 * shared[0], shared[1]
    return mean, len(blocks), False, variance, freedom


def judged(mean: float, error: float | None, freedom: int) -> Json:
    found: Json = {"ratio": math.exp(mean), "low": None, "high": None, "p": None}
    if error is not None:
        half = t_quantile(freedom) * error
        found["low"], found["high"] = math.exp(mean - half), math.exp(mean + half)
        found["p"] = two_sided(mean / error, freedom) if error > 0 else float(mean == 0)
    return found


Part = tuple[float, int, float | None, int]
"""A mean log-ratio, its replicates (blocks, or campaigns), the variance of one of them (None: not known) and its
degrees."""


def estimated(campaigns: list[dict[str, Blocks]], a: str, b: str) -> tuple[Part, int, bool, Json]:
    """Sections 15 and 17: the estimate over all campaigns, its blocks, whether pooled, and how far the campaigns agree
    (empty for one)."""
    each = [found for values in campaigns if (found := paired(values, a, b)) is not None]
    blocks, pooled = sum(one[1] for one in each), any(one[2] for one in each)
    parts: list[Part] = [(mean, n, variance, freedom) for mean, n, _, variance, freedom in each]
    if len(parts) == 1:
        return parts[0], blocks, pooled, {}
    mean, error, spread = together(parts)
    return (mean, len(parts), error**2 * len(parts), len(parts) - 1), blocks, pooled, spread


def comparison(campaigns: list[dict[str, Blocks]], a: str, b: str) -> tuple[Json, Json]:
    """The comparison over all campaigns, and how far these agree."""
    (mean, n, variance, freedom), blocks, pooled, spread = estimated(campaigns, a, b)
    error = None if variance is None else math.sqrt(variance / n)
    return judged(mean, error, freedom) | {"blocks": blocks, "pooled": pooled}, spread


def together(each: list[Part]) -> tuple[float, float, Json]:
    """Section 17: the mean of two estimates or more, its error, and how far they agree."""
    y, n = np.array([one[0] for one in each]), np.array([one[1] for one in each])
    known = [(one[2], one[3]) for one in each if one[2] is not None]
    shared = sum(variance * freedom for variance, freedom in known) / max(1, sum(freedom for _, freedom in known))
    spread: Json = {"tau": None, "i2": None, "predicted_low": None, "predicted_high": None}
    others = len(each) - 1
    if shared > 0:
        u = n / shared
        q = float((u * (y - (u * y).sum() / u.sum()) ** 2).sum())
        tau2 = max(0.0, (q - others) / float(u.sum() - (u**2).sum() / u.sum()))
        spread |= {"tau": math.sqrt(tau2), "i2": max(0.0, (q - others) / q) if q > 0 else 0.0}
        weights = 1 / (shared / n + tau2)
        mean = float((weights * y).sum() / weights.sum())
        excess = float((weights * (y - mean) ** 2).sum()) / others
        error = math.sqrt(max(1.0, excess) / float(weights.sum()))
    else:
        mean, apart = float(y.mean()), float(y.var(ddof=1))
        error = math.sqrt(apart / len(each))
        if known:
            spread |= {"tau": math.sqrt(apart), "i2": float(apart > 0)}
    if spread["tau"] is not None and len(each) > 2:
        half = t_quantile(len(each) - 2) * math.hypot(error, spread["tau"])
        spread |= {"predicted_low": math.exp(mean - half), "predicted_high": math.exp(mean + half)}
    return mean, error, spread


def over_stacks(campaigns: list[dict[str, Blocks]], pairs: list[tuple[str, str]]) -> Json:
    """Section 18: the summary over stacks; each of `pairs` is a stack's transport and its SSE."""
    nothing = dict.fromkeys(("ratio", "low", "high", "tau", "i2", "predicted_low", "predicted_high"))
    if len(pairs) < 2:
        return nothing
    mean, error, spread = together([estimated(campaigns, a, b)[0] for a, b in pairs])
    whole = judged(mean, error, len(pairs) - 1)
    return {**{key: whole[key] for key in ("ratio", "low", "high")}, **spread}


def noise_floor(values: dict[str, dict[tuple[int, int], float]], pairs: list[list[str]], blocks: int) -> float | None:
    """A ratio ≥ 1; None where fewer than two log-ratios are known."""
    logs = [
        math.log(values[b][block] / one)
        for a, b in pairs
        for block, one in values[a].items()
        if one > 0 and values[b].get(block, 0) > 0
    ]
    if len(logs) < 2:
        return None
    sd = math.sqrt(sum(d * d for d in logs) / len(logs))
    return math.exp(t_quantile(len(logs)) * sd / math.sqrt(max(1, blocks)))


# The comparison with report.json


class Check:
    """Counts numbers that agree and lists those that differ."""

    def __init__(self) -> None:
        self.agreed = 0
        self.differing: list[str] = []
        self.metrics: set[str] = set()
        """The metrics that had a value somewhere."""

    def same(self, where: str, theirs: Any, mine: Any, rounding: float = 0.0) -> None:
        """Equal; floats that went through logarithms or t to a relative `rounding`."""
        close = theirs == mine
        if isinstance(theirs, float) and isinstance(mine, float):
            close = close or abs(theirs - mine) <= rounding * max(abs(theirs), abs(mine))
        self.agreed += bool(close)
        if not close:
            self.differing.append(f"{where}: {theirs!r} in the report, {mine!r} here")


ROUNDING = 1e-10


def check(folders: list[Path], report: Json) -> Check:
    """Everything of `report`, which is of these results folders, worked out again."""
    result = Check()
    rows = list(report["trials"])
    campaigns: list[list[Json]] = []
    for folder in folders:
        campaign: Json = json.loads((folder / "campaign.json").read_text())
        campaigns.append([rows.pop(0) for _ in campaign["trials"]])
        for row, theirs in zip(campaign["trials"], campaigns[-1], strict=True):
            mine = Trial(folder, row, campaign).metrics()
            unlisted = set(mine) - set(theirs["metrics"])
            result.same(f"trial {theirs['trial']}: metrics that the report lacks", set(), unlisted)
            for metric, value in theirs["metrics"].items():
                fitted = "_memory_growth_" in metric or "_cpu_ns_per_join" in metric  # a fitted line, and its t
                rounding = ROUNDING if fitted else 0.0
                result.same(f"trial {theirs['trial']}, {metric}", value, mine.get(metric), rounding)
                result.metrics |= {metric} if value is not None else set()
    result.same("trials that no folder has", [], rows)
    items = {subject["subject"]: subject["cell"] for subject in report["subjects"]}
    names = {row["metric"] for row in report["summary"]}
    values = {m: {item: counting(report["trials"], item, m) for item in items} for m in names}
    for row in report["summary"]:
        mine = summary(list(values[row["metric"]][row["subject"]].values()), row["unit"])
        for key, value in mine.items():
            where = f"summary, {row['subject']}, {row['metric']}, {key}"
            result.same(where, row[key], value, ROUNDING if key in ("low", "high") else 0.0)
    spread = {(row["metric"], row["a"], row["b"]): row for row in report["combined"]}
    for row in report["comparisons"]:
        here = [
            {item: counting(trials, item, row["metric"]) for item, cell in items.items() if cell == row["cell"]}
            for trials in campaigns
        ]
        mine, agreement = comparison(here, row["a"], row["b"])
        where = f"comparison, {row['a']} and {row['b']}, {row['metric']}"
        for key, value in mine.items():
            # The p of a difference, or of a spread, that is nothing but the rounding of its logarithms means nothing.
            nothing = key == "p" and (abs(math.log(row["ratio"])) < 1e-12 or max(row[key] or 0, value or 0) < 1e-20)
            result.same(f"{where}, {key}", row[key], row[key] if nothing else value, 1e-8 if key == "p" else ROUNDING)
        together = spread.get((row["metric"], row["a"], row["b"]), {})
        if agreement and max(together["tau"] or 0, agreement["tau"] or 0) < 1e-12:
            continue  # every campaign has the same number: the rest is its rounding
        for key, value in agreement.items():
            result.same(f"{where}, {key}", together[key], value, 1e-8)
    plain = {
        (s["transport"], s["stack"], json.dumps(s["cell"])): s["subject"]
        for s in report["subjects"]
        if s["base"] == f"{s['transport']}-{s['stack']}"
    }
    for row in report.get("matrix") or ():
        cell, metric = json.dumps(row["cell"]), row["metric"]
        here = [
            {item: counting(trials, item, metric) for item, of in items.items() if of == row["cell"]}
            for trials in campaigns
        ]
        pairs = [
            (plain[row["transport"], one["stack"], cell], plain[row["relative_to"], one["stack"], cell])
            for one in row["stacks"]
        ]
        where = f"matrix, {row['transport']}, {metric}"
        for one, pair in zip(row["stacks"], pairs, strict=True):
            mine, _ = comparison(here, *pair)
            for key in ("ratio", "low", "high", "blocks"):
                result.same(f"{where}, {one['stack']}, {key}", one[key], mine[key], ROUNDING)
        mine = over_stacks(here, pairs)
        if max(row["summary"]["tau"] or 0, mine["tau"] or 0) < 1e-12 and row["summary"]["ratio"] is not None:
            continue  # every stack has the same number: the rest is its rounding
        for key, value in mine.items():
            result.same(f"{where}, {key}", row["summary"][key], value, 1e-8)
    floor = report["noise_floor"]
    if floor is not None and floor["source"] == "campaign":
        for metric in names:
            mine_ = noise_floor(values[metric], floor["pairs"], floor["blocks"])
            result.same(f"noise floor, {metric}", floor["metrics"].get(metric), mine_, ROUNDING)
    return result


def main(folders: list[Path], report: Path) -> int:
    result = check(folders, json.loads(report.read_text()))
    print("\n".join(result.differing[:50]))
    print(
        f"{result.agreed:,} numbers agree, {len(result.differing):,} differ; {len(result.metrics)} metrics had a value"
    )
    return 1 if result.differing else 0


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    sys.exit(main(given, given.pop()) if len(given) > 1 else main(given, given[0] / "report" / "report.json"))
