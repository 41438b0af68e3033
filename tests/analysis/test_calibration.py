"""The calibration's judges, on campaigns whose truth is written here: each is shown met, and not met (R16).

The folders are made through rtbench.records.tables as a campaign would write them, with latencies to the nanosecond.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rtbench.analysis import calibration
from rtbench.analysis.calibration import Check
from rtbench.records.tables import TABLES, write_json, write_table

SECOND, MS = 10**9, 10**6
START = 100 * SECOND
TRANSPORT = {"sse": "sse", "websocket": "websocket", "short": "short-poll", "long": "long-poll"}

Late = Callable[[int, int, int], int]
"""(subscriber, seq, due_ns) to how much later than due something is."""


class Folder:
    """A calibration's folder; `campaign(…)` adds one of its campaigns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def campaign(
        self, name: str, trials: Sequence[dict[str, Any]], order: list[list[str]] | None = None, **scenario: Any
    ) -> None:
        """`trials`: what `trial` below gives; `scenario`: its tables."""
        folder = self.path / name
        listed = []
        for number, one in enumerate(trials, start=1):
            directory = f"trials/{number:03d}-{one['subject']}"
            (folder / directory).mkdir(parents=True)
            identity = {"trial": number, "subject": one["subject"], "block": 1, "position": number}
            status = one["manifest"]["status"]
            write_json(folder / directory / "manifest.json", {"schema": 1, **identity, **one["manifest"]})
            for kind, table in one["tables"].items():
                write_table(folder / directory / f"{kind}.parquet", kind, table)
            listed.append({**identity, "status": status, "directory": directory})
        subjects = [one["subject"] for one in trials]
        document = {
            "schema": 1,
            "rtbench": "0",
            "seed": 1,
            "command": "rtbench calibrate",
            "scenario": {
                "name": name,
                "stream": "fanout",
                "workload": {"channels": "broadcast", "rate_hz": 10},
                **scenario,
            },
            "order": order or [subjects],
            "subjects": [{"subject": name, "transport": TRANSPORT[name.split("-")[0]]} for name in subjects],
            "trials": listed,
        }
        write_json(folder / "campaign.json", document)

    def judge(self) -> list[Check]:
        return calibration.judge(self.path)


def constant(value_ns: int) -> Late:
    return lambda *_: value_ns


TWO_MS, HALF_MS, AT_ONCE = constant(2 * MS), constant(MS // 2), constant(10_000)


def trial(
    subject: str,
    *,
    subscribers: int = 4,
    rate_hz: int = 10,
    window_s: float = 2,
    kernel: Late = TWO_MS,
    app: Late = HALF_MS,
    sent: Late = AT_ONCE,
    stamped: Callable[[int, int], bool] = lambda *_: True,
    rows: Callable[[list[tuple[int, ...]]], list[tuple[int, ...]]] = lambda rows: rows,
    polls: Late | None = None,
    **manifest: Any,
) -> dict[str, Any]:
    """A trial of a broadcast. `kernel`: due to kernel stamp; `app`: from there to the application; `sent`: due to sent.

    `rows` may change the deliveries (subscriber, seq, kernel_ns, app_ns, digest), which are in the order in which they
    arrived; `polls`: how long before its kernel stamp each message's request was started. Half a second of ticks is
    before the window.
    """
    period = SECOND // rate_hz
    window = (START - period // 2, START - period // 2 + int(window_s * SECOND))
    count = rate_hz // 2 + int(window_s * rate_hz)
    seqs = np.arange(1, count + 1)
    due = START + (seqs - 1 - rate_hz // 2) * period
    ticks = {
        "channel": seqs * 0,
        "seq": seqs,
        "due_ns": due,
        "sent_ns": [int(at) + sent(-1, int(seq), int(at)) for seq, at in zip(seqs, due, strict=True)],
        "payload_bytes": np.full(count, 150),
        "digest": seqs * 7,
    }
    arrived = []
    for seq, at in zip(seqs.tolist(), due.tolist(), strict=True):
        for who in range(subscribers):
            kernel_ns = at + kernel(who, seq, at)
            app_ns = kernel_ns + app(who, seq, at)
            arrived.append((who, seq, kernel_ns if stamped(who, seq) else -1, app_ns, seq * 7))
    arrived = rows(sorted(arrived, key=lambda row: row[3]))
    who, seq, kernel_ns, app_ns, digest = (np.array(column) for column in zip(*arrived, strict=True))
    deliveries = {
        "subscriber": who,
        "connection": who,
        "channel": who * 0,
        "seq": seq,
        "kernel_ns": kernel_ns,
        "app_ns": app_ns,
        "payload_bytes": np.full(len(who), 150),
        "digest": digest,
    }
    tables: dict[str, Any] = {"ticks": ticks, "deliveries": deliveries}
    if polls is not None:
        asked = [at - polls(int(a), int(b), 0) for a, b, at in zip(who, seq, kernel_ns, strict=True)]
        tables["requests"] = {**dict.fromkeys(TABLES["requests"], who * 0), "subscriber": who, "started_ns": asked}
    document = {
        "status": "ok",
        "window": {"start_ns": window[0], "end_ns": window[1]},
        "counts": {"subscribers": subscribers},
        "events": [],
        "reasons": [],
        **manifest,
    }
    return {"subject": subject, "tables": tables, "manifest": document}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def verdicts(checks: list[Check]) -> dict[str, bool]:
    return {check.name: check.met for check in checks}


def by_name(checks: list[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


# What a check is


def test_a_check_s_row_has_its_deviation() -> None:
    row = Check("a", 5.0, 4.5, "ms", "± 1 ms", True).row()
    assert row == {
        "name": "a", "expected": 5.0, "measured": 4.5, "unit": "ms", "allowed": "± 1 ms", "met": True,
        "deviation": -0.5,
    }  # fmt: skip


def test_a_folder_without_campaigns_has_no_checks(folder: Folder) -> None:
    assert folder.judge() == []


# Trials that failed


def failed(subject: str) -> dict[str, Any]:
    return {"subject": subject, "tables": {}, "manifest": {"status": "failed", "reasons": []}}


def test_a_trial_that_failed_is_a_truth_not_met(folder: Folder) -> None:
    folder.campaign("delay", [failed("sse-faulty"), failed("websocket-faulty")], faults={"inject": []})
    assert folder.judge() == [Check("trials of delay", 2, 0, "trials", "all measured", False)]


@pytest.mark.parametrize("name", ["rested", "starved-short", "starved-long"])
def test_what_is_compared_with_a_trial_that_failed_is_not_judged(folder: Folder, name: str) -> None:
    for one in ("rested", "starved-short", "starved-long"):
        starved = starved_short() if one == "starved-short" else starved_long()
        folder.campaign(
            one, [failed("sse-aiohttp") if one == name else trial("sse-aiohttp") if one == "rested" else starved]
        )
    checks = folder.judge()
    assert checks[0] == Check(f"trials of {name}", 1, 0, "trials", "all measured", False)
    assert {check.name.partition(":")[0] for check in checks[1:]} <= {
        "load starved, short stalls, sse",
        "load starved, long stalls, sse",
    }


def test_a_trial_that_was_not_run_is_a_truth_not_met(folder: Folder) -> None:
    folder.campaign("rested", [trial("sse-aiohttp")], order=[["sse-aiohttp"], ["sse-aiohttp"]])
    assert verdicts(folder.judge()) == {"trials of rested": False}


# Delay

DELAYS_MS = {1: 1.0, 2: 5.0, 3: 20.0}
INJECT = [{"do": "delay", "delay_s": ms / 1000, "subscribers": [who]} for who, ms in DELAYS_MS.items()]


def delayed(error_ms: float = 0.0) -> Late:
    return lambda who, seq, at: int((2 + DELAYS_MS.get(who, 0.0) + (error_ms if who == 2 else 0.0)) * MS) + seq * 1000


def test_known_delays_are_found_between_subscribers_of_one_trial(folder: Folder) -> None:
    trials = [trial(f"{kind}-faulty", kernel=delayed()) for kind in ("sse", "websocket", "long-poll")]
    folder.campaign("delay", trials, faults={"inject": INJECT})
    checks = folder.judge()
    assert [(check.name, check.expected) for check in checks] == [
        (f"delay of {ms:g} ms, {transport}", ms)
        for transport in ("sse", "websocket", "long-poll")
        for ms in (1.0, 5.0, 20.0)
    ]
    assert all(check.met and check.measured == pytest.approx(check.expected) for check in checks)


@pytest.mark.parametrize(("error_ms", "met"), [(0.29, True), (0.31, False), (-0.29, True), (-0.31, False)])
def test_a_delay_that_is_off_by_more_than_three_tenths_is_not_met(folder: Folder, error_ms: float, met: bool) -> None:
    folder.campaign("delay", [trial("sse-faulty", kernel=delayed(error_ms))], faults={"inject": INJECT})
    assert verdicts(folder.judge()) == {
        "delay of 1 ms, sse": True,
        "delay of 5 ms, sse": met,
        "delay of 20 ms, sse": True,
    }
    assert by_name(folder.judge(), "delay of 5 ms, sse").deviation == pytest.approx(error_ms)


@pytest.mark.parametrize(("error_ms", "met"), [(0.0, True), (0.4, False)])
def test_a_short_poll_s_delay_is_in_its_answer_not_in_how_long_it_waited(
    folder: Folder, error_ms: float, met: bool
) -> None:
    """Who waits long for its next poll is not delayed: subscriber 0 is the last here, and undelayed."""

    def kernel(who: int, seq: int, at: int) -> int:
        return (90 - 20 * who) * MS

    def answer(who: int, seq: int, at: int) -> int:
        return int((1 + DELAYS_MS.get(who, 0.0) + (error_ms if who == 2 else 0.0)) * MS)

    one = trial("short-poll-faulty", kernel=kernel, polls=answer)
    folder.campaign("delay", [one], faults={"inject": INJECT})
    assert verdicts(folder.judge()) == {
        "delay of 1 ms, short-poll": True,
        "delay of 5 ms, short-poll": met,
        "delay of 20 ms, short-poll": True,
    }


def test_messages_without_a_stamp_of_their_own_say_nothing_of_a_delay(folder: Folder) -> None:
    def kernel(who: int, seq: int, at: int) -> int:
        return delayed()(who, seq, at) if seq % 3 else 50 * MS

    one = trial("sse-faulty", kernel=kernel, stamped=lambda who, seq: seq % 3 != 0)
    folder.campaign("delay", [one], faults={"inject": INJECT})
    assert all(verdicts(folder.judge()).values())


# Bytes

# From 470 to 1,470 ms: ten ticks, at 500, 600, … 1,400 ms.
STOP = {"do": "stop", "what": "server", "began_ns": START + 470 * MS, "ended_ns": START + 1470 * MS}


def stopped(late_part: float = 1.0) -> Late:
    """What is due while the server stands still comes at its end (or sooner, by `late_part`)."""
    began, ended = STOP["began_ns"], STOP["ended_ns"]
    assert isinstance(began, int) and isinstance(ended, int)
    return lambda who, seq, at: int((ended - at) * late_part) + MS if began <= at < ended else MS


def with_bytes(one: dict[str, Any], received: int) -> dict[str, Any]:
    """The trial with connections of which each received so many bytes in the window."""
    subscribers = one["manifest"]["counts"]["subscribers"]
    table: dict[str, Any] = {name: np.zeros(subscribers) for name in TABLES["connections"]}
    table |= {"outcome": ["open"] * subscribers, "subscriber": np.arange(subscribers)}
    table["tcp_received_bytes_at_start"] = np.full(subscribers, 1000)
    table["tcp_received_bytes_at_end"] = 1000 + np.full(subscribers, received)
    one["tables"]["connections"] = table
    return one


# The window holds the ids 6 to 25: four of one digit and sixteen of two. See tests/trial/test_bytes.py for the sizes.
IN_WINDOW = 4 * 170 + 16 * 171


@pytest.mark.parametrize(("error", "met"), [(0, True), (1, False), (-1, False)])
@pytest.mark.parametrize(("subject", "transport"), [("sse-aiohttp", "sse"), ("websocket-aiohttp", "websocket")])
def test_tcp_bytes_are_exact_or_not_met(folder: Folder, subject: str, transport: str, error: int, met: bool) -> None:
    one = with_bytes(trial(subject, kernel=stopped(), events=[STOP]), IN_WINDOW + error)
    folder.campaign("server-stop", [one])
    check = by_name(folder.judge(), f"TCP bytes of the window, {transport}")
    assert (check.expected, check.measured, check.unit, check.met) == (
        4 * IN_WINDOW, 4 * (IN_WINDOW + error), "bytes", met,
    )  # fmt: skip


def test_a_poll_s_bytes_depend_on_more_and_are_not_judged(folder: Folder) -> None:
    one = with_bytes(trial("long-poll-aiohttp", kernel=stopped(), events=[STOP]), 5)
    folder.campaign("server-stop", [one])
    assert not any(check.name.startswith("TCP bytes") for check in folder.judge())


# Losses, duplicates, disorder, damage

FAULTS = [
    {"do": "drop", "subscribers": [0], "every": 10, "of": 1},
    {"do": "duplicate", "subscribers": [1, 2], "every": 10, "of": 2},
    {"do": "reorder", "subscribers": [3], "every": 10, "of": 3},
    {"do": "corrupt", "subscribers": [4], "every": 10, "of": 4},
]
# The ids 6 to 25 are in the window.
TRUTH = {
    "lost": [[0, 11], [0, 21]],
    "duplicated": [[1, 12], [1, 22], [2, 12], [2, 22]],
    "reordered": [[3, 13], [3, 23]],
    "corrupted": [[4, 14], [4, 24]],
}


def spoilt(rows: list[tuple[int, ...]], extra: Callable[[int, int], bool] = lambda *_: False) -> list[tuple[int, ...]]:
    """What the injections make of what arrives; `extra`: losses that nobody injected."""
    result: list[tuple[int, ...]] = []
    kept: dict[int, tuple[int, ...]] = {}
    for row in rows:
        who, seq = row[:2]
        if (who == 0 and seq % 10 == 1) or extra(who, seq):
            continue
        if who == 3 and seq % 10 == 3:
            kept[who] = row
            continue
        result += [(*row[:4], row[4] + 1) if who == 4 and seq % 10 == 4 else row]
        result += [row] * (who in (1, 2) and seq % 10 == 2)
        if who in kept and seq % 10 == 4:
            result.append(kept.pop(who))
    return result


def faulty(**changes: Any) -> dict[str, Any]:
    return trial("sse-faulty", subscribers=6, **{"rows": spoilt, "audit": TRUTH, **changes})


NAMES = [f"{kind}, sse" for kind in TRUTH]


def test_injected_messages_are_found_exactly(folder: Folder) -> None:
    folder.campaign("faults", [faulty()], faults={"inject": FAULTS})
    checks = folder.judge()
    assert [check.name for check in checks] == NAMES
    assert [(check.expected, check.measured, check.met) for check in checks] == [
        (len(pairs), len(pairs), True) for pairs in TRUTH.values()
    ]


def test_one_loss_more_than_was_injected_is_not_met(folder: Folder) -> None:
    one = faulty(rows=lambda rows: spoilt(rows, lambda who, seq: (who, seq) == (5, 17)))
    folder.campaign("faults", [one], faults={"inject": FAULTS})
    assert verdicts(folder.judge()) == dict(zip(NAMES, (False, True, True, True), strict=True))
    assert by_name(folder.judge(), "lost, sse").measured == 3


def test_as_many_losses_of_other_messages_are_not_met(folder: Folder) -> None:
    def rows(arrived: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        return [row for row in arrived if (row[0], row[1]) not in ((0, 12), (0, 22))]

    folder.campaign("faults", [faulty(rows=rows)], faults={"inject": FAULTS[:1]})
    (check,) = folder.judge()
    assert (check.expected, check.measured, check.met) == (2, 2, False)


@pytest.mark.parametrize("kind", list(TRUTH))
def test_a_manifest_that_names_other_messages_is_not_met(folder: Folder, kind: str) -> None:
    wrong = {**TRUTH, kind: [*TRUTH[kind][:-1], [5, 24]]}
    folder.campaign("faults", [faulty(audit=wrong)], faults={"inject": FAULTS})
    assert [check.name for check in folder.judge() if not check.met] == [f"{kind}, sse"]


def test_nothing_injected_in_the_window_proves_nothing(folder: Folder) -> None:
    never = [{**row, "every": 1000, "of": 999} for row in FAULTS]
    one = faulty(rows=lambda rows: rows, audit={kind: [] for kind in TRUTH})
    folder.campaign("faults", [one], faults={"inject": never})
    assert not any(check.met for check in folder.judge())


# Stops


def test_a_stopped_server_is_r1_s_arithmetic(folder: Folder) -> None:
    folder.campaign("server-stop", [with_bytes(trial("sse-aiohttp", kernel=stopped(), events=[STOP]), IN_WINDOW)])
    checks = [check for check in folder.judge() if not check.name.startswith("TCP")]
    assert [(check.name, check.expected, check.measured, check.met) for check in checks] == [
        ("server stopped, sse: maximum", 1000.0, 971.0, True),
        # Of its ten ticks for four subscribers those of its first 750, 500 and 250 ms.
        ("server stopped, sse: later than 250 ms", 32, 32, True),
        ("server stopped, sse: later than 500 ms", 20, 20, True),
        ("server stopped, sse: later than 750 ms", 12, 12, True),
    ]
    assert checks[0].allowed == "≥ T − one period (900 ms)"
    assert checks[1].allowed == "± 10 % of the 40 concerned"


def test_a_harness_that_omits_what_waited_is_found_out(folder: Folder) -> None:
    """Coordinated omission: the stop is charged to one message, the others are stamped when they were let go."""

    def omitted(who: int, seq: int, at: int) -> int:
        return stopped()(who, seq, at) if at == START + 500 * MS else MS

    folder.campaign("server-stop", [with_bytes(trial("sse-aiohttp", kernel=omitted, events=[STOP]), IN_WINDOW)])
    found = verdicts(folder.judge())
    assert found["server stopped, sse: maximum"]
    assert not any(met for name, met in found.items() if "later than" in name)


def test_a_maximum_that_is_more_than_a_period_short_is_not_met(folder: Folder) -> None:
    one = with_bytes(trial("sse-aiohttp", kernel=stopped(0.89), events=[STOP]), IN_WINDOW)
    folder.campaign("server-stop", [one])
    check = by_name(folder.judge(), "server stopped, sse: maximum")
    assert (check.measured, check.met) == (pytest.approx(864.3), False)


def test_a_message_without_a_stamp_is_as_late_as_the_application_saw_it(folder: Folder) -> None:
    """What piles up while a server stands still arrives in one read and shares a stamp: it was late all the same."""
    one = trial("sse-aiohttp", kernel=stopped(), stamped=lambda who, seq: False, events=[STOP])
    folder.campaign("server-stop", [with_bytes(one, IN_WINDOW)])
    assert all(verdicts(folder.judge()).values())


@pytest.mark.parametrize(("sent", "met"), [(stopped(), True), (constant(1000), False)], ids=["shown", "hidden"])
def test_a_stopped_publisher_is_in_the_part_due_to_sent(folder: Folder, sent: Late, met: bool) -> None:
    """Where the stamp `sent` is made when the plan says and not when it was, the part shows nothing."""
    event = {**STOP, "what": "publisher"}
    one = trial("sse-aiohttp", sent=sent, kernel=lambda *a: stopped()(*a) + MS, events=[event])
    folder.campaign("publisher-stop", [one])
    found = verdicts(folder.judge())
    assert len(found) == 4
    assert set(found.values()) == {met}
    assert all(name.startswith("publisher stopped (due → sent): ") for name in found)


# A starved load generator


def starved_short(kernel_ms: float = 2.05, app_ms: float = 10, status: str = "invalid", **more: Any) -> dict[str, Any]:
    reasons = [{"kind": "kept from its core", "message": "", "remedy": "", "metrics": ["latency_app_*"]}]
    return trial(
        "sse-aiohttp",
        kernel=constant(int(kernel_ms * MS)),
        app=constant(int(app_ms * MS)),
        **{"status": status, "reasons": reasons, **more},
    )


def starved_checks(folder: Folder, **changes: Any) -> dict[str, bool]:
    folder.campaign("rested", [trial("sse-aiohttp")])  # kernel 2 ms, application half a millisecond later
    folder.campaign("starved-short", [starved_short(**changes)])
    return verdicts(folder.judge())


def test_a_starved_load_generator_is_invalid_and_its_kernel_stamps_hardly_move(folder: Folder) -> None:
    assert starved_checks(folder) == {
        "load starved, short stalls, sse: INVALID": True,
        "load starved, short stalls, sse: kernel latency moves": True,
    }
    moved = by_name(folder.judge(), "load starved, short stalls, sse: kernel latency moves")
    assert moved.measured == pytest.approx(0.05, abs=1e-4)
    assert "9.55 ms that application latency moves" in moved.allowed


@pytest.mark.parametrize(
    ("changes", "invalid", "moves"),
    [
        ({"status": "ok", "reasons": []}, False, True),
        ({"reasons": [{"metrics": ["connect_*"]}]}, False, True),
        ({"kernel_ms": 3.2}, True, False),
        ({"kernel_ms": 0.5}, True, False),
        ({"app_ms": 0.4}, True, False),
    ],
    ids=["said to be fine", "invalid for something else", "kernel moves, too", "kernel moves back", "nothing moves"],
)
def test_what_a_starved_load_generator_must_not_show(
    folder: Folder, changes: dict[str, Any], invalid: bool, moves: bool
) -> None:
    assert starved_checks(folder, **changes) == {
        "load starved, short stalls, sse: INVALID": invalid,
        "load starved, short stalls, sse: kernel latency moves": moves,
    }


@pytest.mark.parametrize("stalls", ["short", "long"])
@pytest.mark.parametrize(
    ("metrics", "met"), [(["latency_app_*", "latency_kernel_*"], True), (["latency_app_*"], False)]
)
def test_polls_of_a_starved_load_generator_are_not_believed_at_the_kernel_either(
    folder: Folder, stalls: str, metrics: list[str], met: bool
) -> None:
    """The starved process sends the requests."""
    subjects = ["short-poll-aiohttp", "long-poll-aiohttp"]
    folder.campaign("rested", [trial(name) for name in subjects])
    reasons = [{"kind": "kept from its core", "message": "", "remedy": "", "metrics": metrics}]
    folder.campaign(f"starved-{stalls}", [trial(name, status="invalid", reasons=reasons) for name in subjects])
    assert verdicts(folder.judge()) == {
        f"load starved, {stalls} stalls, short-poll: INVALID": met,
        f"load starved, {stalls} stalls, long-poll: INVALID": met,
    }


BEGAN = START - SECOND // 20
LONG = {"do": "starve", "what": "load", "began_ns": BEGAN, "ended_ns": BEGAN + 2 * SECOND}
ROW = {"what": "load", "burn_s": 0.7, "every_s": 1.0}


def starved_long(
    stamped: Callable[[int, int], bool] = lambda who, seq: (seq - 6) % 10 >= 6,
    kernel_ms: float = 2.0,
    app_ms: float = 300.0,
    status: str = "invalid",
) -> dict[str, Any]:
    """Ten ticks a second, of which those at 0 to 600 ms are due within the 700 ms of a stall that began at -50 ms."""
    return trial(
        "sse-aiohttp",
        kernel=constant(int(kernel_ms * MS)),
        app=constant(int(app_ms * MS)),
        stamped=stamped,
        status=status,
        reasons=[{"metrics": ["latency_app_*"]}],
        events=[LONG],
        faults={"starve": [ROW]},
    )


def long_checks(folder: Folder, **changes: Any) -> list[Check]:
    folder.campaign("rested", [trial("sse-aiohttp")])
    folder.campaign("starved-long", [starved_long(**changes)])
    return folder.judge()


def test_stalls_longer_than_the_gap_share_stamps_as_arithmetic_says(folder: Folder) -> None:
    """Of the seven that are due at 0, 100, … 600 ms the last keeps its stamp; those at 700, 800 and 900 ms, too."""
    checks = long_checks(folder)
    assert [(check.name, check.met) for check in checks] == [
        ("load starved, long stalls, sse: INVALID", True),
        ("load starved, long stalls, sse: share with a stamp of their own", True),
        ("load starved, long stalls, sse: kernel latency of these moves", True),
    ]
    assert (checks[1].expected, checks[1].measured) == (0.4, 0.4)


@pytest.mark.parametrize(
    ("changes", "unmet"),
    [
        ({"stamped": lambda who, seq: True}, "share with a stamp of their own"),
        ({"stamped": lambda who, seq: (seq - 6) % 10 >= 8}, "share with a stamp of their own"),
        ({"kernel_ms": 40.0}, "kernel latency of these moves"),
        ({"status": "ok"}, "INVALID"),
    ],
    ids=["none is found to be shared", "too many are left out", "what is kept is off by a stall", "believed"],
)
def test_what_long_stalls_must_not_show(folder: Folder, changes: dict[str, Any], unmet: str) -> None:
    checks = long_checks(folder, **changes)
    assert [check.name for check in checks if not check.met] == [f"load starved, long stalls, sse: {unmet}"]


# A/A


LABELS = ("sse-aiohttp", "websocket-aiohttp", "sse-aiohttp@2", "websocket-aiohttp@2")


def same_twice(make: ModuleType, folder: Path, blocks: int = 3, seed: int = 1) -> Path:
    plan = make.Plan(subjects=LABELS, blocks=blocks, subscribers=3, window_s=1.0, warmup_s=0.2, seed=seed)
    return Path(make.write(folder, plan))


def dearer(folder: Path, subject: str, counters: dict[str, str]) -> None:
    """Make every trial of a subject use twice the CPU, in every block alike: a difference that is real."""
    for path in folder.glob(f"trials/*-{subject}/manifest.json"):
        manifest = json.loads(path.read_text())
        for process, counter in counters.items():
            row = manifest["processes"][process]
            row[f"{counter}_at_end"] += row[f"{counter}_at_end"] - row[f"{counter}_at_start"]
        path.write_text(json.dumps(manifest))


@pytest.mark.slow
def test_intervals_of_a_subject_with_itself_hold_1_as_often_as_they_should(tmp_path: Path, make: ModuleType) -> None:
    same_twice(make, tmp_path / "aa-short")
    (check,) = calibration.judge(tmp_path)
    assert check.name == "A/A intervals that hold 1, all metrics"
    # Two pairs, five metrics; the binomial band of ten at 95 % begins at 7.
    assert (check.unit, check.expected, check.allowed) == ("of 10", 9.5, "at least 7 (99% binomial band)")
    assert check.met
    assert check.measured >= 7


@pytest.mark.slow
def test_labels_that_differ_for_real_are_not_met(tmp_path: Path, make: ModuleType) -> None:
    folder = same_twice(make, tmp_path / "aa-short")
    for subject in LABELS[2:]:
        dearer(folder, subject, {"server": "cpu_ns", "load": "cpu_ns"})
    (check,) = calibration.judge(tmp_path)
    assert (check.met, check.measured <= 6) == (False, True)


@pytest.mark.slow
def test_a_long_aa_is_judged_metric_by_metric_in_groups_of_three_blocks(tmp_path: Path, make: ModuleType) -> None:
    folder = same_twice(make, tmp_path / "aa", blocks=6)
    checks = calibration.judge_aa(folder)
    assert [check.name for check in checks] == [f"A/A intervals that hold 1: {m}" for m in calibration.AA_METRICS]
    assert {check.unit for check in checks} == {"of 4"}  # two pairs, two groups
    assert all(check.met for check in checks)
    for subject in LABELS[2:]:
        dearer(folder, subject, {"server": "cpu_ns"})
    unmet = [check for check in calibration.judge_aa(folder) if not check.met]
    assert [(check.name, check.measured) for check in unmet] == [
        ("A/A intervals that hold 1: server_cpu_ns_per_message", 0)
    ]


@pytest.mark.slow
def test_an_aa_without_intervals_shows_nothing(tmp_path: Path, make: ModuleType) -> None:
    assert calibration.judge_aa(same_twice(make, tmp_path, blocks=1)) == []


@pytest.mark.slow
def test_noise_is_of_the_calibration_s_aa_or_of_the_folder_itself(tmp_path: Path, make: ModuleType) -> None:
    folder = same_twice(make, tmp_path / "aa-short")
    found = calibration.noise_of(tmp_path)
    assert found == calibration.noise_of(folder)
    assert found["server_cpu_ns_per_message"].keys() == {"sd", "blocks"}
    assert found["server_cpu_ns_per_message"]["blocks"] == 6  # two pairs, three blocks
    assert found["tcp_down_bytes_per_message"]["sd"] == 0.0  # the same bytes, always
    assert "connections_failed" not in found  # nothing but zeros


# Networks

NO_NETWORK = {"delay_ms": 0, "jitter_ms": 0, "loss": 0, "rate_mbit": 0, "queue_ms": 0, "late_p99_ns": 0}


def through(one: dict[str, Any], connect_ms: float = 0.1, **network: Any) -> dict[str, Any]:
    """The trial behind such a network, with the time that its connections took."""
    count = one["manifest"]["counts"]["subscribers"]
    table: dict[str, Any] = {name: np.zeros(count) for name in TABLES["connections"]}
    table |= {"outcome": ["open"] * count, "subscriber": np.arange(count)}
    one["tables"]["connections"] = table | {"connected_ns": np.full(count, int(connect_ms * MS))}
    one["manifest"]["impairment"] = {**NO_NETWORK, **network}
    return one


@pytest.mark.parametrize(("error_ms", "met"), [(0.0, True), (0.29, True), (0.31, False), (-0.31, False)])
@pytest.mark.parametrize(("name", "which"), [("network-delay", ""), ("network-thousand", ", 1,000 subscribers")])
def test_a_network_s_delay_is_in_the_latency_once_and_in_a_connect_twice(
    folder: Folder, name: str, which: str, error_ms: float, met: bool
) -> None:
    late = constant(int((22 + error_ms) * MS))
    trials = [
        through(trial("sse-aiohttp")),
        through(trial("sse-aiohttp", kernel=late), 40.1 + error_ms, delay_ms=20),
    ]
    folder.campaign(name, trials)
    checks = [check for check in folder.judge() if check.name.startswith("network")]
    assert [(check.name, check.expected, check.met) for check in checks] == [
        (f"network, delay of 20 ms: latency{which}", 20, met),
        (f"network, round trip of 40 ms: TCP connect{which}", 40, met),
    ]


@pytest.mark.parametrize(("spread_ms", "met"), [(10, True), (4, False)])
def test_a_jitter_is_an_even_spread(folder: Folder, spread_ms: int, met: bool) -> None:
    def spread(who: int, seq: int, at: int) -> int:
        return 2 * MS + int(spread_ms * MS * (2 * ((who * 26 + seq) / 10_400) - 1))

    trials = [
        through(trial("sse-aiohttp", subscribers=400), delay_ms=30),
        through(trial("sse-aiohttp", subscribers=400, kernel=spread), delay_ms=30, jitter_ms=10),
    ]
    folder.campaign("network-jitter", trials)
    found = {check.name: check.met for check in folder.judge() if check.name.startswith("network")}
    assert found == {
        "network, jitter of ± 10 ms: quantile 0.1": met,
        "network, jitter of ± 10 ms: quantile 0.5": True,
        "network, jitter of ± 10 ms: quantile 0.9": met,
    }


@pytest.mark.parametrize(("lost", "met"), [(500, True), (580, True), (600, False), (400, False)])
def test_a_loss_is_within_its_binomial_band_in_each_direction(folder: Folder, lost: int, met: bool) -> None:
    none = dict.fromkeys(("packets", "bytes", "forwarded", "lost", "queue_full", "own_drops", "queued_max_ns"), 0)
    way = {**none, "packets": 10_000, "bytes": 600_000, "lost": lost}
    folder.campaign("network-loss", [through(trial("sse-aiohttp"), loss=0.05, down=way, up=none)])
    (check,) = [check for check in folder.judge() if check.name.startswith("network")]
    assert check.name == "network, loss of 5 %, packets of 60 bytes to clients"
    assert (check.expected, check.measured, check.met) == (0.05, lost / 10_000, met)


# 150 bytes are a stream of 170 or 171 (above), and a packet of 223: 17.84 ms at 0.1 Mbit/s.
@pytest.mark.parametrize(("taken_ms", "met"), [(17.84, True), (17.7, True), (17.5, False), (18.1, False)])
def test_a_rate_is_a_packet_s_bits_by_its_time(folder: Folder, taken_ms: float, met: bool) -> None:
    slow = constant(int((2 + taken_ms) * MS))
    trials = [
        through(trial("sse-aiohttp"), rate_mbit=1e9),
        through(trial("sse-aiohttp", kernel=slow), rate_mbit=0.1),
    ]
    folder.campaign("network-rate", trials)
    (check,) = [check for check in folder.judge() if check.name.startswith("network")]
    assert (check.name, check.expected, check.met) == ("network, rate of 0.1 Mbit/s", 0.1, met)


@pytest.mark.parametrize("name", ["network-delay", "network-thousand", "network-jitter", "network-rate"])
def test_a_network_without_what_it_is_compared_with_is_not_judged(folder: Folder, name: str) -> None:
    folder.campaign(name, [through(trial("sse-aiohttp"), delay_ms=5, jitter_ms=5, rate_mbit=5)])
    assert folder.judge() == []
