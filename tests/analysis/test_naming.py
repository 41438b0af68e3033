"""Subjects in words, and where a report speaks of arms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import ComparedSubject, Evidence, gather, naming
from rtbench.analysis.figures import _style
from rtbench.analysis.report.report import build

NAMES = (
    "sse-aiohttp", "websocket-aiohttp", "websocket-websockets", "sse-node", "websocket-node", "sse-mine", "tcp-floor"
)  # fmt: skip
ARMS = {"aiohttp": "controlled", "floor": "floor"}


def subject(name: str) -> ComparedSubject:
    transport, _, stack = name.rpartition("-")
    return ComparedSubject(name, transport, stack, ARMS.get(stack, "idiomatic"), "encode-once", 3, 3, {}, name, {})


SSE, SOCKET, OTHER, SSE_NODE, SOCKET_NODE, MINE, FLOOR = map(subject, NAMES)


@pytest.mark.parametrize(
    ("subjects", "apart"),
    [
        ((SSE, SOCKET, OTHER), True),
        ((SSE, SOCKET), False),
        ((SSE_NODE, SOCKET_NODE), False),
        ((SSE,), False),
        ((MINE,), False),
        ((SSE, MINE), False),
        ((SSE, SOCKET, MINE), True),
        ((OTHER, MINE), False),
        ((SSE, FLOOR), True),
        ((FLOOR,), False),
    ],
)
def test_arms_are_named_where_they_tell_something_apart(subjects: Sequence[ComparedSubject], apart: bool) -> None:
    assert naming.apart(subjects) is apart


def test_a_subject_in_words() -> None:
    named = {s.name: naming.title(s) for s in (SSE, SOCKET_NODE, FLOOR)}
    assert named == {
        "sse-aiohttp": "SSE on aiohttp", "websocket-node": "WebSocket on Node", "tcp-floor": "plain TCP on floor"
    }  # fmt: skip
    swept = ComparedSubject(
        "a", "long-poll", "nginx", "idiomatic", "", 1, 1, {}, "long-poll-nginx+caddy@2", {"subscribers": 9}
    )
    assert naming.heading(swept) == "Long polling (label 2) behind caddy on nginx, subscribers = 9"
    assert _style.label(naming.heading(swept)) == "Long polling (label 2) behind caddy\non nginx, subscribers = 9"
    assert _style.label("SSE on aiohttp") == "SSE on aiohttp"


def described(folder: Path, arms: dict[str, str], own: Sequence[str]) -> Path:
    """The folder with other arms, and with subjects that its scenario describes."""
    for file in (folder / "campaign.json", *folder.glob("trials/*/manifest.json")):
        document = json.loads(file.read_text())
        for row in document.get("subjects", [document]):
            row["arm"] = arms.get(row["subject"], row["arm"])
        if "scenario" in document:
            document["scenario"]["subject"] = [{"name": name} for name in own]
        file.write_text(json.dumps(document))
    return folder


@pytest.mark.slow
def test_a_users_own_servers_are_never_a_usual_stack(tmp_path: Path, make: ModuleType, few_figures: None) -> None:
    names = ("sse-aiohttp", "websocket-aiohttp", "websocket-websockets")
    plan = make.Plan(subjects=names, blocks=2, subscribers=3, window_s=1.0)

    mixed = build([described(make.write(tmp_path / "a", plan), {}, ["websocket-websockets"])]).path.parent
    alone = dict.fromkeys(names, "idiomatic")
    only = build([described(make.write(tmp_path / "b", plan), alone, names)]).path.parent
    usual = build([described(make.write(tmp_path / "c", plan), {}, [])]).path.parent

    def texts(folder: Path) -> str:
        return "".join((folder / name).read_text() for name in ("report.html", "report.md", "figures/decision.svg"))

    assert "usual stack" not in texts(mixed) and "own server" in (mixed / "figures/decision.svg").read_text()
    assert "<b>own server</b>: described in the scenario" in (mixed / "report.html").read_text()
    assert "- *own server*: described in the scenario" in (mixed / "report.md").read_text()
    assert not [words for words in ("usual stack", "same stack", "own server") if f">{words}<" in texts(only)]
    assert '<tr class="arm">' not in texts(only) and "| arm |" not in texts(only)
    assert texts(usual).count("<b>usual stack</b>: each transport runs on") == 1
    assert "idiomatic" not in texts(usual) and "Hollow: usual stack" in texts(usual)


@pytest.mark.slow
def test_only_what_is_told_apart_is_hollow(evidence: Evidence, tmp_path: Path, make: ModuleType) -> None:
    assert {s.name: s.hollow for s in evidence.subjects} == {
        "sse-aiohttp": False, "websocket-aiohttp": False, "short-poll-aiohttp": False, "websocket-websockets": True
    }  # fmt: skip
    plan = make.Plan(subjects=("websocket-websockets",), blocks=1, subscribers=2, window_s=0.5)
    (alone,) = gather(load(make.write(tmp_path / "a", plan))).subjects
    assert alone.arm == "idiomatic" and not alone.hollow
    assert _style.fill(alone) == _style.ink_of(alone) and _style.line(alone) == "-"
