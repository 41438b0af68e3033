"""The views of a report that its page has a button for: all subjects, push alone, one stack.

Invariant: a preset is there only where it leaves something out and has two subjects at least. Called by the page.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from rtbench.analysis.evidence import ComparedSubject, Evidence, naming
from rtbench.analysis.metrics import POLLING


@dataclass(frozen=True, slots=True)
class Preset:
    """`key` is its name in the URL; `names`: what is shown, with and without cells."""

    key: str
    title: str
    names: tuple[str, ...]


def presets(evidence: Evidence) -> list[Preset]:
    """All of them, "all" first; empty when there is nothing to choose."""
    shown = [_preset("all", "All", evidence.subjects)]
    push = tuple(s for s in evidence.subjects if s.transport not in POLLING and s.arm != "floor")
    stacks: dict[str, list[ComparedSubject]] = defaultdict(list)
    for subject in evidence.subjects:
        if not subject.proxy:
            stacks[subject.stack].append(subject)
    stack, alike = max(stacks.items(), key=lambda row: len({s.transport for s in row[1]}), default=("", []))
    one_stack = tuple(alike) if len({s.transport for s in alike}) > 1 else ()
    for key, title, subjects in (
        ("push", "Push only", push),
        ("stack", f"Transports on {naming.stack(stack)}", one_stack),
    ):
        bases = {s.base for s in subjects}
        if 2 <= len(bases) < len({s.base for s in evidence.subjects}):
            shown.append(_preset(key, title, subjects))
    return shown if len(shown) > 1 else []


def _preset(key: str, title: str, subjects: tuple[ComparedSubject, ...]) -> Preset:
    return Preset(key, title, tuple(dict.fromkeys(name for s in subjects for name in (s.name, s.base))))
