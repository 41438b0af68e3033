"""`rtbench check`: words, JSON and exit code. The findings themselves: tests/diagnosis."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtbench.cli import diagnosing
from rtbench.diagnosis import Finding
from rtbench.diagnosis._evidence import Limits
from rtbench.diagnosis.diagnose import Diagnosis

from .conftest import Call, refused

FAULT = Finding("buffered", "error", "events are held back", "proxy_buffering off", ("8 events at once",))
NOTE = Finding("headers", "info", "no \x1b[31m", "send it", ("Via: \x1b]0;x",))
URL = "http://127.0.0.1:1/events"


def diagnosis(*findings: Finding) -> Diagnosis:
    return Diagnosis(URL, "sse", findings, ("retry",), {"no-resume": "no ids"}, ("5 events",), 1.0)


@pytest.mark.parametrize(
    ("findings", "code", "verdict"),
    [((), 0, "nothing wrong"), ((NOTE,), 0, "nothing wrong"), ((FAULT, NOTE), 1, "1 finding")],
    ids=["clean", "info", "error"],
)
def test_the_exit_code_is_the_worst_finding(
    call: Call, monkeypatch: pytest.MonkeyPatch, findings: tuple[Finding, ...], code: int, verdict: str
) -> None:
    monkeypatch.setattr(diagnosing, "diagnose_one", lambda *_, **__: diagnosis(*findings))
    ran = call("check", URL)
    lines = ran.out.splitlines()
    assert (ran.code, ran.err) == (code, "")
    assert lines[0] == f"{URL} (sse): {verdict}, 5 events"
    assert "\x1b" not in ran.out
    assert lines[-3:-1] == ["  fine    retry", "  open    no-resume: no ids"]
    ran = call("check", URL, "--json")
    found = json.loads(ran.out)
    assert ran.code == code
    assert found["findings"] == [
        {"kind": f.kind, "severity": f.severity, "message": f.message, "remedy": f.remedy, "evidence": list(f.evidence)}
        for f in findings
    ]
    assert (found["target"], found["transport"]) == (URL, "sse")


def test_a_finding_has_its_evidence_and_its_remedy(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosing, "diagnose_one", lambda *_, **__: diagnosis(FAULT))
    assert call("check", URL).out.splitlines()[1:4] == [
        "  error   buffered: events are held back",
        "          seen: 8 events at once",
        "          fix:  proxy_buffering off",
    ]


def test_the_options_reach_the_check(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def diagnose(target: Any, limits: Limits, **more: Any) -> Diagnosis:
        asked.append((target if isinstance(target, str) else target.name, limits, more))
        return diagnosis()

    monkeypatch.setattr(diagnosing, "diagnose_one", diagnose)
    call("check", "sse-aiohttp", "--seconds", "5", "--silence", "20", "--ignore", "headers", "--i-own-this-host")
    limits = Limits(seconds=5.0, least_s=5.0, silence_s=20.0)
    assert asked == [("sse-aiohttp", limits, {"ignore": ("headers",), "owned": True, "tls_ca": ""})]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sse-somebodys"], "unknown subject 'sse-somebodys'"),
        (["tcp-floor"], "tcp-floor speaks tcp"),
        (["tcp://127.0.0.1:1"], "tcp://127.0.0.1:1: plain TCP has no rules to check"),
        (["http://127.0.0.1:1/events"], "cannot read http://127.0.0.1:1/events"),
        (["http://192.0.2.1/events"], "192.0.2.1 is not this machine"),
        (["http://[::1/"], "'http://[::1/' is not a server's URL"),
        ([URL, "--ignore", "header"], "unknown kind 'header': did you mean 'headers'?"),
    ],
)
def test_what_cannot_be_checked_is_one_line(call: Call, words: list[str], says: str) -> None:
    assert refused(call("check", *words)).startswith(says)


@pytest.mark.slow
def test_a_subject_of_ours_is_clean(call: Call) -> None:
    ran = call("check", "sse-aiohttp", "--seconds", "8", "--json")
    found = json.loads(ran.out)
    assert (ran.code, ran.err, found["findings"]) == (0, "", [])
    assert {"buffered", "no-heartbeat", "no-resume", "gap-in-ids"} <= set(found["fine"])
