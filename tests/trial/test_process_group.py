"""The process group of a trial: listened to, watched, and what is due at an instant is done at it. A fake clock."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rtbench.errors import RtbenchError, SubjectError
from rtbench.machine.placement import Place
from rtbench.messages.load import Ramp
from rtbench.messages.publisher import PostCounts
from rtbench.subjects import NOBODY, Post
from rtbench.subjects.proxies import find as find_proxy
from rtbench.subjects.registry import find
from rtbench.trial import _impairment, _process_group

SECOND = 10**9
MakeGroup = Callable[..., Any]
PLACE = Place((0,), (2, 3), (1,))


# Who is there


def test_a_crew_is_a_publisher_its_loads_and_a_server(make_group: MakeGroup, tmp_path: Path) -> None:
    group = make_group(2, PLACE)
    workload, scenario, sockets, cores, log, ahead_s = group.publisher.arguments
    assert (workload, scenario) == (group.workload, group.run.spec.scenario)
    assert (sockets, cores, log.name, ahead_s) == (tmp_path, (1,), "publisher.log", 7.0)
    assert group.publisher.told == ["ready"]
    subject, scenario, feed, folder, cores, log = group.server.arguments
    assert (subject, scenario) == (group.run.spec.subject, group.run.spec.scenario)
    assert (feed, folder, cores, log.name) == (group.publisher.socket_path, tmp_path, (0,), "server.log")
    assert group.server.named == {"host": "", "port": 0, "network": ""}
    assert [load.arguments for load in group.loads] == [("",), ("",)]
    assert (group.network, group.starver) == (None, None)


def test_both_ends_are_in_their_namespaces(make_group: MakeGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    class Network:
        server, load = "/proc/1/ns/net", "/proc/2/ns/net"
        router = None

        def __init__(self, log: Path, routing: object) -> None:
            assert (log.name, routing) == ("network.log", None)

        def host(self, loopback: str) -> str:
            return {"127.0.0.1": "10.77.0.1", "::1": "fd77::1"}[loopback]

        def __enter__(self) -> Network:
            return self

        def __exit__(self, *_: object) -> None:
            """Gone."""

    monkeypatch.setattr(_impairment, "Network", Network)
    group = make_group(netns=True, server={"host": "::1"})
    assert group.server.named == {"port": 0, "host": "fd77::1", "network": "/proc/1/ns/net"}
    assert group.loads[0].arguments == ("/proc/2/ns/net",)


def test_there_is_a_starver_on_the_loads_cores_when_one_is_wanted(make_group: MakeGroup) -> None:
    starve = [{"what": "load", "at_s": 0, "for_s": 0.1}]
    group = make_group(place=PLACE, faults={"starve": starve})
    assert group.starver.arguments[0] == (2, 3)


# Opening


def test_our_server_is_played_into_before_it_is_ready(make_group: MakeGroup) -> None:
    group = make_group()
    group.open(["fanout"])
    assert group.publisher.told == ["ready", ("play", "fanout")]
    assert group.server.told == ["ready"]
    assert (group.proxy, group.url) == (None, group.server.url)


def test_a_program_is_posted_to_once_it_answers(make_group: MakeGroup) -> None:
    group = make_group(subject="sse-nchan")
    group.open(["fanout"])
    post = find("sse-nchan").publish
    assert group.publisher.told == ["ready", ("post", group.server.url, post), ("play", "fanout")]


def test_the_publisher_does_not_play_into_a_server_with_its_own_timetable(make_group: MakeGroup) -> None:
    group = make_group()
    spec = group.run.spec
    group.run = replace(group.run, spec=replace(spec, subject=replace(spec.subject, publish=NOBODY)))
    group.open(["fanout"])
    assert group.publisher.told == ["ready"]


def test_subscribers_of_a_server_behind_a_proxy_go_to_the_proxy(make_group: MakeGroup, tmp_path: Path) -> None:
    group = make_group(subject="sse-aiohttp+nginx-tuned", place=PLACE, subscribers=9)
    group.open(["fanout"])
    proxy, upstream, subscribers, folder, cores, log = group.proxy.arguments
    assert (proxy, upstream, subscribers) == (find_proxy("nginx-tuned"), group.server.url, 9)
    assert (folder, cores, log.name) == (tmp_path, (0,), "proxy.log")  # the server's core, which it is charged with
    assert group.url == "http://127.0.0.1:8090"
    for load in group.loads:
        load.subscribed = 9
    group.ramp(9)
    assert group.loads[0].told[0].host == group.url


def test_a_proxy_that_ends_unasked_ends_the_waiting(make_group: MakeGroup, clock: Any) -> None:
    group = make_group(subject="sse-aiohttp+nginx-tuned")
    group.open(["fanout"])
    group.proxy.code = 1
    with pytest.raises(SubjectError, match="the proxy ended early"):
        group.until(clock.now + SECOND)


# Time


def note(done: list[tuple[str, int]], clock: Any, name: str) -> None:
    done.append((name, clock.now))


def test_until_is_precise_and_ticks_four_times_a_second(make_group: MakeGroup, clock: Any) -> None:
    group, ticks = make_group(), [clock.now]
    group.tick = lambda: ticks.append(clock.now)
    end = clock.now + 3 * SECOND + 123
    group.until(end)
    assert clock.now == end
    assert max(b - a for a, b in zip(ticks, [*ticks[1:], end], strict=True)) <= SECOND // 4


def test_until_an_instant_that_has_passed_does_nothing(make_group: MakeGroup, clock: Any) -> None:
    now = clock.now
    make_group().until(now)
    assert clock.now == now


def test_what_is_planned_is_done_at_its_instant_in_order(make_group: MakeGroup, clock: Any) -> None:
    group = make_group()
    begin, done = clock.now, list[tuple[str, int]]()
    for name, after in (("late", 2 * SECOND), ("first", 7_000_000), ("second", 7_000_000), ("soon", 1)):
        group.at(begin + after, partial(note, done, clock, name))
    group.until(begin + SECOND)
    assert done == [("soon", begin + 1), ("first", begin + 7_000_000), ("second", begin + 7_000_000)]
    group.until(begin + 2 * SECOND)
    assert done[3:] == [("late", begin + 2 * SECOND)]


def test_what_was_done_may_plan_more(make_group: MakeGroup, clock: Any) -> None:
    group = make_group()
    begin, done = clock.now, list[tuple[str, int]]()

    def stop() -> None:
        note(done, clock, "stop")
        group.at(clock.now + SECOND // 2, partial(note, done, clock, "go on"))

    group.at(begin + SECOND // 4, stop)
    group.until(begin + SECOND)
    assert done == [("stop", begin + SECOND // 4), ("go on", begin + 3 * SECOND // 4)]


def test_what_is_planned_is_done_on_time_while_something_else_is_waited_for(make_group: MakeGroup, clock: Any) -> None:
    group = make_group()
    begin, done = clock.now, list[tuple[str, int]]()
    load = group.loads[0]
    load.says = lambda: setattr(load, "closed_window", True)
    clock.arrivals.append((begin + SECOND, load))
    group.at(begin + 100_000_000, partial(note, done, clock, "in time"))
    group.at(begin + 110_000_000, partial(note, done, clock, "and again"))
    group.at(begin + 2 * SECOND, partial(note, done, clock, "not yet"))
    group.wait(lambda: load.closed_window, 10, "the window's end")
    assert done == [("in time", begin + 100_000_000), ("and again", begin + 110_000_000)]
    assert clock.now == begin + SECOND


# Waiting


def test_waiting_for_what_is_so_already_takes_no_time(make_group: MakeGroup, clock: Any) -> None:
    now = clock.now
    make_group().wait(lambda: True, 0, "nothing")
    assert clock.now == now


def test_waiting_has_a_limit_and_a_reason(make_group: MakeGroup, clock: Any) -> None:
    now = clock.now
    with pytest.raises(SubjectError, match="subscribing did not happen within 3 s: see the logs"):
        make_group().wait(lambda: False, 3, "subscribing")
    assert clock.now == now + 3 * SECOND


def test_waiting_hears_what_the_loads_say(make_group: MakeGroup, clock: Any) -> None:
    group = make_group(2)
    heard: list[int] = []
    for index, load in enumerate(group.loads):
        load.says = partial(heard.append, index)
        clock.arrivals.append((clock.now + SECOND - index, load))
    group.wait(lambda: len(heard) == 2, 5, "anything")
    assert heard == [1, 0]


def test_trouble_of_a_load_process_ends_the_waiting(make_group: MakeGroup, clock: Any) -> None:
    group = make_group()

    def trouble() -> None:
        raise RtbenchError("cannot write /results (No space left on device)")

    group.loads[0].says = trouble
    clock.arrivals.append((clock.now, group.loads[0]))
    with pytest.raises(RtbenchError, match="No space left"):
        group.wait(lambda: False, 5, "anything")


@pytest.mark.parametrize("who", ["publisher", "server", "load process"])
@pytest.mark.parametrize("how", ["wait", "until"])
def test_whoever_ends_unasked_ends_the_waiting_with_its_name(
    make_group: MakeGroup, clock: Any, who: str, how: str
) -> None:
    group = make_group(2)
    process = next(one for one in (group.loads[1], group.server, group.publisher) if one.name == who)
    group.at(clock.now + SECOND, lambda: setattr(process, "code", -9))
    with pytest.raises(SubjectError, match=f"the {who} ended early"):
        if how == "wait":
            group.wait(lambda: False, 5, "anything")
        else:
            group.until(clock.now + 5 * SECOND)


# Subscribing


def test_a_ramp_is_divided_among_the_loads(make_group: MakeGroup, clock: Any) -> None:
    group = make_group(2, subscribers=9, ramp_hz=300)
    for load, subscribed in zip(group.loads, (4, 3), strict=True):
        load.subscribed = subscribed
    group.ramp(7)
    start_ns = clock.now + 50_000_000
    assert [load.told for load in group.loads] == [[Ramp(group.server.url, start_ns, 150.0, n)] for n in (4, 3)]


def test_a_ramp_waits_until_all_are_subscribed(make_group: MakeGroup, clock: Any) -> None:
    group = make_group(2, subscribers=10)
    for number, load in enumerate(group.loads, start=1):
        load.says = partial(setattr, load, "subscribed", 5)
        clock.arrivals.append((clock.now + number * SECOND, load))
    begin = clock.now
    group.ramp(10)
    assert clock.now == begin + 2 * SECOND


def test_too_few_subscribed_says_how_many_and_why(make_group: MakeGroup, clock: Any) -> None:
    group = make_group(2, subscribers=1000, ramp_hz=1000)
    group.loads[0].subscribed, group.loads[0].failed = 3, {"refused": 2}
    group.loads[1].subscribed, group.loads[1].failed = 1, {"refused": 1, "status 503": 1}
    begin = clock.now
    with pytest.raises(SubjectError) as caught:
        group.ramp(1000)
    assert str(caught.value) == (
        "overload: only 4 of 1,000 subscribed at /sse/fanout within 31 s (3 refused, 1 status 503): "
        "--set subscribers=4, or connect more slowly: --set ramp_hz=1"
    )
    assert clock.now == begin + 31 * SECOND


def test_too_few_subscribed_without_a_failure(make_group: MakeGroup) -> None:
    group = make_group(subscribers=5000, ramp_hz=1000)
    group.loads[0].subscribed = 3185
    with pytest.raises(SubjectError) as caught:
        group.ramp(5000)
    assert str(caught.value) == (
        "overload: only 3,185 of 5,000 subscribed at /sse/fanout within 35 s (the others are still waiting): "
        "--set subscribers=3000, or connect more slowly: --set ramp_hz=91"
    )


def test_zero_subscribed_is_not_overload(make_group: MakeGroup) -> None:
    text = "only 0 of 5 subscribed at /sse/fanout within 30 s (the others are still waiting): check the subject's path"
    with pytest.raises(SubjectError, match=f"^{re.escape(text)}$"):
        make_group().ramp(5)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        (PostCounts(), ""),
        (PostCounts(posted=1, refused=9, refused_target="/x", refused_status=404), ""),
        (
            PostCounts(refused=9, refused_target="/x", refused_status=404),
            "POST /x: status 404: check the subject's post_path",
        ),
    ],
)
def test_a_server_that_takes_nothing_fails_the_trial(
    make_group: MakeGroup, monkeypatch: pytest.MonkeyPatch, counts: PostCounts, says: str
) -> None:
    group = make_group()
    monkeypatch.setattr(group.publisher, "posted", lambda: counts, raising=False)
    group.published()  # not published into by POST: nothing is asked
    posted = replace(group.run.spec, subject=replace(group.run.spec.subject, publish=Post("/x")))
    monkeypatch.setattr(group, "run", replace(group.run, spec=posted))
    if says:
        with pytest.raises(SubjectError, match=re.escape(f"publishing is refused: {says}")):
            group.published()
    else:
        group.published()


def test_a_process_that_dies_while_they_subscribe_is_the_reason(make_group: MakeGroup, clock: Any) -> None:
    group = make_group(2)
    group.at(clock.now + SECOND, lambda: setattr(group.loads[1], "code", -9))
    with pytest.raises(SubjectError, match="the load process ended early"):
        group.ramp(5)


def test_subscribers_that_gave_up_are_not_waited_for(make_group: MakeGroup, clock: Any) -> None:
    group = make_group(2, subscribers=10)
    group.loads[0].subscribed, group.loads[1].subscribed = 5, 2
    group.loads[1].given_up, group.loads[1].failed = 3, {"error (status 404)": 3}
    begin = clock.now
    with pytest.raises(SubjectError) as caught:
        group.ramp(10)
    assert str(caught.value) == (
        "only 7 of 10 subscribed at /sse/fanout, and the others do not reconnect (3 error (status 404))"
    )
    assert clock.now == begin


def test_the_trial_does_not_wait_for_a_server_that_refuses_all_subscribers(make_group: MakeGroup, clock: Any) -> None:
    group = make_group(subscribers=10)
    load = group.loads[0]
    load.failed = {"refused": _process_group.TRIES * 10 - 1}
    load.says = lambda: load.failed.update(refused=_process_group.TRIES * 10)
    clock.arrivals.append((clock.now + 2 * SECOND, load))
    begin = clock.now
    with pytest.raises(
        SubjectError, match=r"only 0 of 10 subscribed at /sse/fanout, and the others do not reconnect \(30 refused\)"
    ):
        group.ramp(10)
    assert clock.now == begin + 2 * SECOND


def test_a_client_that_failed_may_still_subscribe_when_others_succeeded(make_group: MakeGroup, clock: Any) -> None:
    group = make_group(subscribers=10)
    load = group.loads[0]
    load.subscribed, load.failed = 1, {"refused": 100}
    load.says = partial(setattr, load, "subscribed", 10)
    clock.arrivals.append((clock.now + SECOND, load))
    group.ramp(10)


# The server's second life


def test_a_server_that_was_killed_on_purpose_is_not_missed_until_it_is_back(make_group: MakeGroup, clock: Any) -> None:
    group = make_group()
    first = group.server
    first.url = "http://[::1]:8123"
    group.kill_server()
    first.code = -9
    assert [told for told in first.told if told != "ready"] == [("signal", 9), "stop"]
    group.until(clock.now + SECOND)  # nobody minds
    group.restart_server()
    second = group.server
    assert second is not first
    assert second.named == {"host": "", "port": 8123, "network": ""}
    assert second.told == ["ready"]
    assert group.server_cpu_ns == first.cpu  # what is counted goes on from there
    second.code = -11
    with pytest.raises(SubjectError, match="the server ended early"):
        group.until(clock.now + SECOND)


def test_a_server_whose_cpu_could_not_be_read_takes_nothing_away(make_group: MakeGroup) -> None:
    group = make_group()
    group.server.cpu = -1
    group.kill_server()
    assert group.server_cpu_ns == 0
