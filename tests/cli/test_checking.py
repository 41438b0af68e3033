"""`rtbench verify` and `rtbench doctor`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from rtbench.cli import checking
from rtbench.conformance.verify import CaseResult, Verification
from rtbench.machine.doctor import Condition

from .conftest import Call, refused


def verified(*cases: CaseResult) -> Verification:
    return Verification("sse-aiohttp", cases)


GOOD = verified(CaseResult("bytes", "passed", (), 0.1), CaseResult("end", "skipped", ("no finite stream",), 0.0))
BAD = verified(CaseResult("bytes", "failed", ("id 1: wrong", "id 2: wrong"), 0.1))


@pytest.mark.parametrize(
    ("found", "code", "says"),
    [
        (GOOD, 0, "sse-aiohttp: passes\n  passed  bytes\n  skipped 1 case (--verbose lists them with the reason)\n"),
        (BAD, 1, "sse-aiohttp: FAILS\n  failed  bytes\n          id 1: wrong\n          id 2: wrong\n"),
    ],
    ids=["passes", "fails"],
)
def test_verify_lists_every_problem(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: Verification, code: int, says: str
) -> None:
    asked: list[Any] = []
    kept: list[Path] = []

    def verify(target: Any, scenario: Any = None, logs: Path | None = None) -> Verification:
        asked.append(target if isinstance(target, str) else target.name)
        if logs is not None:
            kept.append(logs)
        return found

    monkeypatch.setattr(checking, "verify_one", verify)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ran = call("verify", "sse-aiohttp", "http://127.0.0.1:1")
    of_subject, of_url = says + f"  logs    {kept[0]}\n" * code, says
    assert ran == (code, of_subject + of_url, "")
    ran = call("verify", "sse-nchan", "--json")
    logs = {"logs": str(kept[1])} if code else {}
    assert (ran.code, json.loads(ran.out)) == (code, json.loads(json.dumps([found.as_dict() | logs])))
    assert asked == ["sse-aiohttp", "http://127.0.0.1:1", "sse-nchan"]
    assert [folder.is_dir() for folder in kept] == [bool(code)] * 2  # kept where it failed


def test_verify_shows_passes_first_and_each_skipped_case_when_asked(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipped = [CaseResult(name, "skipped", (f"why {name}",), 0.0) for name in ("aliases", "plan")]
    found = verified(skipped[0], BAD.cases[0], skipped[1], CaseResult("order", "passed", (), 0.1))
    monkeypatch.setattr(checking, "verify_one", lambda target: found)
    lines = ["sse-aiohttp: FAILS", "  passed  order", "  failed  bytes", *(" " * 10 + p for p in BAD.cases[0].problems)]
    short = "  skipped 2 cases (--verbose lists them with the reason)"
    assert call("verify", "http://127.0.0.1:1").out.splitlines() == [*lines, short]
    each = [line for case in skipped for line in (f"  skipped {case.name}", f"          why {case.name}")]
    assert call("verify", "http://127.0.0.1:1", "--verbose").out.splitlines() == [*lines, *each]


def test_one_failure_of_many_is_a_finding(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(checking, "verify_one", lambda target, *_, logs: BAD if target.name == "tcp-floor" else GOOD)
    assert call("verify", "sse-aiohttp", "tcp-floor", "sse-nchan").code == 1


@pytest.mark.slow
def test_verify_a_subject(call: Call) -> None:
    ran = call("verify", "sse-aiohttp", "--json")
    assert (ran.code, ran.err) == (0, "")
    (found,) = json.loads(ran.out)
    assert found["ok"] is True
    assert {case["status"] for case in found["cases"]} <= {"passed", "skipped"}


@pytest.mark.parametrize(
    ("target", "says"),
    [("sse-somebodys", "unknown subject 'sse-somebodys'"), ("http://192.0.2.1:80", "192.0.2.1 is not this machine")],
)
def test_verify_what_cannot_be(call: Call, target: str, says: str) -> None:
    assert refused(call("verify", target)).startswith(says)


def test_a_name_that_is_not_known_may_be_in_a_scenarios_file(call: Call) -> None:
    assert refused(call("verify", "sse-somebodys")).endswith("; for a [[subject]] give its file, FILE.toml")


# doctor


@pytest.mark.parametrize(
    ("statuses", "code"), [(["ok"], 0), (["ok", "warn"], 0), (["ok", "fail", "warn"], 2)], ids=["ok", "warn", "fail"]
)
def test_doctor(call: Call, monkeypatch: pytest.MonkeyPatch, statuses: list[str], code: int) -> None:
    findings = [Condition("cores", status, "2", "" if status == "ok" else "buy more") for status in statuses]
    monkeypatch.setattr(checking, "examine", lambda: findings)
    ran = call("doctor")
    assert (ran.code, ran.err) == (code, "")
    lines = {"ok": "ok    cores: 2", "warn": "warn  cores: 2; buy more", "fail": "fail  cores: 2; buy more"}
    assert ran.out.splitlines() == [lines[status] for status in statuses]
    ran = call("doctor", "--json")
    assert (ran.code, json.loads(ran.out)) == (code, [finding.as_dict() for finding in findings])
