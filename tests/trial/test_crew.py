"""The crew of a trial: listened to, watched, and what is planned for an instant done at it. The clock is a fake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rtbench.errors import RtbenchError, SubjectError
from rtbench.subjects import NOBODY
from rtbench.subjects.proxies import find as find_proxy
from rtbench.subjects.registry import find
from rtbench.trial import Place, _crew

SECOND = 10**9
MakeCrew = Callable[..., Any]
PLACE = Place((0,), (2, 3), (1,))


# Who is there


def test_a_crew_is_a_publisher_its_loads_and_a_server(make_crew: MakeCrew, tmp_path: Path) -> None:
    crew = make_crew(2, PLACE)
    workload, scenario, sockets, cores, log, ahead_s = crew.publisher.arguments
    assert (workload, scenario) == (crew.workload, crew.run.spec.scenario)
    assert (sockets, cores, log.name, ahead_s) == (tmp_path, (1,), "publisher.log", 7.0)
    assert crew.publisher.told == ["ready"]
    subject, scenario, feed, folder, cores, log = crew.server.arguments
    assert (subject, scenario) == (crew.run.spec.subject, crew.run.spec.scenario)
    assert (feed, folder, cores, log.name) == (crew.publisher.socket_path, tmp_path, (0,), "server.log")
    assert crew.server.named == {"port": 0}
    assert [load.arguments for load in crew.loads] == [("",), ("",)]
    assert (crew.network, crew.starver) == (None, None)


def test_both_ends_are_in_their_namespaces(make_crew: MakeCrew, monkeypatch: pytest.MonkeyPatch) -> None:
    class Network:
        server, load = "/proc/1/ns/net", "/proc/2/ns/net"

        def __init__(self, log: Path) -> None:
            assert log.name == "network.log"

        def host(self, loopback: str) -> str:
            return {"127.0.0.1": "10.77.0.1", "::1": "fd77::1"}[loopback]

        def __enter__(self) -> Network:
            return self

        def __exit__(self, *_: object) -> None:
            """Gone."""

    monkeypatch.setattr(_crew, "Network", Network)
    crew = make_crew(netns=True, server={"host": "::1"})
    assert crew.server.named == {"port": 0, "host": "fd77::1", "network": "/proc/1/ns/net"}
    assert crew.loads[0].arguments == ("/proc/2/ns/net",)


def test_there_is_a_starver_on_the_loads_cores_when_one_is_wanted(make_crew: MakeCrew) -> None:
    starve = [{"what": "load", "at_s": 0, "for_s": 0.1}]
    crew = make_crew(place=PLACE, faults={"starve": starve})
    assert crew.starver.arguments[0] == (2, 3)


# Opening


def test_our_server_is_played_into_before_it_is_ready(make_crew: MakeCrew) -> None:
    crew = make_crew()
    crew.open(["fanout"])
    assert crew.publisher.told == ["ready", ("play", "fanout")]
    assert crew.server.told == ["ready"]
    assert (crew.proxy, crew.url) == (None, crew.server.url)


def test_a_program_is_posted_to_once_it_answers(make_crew: MakeCrew) -> None:
    crew = make_crew(subject="sse-nchan")
    crew.open(["fanout"])
    post = find("sse-nchan").publish
    assert crew.publisher.told == ["ready", ("post", crew.server.url, post), ("play", "fanout")]


def test_nobody_plays_into_a_server_with_a_timetable_of_its_own(make_crew: MakeCrew) -> None:
    crew = make_crew()
    crew.run.spec = replace(crew.run.spec, subject=replace(crew.run.spec.subject, publish=NOBODY))
    crew.open(["fanout"])
    assert crew.publisher.told == ["ready"]


def test_subscribers_of_a_server_behind_a_proxy_go_to_the_proxy(make_crew: MakeCrew, tmp_path: Path) -> None:
    crew = make_crew(subject="sse-aiohttp+nginx-tuned", place=PLACE, subscribers=9)
    crew.open(["fanout"])
    proxy, upstream, subscribers, folder, cores, log = crew.proxy.arguments
    assert (proxy, upstream, subscribers) == (find_proxy("nginx-tuned"), crew.server.url, 9)
    assert (folder, cores, log.name) == (tmp_path, (0,), "proxy.log")  # the server's core, which it is charged with
    assert crew.url == "http://127.0.0.1:8090"
    for load in crew.loads:
        load.subscribed = 9
    crew.ramp(9)
    assert crew.loads[0].told[0]["host"] == crew.url


def test_a_proxy_that_ends_unasked_ends_the_waiting(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew(subject="sse-aiohttp+nginx-tuned")
    crew.open(["fanout"])
    crew.proxy.code = 1
    with pytest.raises(SubjectError, match="the proxy ended early"):
        crew.until(clock.now + SECOND)


# Time


def note(done: list[tuple[str, int]], clock: Any, name: str) -> None:
    done.append((name, clock.now))


def test_until_is_precise_and_ticks_four_times_a_second(make_crew: MakeCrew, clock: Any) -> None:
    crew, ticks = make_crew(), [clock.now]
    crew.tick = lambda: ticks.append(clock.now)
    end = clock.now + 3 * SECOND + 123
    crew.until(end)
    assert clock.now == end
    assert max(b - a for a, b in zip(ticks, [*ticks[1:], end], strict=True)) <= SECOND // 4


def test_until_an_instant_that_has_passed_does_nothing(make_crew: MakeCrew, clock: Any) -> None:
    now = clock.now
    make_crew().until(now)
    assert clock.now == now


def test_what_is_planned_is_done_at_its_instant_in_order(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew()
    begin, done = clock.now, list[tuple[str, int]]()
    for name, after in (("late", 2 * SECOND), ("first", 7_000_000), ("second", 7_000_000), ("soon", 1)):
        crew.at(begin + after, partial(note, done, clock, name))
    crew.until(begin + SECOND)
    assert done == [("soon", begin + 1), ("first", begin + 7_000_000), ("second", begin + 7_000_000)]
    crew.until(begin + 2 * SECOND)
    assert done[3:] == [("late", begin + 2 * SECOND)]


def test_what_was_done_may_plan_more(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew()
    begin, done = clock.now, list[tuple[str, int]]()

    def stop() -> None:
        note(done, clock, "stop")
        crew.at(clock.now + SECOND // 2, partial(note, done, clock, "go on"))

    crew.at(begin + SECOND // 4, stop)
    crew.until(begin + SECOND)
    assert done == [("stop", begin + SECOND // 4), ("go on", begin + 3 * SECOND // 4)]


def test_what_is_planned_is_done_on_time_while_something_else_is_waited_for(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew()
    begin, done = clock.now, list[tuple[str, int]]()
    load = crew.loads[0]
    load.says = lambda: setattr(load, "closed_window", True)
    clock.arrivals.append((begin + SECOND, load))
    crew.at(begin + 100_000_000, partial(note, done, clock, "in time"))
    crew.at(begin + 110_000_000, partial(note, done, clock, "and again"))
    crew.at(begin + 2 * SECOND, partial(note, done, clock, "not yet"))
    crew.wait(lambda: load.closed_window, 10, "the window's end")
    assert done == [("in time", begin + 100_000_000), ("and again", begin + 110_000_000)]
    assert clock.now == begin + SECOND


# Waiting


def test_waiting_for_what_is_so_already_takes_no_time(make_crew: MakeCrew, clock: Any) -> None:
    now = clock.now
    make_crew().wait(lambda: True, 0, "nothing")
    assert clock.now == now


def test_waiting_has_a_limit_and_a_reason(make_crew: MakeCrew, clock: Any) -> None:
    now = clock.now
    with pytest.raises(SubjectError, match="subscribing did not happen within 3 s: see the logs"):
        make_crew().wait(lambda: False, 3, "subscribing")
    assert clock.now == now + 3 * SECOND


def test_waiting_hears_what_the_loads_say(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew(2)
    heard: list[int] = []
    for index, load in enumerate(crew.loads):
        load.says = partial(heard.append, index)
        clock.arrivals.append((clock.now + SECOND - index, load))
    crew.wait(lambda: len(heard) == 2, 5, "anything")
    assert heard == [1, 0]


def test_trouble_of_a_load_process_ends_the_waiting(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew()

    def trouble() -> None:
        raise RtbenchError("cannot write /results (No space left on device)")

    crew.loads[0].says = trouble
    clock.arrivals.append((clock.now, crew.loads[0]))
    with pytest.raises(RtbenchError, match="No space left"):
        crew.wait(lambda: False, 5, "anything")


@pytest.mark.parametrize("who", ["publisher", "server", "load process"])
@pytest.mark.parametrize("how", ["wait", "until"])
def test_whoever_ends_unasked_ends_the_waiting_with_its_name(
    make_crew: MakeCrew, clock: Any, who: str, how: str
) -> None:
    crew = make_crew(2)
    process = next(one for one in (crew.loads[1], crew.server, crew.publisher) if one.name == who)
    crew.at(clock.now + SECOND, lambda: setattr(process, "code", -9))
    with pytest.raises(SubjectError, match=f"the {who} ended early"):
        if how == "wait":
            crew.wait(lambda: False, 5, "anything")
        else:
            crew.until(clock.now + 5 * SECOND)


# Subscribing


def test_a_ramp_is_divided_among_the_loads(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew(2, subscribers=9, ramp_hz=300)
    for load, subscribed in zip(crew.loads, (4, 3), strict=True):
        load.subscribed = subscribed
    crew.ramp(7)
    common = {"do": "ramp", "host": crew.server.url, "start_ns": clock.now + 50_000_000, "ramp_hz": 150.0}
    assert [load.told for load in crew.loads] == [[{**common, "count": 4}], [{**common, "count": 3}]]


def test_a_ramp_waits_until_all_are_subscribed(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew(2, subscribers=10)
    for number, load in enumerate(crew.loads, start=1):
        load.says = partial(setattr, load, "subscribed", 5)
        clock.arrivals.append((clock.now + number * SECOND, load))
    begin = clock.now
    crew.ramp(10)
    assert clock.now == begin + 2 * SECOND


def test_too_few_subscribed_says_how_many_and_why(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew(2, subscribers=1000, ramp_hz=1000)
    crew.loads[0].subscribed, crew.loads[0].failed = 3, {"refused": 2}
    crew.loads[1].subscribed, crew.loads[1].failed = 1, {"refused": 1, "status 503": 1}
    begin = clock.now
    with pytest.raises(SubjectError) as caught:
        crew.ramp(1000)
    assert str(caught.value) == "only 4 of 1,000 subscribed within 31 s (3 refused, 1 status 503)"
    assert clock.now == begin + 31 * SECOND


def test_too_few_subscribed_and_nobody_knows_why(make_crew: MakeCrew) -> None:
    crew = make_crew()
    crew.loads[0].subscribed = 3
    with pytest.raises(SubjectError, match=r"only 3 of 5 subscribed within 30 s \(the rest is waiting\)"):
        crew.ramp(5)


def test_a_process_that_dies_while_they_subscribe_is_the_reason(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew(2)
    crew.at(clock.now + SECOND, lambda: setattr(crew.loads[1], "code", -9))
    with pytest.raises(SubjectError, match="the load process ended early"):
        crew.ramp(5)


def test_who_was_told_to_stay_away_is_not_waited_for(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew(2, subscribers=10)
    crew.loads[0].subscribed, crew.loads[1].subscribed = 5, 2
    crew.loads[1].given_up, crew.loads[1].failed = 3, {"error (status 404)": 3}
    begin = clock.now
    with pytest.raises(SubjectError) as caught:
        crew.ramp(10)
    assert str(caught.value) == "only 7 of 10 subscribed, and the others do not come back (3 error (status 404))"
    assert clock.now == begin


def test_a_server_that_lets_nobody_in_is_not_waited_for(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew(subscribers=10)
    load = crew.loads[0]
    load.failed = {"refused": _crew.TRIES * 10 - 1}
    load.says = lambda: load.failed.update(refused=_crew.TRIES * 10)
    clock.arrivals.append((clock.now + 2 * SECOND, load))
    begin = clock.now
    with pytest.raises(SubjectError, match=r"only 0 of 10 subscribed, and the others do not come back \(30 refused\)"):
        crew.ramp(10)
    assert clock.now == begin + 2 * SECOND


def test_who_failed_before_may_still_come_when_others_got_in(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew(subscribers=10)
    load = crew.loads[0]
    load.subscribed, load.failed = 1, {"refused": 100}
    load.says = partial(setattr, load, "subscribed", 10)
    clock.arrivals.append((clock.now + SECOND, load))
    crew.ramp(10)


# The server's second life


def test_a_server_that_was_killed_on_purpose_is_not_missed_until_it_is_back(make_crew: MakeCrew, clock: Any) -> None:
    crew = make_crew()
    first = crew.server
    first.url = "http://[::1]:8123"
    crew.kill_server()
    first.code = -9
    assert [told for told in first.told if told != "ready"] == [("signal", 9), "stop"]
    crew.until(clock.now + SECOND)  # nobody minds
    crew.restart_server()
    second = crew.server
    assert second is not first
    assert second.named == {"port": 8123}
    assert second.told == ["ready"]
    assert crew.server_cpu_ns == first.cpu  # what is counted goes on from there
    second.code = -11
    with pytest.raises(SubjectError, match="the server ended early"):
        crew.until(clock.now + SECOND)


def test_a_server_whose_cpu_could_not_be_read_takes_nothing_away(make_crew: MakeCrew) -> None:
    crew = make_crew()
    crew.server.cpu = -1
    crew.kill_server()
    assert crew.server_cpu_ns == 0
