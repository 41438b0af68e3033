"""The rules for polls: cursor and ETag, 304 and 204, waiting and answering."""

from __future__ import annotations

import json
import time
from typing import Any

from rtbench.conformance import Skipped, case
from rtbench.conformance._client import Answer, fetch
from rtbench.conformance._target import Target

TRIES = 4


def _body(answer: Answer, asked: str, problems: list[str]) -> dict[str, Any] | None:
    """The members of a 200's body; appends what is wrong with it to `problems`."""
    if answer.status != 200:
        problems.append(f"{asked}: wanted status 200, got {answer.shown}")
        return None
    value = answer.json()
    if not isinstance(value, dict) or not {"messages", "next", "gap", "end"} <= value.keys():
        problems.append(f"{asked}: wanted messages, next, gap and end, got {answer.shown}")
        return None
    if not answer.headers.get("content-type", "").startswith("application/json"):
        problems.append(f"{asked}: the content type is {answer.headers.get('content-type', 'missing')}")
    if type(value["next"]) is not int or not isinstance(value["messages"], list) or type(value["end"]) is not bool:
        problems.append(f"{asked}: messages, next and end have the wrong types: {answer.shown}")
        return None
    last = value["messages"][-1]["id"] if value["messages"] else None
    if last is not None and value["next"] != last:
        problems.append(f"{asked}: next is {value['next']}, though the last message has id {last}")
    if (tag := answer.headers.get("etag")) != f'"{value["next"]}"':
        problems.append(f'{asked}: the ETag should be the cursor "{value["next"]}", it is {tag or "missing"}')
    return value


@case("cursor-and-etag", claims={"polls"}, transports=("short-poll", "long-poll"), quick=True)
def cursor_and_etag(target: Target) -> list[str]:
    """Without a cursor the answer is empty and has a cursor: `next` and the ETag are the last id included."""
    path = target.path(target.quiet or target.stream)
    problems: list[str] = []
    now = _body(fetch(target, path), f"GET {path}", problems)
    if now is not None and (now["messages"] or now["gap"] is not None):
        problems.append(f"GET {path}: wanted an empty answer without a cursor, got {json.dumps(now)[:100]}")
    if target.quiet or (now is not None and now["next"] > 0):
        held = _body(fetch(target, f"{path}?since=0"), f"GET {path}?since=0", problems)
        if held is not None and not held["messages"]:
            problems.append(f"GET {path}?since=0: no message, though some are held")
    return problems


@case("not-modified", claims={"polls"}, transports=("short-poll",), quick=True)
def not_modified(target: Target) -> list[str]:
    """`If-None-Match` gets 304 without a body if nothing is new, else 200; a request without it gets 200."""
    path = target.path(target.quiet or target.stream)
    problems: list[str] = []
    for attempt in range(TRIES):
        now = _body(fetch(target, path), f"GET {path}", problems)
        if now is None:
            return problems
        at = now["next"]
        asked = f"GET {path}?since={at} with that ETag"
        same = fetch(target, f"{path}?since={at}", headers={"If-None-Match": f'"{at}"'})
        plain = _body(fetch(target, f"{path}?since={at}"), f"GET {path}?since={at}", problems)
        if plain is None:
            return problems
        if plain["next"] != at:
            if attempt + 1 == TRIES and not problems:
                raise Skipped("there is always something new")
            continue  # a message came in between: nothing is proved
        if same.status != 304 or same.body:
            problems.append(f"{asked}: wanted 304 without a body, got {same.shown}")
        elif same.headers.get("etag") != f'"{at}"':
            problems.append(f"{asked}: the 304 has the ETag {same.headers.get('etag', 'missing')}")
        break
    if at > 0:
        older = fetch(target, f"{path}?since={at - 1}", headers={"If-None-Match": f'"{at - 1}"'})
        new = _body(older, f"GET {path}?since={at - 1} with that ETag", problems)
        if new is not None and not new["messages"]:
            problems.append(f"GET {path}?since={at - 1}: no message, though {at} is held")
    return problems


@case("long-poll-timeout", claims={"polls"}, transports=("long-poll",), quick=True)
def timeout(target: Target) -> list[str]:
    """A poll that times out with nothing new gets 204 without a body."""
    path = target.path(target.quiet or target.stream)
    problems: list[str] = []
    wait_s = 0.25  # longer than an answer at once takes on a busy machine
    for _ in range(TRIES):
        now = _body(fetch(target, path), f"GET {path}", problems)
        if now is None:
            return problems
        asked = f"{path}?since={now['next']}&timeout={wait_s}"
        began = time.monotonic()
        answer = fetch(target, asked)
        took = time.monotonic() - began
        if answer.status == 200 and (answer.json() or {}).get("messages"):
            continue
        if answer.status != 204 or answer.body:
            problems.append(f"GET {asked}: wanted 204 without a body, got {answer.shown}")
        elif not wait_s * 0.9 <= took <= wait_s + target.patience_s / 6:
            problems.append(f"GET {asked}: the 204 came after {took:.3f} s")
        return problems
    if not problems:
        raise Skipped("there is always something new")
    return problems


@case("long-poll-waits", claims={"polls"}, transports=("long-poll",), needs={"quiet"})
def waits(target: Target) -> list[str]:
    """A poll with nothing new waits and is answered when a message comes."""
    path = target.path(target.quiet)
    problems: list[str] = []
    now = _body(fetch(target, path), f"GET {path}", problems)
    if now is None:
        return problems
    asked = f"{path}?since={now['next']}&timeout={target.patience_s}"
    value = _body(fetch(target, asked, within_s=target.patience_s + 1), f"GET {asked}", problems)
    if value is not None and (not value["messages"] or value["messages"][0]["id"] != now["next"] + 1):
        problems.append(f"GET {asked}: wanted id {now['next'] + 1}, got {json.dumps(value)[:100]}")
    return problems
