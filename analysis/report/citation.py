"""What a campaign was, in a line, and how it is cited. Called by the report.

Invariant: from campaign.json alone, so that the same folder gives the same words.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
        rate = _range(document, "workload.rate_hz", workload["rate_hz"], "g")
        words = f"{workload.get('channels') or 'broadcast'} of {rate} messages/s"
        size = workload.get("payload_bytes")
        words += f" × {_range(document, 'workload.payload_bytes', size, ',')} B" if size else ""
    found = [
        f"{_range(document, 'subscribers', scenario.get('subscribers') or 0, ',')} subscribers",
        words,
        f"{scenario.get('blocks') or 0} blocks",
        f"{scenario.get('window_s') or 0:g} s windows",
    ]
    poll = (scenario.get("poll") or {}).get("interval_s")
    found += [f"polls every {_range(document, 'poll.interval_s', poll, 'g')} s"] if poll else []
    found += _way(document, scenario)
    cores, cpu = environment.get("cores"), environment.get("cpu")
    if cores and isinstance(cpu, str):
        found.append(f"{cores} cores, {cpu}")
    day = _day(document)
    return [*found, day] if day else found


def _way(document: Mapping[str, Any], scenario: Mapping[str, Any]) -> list[str]:
    """What is between server and subscribers, beyond HTTP/1.1 in cleartext on loopback."""
    found = []
    versions = {version for version in _values(document, "tls", scenario.get("tls")) if version}
    if versions:
        every = len(versions) == len(_values(document, "tls", scenario.get("tls")))
        names = " and ".join(
            "TLS 1.3" if version is True else f"TLS {version}" for version in sorted(versions, key=str)
        )
        found.append(names if every else f"with and without {names}")
    streams = (scenario.get("http2") or {}).get("streams_per_connection") or 0
    if any(_values(document, "http2.streams_per_connection", streams)):
        each = _range(document, "http2.streams_per_connection", streams, ",")
        found.append(f"{each} subscribers a connection of HTTP/2")
    codings = [str(one) for one in _values(document, "compression", scenario.get("compression")) if one]
    found += [f"compression {', '.join(codings)}"] if codings and codings != ["none"] else []
    network = scenario.get("network") or {}
    profiles = [str(one) for one in _values(document, "network.profile", network.get("profile")) if one]
    found += [f"network {', '.join(profiles)}"] if profiles and profiles != ["none"] else []
    for key, form in _NETWORK.items():
        value = network.get(key)
        if any(one for one in _values(document, f"network.{key}", value)):
            found.append(form.format(_range(document, f"network.{key}", value or 0, "g")))
    return found


_NETWORK = {
    "delay_ms": "{} ms of delay each way", "jitter_ms": "{} ms of jitter", "loss": "loss of {}",
    "rate_mbit": "{} Mbit/s",
}  # fmt: skip


def _values(document: Mapping[str, Any], key: str, value: Any) -> list[Any]:
    """The values of a key: those of a sweep's cells, once each, else the scenario's."""
    cells = document.get("cells") or ()
    return list(dict.fromkeys(cell[key] for cell in cells if key in cell)) or [value]


def _range(document: Mapping[str, Any], key: str, value: Any, form: str) -> str:
    """`1,000`, or over the cells of a sweep `100 to 5,000`."""
    values = [one for one in _values(document, key, value) if isinstance(one, (int, float))] or [value]
    low, high = min(values), max(values)
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"


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
