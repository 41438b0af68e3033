from __future__ import annotations

from rtbench.analysis.report.caveats import Caveat
from rtbench.analysis.report.condense import condense

NAMES = ["sse-aiohttp", "sse-aiohttp+nginx", "websocket-aiohttp"]


def told(*messages: str, kind: str = "k", remedy: str = "") -> list[str]:
    return [c.message for c in condense([Caveat(kind, m, remedy, True) for m in messages], NAMES)]


def test_trials_beyond_one_limit_are_one_line_that_names_them_all() -> None:
    assert told(
        "trial 2, websocket-aiohttp, is invalid: the host had 1.1% of the time, the limit is 1.0% (spoils x)",
        "something else",
        "trial 4, sse-aiohttp, is invalid: the host had 12.5% of the time, the limit is 1.0% (spoils x)",
        "trial 7, sse-aiohttp, is invalid: the host had 1,003% of the time, the limit is 1.0% (spoils x)",
    ) == [
        "3 trials are invalid (2 of websocket-aiohttp; 4, 7 of sse-aiohttp): the host had 1.1 to 1,003% of the "
        "time, the limit is 1.0% (spoils x)",
        "something else",
    ]


def test_failures_are_one_line_only_when_they_say_the_same() -> None:
    bad, worse = "only 0 of 20 subscribed (status 400)", "only 0 of 20 subscribed (status 500)"
    assert told(
        *(f"trial {n}, sse-aiohttp+nginx, is failed: {why}" for n, why in ((1, bad), (2, worse), (3, bad)))
    ) == [
        f"2 trials are failed (1, 3 of sse-aiohttp+nginx): {bad}",
        f"trial 2, sse-aiohttp+nginx, is failed: {worse}",
    ]


def test_one_trial_with_one_reason_twice_is_one_trial() -> None:
    lines = ("trial 2, sse-aiohttp, is invalid: late by 1.5 ms", "trial 2, sse-aiohttp, is invalid: late by 2.5 ms")
    assert told(*lines) == ["1 trial is invalid (2, 2 of sse-aiohttp): late by 1.5 to 2.5 ms"]


def test_metrics_first_then_subjects() -> None:
    of = "has 1 usable trial of"
    assert told(
        f"sse-aiohttp {of} latency_kernel_p50_ns: nothing is concluded about it",
        f"sse-aiohttp {of} server_cpu_ns_per_message: nothing is concluded about it",
        f"websocket-aiohttp {of} latency_kernel_p50_ns: nothing is concluded about it",
        f"websocket-aiohttp {of} server_cpu_ns_per_message: nothing is concluded about it",
        f"sse-aiohttp+nginx {of} latency_kernel_p50_ns: nothing is concluded about it",
    ) == [
        "sse-aiohttp, websocket-aiohttp have 1 usable trial of latency_kernel_p50_ns, server_cpu_ns_per_message: "
        "nothing is concluded about them",
        f"sse-aiohttp+nginx {of} latency_kernel_p50_ns: nothing is concluded about it",
    ]


def test_numbers_alone_are_all_said() -> None:
    assert told("40 connections were made again", "126 connections were made again") == [
        "40, 126 connections were made again"
    ]
    assert told("sse-aiohttp lost 3 messages", "websocket-aiohttp lost 4 messages") == [
        "sse-aiohttp lost 3 messages",
        "websocket-aiohttp lost 4 messages",
    ]


def test_lines_that_name_several_or_nothing_stay() -> None:
    lines = ["subjects differ in x: 1 in sse-aiohttp; 2 in websocket-aiohttp", "one machine, loopback"]
    assert told(*lines, *lines[1:]) == [*lines, lines[1]]
    assert [c.message for c in condense([Caveat("k", "a", "", True)], [])] == ["a"]


def test_other_kinds_remedies_and_weights_stay_apart() -> None:
    base = "sse-aiohttp has 1 usable trial"
    other = "websocket-aiohttp has 1 usable trial"
    for caveat in (Caveat("l", other, "", True), Caveat("k", other, "r", True), Caveat("k", other, "", False)):
        assert len(condense([Caveat("k", base, "", True), caveat], NAMES)) == 2
