"""Subjects in words, and what the arms are: `sse-aiohttp` is "SSE on aiohttp".

Invariant: a name that a user made up stays as it is, and no two subjects of a campaign have one name. An arm is
mentioned only where subjects of different stacks stand beside each other (R10). Called by the answer, the first table
and the templates.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtbench.analysis.evidence import ComparedSubject, Evidence
from rtbench.transports.catalogue import catalogue

ARMS = {
    "controlled": ("same stack", "one library serves all transports: a difference is one of transports"),
    "idiomatic": ("usual stack", "each transport runs on a library that people use for it: stacks differ, too"),
    "floor": ("floor", "plain TCP without a transport: what any could reach on this machine"),
}
"""An arm to its plain name and one line about it."""

_SHORT = {"sse": "SSE", "websocket": "WebSocket", "tcp": "plain TCP"}


_OLDER = {("websocket-uvicorn", "starlette"): "websocket-starlette"}
"""A subject whose name is older than the name of its stack, and the name that it would have today."""


def transport(name: str) -> str:
    """`SSE`, `long polling`; a transport that is not registered keeps its name."""
    if name in _SHORT:
        return _SHORT[name]
    known = catalogue().get(name)
    return known.title[:1].lower() + known.title[1:] if known else name


def stackless(subject: ComparedSubject) -> str:
    """`SSE`, `SSE (simple)`, `SSE behind nginx`, or a user's own name."""
    plain, _, label = subject.base.partition("@")
    base, *proxies = plain.split("+")
    base = _OLDER.get((base, subject.stack), base)
    known = f"{subject.transport}-{subject.stack}"
    if base != known and not base.startswith(f"{known}-"):
        return subject.base
    notes = [rest] if (rest := base.removeprefix(known).removeprefix("-")) else []
    notes += [f"label {label}"] if label else []
    behind = f" behind {' and '.join(proxies)}" if proxies else ""
    aside = f" ({', '.join(notes)})" if notes else ""
    return f"{transport(subject.transport)}{aside}{behind}"


def title(subject: ComparedSubject) -> str:
    """`SSE on aiohttp`, `SSE (simple) on aiohttp`, or a user's own name."""
    name = stackless(subject)
    return name if name == subject.base else f"{name} on {subject.stack}"


def capital(text: str) -> str:
    """A sentence's beginning. Not for a user's own name."""
    return text[:1].upper() + text[1:]


def own(subject: ComparedSubject) -> bool:
    """Whether a user made up its name."""
    return stackless(subject) == subject.base


def listed(subjects: Sequence[ComparedSubject], one_stack: bool = False) -> str:
    """`WebSocket on aiohttp and on websockets, long polling on aiohttp`; with `one_stack` without the stack."""
    groups: dict[str, list[str]] = {}
    for subject in subjects:
        stacks = groups.setdefault(stackless(subject), [])
        if not own(subject) and not one_stack:
            stacks.append(f"on {subject.stack}")
    return _and([f"{name} {_and(stacks)}".strip() for name, stacks in groups.items()])


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def arms(evidence: Evidence) -> list[tuple[str, str]]:
    """(plain name, one line) of each arm; empty where one stack or one subject leaves nothing to tell apart."""
    if len(evidence.arms) < 2 or len({s.stack for s in evidence.subjects}) < 2:
        return []
    return [ARMS.get(arm, (arm, "")) for arm, _ in evidence.arms]
