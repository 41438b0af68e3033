"""What a reader can do next: one line with one command.

Invariant: the command can be run as it stands, apart from words in capitals. Called by the report, for the terminal,
report.md and report.html.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rtbench.analysis.evidence import Evidence, naming
from rtbench.analysis.report import capacity
from rtbench.analysis.report.command import without
from rtbench.analysis.report.findings import CPU

MOST_BLOCKS = 40
"""Blocks that the next step proposes at most: more are hardly run."""


def line(evidence: Evidence) -> str:
    """What a reader can do next: one line with one command."""
    document = evidence.campaign.document
    if searched := evidence.campaign.capacities:
        return capacity.next_step(searched[0], again(_words(document)), _folder(document))
    known = [s.name for s in evidence.subjects if s.usable]
    if not known and {r.trial.status for r in evidence.results} == {"invalid"}:
        return f"Next: `{again(_words(document))}` again, on a machine that does nothing else (`rtbench doctor`)."
    if not known:
        name = next((s.base for s in evidence.subjects), "SUBJECT")
        target = _file(document) if name in naming.described(document) else ""
        return f"Next: `rtbench verify {shlex.quote(target or name)}` lists what the subject does wrong."
    needed = [c.blocks_needed for c in evidence.comparisons if c.metric in (evidence.latency, CPU) and c.blocks_needed]
    blocks = int((document.get("scenario") or {}).get("blocks") or 0)
    worth = [count for count in needed if blocks < count <= MOST_BLOCKS]
    if worth:
        command = again(_words(document), max(worth))
        return f"Next: `{command}` tells apart what is not resolved here."
    if len({s.base for s in evidence.subjects}) < 2:
        scenario = shlex.quote(_file(document) or str((document.get("scenario") or {}).get("name") or "ci"))
        return f"Next: `rtbench run {scenario} --subjects {evidence.subjects[0].base},OTHER` compares it with another."
    return f"Next: `rtbench advise {shlex.quote(_folder(document))} --subscribers N --rate HZ` ranks for your numbers."


def _file(document: Mapping[str, Any]) -> str:
    """The scenario's file, where the campaign's command names one."""
    return next((word for word in _words(document) if word.endswith(".toml")), "")


def _words(document: Mapping[str, Any]) -> list[str]:
    """The campaign's command; empty where it cannot be read."""
    try:
        return shlex.split(str(document.get("command") or ""))
    except ValueError:
        return []


def again(words: Sequence[str], blocks: int = 0) -> str:
    """The campaign's command into a new folder, with more blocks where they are given."""
    kept: list[str] = []
    for word in without(words or ["rtbench", "run", "SCENARIO"], "--out"):
        other = bool(blocks) and word.startswith("blocks=")
        if other and kept and kept[-1] == "--set":
            kept.pop()
        if not other and word not in ("--quiet", "--resume"):
            kept.append(word)
    return shlex.join([*kept, "--set", f"blocks={blocks}"] if blocks else kept)


def _folder(document: Mapping[str, Any]) -> str:
    """Where the campaign was written: what its command names, else its place under results/."""
    named = re.search(r"--out[= ](\S+)", str(document.get("command") or ""))
    return named[1] if named else f"results/{document.get('campaign') or 'DIR'}"
