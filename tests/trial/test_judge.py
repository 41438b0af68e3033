"""What became of a trial, judged from the files as they were written; and its manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from rtbench.messages.load import Edge, LoadReport
from rtbench.records import tables
from rtbench.records.manifest import Event, Idle, Ladder, Manifest, Steadiness
from rtbench.records.record import plain, typed
from rtbench.trial import Spec, steadiness, validity
from rtbench.trial._judge import Judgement, compression, judge
from rtbench.trial._manifest import manifest, refusal
from rtbench.trial._measuring import Measured
from rtbench.trial._run import Run

SECOND = 10**9
STOP = Event(do="stop", what="server", began_ns=1, ended_ns=2)
END = Edge(read_ns=850, cpu_ns=30, run_delay_ns=2, decode_cpu_ns=0)
REPORT = LoadReport(
    pid=5,
    at_start=Edge(read_ns=250, cpu_ns=10, run_delay_ns=1, decode_cpu_ns=0),
    at_end=END,
    decode_cpu_ns=0,
    captured_bytes=0,
    clock_pairs=((0, 100), (SECOND, SECOND + 100)),
    hub_lag=(),
    controls={"heartbeat": 2},
    faults=(),
    response_headers={},
    due=(),
    failed={},
)


@dataclass
class Files:
    """A trial whose files are written: what it measured besides, and what is judged of both."""

    run: Run
    found: Measured = field(default_factory=Measured)

    def __post_init__(self) -> None:
        processes: dict[str, Any] = {"server": {}, "load": {}, "machine": {}}
        self.counters: Any = SimpleNamespace(processes=processes, network={}, wire={}, columns={}, routed=[])
        self.found.counters = self.counters
        self.found.window, self.found.reports = (250, 850), [REPORT]

    def judge(self) -> Judgement:
        return judge(self.run, self.found)

    def manifest(self) -> dict[str, Any]:
        made: dict[str, Any] = plain(manifest(self.run.spec, self.found, self.judge()))
        return made


Written = Callable[..., Files]


@pytest.fixture
def written(gathering: Callable[..., Run], tmp_path: Path) -> Written:
    """A trial's files: ten ticks, two subscribers, a window that holds ticks 3 to 8; the last `lost` rows left out."""

    def write(outcomes: list[str], lost: int = 0, **scenario: Any) -> Files:
        seq = np.arange(1, 11)
        due = seq * 100
        digest = seq.astype(np.uint32)
        columns = {"channel": seq * 0, "seq": seq, "due_ns": due, "sent_ns": due + 1, "payload_bytes": seq * 0 + 50}
        tables.write_table(tmp_path / "ticks.parquet", "ticks", {**columns, "digest": digest})
        rows = {
            "subscriber": np.repeat([0, 1], 10),
            "connection": np.repeat([0, 1], 10),
            "channel": np.zeros(20),
            "seq": np.tile(seq, 2),
            "kernel_ns": np.tile(due + 2, 2),
            "app_ns": np.tile(due + 3, 2),
            "payload_bytes": np.full(20, 50),
            "digest": np.tile(digest, 2),
        }
        kept = {name: values[: 20 - lost] for name, values in rows.items()}
        tables.write_table(tmp_path / "deliveries.parquet", "deliveries", kept)
        count = len(outcomes)
        table: dict[str, Any] = {name: np.full(count, -1) for name in tables.TABLES["connections"]}
        numbers = np.arange(count)
        table |= {"outcome": outcomes, "subscriber": np.minimum(numbers, 1), "response_ns": numbers}
        table["connection"] = numbers
        table["tcp_received_bytes_at_start"] = np.array([100, 200, *[-1] * (count - 2)])
        table["tcp_received_bytes_at_end"] = np.array([1100, 1200, *[-1] * (count - 2)])
        table["tcp_sent_bytes_at_start"], table["tcp_sent_bytes_at_end"] = np.full(count, 5), np.full(count, 6)
        tables.write_table(tmp_path / "connections.parquet", "connections", table)
        return Files(gathering(subscribers=2, **scenario))

    return write


def test_judged_by_the_files(written: Written) -> None:
    one = written(["open", "closed"])
    judged = one.judge()
    assert plain(judged.counts) == {
        "subscribers": 2,
        "subscribed": 2,
        "expected": 12,
        "delivered": 12,
        "lost": 0,
        "duplicated": 0,
        "reordered": 0,
        "corrupted": 0,
        "connections": 2,
        "connections_failed": 0,
    }
    assert judged.bytes == {"payload": 600, "messages_in_window": 12, "tcp_down": 2000, "tcp_up": 2}
    assert (judged.status, judged.reasons, judged.warnings) == ("ok", [], [])


def test_bytes_on_the_wire_that_were_read_before_stay(written: Written) -> None:
    one = written(["open", "open"])
    one.counters.wire = {"wire_bytes_at_start": 7, "wire_bytes_at_end": 70}
    assert one.manifest()["bytes"].keys() == {
        "wire_bytes_at_start",
        "wire_bytes_at_end",
        "payload",
        "messages_in_window",
        "tcp_down",
        "tcp_up",
    }


def test_losses_are_counted_with_examples(written: Written) -> None:
    one = written(["open", "open"], lost=4)
    judged = one.judge()
    assert (judged.counts.delivered, judged.counts.lost) == (10, 2)
    assert judged.audit["lost"] == [(1, 7), (1, 8)]
    assert judged.status == "ok"  # a finding about the subject, not about the measurement


def test_faults_and_reconnections_are_warned_of(written: Written) -> None:
    one = written(["open", "closed by the subscriber", "reset"])
    one.found.reports = [replace(REPORT, faults=("id 5 after 7", "other"))]
    judged = one.judge()
    assert (judged.counts.connections, judged.counts.connections_failed) == (3, 1)
    assert judged.bytes["tcp_down"] == 2000  # a connection that was not there at both edges has no share
    assert [(found.kind, found.message) for found in judged.warnings] == [
        ("protocol fault", "the wire protocol was broken, first by id 5 after 7"),
        ("reconnections", "1 connections were made again"),
    ]
    assert judged.status == "ok"


def test_a_limit_that_is_crossed_makes_it_invalid(written: Written) -> None:
    one = written(["open", "open"], validity={"client_cpu_share": 1.0})
    one.found.reports = [replace(REPORT, at_end=replace(END, cpu_ns=SECOND))]
    judged = one.judge()
    assert judged.status == "invalid"
    assert judged.reasons[0].kind == "load generator near its limit"


def test_a_saturated_server_is_a_warning_and_the_trial_is_valid(written: Written) -> None:
    one = written(["open", "open"], validity={"server_cpu_share": 0.5})
    one.counters.processes["server"] |= {"cores": [0], "cpu_ns_at_start": 0, "cpu_ns_at_end": 301}
    judged = one.judge()
    assert (judged.status, judged.reasons) == ("ok", [])
    assert [(found.kind, found.metrics) for found in judged.warnings] == [("server saturated", [])]


# Compression


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], "none"),
        ([{"content-type": "text/event-stream"}], "none"),
        ([{"content-encoding": "gzip"}], "gzip"),
        ([{}, {"sec-websocket-extensions": "permessage-deflate; server_no_context_takeover"}], "deflate"),
        ([{"content-encoding": "gzip"}, {"content-encoding": "br"}, {"content-encoding": "gzip"}], "br, gzip"),
    ],
)
def test_compression_is_what_was_negotiated(headers: list[dict[str, str]], found: str) -> None:
    assert compression(headers) == found


def test_compression_goes_over_what_the_server_declared(written: Written) -> None:
    one = written(["open", "open"])
    one.found.uses = {"compression": "none"}
    one.found.reports = [replace(REPORT, response_headers={"content-encoding": "gzip"})]
    assert one.manifest()["fairness"] == {"compression": "gzip"}


# Steadiness


@pytest.fixture
def drifting(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A drift test that finds latency doubled; with what it was asked."""
    asked: list[tuple[Any, ...]] = []

    def drift(due_ns: Any, received_ns: Any, window: tuple[int, int]) -> steadiness.Drift:
        asked.append((due_ns.tolist(), received_ns.tolist(), window))
        return steadiness.Drift(1.0, 0.001, 12)

    monkeypatch.setattr(steadiness, "drift", drift)
    return asked


def test_a_trial_that_was_not_steady_is_marked_and_stays_valid(
    written: Written, drifting: list[tuple[Any, ...]]
) -> None:
    one = written(["open", "open"], validity={"drift_share": 0.99})
    judged = one.judge()
    assert plain(judged.steadiness) == {"drift_share": 1.0, "p": 0.001, "batches": 12}
    (warning,) = judged.warnings
    assert (warning.kind, warning.metrics) == ("not steady", validity.LATENCY)
    assert warning.message == "latency was not steady: its median changed by +100% over the window, limit 99%"
    assert judged.status == "ok"
    inside = [300, 400, 500, 600, 700, 800]
    assert drifting == [(inside * 2, [due + 2 for due in inside * 2], (250, 850))]  # kernel stamps


def test_on_the_limit_a_drift_is_recorded_and_not_warned_of(written: Written, drifting: list[tuple[Any, ...]]) -> None:
    one = written(["open", "open"], validity={"drift_share": 1.0})
    judged = one.judge()
    assert (judged.steadiness.drift_share, judged.warnings) == (1.0, [])


def test_a_drift_that_chance_explains_is_not_warned_of(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steadiness, "drift", lambda *_: steadiness.Drift(5.0, 0.01, 12))
    one = written(["open", "open"], validity={"drift_share": 0.1})
    judged = one.judge()
    assert (judged.steadiness.p, judged.warnings) == (0.01, [])


def test_where_few_have_a_stamp_the_application_is_asked(
    written: Written, drifting: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    one = written(["open", "open"])
    rows = tables.read_table(tmp_path / "deliveries.parquet", "deliveries")
    kernel = np.where(rows["seq"] > 5, -1, rows["kernel_ns"])  # 3, 4, 5 of 3 to 8 have one: half are enough
    tables.write_table(tmp_path / "deliveries.parquet", "deliveries", {**rows, "kernel_ns": kernel})
    one.judge()
    assert drifting[-1][0] == [300, 400, 500] * 2
    kernel[4] = -1
    tables.write_table(tmp_path / "deliveries.parquet", "deliveries", {**rows, "kernel_ns": kernel})
    one.judge()
    assert drifting[-1][0] == [300, 400, 500, 600, 700, 800] * 2
    assert drifting[-1][1][0] == 303


def test_a_trial_that_was_disturbed_on_purpose_is_not_asked(written: Written, drifting: list[tuple[Any, ...]]) -> None:
    one = written(["open", "open"])
    one.found.events = [STOP]
    judged = one.judge()
    assert (drifting, plain(judged.steadiness)) == ([], {})


# Probes that were read at the edges of twelfths of the window (250, 850), CPU of the server and of the load process.
READ = np.arange(250, 851, 50)


def probed(server: Any, load: Any) -> dict[str, Any]:
    return {"at_ns": READ, "server_cpu_ns": np.asarray(server), "load_cpu_ns": np.asarray(load)}


def test_cpu_that_drifts_is_marked_with_what_that_spoils(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    one = written(["open", "open"], validity={"drift_share": 0.5})
    one.counters.columns = probed(READ, READ)
    found = {"server": -0.6, "client": 0.7}
    shares = iter(found.values())
    monkeypatch.setattr(steadiness.Spent, "drift", lambda *_: steadiness.Drift(next(shares), 0.001, 12))
    judged = one.judge()
    assert [(warning.kind, warning.message, warning.metrics) for warning in judged.warnings] == [
        (
            "not steady",
            "server CPU a message was not steady: it changed by -60% over the window, limit 50%",
            ["server_cpu_ns_per_message", "machine_busy_ns_per_message"],
        ),
        (
            "not steady",
            "client CPU a message was not steady: it changed by +70% over the window, limit 50%",
            ["client_cpu_ns_per_message"],
        ),
    ]
    assert plain(judged.steadiness).items() >= {"server_cpu_drift_share": -0.6, "client_cpu_p": 0.001}.items()
    assert judged.status == "ok"


def test_halves_have_their_own_figures(written: Written) -> None:
    """Ticks 3 to 5 are due in the first half, 6 to 8 in the second; two subscribers each."""
    one = written(["open", "open"])
    one.counters.columns = probed(np.where(READ > 550, 9 * READ - 4400, READ), READ * 2)
    first, second = plain(one.judge().halves)
    assert first == {
        "latency_kernel_p50_ns": 2,
        "latency_app_p50_ns": 3,
        "server_cpu_ns_per_message": 300 / 6,
        "client_cpu_ns_per_message": 600 / 6,
    }
    assert second == {**first, "server_cpu_ns_per_message": 2700 / 6}


def test_halves_without_due_times_are_null(written: Written) -> None:
    one = written(["open", "open"])
    one.found.due = "unknown"
    assert [set(plain(half).values()) for half in one.judge().halves] == [{None}, {None}]


def test_too_little_data_gives_no_verdict(written: Written) -> None:
    one = written(["open", "open"], lost=20)
    judged = one.judge()
    assert plain(judged.steadiness) == {}


def test_no_ticks_at_all_spoil_everything_and_are_not_asked_about(written: Written, tmp_path: Path) -> None:
    one = written(["open", "open"], lost=20)
    tables.write_table(tmp_path / "ticks.parquet", "ticks", tables.concatenate("ticks", []))
    judged = one.judge()
    assert (judged.status, [reason.kind for reason in judged.reasons]) == ("invalid", ["no messages"])
    assert plain(judged.steadiness) == {}


# The manifest


def test_manifest_has_what_the_trial_gathered(written: Written) -> None:
    one = written(["open", "open"], faults={"kill": [{"at_s": 0.1, "for_s": 0.2}]})
    one.found.reports = [REPORT, replace(REPORT, clock_pairs=(), controls={"heartbeat": 3, "gap": 1})]
    ladder = typed(Ladder, {"rungs": [], "kernel_bytes_per_connection": 5.0})
    one.found.events, one.found.ladder = [STOP], (ladder, Idle(cpu_ns_per_connection_second=1))
    one.counters.network = {"retransmits_begin": 4}
    judged = Judgement(steadiness=Steadiness(p=0.5))
    found = plain(manifest(one.run.spec, one.found, judged))
    assert found["controls"] == {"heartbeat": 5, "gap": 1}
    assert found["clocks"] == {"pairs": [list(pair) for pair in REPORT.clock_pairs]}
    assert found["faults"]["kill"][0]["at_s"] == 0.1
    assert found["events"] == [{"do": "stop", "what": "server", "began_ns": 1, "ended_ns": 2}]
    assert found["memory"] == {"rungs": [], "kernel_bytes_per_connection": 5.0}
    assert found["idle"] == {"cpu_ns_per_connection_second": 1}
    assert found["steadiness"] == {"p": 0.5}
    assert found["network"] == {"retransmits_begin": 4}


def test_manifest_of_a_trial_that_did_not_get_far(spec_of: Callable[..., Spec]) -> None:
    found = plain(manifest(spec_of(), Measured(), Judgement("failed")))
    assert (found["clocks"], found["controls"], found["counts"]) == ({"pairs": []}, {}, {})
    assert found["window"] == {"start_ns": -1, "end_ns": -1}
    for name in ("audit", "processes", "network", "bytes", "fairness", "timeline", "steadiness", "memory", "idle"):
        assert found[name] == {}


def test_keys_stand_in_the_order_of_the_contract(spec_of: Callable[..., Spec]) -> None:
    found = plain(manifest(spec_of(), Measured(), Judgement()))
    assert list(found) == [name for name in Manifest.__struct_fields__ if name != "files"]
    refused = plain(refusal(spec_of(), ["bytes: wrong"]))
    assert [name for name in found if name in refused] == list(refused)
