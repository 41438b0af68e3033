"""What a campaign was, in a line, and how it is cited. Called by the report.

Invariant: from campaign.json alone, so that the same folder gives the same words.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtbench.analysis.campaigns import conditions


@dataclass(frozen=True, slots=True)
class Citation:
    """`text` for a sentence or a footnote, `bibtex` for a bibliography."""

    text: str
    bibtex: str


def facts(document: Mapping[str, Any]) -> list[str]:
    """What was asked of every subject and where: subscribers, workload, blocks, window, day, machine; of what a sweep
    set, the smallest and the largest."""
    scenario = document.get("scenario") or {}
    workload, environment = scenario.get("workload") or {}, document.get("environment") or {}
    stream = scenario.get("stream") or "?"
    words = stream if isinstance(stream, str) else ", ".join(stream)
    if words == "fanout" and workload.get("rate_hz"):
        rate = conditions.span(document, "workload.rate_hz", workload["rate_hz"], "g")
        words = f"{workload.get('channels') or 'broadcast'} of {rate} messages/s"
        size = workload.get("payload_bytes")
        words += f" × {conditions.span(document, 'workload.payload_bytes', size, ',')} B" if size else ""
    found = [
        f"{conditions.span(document, 'subscribers', scenario.get('subscribers') or 0, ',')} subscribers",
        words,
        f"{scenario.get('blocks') or 0} blocks",
        f"{scenario.get('window_s') or 0:g} s windows",
    ]
    poll = (scenario.get("poll") or {}).get("interval_s")
    found += [f"polls every {conditions.span(document, 'poll.interval_s', poll, 'g')} s"] if poll else []
    found += conditions.between(document, scenario)
    cores, cpu = environment.get("cores"), environment.get("cpu")
    if cores and isinstance(cpu, str):
        found.append(f"{cores} cores, {cpu}")
    day = _day(document)
    return [*found, day] if day else found


def cite(document: Mapping[str, Any]) -> Citation:
    """How to cite a campaign: what it is of, the version, the commit, the scenario's hash, the seed, the day."""
    name = str((document.get("scenario") or {}).get("name") or "campaign")
    campaign = str(document.get("campaign") or "campaign")
    version = document.get("rtbench", "?")
    commit = (document.get("environment") or {}).get("commit")
    at = f", commit {commit}" if commit else ""
    day = _day(document)
    note = f"scenario {document.get('scenario_hash', '?')}, seed {document.get('seed', '?')}, rtbench {version}{at}"
    text = f"rtbench {version}: campaign {campaign} (scenario “{name}”){f', measured on {day}' if day else ''}; {note}."
    fields = {
        "title": f"rtbench campaign {campaign}: {name}",
        "year": day[:4],
        "howpublished": f"rtbench {version}",
        "note": note,
    }
    # Nothing that ends a field, starts HTML, or ends the fence around all of it in Markdown.
    safe = {key: " ".join(re.sub(r"[{}\\`<>]", "", value).split()) for key, value in fields.items() if value}
    lines = [f"  {key} = {{{value}}}," for key, value in safe.items()]
    key = re.sub(r"[^\w-]+", "-", campaign)
    return Citation(text, "\n".join((f"@misc{{rtbench-{key},", *lines, "}")))


def _day(document: Mapping[str, Any]) -> str:
    started = document.get("started_unix")
    try:
        return time.strftime("%Y-%m-%d", time.gmtime(started)) if isinstance(started, (int, float)) else ""
    except (OverflowError, ValueError, OSError):  # a number outside the range of dates
        return ""
