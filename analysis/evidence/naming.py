"""Subjects in words, and what the arms are: `sse-aiohttp` is "SSE on aiohttp".

Invariant: a name that a user made up stays as it is, and no two subjects of a campaign have one name. An arm is
mentioned only where one stack serves several transports and subjects of other stacks stand beside it (R10). Called by
the answer, the tables and the figures.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtbench.analysis.evidence.model import ComparedSubject, Evidence
from rtbench.transports.catalogue import catalogue

CONTROLLED, FLOOR, REMOTE = "controlled", "floor", "remote"

_ARMS = {
    CONTROLLED: ("same stack", "one library serves all transports: a difference is one of transports"),
    "idiomatic": ("usual stack", "each transport runs on a library that people use for it: stacks differ, too"),
    FLOOR: ("floor", "plain TCP without a transport: what any could reach on this machine"),
    REMOTE: ("remote", "servers at a URL, measured as they are"),
}
"""An arm to its plain name and one line about it."""

_OWN = ("own server", "described in the scenario: its stack differs, not only its transport")
"""The same for an arm that has nothing but a user's own servers."""


@dataclass(frozen=True, slots=True)
class Group:
    """Subjects of one arm, its plain name and one line about it; both are empty where arms say nothing."""

    name: str
    line: str
    subjects: tuple[ComparedSubject, ...]


_STACKS = {"go": "Go", "nchan": "Nchan", "node": "Node"}
"""A stack that its project writes otherwise than it is called here."""
_SHORT = {"sse": "SSE", "websocket": "WebSocket", "tcp": "plain TCP"}
_OLDER = {("websocket-uvicorn", "starlette"): "websocket-starlette"}
"""A subject whose name is older than the name of its stack, and the name that it would have today."""


def transport(name: str) -> str:
    """`SSE`, `long polling`; a transport that is not registered keeps its name."""
    if name in _SHORT:
        return _SHORT[name]
    known = catalogue().get(name)
    return known.title[:1].lower() + known.title[1:] if known else name


def stack(name: str) -> str:
    """A stack as its project writes it: `Nchan`, `Go`; most are written as they are called."""
    return _STACKS.get(name, name)


def today(base: str, stack: str) -> str:
    """A subject's name, or the one that it would have today: `TRANSPORT-STACK` for the plain one of its stack."""
    return _OLDER.get((base, stack), base)


def stackless(subject: ComparedSubject) -> str:
    """`SSE`, `SSE (simple)`, `SSE behind nginx`, or a user's own name."""
    plain, _, label = subject.base.partition("@")
    base, *proxies = plain.split("+")
    base = today(base, subject.stack)
    known = f"{subject.transport}-{FLOOR if subject.arm == FLOOR else subject.stack}"
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
    return name if name == subject.base else f"{name} on {stack(subject.stack)}"


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
            stacks.append(f"on {stack(subject.stack)}")
    return _and([f"{name} {_and(stacks)}".strip() for name, stacks in groups.items()])


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def heading(subject: ComparedSubject) -> str:
    """`SSE on aiohttp`, or of a sweep `SSE on aiohttp, subscribers = 100`: a row's or a curve's name."""
    name = whole(subject)
    cell = ", ".join(f"{key} = {value}" for key, value in subject.cell.items())
    return f"{name}, {cell}" if cell else name


def whole(subject: ComparedSubject) -> str:
    """`SSE on aiohttp`, in a sweep for all its cells."""
    return subject.base if own(subject) else capital(title(subject))


def headings(subjects: Sequence[ComparedSubject]) -> dict[str, str]:
    """Every name, with and without its cell, to the subject in words."""
    return {s.base: whole(s) for s in subjects} | {s.name: heading(s) for s in subjects}


def transports_of_stacks(subjects: Iterable[ComparedSubject]) -> dict[str, set[str]]:
    """Every stack to the transports that it serves here."""
    found: dict[str, set[str]] = {}
    for subject in subjects:
        found.setdefault(subject.stack, set()).add(subject.transport)
    return found


def apart(subjects: Sequence[ComparedSubject]) -> bool:
    """Whether arms say something: one stack serves several transports, and others run on other stacks; or there is a
    floor beside the rest. Where every stack serves several (a matrix), each is a controlled arm of its own."""
    arms = {s.arm for s in subjects}
    if FLOOR in arms:
        return len(arms) > 1
    if all(len(transports) > 1 for transports in transports_of_stacks(subjects).values()):
        return False
    mine = [s for s in subjects if s.arm == CONTROLLED]
    return len({s.transport for s in mine}) > 1 and not {s.stack for s in subjects} <= {s.stack for s in mine}


def groups(evidence: Evidence) -> tuple[Group, ...]:
    """The subjects by arm, the controlled one first; one group without a name where arms say nothing."""
    if not any(s.hollow for s in evidence.subjects):
        return (Group("", "", evidence.subjects),)
    theirs = described(evidence.campaign.document)
    return tuple(Group(*_plain(arm, subjects, theirs), tuple(subjects)) for arm, subjects in evidence.arms)


def _plain(arm: str, subjects: Sequence[ComparedSubject], theirs: Collection[str]) -> tuple[str, str]:
    """An arm's plain name and line. Of one transport nothing is "the same"."""
    if arm == CONTROLLED and len({s.transport for s in subjects}) < 2:
        return "", ""
    if arm == "idiomatic" and all(s.base.partition("@")[0].partition("+")[0] in theirs for s in subjects):
        return _OWN
    return _ARMS.get(arm, (arm, ""))


def described(document: Mapping[str, Any]) -> set[str]:
    """The names of the subjects that a campaign's scenario describes itself: a user's own."""
    rows = (document.get("scenario") or {}).get("subject") or ()
    return {str(row.get("name")) for row in rows if isinstance(row, Mapping)}
