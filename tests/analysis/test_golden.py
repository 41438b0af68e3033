"""The golden pipeline: every figure of report.json worked out again, slowly, from the Parquet files.

Nothing of rtbench is used in the recomputation: pyarrow, dictionaries, sorted lists, scipy's t. What differs is a bug
in one of the two. `python tests/analysis/test_golden.py` rewrites the committed expectation.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy

from rtbench.analysis import figures
from rtbench.analysis.report.report import build
from rtbench.records.tables import sha256

EXPECTATION = Path(__file__).parent.parent / "golden" / "report.json"

LEVELS = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
NEEDED = {"p99": 368, "p999": 3688}


@pytest.fixture(scope="module")
def report(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "catalogue", list)  # its numbers are asked for
        build([golden], out)
    return dict(json.loads((out / "report.json").read_text()))


def same(mine: Any, theirs: Any, where: str = "$") -> None:
    """Equal, floats to 1e-9 relative."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        assert mine.keys() == theirs.keys(), where
        for key, value in mine.items():
            same(value, theirs[key], f"{where}.{key}")
    elif isinstance(mine, list) and isinstance(theirs, list):
        assert len(mine) == len(theirs), where
        for place, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            same(one, other, f"{where}[{place}]")
    elif isinstance(mine, float) or isinstance(theirs, float):
        assert mine == pytest.approx(theirs, rel=1e-9), where
    else:
        assert mine == theirs, where


@pytest.mark.slow
def test_equals_the_committed_expectation(report: dict[str, Any]) -> None:
    same(report, json.loads(EXPECTATION.read_text()))


@pytest.mark.slow
def test_the_keys_of_the_contract(report: dict[str, Any]) -> None:
    assert list(report) == [
        "schema", "campaign", "scenario", "environment", "warnings", "subjects", "trials", "summary", "comparisons",
        "combined", "matrix", "noise_floor", "sweep", "multiplicity", "claims", "calibration", "advice",
    ]  # fmt: skip
    assert {tuple(t) for t in report["trials"]} == {
        ("trial", "subject", "base", "cell", "block", "attempt", "status", "reasons", "counts", "left_out", "metrics")
    }
    assert {tuple(s) for s in report["summary"]} == {("subject", "metric", "unit", "trials", "median", "low", "high")}
    assert {"metric", "a", "b", "ratio", "low", "high", "confidence", "verdict"} <= report["comparisons"][0].keys()
    assert {c["verdict"] for c in report["comparisons"]} <= {
        "a lower",
        "a higher",
        "equivalent",
        "not resolved",
        "too few blocks",
    }
    spans = ("latency_kernel", "latency_app", "due_to_sent", "sent_to_kernel", "kernel_to_app", "sent_to_request")
    names = {f"{span}_{level}_ns" for span in spans for level in LEVELS} | {
        "expected",
        "delivered",
        "lost",
        "duplicated",
        "reordered",
        "corrupted",
        "server_cpu_ns_per_message",
        "client_cpu_ns_per_message",
        "machine_busy_ns_per_message",
        "payload_bytes_per_message",
        "tcp_down_bytes_per_message",
        "tcp_up_bytes_per_message",
        "wire_bytes_per_message",
        "connect_p50_ns",
        "response_p50_ns",
        "first_message_p50_ns",
        "connections_failed",
        "server_memory_bytes_per_connection",
        "kernel_memory_bytes_per_connection",
        "requests_per_message",
        "server_cpu_ns_per_request",
        "tcp_segments_per_message",
        "server_cpu_ns_per_segment",
        "empty_poll_share",
        "poll_round_trip_p50_ns",
        "stamped_share",
        "idle_cpu_ns_per_connection_second",
        "delivered_hz",
    }
    for trial in report["trials"]:
        assert names <= trial["metrics"].keys()


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    return list(pq.read_table(folder / f"{kind}.parquet").to_pylist())


def quantile(values: list[float], level: float) -> float | None:
    ordered = sorted(values)
    if not ordered:
        return None
    found = ordered[max(0, math.ceil(round(level * len(ordered), 6)) - 1)]
    return found if math.isfinite(found) else None


def recompute(folder: Path, subscribers: int) -> dict[str, Any]:
    """All metrics of one trial of a broadcast of one stream, the slow way."""
    manifest = json.loads((folder / "manifest.json").read_text())
    start, end = manifest["window"]["start_ns"], manifest["window"]["end_ns"]
    ticks = {t["seq"]: t for t in rows(folder, "ticks")}
    window = {seq for seq, t in ticks.items() if start <= t["due_ns"] < end}
    firsts: dict[tuple[int, int], dict[str, Any]] = {}
    highest: dict[int, int] = defaultdict(int)
    m: dict[str, Any] = dict.fromkeys(("duplicated", "reordered", "corrupted"), 0)
    for d in rows(folder, "deliveries"):
        key = (d["subscriber"], d["seq"])
        tick = ticks[d["seq"]]
        if d["seq"] in window:
            m["duplicated"] += key in firsts
            m["reordered"] += key not in firsts and d["seq"] < highest[d["subscriber"]]
            m["corrupted"] += (d["digest"], d["payload_bytes"]) != (tick["digest"], tick["payload_bytes"])
        highest[d["subscriber"]] = max(highest[d["subscriber"]], d["seq"])
        firsts.setdefault(key, d)
    inside = {key: d for key, d in firsts.items() if key[1] in window}
    m["expected"], m["delivered"] = subscribers * len(window), len(inside)
    m["lost"] = m["expected"] - m["delivered"]
    arrived = [d for d in firsts.values() if start <= d["app_ns"] < end]
    count = len(arrived)

    requests = rows(folder, "requests") if (folder / "requests.parquet").exists() else []
    spans: dict[str, list[float]] = defaultdict(list)
    ticked: dict[str, dict[int, list[float]]] = {"kernel": defaultdict(list), "app": defaultdict(list)}
    for (subscriber, seq), d in inside.items():
        due, sent = ticks[seq]["due_ns"], ticks[seq]["sent_ns"]
        spans["latency_app"].append(d["app_ns"] - due)
        ticked["app"][seq].append(d["app_ns"] - due)
        spans["due_to_sent"].append(sent - due)
        if d["kernel_ns"] >= 0:
            spans["latency_kernel"].append(d["kernel_ns"] - due)
            ticked["kernel"][seq].append(d["kernel_ns"] - due)
            spans["sent_to_kernel"].append(d["kernel_ns"] - sent)
            spans["kernel_to_app"].append(d["app_ns"] - d["kernel_ns"])
            asked = [
                r["started_ns"] for r in requests if r["subscriber"] == subscriber and r["started_ns"] < d["app_ns"]
            ]
            if asked:
                begin = max(*asked, sent)
                spans["sent_to_request"].append(begin - sent)
                spans["request_to_kernel"].append(d["kernel_ns"] - begin)
    m["stamped_share"] = len(spans["latency_kernel"]) / len(inside)
    instants = len({ticks[seq]["due_ns"] for seq in window})
    for name in (
        "latency_kernel",
        "latency_app",
        "due_to_sent",
        "sent_to_kernel",
        "kernel_to_app",
        "sent_to_request",
        "request_to_kernel",
    ):
        values = spans[name] + ([math.inf] * m["lost"] if name.startswith("latency") else [])
        for level, share in LEVELS.items():
            m[f"{name}_{level}_ns"] = quantile(values, share) if instants >= NEEDED.get(level, 0) else None
    for stamp, groups in ticked.items():
        for seq in window:
            here = sum(1 for s, q in inside if q == seq)
            groups[seq] += [math.inf] * (subscribers - here)
        for level in ("p50", "p99", "max"):
            each = [sorted(g)[max(0, math.ceil(round(LEVELS[level] * len(g), 6)) - 1)] for g in groups.values() if g]
            m[f"latency_{stamp}_within_tick_{level}_ns"] = quantile(each, 0.5)

    processes = manifest["processes"]
    for name, process in (("server", "server"), ("client", "load")):
        p = processes[process]
        m[f"{name}_cpu_ns_per_message"] = (p["cpu_ns_at_end"] - p["cpu_ns_at_start"]) / count
    machine = processes["machine"]
    m["machine_busy_ns_per_message"] = (machine["busy_ns_at_end"] - machine["busy_ns_at_start"]) / count
    m["payload_bytes_per_message"] = sum(d["payload_bytes"] for d in arrived) / count
    connections = rows(folder, "connections")
    for name, column in (("down", "tcp_received_bytes"), ("up", "tcp_sent_bytes")):
        m[f"tcp_{name}_bytes_per_message"] = (
            sum(c[f"{column}_at_end"] - c[f"{column}_at_start"] for c in connections) / count
        )
    segments = sum(c["tcp_received_segments_at_end"] - c["tcp_received_segments_at_start"] for c in connections)
    m["tcp_segments_per_message"] = segments / count
    server = processes["server"]
    spent = server["cpu_ns_at_end"] - server["cpu_ns_at_start"]
    m["server_cpu_ns_per_segment"] = None if requests else spent / segments
    for name, column in (
        ("connect", "connected_ns"),
        ("response", "response_ns"),
        ("first_message", "first_message_ns"),
    ):
        m[f"{name}_p50_ns"] = quantile([c[column] - c["started_ns"] for c in connections], 0.5)
    m["connections_failed"] = sum(c["outcome"] not in ("open", "closed") for c in connections)
    m["delivered_hz"] = count / ((end - start) / 1e9)
    asked = [r for r in requests if start <= r["started_ns"] < end]
    m["requests_per_message"] = len(asked) / count if requests else None
    m["server_cpu_ns_per_request"] = spent / len(asked) if asked else None
    m["empty_poll_share"] = statistics.fmean(r["messages"] == 0 for r in asked) if asked else None
    m["poll_round_trip_p50_ns"] = quantile([r["response_ns"] - r["started_ns"] for r in asked], 0.5)
    return m


@pytest.mark.slow
def test_every_metric_of_every_trial(report: dict[str, Any], golden: Path) -> None:
    checked = 0
    for trial in report["trials"]:
        if trial["status"] == "failed":
            assert set(trial["metrics"].values()) == {None}
            continue
        mine = recompute(golden / f"trials/{trial['trial']:03d}-{trial['subject']}", subscribers=16)
        for name, value in trial["metrics"].items():
            assert value == (pytest.approx(mine.get(name), rel=1e-12) if value is not None else mine.get(name)), (
                trial["trial"],
                name,
            )
            checked += value is not None
    assert checked > 400


def usable(report: dict[str, Any], subject: str, metric: str) -> dict[int, float]:
    """Block to value, without the trials that the golden plan spoils: 6 for the application, 11 altogether."""
    return {
        t["block"]: t["metrics"][metric]
        for t in report["trials"]
        if t["subject"] == subject
        and t["metrics"][metric] is not None
        and not (t["trial"] == 6 and metric.startswith(("latency_app_", "kernel_to_app_")))
    }


@pytest.mark.slow
def test_every_summary(report: dict[str, Any]) -> None:
    for row in report["summary"]:
        values = list(usable(report, row["subject"], row["metric"]).values())
        assert row["trials"] == len(values)
        if not values:
            assert (row["median"], row["low"], row["high"]) == (None, None, None)
            continue
        assert row["median"] == pytest.approx(statistics.median(values))
        if len(values) == 1:
            assert (row["low"], row["high"]) == (None, None)
            continue
        logarithmic = min(values) > 0 and row["unit"] not in ("share", "messages", "connections")
        scale = [math.log(v) for v in values] if logarithmic else values
        half = scipy.stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(scale) / math.sqrt(len(values))
        limits = [statistics.fmean(scale) - half, statistics.fmean(scale) + half]
        assert [row["low"], row["high"]] == pytest.approx([math.exp(x) for x in limits] if logarithmic else limits)


@pytest.mark.slow
def test_every_comparison(report: dict[str, Any]) -> None:
    subjects = [s["subject"] for s in report["subjects"]]
    for row in report["comparisons"]:
        values = {s: {b: v for b, v in usable(report, s, row["metric"]).items() if v > 0} for s in subjects}
        blocks = sorted(values[row["a"]].keys() & values[row["b"]].keys())
        differences = [math.log(values[row["a"]][b]) - math.log(values[row["b"]][b]) for b in blocks]
        assert row["ratio"] == pytest.approx(math.exp(statistics.fmean(differences)))
        if len(blocks) < 2:
            assert row["low"] is None
            continue
        shown = {s: v for s, v in values.items() if v}
        complete = sorted(set.intersection(*(set(v) for v in shown.values())))
        if row["pooled"]:
            y = np.array([math.log(v[b]) for v in shown.values() for b in complete])
            width = len(complete)
            x = np.array(
                [
                    [float(i == s) for s in range(len(shown))] + [float(j == b) for b in range(1, width)]
                    for i in range(len(shown))
                    for j in range(width)
                ]
            )
            left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
            freedom = (len(shown) - 1) * (width - 1)
            error = math.sqrt(2 * float(left @ left) / freedom / len(blocks))
        else:
            freedom, error = len(blocks) - 1, statistics.stdev(differences) / math.sqrt(len(blocks))
        half = float(scipy.stats.t.ppf(0.975, freedom)) * error
        limits = [math.exp(statistics.fmean(differences) + side * half) for side in (-1, 1)]
        assert [row["low"], row["high"]] == pytest.approx(limits, rel=1e-9)
        low, high = limits
        p = (
            2 * float(scipy.stats.t.sf(abs(math.log(row["ratio"])) / error, freedom))
            if error
            else float(row["ratio"] == 1)
        )
        assert row["p"] == pytest.approx(p, rel=1e-6, abs=1e-12)
        if not math.isclose(low, 1, rel_tol=1e-9) and not math.isclose(high, 1, rel_tol=1e-9):
            excluded = high < 1 or low > 1
            half = float(scipy.stats.t.ppf(0.95, freedom)) * error
            fits = abs(statistics.fmean(differences)) + half <= math.log(1.05)
            if excluded and row["q"] <= 0.05:
                said, why = ("a lower" if high < 1 else "a higher"), None
            elif len(blocks) < 3:
                said, why = "too few blocks", "blocks"
            elif fits:
                said, why = "equivalent", None
            else:
                said, why = "not resolved", "multiplicity" if excluded else "interval"
            assert (row["verdict"], row["limited_by"], row["margin"], row["within_floor"]) == (said, why, 0.05, False)
            most = None if why is None else pytest.approx(max(high, 1 / low) - 1, rel=1e-9)
            assert row["could_be_up_to"] == most


@pytest.mark.slow
def test_every_q_is_benjamini_and_hochbergs_over_its_family(report: dict[str, Any]) -> None:
    headline = {
        "latency_kernel_p50_ns",
        "latency_kernel_within_tick_p99_ns",
        "server_cpu_ns_per_message",
        "machine_busy_ns_per_message",
        "tcp_down_bytes_per_message",
    }
    tested = [row for row in report["comparisons"] if row["p"] is not None]
    families = {"headline": [r for r in tested if r["metric"] in headline]}
    families["other"] = [r for r in tested if r["metric"] not in headline]
    assert [f["family"] for f in report["multiplicity"]] == list(families)
    for told in report["multiplicity"]:
        rows = families[told["family"]]
        theirs = scipy.stats.false_discovery_control([r["p"] for r in rows])
        assert [r["q"] for r in rows] == pytest.approx(theirs)
        assert told["comparisons"] == len(rows) > 20
        assert told["alone"] == sum(r["p"] <= 0.05 for r in rows)
        assert told["metrics"] == len({r["metric"] for r in rows})
        assert told["differences"] == sum(r["verdict"] in ("a lower", "a higher") for r in rows)
    for row in report["comparisons"]:
        undecided = row["verdict"] in ("not resolved", "too few blocks") and row["p"] is not None
        assert (row["blocks_needed"] is not None) <= undecided


def test_the_golden_folder_is_what_its_checksums_are_of(golden: Path) -> None:
    lines = (golden.parent / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {str(file.relative_to(golden)): sha256(file) for file in golden.rglob("*") if file.is_file()}
    assert files == sums
    assert sum(file.stat().st_size for file in golden.rglob("*") if file.is_file()) < 1_000_000


@pytest.mark.slow
def test_the_generator_still_makes_the_golden_folder(make: Any, golden: Path, tmp_path: Path) -> None:
    """Every number, not every byte: another pyarrow may compress otherwise."""
    fresh = make.write(tmp_path / "again", make.GOLDEN)
    for file in sorted(golden.rglob("*")):
        other = fresh / file.relative_to(golden)
        if file.suffix == ".json":
            same(json.loads(other.read_text()), json.loads(file.read_text()))
        elif file.suffix == ".parquet":
            assert pq.read_table(file).equals(pq.read_table(other)), file


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        build([EXPECTATION.parent / "results"], Path(folder))
        EXPECTATION.write_text((Path(folder) / "report.json").read_text())
