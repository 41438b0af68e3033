"""How polls are answered, by schedule: what is new, what is known, what the stream says, and nothing in between."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rtbench.messages.server import Limits
from rtbench.servers.kit import poll_answer
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.poll_answer import news, short, wait

LIMITS = Limits(ring_messages=10, ring_bytes=2**20, buffer_bytes=4096, heartbeat_s=15.0)


@pytest.fixture
def hub(greeting_of) -> Hub:
    made = Hub(poll_answer.Enveloped(), LIMITS)
    made.hello(greeting_of("resilient"))
    return made


def answer(hub: Hub, at: int | None, known: str | None = None, advise: bool = True) -> tuple[int, Any]:
    """Status and body; status 0 when there is nothing to say."""
    found = news(hub, hub.channels[0], at, known, advise)
    return (0, None) if found is None else (found.status, json.loads(found.body) if found.body else None)


def body(*ids: int, following: int, **more: Any) -> dict[str, Any]:
    messages = [{"id": number, "data": "x" * 10} for number in ids]
    return {"messages": messages, "next": following, "gap": None, "end": False, **more}


def test_what_is_new_and_what_is_known(hub, ticks_of):
    hub.publish(ticks_of(1, 2))
    assert answer(hub, None) == (200, body(following=2))
    assert answer(hub, 0) == (200, body(1, 2, following=2))
    assert answer(hub, 2) == (0, None)
    assert answer(hub, 2, '"2"') == (304, None)
    assert answer(hub, 1, '"1"') == (200, body(2, following=2))
    nothing = short(hub, hub.channels[0], {"since": "2"}, {})
    assert (nothing.status, json.loads(nothing.body), nothing.headers["ETag"]) == (200, body(following=2), '"2"')


ADVICE = {"after_ms": 5000, "count": 2}


def test_advice_stands_in_every_answer_until_the_next_message(hub, ticks_of, notice_of):
    hub.publish(ticks_of(1) + notice_of("retry", **ADVICE))
    with_it = body(following=1, retry=ADVICE)
    assert answer(hub, None) == (200, with_it)
    assert answer(hub, 1) == (200, with_it)
    assert answer(hub, 1, '"1"') == (200, with_it)  # a 304 would say nothing
    assert answer(hub, 0) == (200, body(1, following=1, retry=ADVICE))
    hub.publish(ticks_of(2))
    assert answer(hub, 1) == (200, body(2, following=2))


def test_advice_alone_does_not_answer_a_long_poll_at_once(hub, ticks_of, notice_of):
    """Who asks again at once would be answered at once, as often as it can ask."""
    hub.publish(ticks_of(1) + notice_of("retry", **ADVICE))
    assert answer(hub, 1, advise=False) == (0, None)
    assert answer(hub, None, advise=False) == (200, body(following=1, retry=ADVICE))


def test_what_failed_is_had_whole_and_then_503(hub, ticks_of, notice_of):
    hub.publish(ticks_of(1, 2) + notice_of("retry", **ADVICE) + notice_of("failure", error="no more", last=2))
    assert answer(hub, None) == (200, body(1, 2, following=2))
    assert answer(hub, 1) == (200, body(2, following=2))
    assert answer(hub, 2) == answer(hub, 2, '"2"') == (503, {"error": "no more", "last": 2})
    gap = {"from": 3, "to": 9, "reason": "this cursor is from the future"}
    assert answer(hub, 9) == (200, body(following=2) | {"gap": gap})
    found = news(hub, hub.channels[0], 2)
    assert found is not None
    assert found.headers["Retry-After"] == "5"


def test_a_run_of_the_publisher_that_began_again_is_a_gap_and_nothing_of_it_is_missed(hub, ticks_of, greeting_of):
    hub.publish(ticks_of(*range(1, 8)))
    hub.hello(greeting_of("resilient", epoch="e2"))
    gap = {"from": 1, "to": 7, "reason": "the publisher began again"}
    assert answer(hub, 7) == (200, body(following=0) | {"gap": gap})
    assert answer(hub, 0) == (0, None)
    hub.publish(ticks_of(1))
    assert answer(hub, 0) == (200, body(1, following=1))
    assert answer(hub, 7) == (200, body(1, following=1) | {"gap": gap})


@pytest.mark.parametrize("published_at", range(6))
def test_nothing_falls_between_two_long_polls(hub, ticks_of, published_at):
    """A message is published at each of the points at which a poll's handler, or its client, waits."""

    async def check() -> None:
        hub.publish(ticks_of(1))
        channel, found, step = hub.channels[0], [], 0

        async def client() -> None:
            at = 0
            while not found or found[-1] < 3:
                value = json.loads((await wait(hub, channel, {"since": str(at)}, {}, 60)).body)
                found.extend(message["id"] for message in value["messages"])
                at = value["next"]
                await asyncio.sleep(0)  # its answer travels

        asking = asyncio.create_task(client())
        async with asyncio.timeout(5):
            while not asking.done():
                await asyncio.sleep(0)
                step += 1
                if step == published_at + 1:
                    hub.publish(ticks_of(2))
                elif step == 2 * published_at + 3:
                    hub.publish(ticks_of(3))
        assert found == [1, 2, 3]

    asyncio.run(check())
