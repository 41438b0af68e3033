"""`rtbench check`: read a stream for a minute at most, and run every check on what came.

Invariant: a diagnosis ends in bounded time and memory and leaves no process behind, whatever the server does. It opens
few connections and sends nothing but requests. Another machine's URL needs its owner's word, as a campaign does.
Called by the command line.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from rtbench.campaign.preflight import allow
from rtbench.conformance._target import Target
from rtbench.diagnosis import ERROR, EVERY, SEVERITIES, WARNING, Finding, Undecided, catalogue
from rtbench.diagnosis._evidence import Evidence, Limits, seconds
from rtbench.diagnosis._gathering import ACCEPT, gather
from rtbench.diagnosis._listening import Listener, looks_like_events
from rtbench.diagnosis._recording import ENDED, Recording
from rtbench.diagnosis.arrival import lateness
from rtbench.errors import UserError
from rtbench.processes.proxy import ProxyProcess
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.scratch import scratch
from rtbench.processes.starting import Server, publish_into, server_of
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ServerTable, WorkloadTable
from rtbench.subjects import NOBODY, Subject
from rtbench.subjects.proxies import find as find_proxy
from rtbench.subjects.url import check as check_url
from rtbench.transports.catalogue import catalogue as transports

STREAM = "replay"
_PERIOD_S, _TALK_S, _EVERY_S = 6.0, 2.5, 0.25
"""A subject of ours is checked with events every _EVERY_S for _TALK_S, then silence until the period is over."""
_SMALL_BYTES, _LARGE_BYTES = 60, 20_000
_HEARTBEAT_S, _LAST_S = 1.0, 180.0
_CONNECTIONS = 8
_SNIFF_S, _SNIFF_BYTES = 3.0, 256


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a check came to. `findings`: worst first. `fine`: kinds without a finding; `undecided`: kind and reason.

    `notes`: other numbers.
    """

    target: str
    transport: str
    findings: tuple[Finding, ...]
    fine: tuple[str, ...]
    undecided: Mapping[str, str]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    ignored: tuple[str, ...] = field(default=())

    @property
    def sound(self) -> bool:
        """No finding is an error or a warning."""
        return not any(finding.severity in (ERROR, WARNING) for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON (interface.md)."""
        return asdict(self)


def diagnose(
    target: Subject | str, limits: Limits, *, ignore: tuple[str, ...] = (), owned: bool = False, tls_ca: str = ""
) -> Diagnosis:
    """Check a subject, or the stream at a URL. `owned`: another machine's URL is the caller's own.

    `tls_ca`: a PEM file to trust; "": the machine's certificates. Raises UserError for a URL that cannot be checked.
    """
    began = time.monotonic()
    if isinstance(target, str):
        seen, name = _at_url(target, limits, owned, tls_ca), target
    elif target.url:
        seen, name = _at_url(target.url, limits, owned, tls_ca or target.tls_ca, target), target.name
    else:
        seen, name = _of_subject(target, limits), target.name
    return judged(name, seen, time.monotonic() - began, ignore)


def judged(name: str, seen: Evidence, took_s: float, ignore: tuple[str, ...] = ()) -> Diagnosis:
    """Every check on the evidence. After an answer that is none, only that is a finding."""
    findings: list[Finding] = []
    fine: list[str] = []
    undecided: dict[str, str] = {}
    chosen = {kind: one for kind, one in catalogue().items() if seen.transport in one.transports and kind not in ignore}
    for kind, one in chosen.items():
        try:
            found = one.run(seen)
        except Undecided as reason:
            undecided[kind] = str(reason)
            continue
        findings += found
        if not found:
            fine.append(kind)
    if any(finding.kind == "no-answer" for finding in findings):
        findings = [finding for finding in findings if finding.kind in ("no-answer", "endless-answer", "buffered")]
        fine, undecided = [], {}
    findings.sort(key=lambda finding: (SEVERITIES.index(finding.severity), finding.kind))
    return Diagnosis(
        name, seen.transport, tuple(findings), tuple(fine), undecided, _notes(seen), round(took_s, 1), ignore
    )


def _notes(seen: Evidence) -> tuple[str, ...]:
    events = [item for poll in seen.polls for item in poll.items] or seen.plain.events
    beats = len(seen.plain.heartbeats)
    if seen.polls:
        notes = [f"{len(seen.polls)} answers with {len(events)} messages"]
    else:
        notes = [f"{len(events)} events and {beats} heartbeats in {seconds(seen.plain.seconds)}"]
    late = {size: found for size, found in lateness(seen, events).items() if found}
    notes += [f"{size} events arrive {seconds(median(found))} after they are due" for size, found in late.items()]
    if silent := max(seen.plain.silences(), default=0.0) if not seen.polls else 0.0:
        notes.append(f"longest silence {seconds(silent)}")
    return tuple(notes)


# A URL


def _at_url(url: str, limits: Limits, owned: bool, tls_ca: str = "", known: Subject | None = None) -> Evidence:
    """The evidence about the stream at `url`; `known`: the user's own description of it ([[subject]] with a URL)."""
    check_url(url)
    parts = urlsplit(url)
    if parts.scheme == "tcp":
        raise UserError(f"{url}: plain TCP has no rules to check", "give an http://, https://, ws:// or wss:// URL")
    tls = parts.scheme in ("https", "wss")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    subject = known or Subject(
        name=url,
        transport="websocket" if parts.scheme in ("ws", "wss") else "sse",
        stack=parts.netloc,
        url=url,
        publish=NOBODY,
        path=path.replace("{", "{{").replace("}", "}}"),
        capabilities=frozenset(),
    )
    subject = replace(subject, tls_ca=(tls_ca or _trusted()) if tls else "")
    allow(subject, Scenario(subscribers=_CONNECTIONS, ramp_hz=float(_CONNECTIONS), i_own_this_host=owned))
    target = Target(
        parts.hostname or "", parts.port or (443 if tls else 80), subject.transport, "", subject=subject,
        patience_s=limits.patience_s,
    )  # fmt: skip
    if known is not None:
        path = known.template.format(query=STREAM, stream=STREAM, channel=0, subscriber=0)
    elif subject.transport == "sse":
        first = Listener(
            target, path, limits, headers={"Accept": ", ".join(dict.fromkeys(ACCEPT.values()))}, most_s=_SNIFF_S,
            until=lambda one: one.status > 0 and bool(one.items or one.recording.body_bytes > _SNIFF_BYTES),
        ).begin().wait()  # fmt: skip
        if not first.status and not first.reads and first.why and first.stopped_at - first.asked_at < _SNIFF_S:
            raise UserError(f"cannot read {url} ({first.why})", "start the server, or check the URL")
        target = replace(target, transport=_spoken(first, path))
    return gather(target, path, limits)


def _trusted() -> str:
    """The file with the machine's certificates."""
    found = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    if not Path(found).is_file():
        raise UserError(f"{found} does not exist, and https needs it", "install ca-certificates")
    return found


def _spoken(first: Recording, path: str) -> str:
    """The transport of an HTTP answer: by its content type, its body, and the contract's paths."""
    kind = first.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/event-stream" or looks_like_events(first.beginning):
        return "sse"
    named = [one.name for one in transports().values() if one.polls and path.startswith(one.prefix + "/")]
    if named:
        return named[-1]
    return "short-poll" if first.status == 200 and (first.state == ENDED or first.body_bytes) else "sse"


# A subject


def _trace(path: Path) -> None:
    """Small and large events in turn, then silence for heartbeats, again and again."""
    lines, number, begins = [], 0, 0.0
    while begins < _LAST_S:
        for step in range(int(_TALK_S / _EVERY_S)):
            number += 1
            size = _LARGE_BYTES if number % 2 else _SMALL_BYTES
            text = json.dumps({"n": number, "pad": "x" * size})
            lines.append(json.dumps({"offset_ns": int((begins + step * _EVERY_S) * 1e9), "payload": text}))
        begins += _PERIOD_S
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _of_subject(subject: Subject, limits: Limits) -> Evidence:
    if subject.transport not in EVERY:
        raise UserError(f"{subject.name} speaks {subject.transport}", f"check a subject of {', '.join(EVERY)}")
    heartbeat_s = max(_HEARTBEAT_S, subject.least_heartbeat_s)
    with scratch() as folder, contextlib.ExitStack() as stack:
        trace = folder / "trace.jsonl"
        _trace(trace)
        scenario = Scenario(
            seed=1, stream=(STREAM,), subscribers=_CONNECTIONS,
            server=ServerTable(heartbeat_s=heartbeat_s), workload=WorkloadTable(trace=str(trace)),
        )  # fmt: skip
        publisher = stack.enter_context(
            PublisherProcess(scenario.make_workload(), scenario, folder, (), folder / "publisher.log")
        )
        server = server_of(subject, scenario, publisher.socket_path, folder, (), folder / "server.log")
        stack.callback(server.stop)
        publisher.ready()
        publish_into(publisher, subject, server)
        if subject.played:
            publisher.play(scenario.stream)
        server.ready()
        url = _before(subject, server, folder, stack)
        parts = urlsplit(url)
        workload = scenario.make_workload()
        target = Target(
            parts.hostname or "", parts.port or 0, subject.transport, STREAM, workload=workload, subject=subject,
            patience_s=limits.patience_s,
        )  # fmt: skip
        quiet = not subject.proxy
        path = target.path()
        contract = not subject.codec
        seen = gather(target, path, replace(limits, silence_s=2 * heartbeat_s + 1), contract=contract, quiet=quiet)
        if not subject.played:
            return seen
        started_s = publisher.started[STREAM] / 1e9
        ticks = target.ticks(int(_LAST_S / _EVERY_S), STREAM)
        return replace(
            seen,
            due={tick.seq: started_s + tick.due_ns / 1e9 for tick in ticks},
            due_bytes={tick.seq: len(tick.payload) for tick in ticks},
            proxy=subject.proxy,
        )


def _before(subject: Subject, server: Server, folder: Path, stack: contextlib.ExitStack) -> str:
    """The URL for subscribers: the proxy's, if the subject has one."""
    if not subject.proxy:
        return server.url
    proxy = ProxyProcess(find_proxy(subject.proxy), server.url, _CONNECTIONS, folder, (), folder / "proxy.log")
    stack.callback(proxy.stop)
    return proxy.ready()
