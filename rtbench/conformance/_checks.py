"""Checks that several cases share: consecutive ids, payloads from the seed, the shape of errors.

Invariant: these functions do no I/O. Each takes received values and returns the problems as sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rtbench.conformance._client import Answer
from rtbench.conformance._target import Target
from rtbench.transports import Control, Message

MOST = 5
"""Number of problems of one kind that are listed."""
SMALL_BYTES = 1024


def few(problems: list[str]) -> list[str]:
    """The first MOST problems and the number of the others."""
    if len(problems) <= MOST:
        return problems
    return [*problems[:MOST], f"… and {len(problems) - MOST} more of this kind"]


def consecutive(messages: Sequence[Message], receiver: str = "") -> list[str]:
    """Problems with ids that should rise by one. `receiver`: begins each sentence."""
    where = receiver and f"{receiver}: "
    problems: list[str] = []
    for before, after in pairwise(messages):
        if after.id < 1 and before.id < 1:
            continue  # none has an id: nothing to follow
        if after.id == before.id:
            problems.append(f"{where}id {after.id} came twice")
        elif after.id < before.id:
            problems.append(f"{where}id {after.id} came after id {before.id}: out of order")
        elif after.id > before.id + 1:
            lost = str(before.id + 1) if after.id == before.id + 2 else f"{before.id + 1} to {after.id - 1}"
            problems.append(f"{where}id {after.id} came after id {before.id}: {lost} missing")
    return few(problems)


def right_bytes(target: Target, stream: str, messages: Sequence[Message]) -> list[str]:
    """Problems with payloads that should be what `rtbench ticks` prints."""
    numbers = [message.id for message in messages if message.id > 0]
    ticks = target.ticks(min(max(numbers, default=0), 1_000_000), stream)
    problems: list[str] = []
    for message in messages:
        if not 1 <= message.id <= len(ticks):
            problems.append(f"{stream}: unknown id {message.id}")
            continue
        wanted = ticks[message.id - 1].payload
        if message.payload != wanted:
            at = next(
                (i for i, (a, b) in enumerate(zip(wanted, message.payload, strict=False)) if a != b),
                min(len(wanted), len(message.payload)),
            )
            problems.append(
                f"{stream}: the payload of id {message.id} is wrong from byte {at} of {len(wanted)}: "
                f"wanted {_quote(wanted, at)}, got {_quote(message.payload, at)}"
            )
    return few(problems)


def _quote(data: bytes, at: int) -> str:
    return repr(data[max(0, at - 8) : at + 24].decode("utf-8", "replace"))


def small_error(asked: str, answer: Answer, *statuses: int) -> list[str]:
    """Problems with an answer that should be one of these statuses and `{"error": …}`."""
    wanted = " or ".join(map(str, statuses))
    if answer.status not in statuses:
        return [f"{asked}: wanted status {wanted}, got {answer.shown}"]
    problems = []
    value = answer.json()
    if not (isinstance(value, dict) and isinstance(value.get("error"), str) and value["error"]):
        problems.append(f'{asked}: status {answer.status} without {{"error": …}}: {answer.shown}')
    if not answer.headers.get("content-type", "").startswith("application/json"):
        problems.append(f"{asked}: the error's content type is {answer.headers.get('content-type', 'missing')!r}")
    if len(answer.body) > SMALL_BYTES:
        problems.append(f"{asked}: the error is {len(answer.body)} bytes long, {SMALL_BYTES} are allowed")
    return problems


def gap_fields(notice: Control) -> list[str]:
    """Problems with a gap notice's members."""
    first, last, reason = (notice.fields.get(name) for name in ("from", "to", "reason"))
    if type(first) is not int or type(last) is not int or first > last:
        return [f"a gap notice needs whole numbers from ≤ to, it has from={first!r}, to={last!r}"]
    if not (isinstance(reason, str) and reason):
        return [f"a gap notice needs a reason in words, it has {reason!r}"]
    return []
