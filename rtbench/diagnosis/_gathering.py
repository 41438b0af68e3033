"""Reads a stream with a few connections at once and returns the evidence.

Invariant: at most five connections are open at a time, and everything ends some `patience_s` after `Limits.seconds`,
whatever the server does. Called by `rtbench.diagnosis.diagnose`; the checks read what it returns.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote as percent

from rtbench.conformance._client import Subscriber, fetch, subscribing
from rtbench.conformance._target import Target
from rtbench.diagnosis._evidence import Evidence, Limits
from rtbench.diagnosis._listening import Listener
from rtbench.diagnosis._recording import ENDED, EVENT, Item, Recording
from rtbench.transports.catalogue import find

ACCEPT = {"sse": "text/event-stream", "short-poll": "application/json", "long-poll": "application/json"}
COMPRESSION = {"Accept-Encoding": "gzip, deflate"}
DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
FOREIGN = {"Origin": "https://another-site.example"}
_STEP_S = 0.05
_WANTED = 10
"""Events after which a stream has shown its pace."""
_RESUME_FROM = 3
"""The reconnection names the id of this event, counted from the last one."""
_POLLS = 40
_POLL_S, _LONG_POLL_S = 0.25, 2.0


def gather(target: Target, path: str, limits: Limits, *, contract: bool = False, quiet: bool = True) -> Evidence:
    """The evidence about one stream. `contract`: polls take `since` and `timeout` as rtbench's do.

    `quiet`: the stream has pauses that are long enough for a heartbeat, so wait for one.
    """
    if find(target.transport).polls:
        return _polls(target, path, limits, contract)
    return _pushed(target, path, limits, quiet)


def _pushed(target: Target, path: str, limits: Limits, quiet: bool) -> Evidence:
    sse = target.transport == "sse"
    headers = {"Accept": ACCEPT["sse"]} if sse else {}

    def listener(more: Mapping[str, str] | None = None, **settings: Any) -> Listener:
        return Listener(target, path, limits, headers={**headers, **(more or {})}, **settings).begin()

    plain = listener(until=lambda one: _shown(one, limits, quiet), farewell=not sse)
    offered = (
        listener(COMPRESSION, until=lambda one: one.status > 0 and "content-encoding" not in one.headers)
        if sse
        else None
    )
    second: Listener | None = None
    resumed: Listener | None = None
    resumed_from = ""
    while not plain.over:
        if second is None and (plain.items or time.monotonic() - plain.asked_at > limits.least_s / 4):
            second = listener()
        if sse and resumed is None and (named := _past_id(plain.items)):
            resumed_from = named
            resumed = listener(
                {"Last-Event-ID": named},
                most_s=max(limits.patience_s, _spacing(plain.items) * 2 + 1),
                until=lambda one: sum(item.kind == EVENT for item in one.items) > _RESUME_FROM,
            )
        time.sleep(_STEP_S)
    seen = plain.finish()
    others = [one.finish() if one is not None else None for one in (second, offered, resumed)]
    again = None
    last = next((item.id for item in reversed(seen.events) if item.id), "")
    if sse and seen.state == ENDED and seen.status == 200:
        named_last = {"Last-Event-ID": last} if last else {}
        again = listener(named_last, most_s=limits.patience_s, until=lambda one: bool(one.items) or one.over).wait()
    foreign = None
    if not sse:
        fields = subscribing(target, {**DEFLATE, **(target.subject.headers if target.subject is not None else {})})
        answer = fetch(target, path, headers=fields, within_s=limits.patience_s)
        others[1] = Recording(0.0, answer.status, headers=answer.headers)
        foreign = fetch(target, path, headers={**subscribing(target), **FOREIGN}, within_s=limits.patience_s).status
    return Evidence(
        target.transport, seen, limits, others[0], others[1], others[2], resumed_from, again, foreign=foreign
    )


def _shown(one: Listener, limits: Limits, quiet: bool) -> bool:
    """Whether a stream has shown its pace, and heartbeats if it has pauses."""
    if time.monotonic() - one.asked_at < limits.least_s:
        return False
    events = [item for item in one.items if item.kind == EVENT]
    beats = len(one.items) - len(events)
    if beats >= 2 and (events or beats >= 4):
        return True
    longest = max(one.recording.silences())
    return len(events) >= _WANTED and (not quiet or longest < limits.least_s / 4)


def _past_id(items: list[Item]) -> str:
    """The id of a recent event that others followed; "" before there is one."""
    ids = list(dict.fromkeys(item.id for item in items if item.kind == EVENT and item.id))
    return ids[-_RESUME_FROM] if len(ids) >= _RESUME_FROM else ""


def _spacing(items: list[Item]) -> float:
    events = [item.at for item in items if item.kind == EVENT]
    return (events[-1] - events[0]) / (len(events) - 1) if len(events) > 1 else 0.0


# Polls


def _polls(target: Target, path: str, limits: Limits, contract: bool) -> Evidence:
    """A few answers in a row; then one with their validator, and one that offers compression."""
    headers = {"Accept": ACCEPT["short-poll"]}
    most_s = min(limits.seconds, max(limits.least_s, 10.0))

    def ask(where: str, more: Mapping[str, str] | None = None) -> Recording:
        one = Listener(target, where, limits, headers={**headers, **(more or {})}, most_s=most_s, keep_bytes=2**20)
        return one.begin().wait()

    if target.subject is not None and target.subject.codec:
        return replace(_polls_of_codec(target, ask, path), limits=limits)
    answers: list[Recording] = []
    deadline, since = time.monotonic() + limits.least_s, None
    while len(answers) < (_POLLS if contract else 2):
        where = path
        if contract and since is not None:
            where = f"{path}{'&' if '?' in path else '?'}since={percent(str(since))}"
            where += f"&timeout={_LONG_POLL_S:g}" if target.transport == "long-poll" else ""
        answer, since = _read(ask(where), since)
        answers.append(answer)
        if answer.state != ENDED or time.monotonic() > deadline:
            break
        if target.transport == "short-poll":
            time.sleep(_POLL_S)  # a poll's own pace; it waits for nothing
    first = answers[0]
    validated = None
    if tag := first.headers.get("etag", ""):
        validated = ask(path, {"If-None-Match": tag}) if not contract else None
    offered = ask(path, COMPRESSION)
    return Evidence(target.transport, first, limits, offered=offered, polls=tuple(answers), validated=validated)


def _polls_of_codec(target: Target, ask: Callable[..., Recording], path: str) -> Evidence:
    """For a subject of ours whose cursor is in headers of its own: the client of `rtbench verify` polls."""
    first = ask(path)
    items: list[Item] = []
    deadline = time.monotonic() + Limits().least_s
    with Subscriber(target, timeout_s=_LONG_POLL_S) as subscriber:
        while len(items) < _WANTED and (found := subscriber.messages(1, deadline - time.monotonic())):
            now, (message,) = time.monotonic(), found
            items.append(
                Item(EVENT, now, now, 0.0, 0, str(message.id), "", message.payload[:256], len(message.payload))
            )
    polled = replace(first, items=tuple(items))
    return Evidence(target.transport, first, polls=(polled,), offered=ask(path, COMPRESSION))


def _read(answer: Recording, since: int | None) -> tuple[Recording, int | None]:
    """The answer with its messages as items, and the next cursor (interface.md, Wire)."""
    try:
        value = json.loads(answer.beginning)
        messages, after = value["messages"], value["next"]
        texts = [json.dumps(message["data"]).encode() for message in messages]
        items = tuple(
            Item(EVENT, answer.stopped_at, answer.head_at, 0.0, 0, str(message["id"]), "", text[:2048], len(text))
            for message, text in zip(messages, texts, strict=True)
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        return answer, since
    return replace(answer, items=items), after if type(after) is int else since
