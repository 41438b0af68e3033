from __future__ import annotations

from rtbench.analysis.report import caveat
from rtbench.analysis.report.caveat import Agreeing, Caveat, Names, Text, recorded, written
from rtbench.analysis.report.condense import condense

NAMES = ["sse-aiohttp", "sse-aiohttp+nginx", "websocket-aiohttp"]


def told(*caveats: Caveat) -> list[str]:
    return [one.message for one in condense(caveats)]


def of_trial(number: int, name: str, status: str, reason: str, *spoils: str) -> Caveat:
    return Caveat("k", recorded(reason, NAMES), "", True, ((number, name),), status, spoils)


def plain(*messages: str) -> list[Caveat]:
    return [Caveat("k", recorded(message, NAMES), "", True) for message in messages]


def test_trials_beyond_one_limit_are_one_line_that_names_them_all() -> None:
    assert told(
        of_trial(2, "websocket-aiohttp", "invalid", "the host had 1.1% of the time, the limit is 1.0%", "x"),
        *plain("something else"),
        of_trial(4, "sse-aiohttp", "invalid", "the host had 12.5% of the time, the limit is 1.0%", "x"),
        of_trial(7, "sse-aiohttp", "invalid", "the host had 1,003% of the time, the limit is 1.0%", "x"),
    ) == [
        "3 trials are invalid (2 of websocket-aiohttp; 4, 7 of sse-aiohttp): the host had 1.1 to 1,003% of the "
        "time, the limit is 1.0% (spoils x)",
        "something else",
    ]


def test_trials_that_spoil_other_metrics_are_listed_apart() -> None:
    assert told(
        of_trial(1, "sse-aiohttp", "invalid", "it read late", "latency_app_p50_ns"),
        of_trial(2, "sse-aiohttp", "invalid", "it read late", "latency_app_p99_ns"),
    ) == [
        "trial 1, sse-aiohttp, is invalid: it read late (spoils latency_app_p50_ns)",
        "trial 2, sse-aiohttp, is invalid: it read late (spoils latency_app_p99_ns)",
    ]


def test_failures_are_one_line_only_when_they_say_the_same() -> None:
    bad, worse = "only 0 of 20 subscribed (status 400)", "only 0 of 20 subscribed (status 500)"
    assert told(*(of_trial(n, "sse-aiohttp+nginx", "failed", why) for n, why in ((1, bad), (2, worse), (3, bad)))) == [
        f"2 trials are failed (1, 3 of sse-aiohttp+nginx): {bad}",
        f"trial 2, sse-aiohttp+nginx, is failed: {worse}",
    ]


def test_one_trial_with_one_reason_twice_is_one_trial() -> None:
    caveats = [of_trial(2, "sse-aiohttp", "invalid", f"late by {amount} ms") for amount in ("1.5", "2.5")]
    assert told(*caveats) == ["1 trial is invalid (2, 2 of sse-aiohttp): late by 1.5 to 2.5 ms"]


def test_what_happened_in_trials_that_count_is_one_line() -> None:
    caveats = [of_trial(number, "sse-aiohttp", "", f"{number}0 retransmissions") for number in (9, 10)]
    assert told(caveats[0]) == ["trial 9, sse-aiohttp: 90 retransmissions"]
    assert told(*caveats) == ["2 trials (9, 10 of sse-aiohttp): 90 to 100 retransmissions"]


def too_few(name: str, metric: str) -> Caveat:
    text: Text = (
        caveat.subject(name), " ", Agreeing("has", "have"), " 1 usable trial of ", Names("metric", (metric,)),
        ": nothing is concluded about ", Agreeing("it", "them"),
    )  # fmt: skip
    return Caveat("k", text, "", True)


def test_metrics_first_then_subjects() -> None:
    assert told(
        too_few("sse-aiohttp", "latency_kernel_p50_ns"),
        too_few("sse-aiohttp", "server_cpu_ns_per_message"),
        too_few("websocket-aiohttp", "latency_kernel_p50_ns"),
        too_few("websocket-aiohttp", "server_cpu_ns_per_message"),
        too_few("sse-aiohttp+nginx", "latency_kernel_p50_ns"),
    ) == [
        "sse-aiohttp, websocket-aiohttp have 1 usable trial of latency_kernel_p50_ns, server_cpu_ns_per_message: "
        "nothing is concluded about them",
        "sse-aiohttp+nginx has 1 usable trial of latency_kernel_p50_ns: nothing is concluded about it",
    ]


def test_numbers_alone_are_all_listed() -> None:
    assert told(*plain("40 connections were made again", "126 connections were made again")) == [
        "40, 126 connections were made again"
    ]
    assert told(*plain("sse-aiohttp lost 3 messages", "websocket-aiohttp lost 4 messages")) == [
        "sse-aiohttp lost 3 messages",
        "websocket-aiohttp lost 4 messages",
    ]


def test_subjects_of_a_recorded_sentence_are_all_named() -> None:
    assert told(*plain(*(f"{name} is left out" for name in NAMES))) == [f"{', '.join(NAMES)} is left out"]


def test_lines_that_name_several_or_nothing_stay() -> None:
    lines = ["subjects differ in x: 1 in sse-aiohttp; 2 in websocket-aiohttp", "one machine, loopback"]
    assert told(*plain(*lines, *lines[1:])) == [*lines, lines[1]]
    assert [c.message for c in condense([Caveat("k", recorded("a", []), "", True)])] == ["a"]


def test_other_kinds_remedies_and_weights_stay_apart() -> None:
    base = recorded("sse-aiohttp has 1 usable trial", NAMES)
    other = recorded("websocket-aiohttp has 1 usable trial", NAMES)
    for one in (Caveat("l", other, "", True), Caveat("k", other, "r", True), Caveat("k", other, "", False)):
        assert len(condense([Caveat("k", base, "", True), one])) == 2


def test_a_recorded_sentence_is_written_as_it_was() -> None:
    for text in (
        "", "sse-aiohttp", "a 1,003.5 b 3, 4. IPv6 {x} 1.5ms", "sse-aiohttp+nginx: latency_app_p50_ns of sse-aiohttp@2",
        "trial 3 ([subscribers=100])",
    ):  # fmt: skip
        assert written(recorded(text, NAMES)) == text
    found = recorded("sse-aiohttp+nginx held 1,003 back", NAMES)
    assert found == (caveat.subject("sse-aiohttp+nginx"), " held ", caveat.number(1003), " back")


def test_a_line_for_the_terminal_leaves_out_what_is_spoilt() -> None:
    one = of_trial(2, "sse-aiohttp", "invalid", "it read late", "latency_app_*")
    assert one.short == "trial 2, sse-aiohttp, is invalid: it read late"
    assert one.message == f"{one.short} (spoils latency_app_*)"
