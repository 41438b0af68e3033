"""Verification before measuring (R12): run the conformance cases on a subject, or on a server at a URL.

Invariant: a verification ends in bounded time and leaves no process behind, whatever the server does. A subject that
cannot be started has failed; that raises nothing. Called by `rtbench verify`, and by the campaign before a subject's
first trial.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rtbench.conformance import HTTP, NEEDS, Case, Skipped, catalogue
from rtbench.conformance._client import CLOSED, connect, fetch, subscribing
from rtbench.conformance._reach import not_published, not_subscribed
from rtbench.conformance._stage import BUSY, QUIET, Stage
from rtbench.conformance._target import PATIENCE_S, Target
from rtbench.errors import SubjectError, UserError
from rtbench.processes import certificates
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.scratch import scratch
from rtbench.processes.starting import publish_into, server_of
from rtbench.records.replacing import create, unwritable
from rtbench.scenario.model import Scenario
from rtbench.subjects import Post, Subject
from rtbench.subjects.url import subject_at
from rtbench.transports.catalogue import find as find_transport
from rtbench.transports.coding import NONE

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

START = "start"
"""The result of a subject that cannot be started."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one case. `problems`: all problems, or the reason for the skip."""

    name: str
    status: str
    problems: tuple[str, ...]
    seconds: float
    transport: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """All cases of one target: a subject's name or a URL."""

    target: str
    cases: tuple[CaseResult, ...]

    @property
    def ok(self) -> bool:
        """No case failed, and at least one passed."""
        return any(case.status == PASSED for case in self.cases) and not self.failed

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """The cases that failed."""
        return tuple(case for case in self.cases if case.status == FAILED)

    @property
    def problems(self) -> list[str]:
        """Every problem as one line that begins with the name of its case."""
        return [f"{case.name}: {problem}" for case in self.failed for problem in case.problems]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON and for campaign.json."""
        return {"target": self.target, "ok": self.ok, "cases": [asdict(case) for case in self.cases]}


Progress = Callable[[CaseResult], None]


def verify(
    target: Subject | str,
    scenario: Scenario | None = None,
    progress: Progress | None = None,
    stream: str = BUSY,
    patience_s: float = PATIENCE_S,
    logs: Path | None = None,
) -> Verification:
    """Run every case that applies to a subject, or to the server at a URL.

    A server at a URL without a path must keep the whole contract. A URL with a path is a subject without claims.
    `scenario`: for a subject, its event loop; for a URL without a path, the workload that the server plays, so that its
    bytes can be checked. `stream`: the stream that is requested from such a URL. `progress` is called with each result.
    `patience_s`: the time that a server has for one step. `logs`: a folder that keeps the logs of the processes.
    Raises UserError for a URL that is not on this machine or speaks no transport.
    """
    if isinstance(target, str):
        return _verify_url(target, scenario, progress, stream, patience_s)
    return _verify_codings(target, scenario or Scenario(), progress, list(catalogue().values()), patience_s, logs)


def quick_check(subject: Subject, logs: Path | None = None, codings: Collection[str] = ()) -> list[str]:
    """Run the quick cases, as a campaign does before a subject's first trial, and those of these codings.

    Returns their problems.

    A subject with problems is verified once more, with three times the patience of `rtbench verify` and a third of the
    rate: a busy machine must not fail a subject.
    """
    cases = [case for case in catalogue().values() if case.quick or case.coding in codings]
    found = _verify_codings(subject, Scenario(), None, cases, PATIENCE_S, logs)
    if found.failed and not any(case.name == START for case in found.failed):
        found = _verify_codings(subject, Scenario(), None, cases, 3 * PATIENCE_S, logs)
    return found.problems


# A subject


def _verify_codings(
    subject: Subject,
    scenario: Scenario,
    progress: Progress | None,
    cases: Iterable[Case],
    patience_s: float,
    logs: Path | None,
) -> Verification:
    """The cases on one server, and those of each coding that the subject declares on a server that uses it."""
    apart: dict[str, list[Case]] = {NONE: []}
    for case in cases:
        apart.setdefault(case.coding if case.coding in subject.codings else NONE, []).append(case)
    results: list[CaseResult] = []
    for coding, chosen in apart.items():
        compressing = replace(scenario, compression=coding)
        results += _verify_subject(subject, compressing, progress, chosen, patience_s, logs).cases
        if any(result.name == START for result in results):
            break
    return Verification(subject.name, tuple(results))


def _verify_subject(
    subject: Subject,
    scenario: Scenario,
    progress: Progress | None,
    cases: Iterable[Case],
    patience_s: float = PATIENCE_S,
    logs: Path | None = None,
) -> Verification:
    began = time.monotonic()
    results: list[CaseResult] = []
    with scratch() as folder:
        # Its server alone is verified, which behind a proxy speaks cleartext.
        subject = replace(subject, tls="") if subject.proxy else certificates.trusting(subject, folder)
        stage = Stage.of(scenario, folder, "conversation" in subject.capabilities, patience_s)
        logs = logs or folder
        try:
            create(logs)
        except OSError as error:
            raise unwritable(logs, error) from error
        log = logs / "server.log"
        try:
            with (
                PublisherProcess(stage.workload, stage.scenario, folder, (), logs / "publisher.log") as publisher,
                server_of(subject, stage.scenario, publisher.socket_path, folder, (), log) as server,
            ):
                publisher.ready()
                publish_into(publisher, subject, server)
                stage.begin(publisher)
                server.ready()
                stage.fail(publisher)
                coding = "" if scenario.compression == NONE else scenario.compression
                target = replace(stage.target(subject, publisher, server), patience_s=patience_s, coding=coding)
                posting = publisher if isinstance(subject.publish, Post) else None
                results += _reached(target, posting, progress) or _run(target, cases, progress)
        except SubjectError as error:
            results += _noted(START, str(error), began, subject.transport, progress)
    return Verification(subject.name, tuple(results))


# A URL


def _verify_url(
    url: str, scenario: Scenario | None, progress: Progress | None, stream: str, patience_s: float
) -> Verification:
    host, port = _loopback(url)
    workload = None
    if scenario is not None and stream in scenario.stream:
        workload = scenario.make_workload()
    base = Target(host, port, "sse", stream, workload=workload, patience_s=patience_s)
    try:
        connect(base).close()
    except OSError as error:
        raise UserError(
            f"cannot connect to {url} ({error.strerror or error})", "start the server, for example with `rtbench serve`"
        ) from error
    if urlsplit(url).path.strip("/"):
        subject = subject_at(url)
        target = Target(host, port, subject.transport, stream, patience_s=patience_s, subject=subject)
        return Verification(
            url, tuple(_reached(target, None, progress) or _run(target, catalogue().values(), progress))
        )
    uplink = [target for transport in HTTP if _speaks(target := replace(base, transport=transport))]
    if not uplink:
        paths = ", ".join(f"{find_transport(name).prefix}/{stream}" for name in HTTP)
        raise UserError(f"{url} serves none of {paths}", "give the URL of a stream: http://HOST:PORT/PATH")
    results: list[CaseResult] = []
    for target in uplink:
        if stream != QUIET and _speaks(replace(target, stream=QUIET)):
            target = replace(target, quiet=QUIET)
        results += _run(target, catalogue().values(), progress)
    return Verification(url, tuple(results))


def _loopback(url: str) -> tuple[str, int]:
    """Host and port. Raises UserError unless it is a cleartext URL of this machine: other hosts get no load."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError as error:
        raise UserError(f"{url!r} is not a URL ({error})", "give a URL such as http://127.0.0.1:8000") from error
    whole = bool(parts.path.strip("/"))
    schemes = ("http", "ws", "tcp") if whole else ("http",)
    if parts.scheme not in schemes or (parts.query and not whole) or parts.username or not host:
        raise UserError(f"{url!r} cannot be verified", "give http://HOST:PORT, or http:// or ws:// with a path")
    if host == "localhost":
        return "127.0.0.1", port
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise UserError(f"{host} is not this machine", "give a loopback address such as 127.0.0.1")
    return host, port


def _speaks(target: Target) -> bool:
    answer = fetch(target, target.path(), headers=subscribing(target))
    kind = answer.headers.get("content-type", "")
    if target.transport == "websocket":
        return answer.status == 101
    if target.transport == "sse":
        return answer.status == 200 and not kind.startswith("application/json")
    return answer.status not in (CLOSED, 404) and not kind.startswith("text/event-stream")


# Cases


def _reached(target: Target, posting: PublisherProcess | None, progress: Progress | None) -> list[CaseResult]:
    """A failure for each precondition that the server does not meet (`rtbench.conformance._reach`).

    `posting`: the publisher, where it publishes by HTTP to this server.
    """
    began = time.monotonic()
    found = {"subscribe": not_subscribed(target)}
    if posting is not None:
        found["publish"] = not_published(target, posting)
    return [
        result
        for name, problem in found.items()
        if problem
        for result in _noted(name, problem, began, target.transport, progress)
    ]


def _noted(name: str, problem: str, began: float, transport: str, progress: Progress | None) -> list[CaseResult]:
    """The failure of a step outside the catalogue of cases."""
    result = CaseResult(name, FAILED, (problem,), time.monotonic() - began, transport)
    if progress is not None:
        progress(result)
    return [result]


def _run(target: Target, cases: Iterable[Case], progress: Progress | None) -> list[CaseResult]:
    """The results in the order of the cases. All except the `last` run at the same time: they mostly wait."""
    chosen = [case for case in cases if target.transport in case.transports]
    results: dict[str, CaseResult] = {}

    def note(result: CaseResult) -> None:
        results[result.name] = result
        if progress is not None:
            progress(result)

    together = [case for case in chosen if not case.last]
    if together:
        with ThreadPoolExecutor(len(together), "case") as pool:
            for future in as_completed([pool.submit(_one, target, case) for case in together]):
                note(future.result())
    for case in chosen:
        if case.last:
            note(_one(target, case))
    return [results[case.name] for case in chosen]


def _one(target: Target, case: Case) -> CaseResult:
    began = time.monotonic()
    status, problems = PASSED, []
    lacking = [why for need, why in NEEDS.items() if need in case.needs and target.lacks(need)]
    lacking += [f"it does not claim {claim!r}" for claim in sorted(case.claims - target.claims)]
    if lacking:
        status, problems = SKIPPED, lacking
    else:
        try:
            problems = case.run(target)
            status = FAILED if problems else PASSED
        except Skipped as reason:
            status, problems = SKIPPED, [str(reason)]
        except OSError as error:  # a connection that is refused or reset is the server's doing
            status, problems = FAILED, [f"the connection failed: {error}"]
    return CaseResult(case.name, status, tuple(problems), time.monotonic() - began, target.transport, case.description)
