"""examples/recompute.py, which is written from the documents alone, agrees with report.json to the last digit.

The folders: the golden one, real campaigns' kinds made up (polls, channels of their own, sweeps, A/A pairs, blocks that
were run again), and one whose files have what the others lack, so that every metric has a value somewhere.
"""

from __future__ import annotations

import ast
import json
import math
import runpy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy

from rtbench.analysis import figures
from rtbench.analysis.report.report import build
from rtbench.records.tables import read_table, write_json, write_table

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "examples" / "recompute.py"
MADE: dict[str, Any] = runpy.run_path(str(SCRIPT))
SECOND = 10**9

pytestmark = pytest.mark.slow


def test_it_uses_nothing_of_rtbench() -> None:
    used = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            used |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used.add(str(node.module).partition(".")[0])
    assert used - sys.stdlib_module_names == {"numpy", "pyarrow"}


def test_student_and_chi_squared_are_scipys() -> None:
    for freedom in (1, 2, 3, 7, 40):
        assert MADE["t_quantile"](freedom) == pytest.approx(float(scipy.stats.t.ppf(0.975, freedom)), rel=1e-12)
        for x in (0.1, 1.0, 3.7, 12.0, 60.0):
            assert MADE["two_sided"](x, freedom) == pytest.approx(2 * float(scipy.stats.t.sf(x, freedom)), rel=1e-9)
            assert MADE["chi2_above"](x, freedom) == pytest.approx(float(scipy.stats.chi2.sf(x, freedom)), rel=1e-9)


def unicast(make: ModuleType, folder: Path) -> Path:
    """A channel for each subscriber: 3,840 due instants, so that tails in time may be claimed; an A/A pair; polls."""
    return Path(
        make.write(
            folder,
            make.Plan(
                subjects=("sse-aiohttp", "short-poll-aiohttp", "long-poll-aiohttp", "sse-aiohttp@2"),
                channels="unicast", rate_hz=60.0, blocks=2,
                faults={1: ("lose",), 2: ("stamps", "reorder"), 3: ("stamps",)},
            ),
        )
    )  # fmt: skip


def streams(make: ModuleType, folder: Path) -> Path:
    """Two streams, of which one is played: every second subscriber gets what is not its own."""
    plan = make.Plan(blocks=2, subscribers=7, window_s=2.0, scenario={"stream": ["fanout", "news"]})
    return Path(make.write(folder, plan))


def swept(make: ModuleType, folder: Path) -> Path:
    cells = ({"subscribers": 5, "poll.interval_s": 0.3}, {"subscribers": 9, "poll.interval_s": 0.3})
    return Path(make.write(folder, make.Plan(cells=cells, blocks=3, window_s=2.0, failed=(3,))))


def edit(folder: Path, trial: int, change: Callable[[Path, dict[str, Any]], None]) -> None:
    """Change the files of a trial: `change` gets its folder and its manifest."""
    (where,) = folder.glob(f"trials/{trial:03d}-*")
    manifest = json.loads((where / "manifest.json").read_text())
    change(where, manifest)
    write_json(where / "manifest.json", manifest)


def costs(where: Path, manifest: dict[str, Any]) -> None:
    names = ("server", "kernel", "server_idle", "kernel_idle")
    manifest["memory"] = {f"{name}_bytes_per_connection": 1000.5 + len(name) for name in names}
    manifest["idle"] = {"cpu_ns_per_connection_second": 123.25}
    manifest["bytes"] = {"wire_bytes_at_start": 1_000, "wire_bytes_at_end": 9_876_543}
    manifest["processes"]["proxy"] = {"cpu_ns_at_start": 5, "cpu_ns_at_end": 77_777_777}
    manifest["processes"]["load"]["cpu_ns_at_start"] = -1  # could not be read


def killed(where: Path, manifest: dict[str, Any], away: int = 2) -> None:
    """The server is killed in the window; all subscribers but the first `away` come back, one connection each, and two
    more attempts that fail; 2 sends."""
    start = manifest["window"]["start_ns"]
    kill = start + SECOND
    manifest["events"] = [
        {"do": do, "what": what, "planned_s": 1.0, "began_ns": at, "ended_ns": at}
        for do, what, at in (("stop", "server", start), ("kill", "server", kill), ("kill", "load", start))
    ]
    deliveries, before = (read_table(where / f"{kind}.parquet", kind) for kind in ("deliveries", "connections"))
    who = np.array([*range(away, 16), 5, 5, 2])
    added: dict[str, Any] = {name: np.full(who.size, -1) for name in before}
    added |= {"subscriber": who, "connection": who + 100, "outcome": np.array(["open"] * who.size, dtype=object)}
    added["started_ns"] = kill + 1 + np.arange(who.size) * 30_000_000
    added["connected_ns"] = added["started_ns"] + 70_000
    added["first_message_ns"] = added["started_ns"] + 130_000_000
    for name in ("received", "sent"):
        added[f"tcp_{name}_bytes"] = np.arange(who.size) * 1000
        added[f"tcp_{name}_bytes_at_end"] = np.where(who == 6, -1, np.arange(who.size) * 900)
    added["closed_ns"] = np.where(who == 6, kill + SECOND, -1)  # closed inside: its part is its total
    for row, outcome in ((-3, "refused"), (-2, "reset"), (-1, "closed")):
        added["outcome"][row] = outcome
        added["first_message_ns"][row] = -1
    added["connected_ns"][-3] = -1
    added["connection"][-3:] = (205, 206, -1)
    after = (deliveries["app_ns"] > kill) & (deliveries["subscriber"] >= away)
    deliveries["connection"] = deliveries["connection"] + 100 * after
    write_table(where / "deliveries.parquet", "deliveries", deliveries)
    both = {name: np.concatenate([before[name], added[name]]) for name in before}
    write_table(where / "connections.parquet", "connections", both)


def stormed(where: Path, manifest: dict[str, Any]) -> None:
    """Ten of the subscribers are cut; each comes back at its second attempt. One of the others misses a message."""
    start = manifest["window"]["start_ns"]
    cut = start + 3 * SECOND // 2
    manifest["events"] = [
        {"do": "cut", "what": "connections", "planned_s": 1.5, "began_ns": cut, "ended_ns": cut + 9, "count": 10}
    ]
    manifest["network"] = {"listen_overflows_at_start": 3, "listen_overflows_at_end": 10}
    manifest["network"] |= {"listen_drops_at_start": 3, "listen_drops_at_end": 12}
    deliveries, before = (read_table(where / f"{kind}.parquet", kind) for kind in ("deliveries", "connections"))
    before["outcome"] = np.where(before["subscriber"] < 10, "cut", before["outcome"]).astype(object)
    who = np.tile(np.arange(10), 2)
    added: dict[str, Any] = {name: np.full(who.size, -1) for name in before}
    added |= {"subscriber": who, "connection": np.arange(who.size) + 100}
    added["outcome"] = np.array(["refused"] * 10 + ["open"] * 10, dtype=object)
    added["planned_ns"] = cut + np.arange(who.size) * 20_000_000
    added["started_ns"] = added["planned_ns"] + 1_000_000
    for place, name in enumerate(("connected_ns", "response_ns", "first_message_ns")):
        added[name] = np.where(np.arange(who.size) < 10, -1, added["started_ns"] + 70_000 * (1 + place))
    write_table(where / "deliveries.parquet", "deliveries", {name: rows[5:] for name, rows in deliveries.items()})
    both = {name: np.concatenate([before[name], added[name]]) for name in before}
    write_table(where / "connections.parquet", "connections", both)


def secured(where: Path, manifest: dict[str, Any]) -> None:
    """TLS: each handshake took another time, one is missing; records add bytes."""
    rows = read_table(where / "connections.parquet", "connections")
    took = 700_000 + np.arange(rows["connected_ns"].size) * 1717
    rows["secured_ns"] = np.where(rows["subscriber"] == 3, -1, rows["connected_ns"] + took)
    write_table(where / "connections.parquet", "connections", rows)
    manifest["tls"] = {
        "version": "1.3",
        "negotiated": {"TLSv1.3 TLS_AES_256_GCM_SHA384": 99},
        "resumed": 0,
        "plaintext_bytes": 12_345,
        "handshakes": {"full": 50, "full_cpu_ns": 49_000_123, "resumed": 50, "resumed_cpu_ns": 43_000_777},
    }


def timeless(where: Path, manifest: dict[str, Any]) -> None:
    """A server whose due times nobody knows."""
    manifest |= {"due": "unknown", "unknown": ["latency_*", "due_to_sent_*", "sent_to_*", "request_to_*"]}


def again(folder: Path) -> None:
    """The block of trial 5 is run again: trial 9 counts, but for what its reason spoils."""
    document = json.loads((folder / "campaign.json").read_text())
    rows = {row["trial"]: row for row in document["trials"]}
    first = rows[5]
    last = next(row for row in document["trials"] if row["trial"] > 8 and row["subject"] == first["subject"])
    last |= {"block": first["block"], "attempt": 2, "status": "invalid"}

    def change(_: Path, manifest: dict[str, Any]) -> None:
        manifest |= {"block": first["block"], "status": "invalid"}
        manifest["reasons"] = [
            {"kind": "late", "message": "it was late", "remedy": "wait", "metrics": ["server_cpu_*", "lost"]}
        ]

    edit(folder, last["trial"], change)
    write_json(folder / "campaign.json", document)


def everything(make: ModuleType, folder: Path) -> Path:
    """What the other folders lack."""
    plan = make.Plan(
        blocks=3, rate_hz=100.0, faults={2: ("stamps",), 3: ("stamps", "lose", "duplicate"), 7: ("stamps",)}
    )
    made = Path(make.write(folder, plan))
    for trial, change in (
        (1, costs),
        (2, killed),
        (8, partial(killed, away=0)),
        (3, timeless),
        (7, timeless),
        (6, stormed),
        (5, secured),
    ):
        edit(made, trial, change)
    again(made)
    return made


def grown(where: Path, manifest: dict[str, Any]) -> None:
    """Memory that wanders, with a reading that is missing, and descriptors that stay open."""
    for name, row in {"server": (1010, 1013), "load": (1020, 1020)}.items():
        manifest["processes"][name] |= {"descriptors_at_start": row[0], "descriptors_at_end": row[1]}
    table = read_table(where / "probes.parquet", "probes")
    second = np.arange(table["at_ns"].size)
    table["server_memory_bytes"] = 40_000_000 + second * 70_001 + (second * 7919 % 13) * 10_007
    table["load_memory_bytes"] = np.where(second == 30, -1, 60_000_000 + (second * 7919 % 17) * 5_003)
    write_table(where / "probes.parquet", "probes", table)


def churned(where: Path, manifest: dict[str, Any], fails: bool = True) -> None:
    """40 visitors of 0.4 s to 16 s among the two subscribers: every fifth message is lost at every third of them, some
    come twice, late or spoiled, three are refused or cut short, and the server's CPU has a part for each."""
    start, end = manifest["window"]["start_ns"], manifest["window"]["end_ns"]
    for name, edge in (("descriptors_at_start", 100), ("descriptors_at_end", 117)):
        manifest["processes"]["server"][name] = edge
    ticks, before = (read_table(where / f"{kind}.parquet", kind) for kind in ("ticks", "connections"))
    number = np.arange(40)
    arrives = start + number * 1_370_000_000 - SECOND
    stays = 400_000_000 * (1 + number)
    added: dict[str, Any] = {name: np.full(40, -1) for name in before}
    added |= {"subscriber": 2 + number, "planned_ns": arrives, "started_ns": arrives + 90_000, "connection": number * 0}
    added["connected_ns"] = added["started_ns"] + 60_000
    added["response_ns"] = added["started_ns"] + 300_000 + number * 1000
    added["closed_ns"] = np.where(arrives + stays < end, arrives + stays, -1)
    added["outcome"] = np.where(added["closed_ns"] < 0, "open", "closed by the subscriber").astype(object)
    if fails:
        added["outcome"][[3, 9, 12]] = ("refused", "closed", "reset")
        added["response_ns"][[3, 5]] = -1
    for name in ("received", "sent"):
        added[f"tcp_{name}_bytes"] = added[f"tcp_{name}_bytes_at_end"] = number * 500
    had_until = np.where(added["closed_ns"] < 0, end, added["closed_ns"] - 700_000_000)
    rows: list[tuple[int, int, int]] = []
    for who in number.tolist():
        if added["response_ns"][who] < 0:
            continue
        until = added["closed_ns"][who] if added["closed_ns"][who] >= 0 else end + SECOND
        for place in np.flatnonzero(
            (ticks["sent_ns"] >= added["response_ns"][who]) & (ticks["due_ns"] < until - SECOND // 4)
        ):
            seq = int(ticks["seq"][place])
            if (who == 20 and fails) or (who % 3 == 0 and seq % 5 == 0):
                continue
            rows += [(who, place, int(ticks["sent_ns"][place]) + 500_000)] * (1 + (seq % 41 == 0))
    rows[10], rows[11] = rows[11], rows[10]
    who_of, place_of, app_ns = np.array(rows).T
    first = np.full(40, 2**62)
    np.minimum.at(first, who_of, app_ns)
    added["first_message_ns"] = np.where(first < 2**62, first, -1)
    digest = ticks["digest"][place_of]
    digest[5] += 1
    deliveries = {
        "subscriber": 2 + who_of, "connection": who_of * 0, "channel": ticks["channel"][place_of],
        "seq": ticks["seq"][place_of] + 100_000 * (np.arange(who_of.size) == 7), "kernel_ns": who_of * 0 - 1,
        "app_ns": app_ns, "payload_bytes": ticks["payload_bytes"][place_of], "digest": digest,
    }  # fmt: skip
    write_table(where / "visit_deliveries.parquet", "visit_deliveries", deliveries)
    visits = {"subscriber": 2 + number, "planned_ns": arrives, "leaves_ns": arrives + stays, "had_until_ns": had_until}
    write_table(where / "visits.parquet", "visits", visits)
    both = {name: np.concatenate([before[name], added[name]]) for name in before}
    write_table(where / "connections.parquet", "connections", both)
    grown(where, manifest)
    probes = read_table(where / "probes.parquet", "probes")
    joined = np.searchsorted(np.sort(added["started_ns"]), probes["at_ns"])
    second = np.arange(joined.size)
    probes["server_cpu_ns"] = probes["server_cpu_ns"] + joined * 400_000 + (second * 7919 % 13) * 10_007
    write_table(where / "probes.parquet", "probes", probes)


def long(make: ModuleType, folder: Path) -> Path:
    """Windows of 60 s, for growth."""
    plan = make.Plan(subjects=("sse-aiohttp", "websocket-aiohttp"), blocks=2, subscribers=2, window_s=60.0)
    made = Path(make.write(folder, plan))
    for trial, change in ((1, grown), (2, grown), (3, churned), (4, partial(churned, fails=False))):
        edit(made, trial, change)
    return made


def seeds(make: ModuleType, folder: Path) -> list[Path]:
    """Three campaigns that differ in nothing but the seed and their blocks, and in what they say: there is a tau."""
    plans = ((1, 3, 1.0), (2, 2, 1.4), (3, 4, 0.9))
    return [
        Path(make.write(folder / str(seed), make.Plan(seed=seed, blocks=blocks, window_s=2.0 * pace)))
        for seed, blocks, pace in plans
    ]


def stacks(make: ModuleType, folder: Path) -> Path:
    """Two transports on three stacks, one of them with a block less: a matrix with a prediction interval."""
    names = tuple(f"{transport}-{stack}" for stack in make.STACKS for transport in ("sse", "long-poll"))
    plan = make.Plan(subjects=names, blocks=3, subscribers=3, window_s=1.0, failed=(2,))
    return Path(make.write(folder, plan))


def golden(make: ModuleType, folder: Path) -> Path:
    return ROOT / "tests" / "golden" / "results"


@pytest.fixture(scope="module")
def checked(make: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each folder's name to what came out."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        first = figures.catalogue()[:1]
        patch.setattr(figures, "catalogue", lambda: first)
        for one in (golden, unicast, streams, swept, everything, long, seeds, stacks):
            top = tmp_path_factory.mktemp(one.__name__)
            made = one(make, top / "results")
            folders = made if isinstance(made, list) else [made]
            build(folders, top / "report")
            found[one.__name__] = folders, json.loads((top / "report" / "report.json").read_text())
    return {name: (MADE["check"](*pair), pair[1]) for name, pair in found.items()}


@pytest.mark.parametrize("name", ["golden", "unicast", "streams", "swept", "everything", "long", "seeds", "stacks"])
def test_every_number_is_the_same(checked: dict[str, Any], name: str) -> None:
    result, report = checked[name]
    assert result.differing == []
    assert result.agreed > 20 * len(report["trials"])


def test_every_metric_had_a_value_somewhere(checked: dict[str, Any]) -> None:
    names = set(checked["golden"][1]["trials"][0]["metrics"])
    assert names - set.union(*(result.metrics for result, _ in checked.values())) == set()


def test_what_the_folders_are_for_is_in_them(checked: dict[str, Any]) -> None:
    reports = {name: report for name, (_, report) in checked.items()}
    of = {name: [trial["metrics"] for trial in report["trials"]] for name, report in reports.items()}
    assert any(m["latency_app_p999_ns"] for m in of["unicast"]) and not any(
        m["latency_app_p99_ns"] for m in of["golden"]
    )
    assert reports["unicast"]["noise_floor"]["source"] == "campaign"
    assert all(m["corrupted"] for m in of["streams"])
    assert len({row["cell"]["subscribers"] for row in reports["swept"]["comparisons"]}) == 2
    assert of["everything"][1]["recovery_p50_ns"] and of["everything"][1]["recovery_max_ns"] is None
    combined = reports["seeds"]["combined"]
    assert combined and all(len(row["campaigns"]) == 3 for row in combined)
    assert any(row["tau"] for row in combined) and any(row["predicted_low"] for row in combined)
    assert {row["campaigns"] for row in reports["seeds"]["comparisons"]} == {3}
    matrix = reports["stacks"]["matrix"]
    assert any(row["summary"]["tau"] and row["summary"]["predicted_low"] for row in matrix)
    assert len({one["blocks"] for row in matrix for one in row["stacks"]}) > 1
    assert {row["pooled"] for _, report in checked.values() for row in report["comparisons"]} == {True, False}


def test_a_number_that_differs_is_found(golden: Path, tmp_path: Path) -> None:
    report = json.loads((golden.parent / "report.json").read_text())
    report["trials"][0]["metrics"]["lost"] += 1
    report["summary"][8]["low"] = math.nextafter(report["summary"][8]["low"] or 1.0, math.inf) * 1.001
    (tmp_path / "report.json").write_text(json.dumps(report))
    command = [sys.executable, str(SCRIPT), str(golden), str(tmp_path / "report.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "trial 1, lost: 3 in the report, 2 here" in done.stdout and "numbers agree" in done.stdout
