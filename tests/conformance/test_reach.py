"""What stands before every case: a wrong path, post_path or transport is named once, with its URL."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtbench.conformance._client import Answer
from rtbench.conformance._reach import not_subscribed
from rtbench.conformance._target import Target
from rtbench.conformance.verify import Verification, quick_check, verify
from rtbench.errors import UserError
from rtbench.scenario.model import Scenario
from rtbench.subjects import Post, Program, Subject

SERVER = Path(__file__).parents[2] / "examples/ci/server.py"
MINE = Subject(
    "sse-mine",
    "sse",
    "mine",
    program=Program((sys.executable, str(SERVER), "{port}")),
    publish=Post("/publish/{stream}"),
    path="/events/{stream}",
    carries_id="payload",
    capabilities=frozenset(),
)


def failures(found: Verification) -> list[tuple[str, str]]:
    return [(case.name, problem) for case in found.failed for problem in case.problems]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "case", "says"),
    [
        ({"publish": Post("/publsih/{stream}")}, "publish", r"refused: POST {url}/publsih/fanout: status 404: is this"),
        ({"path": "/evnets/{stream}"}, "subscribe", r"GET {url}/evnets/fanout: wanted 200 text/event-stream, got 404"),
        ({"transport": "websocket"}, "subscribe", r"{url}/events/fanout: wanted 101, got 200 text/event-stream: is th"),
    ],
    ids=["post_path", "path", "transport"],
)
def test_what_keeps_every_message_away_is_one_failure(
    tmp_path: Path, changes: dict[str, Any], case: str, says: str
) -> None:
    found = verify(replace(MINE, **changes), logs=tmp_path / "logs")
    ((name, problem),) = failures(found)
    assert name == case
    before, _, after = says.partition("{url}")
    assert before in problem and after in problem and "http://127.0.0.1:" in problem
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"publisher.log", "server.log"}


@pytest.mark.slow
def test_a_server_that_does_not_start_is_named_by_its_own_words(tmp_path: Path) -> None:
    script = "import sys; sys.stderr.write('Error: listen EADDRINUSE\\nat x\\nat y\\nbye\\n'); sys.exit(1)"
    broken = replace(MINE, program=Program((sys.executable, "-c", script)))
    assert quick_check(broken, logs=tmp_path) == [
        "start: the server ended early (exit code 1): Error: listen EADDRINUSE | … | bye (server.log)"
    ]
    assert (tmp_path / "server.log").read_text().startswith("Error: listen EADDRINUSE")


@pytest.mark.slow
def test_a_refusal_without_subscribers_is_not_a_problem(tmp_path: Path) -> None:
    text = SERVER.read_text()
    picky = tmp_path / "server.py"
    refusing = "status=204 if subscribers[request.match_info['stream']] else 404"
    picky.write_text(text.replace("status=204", refusing))
    assert picky.read_text() != text
    found = verify(replace(MINE, program=Program((sys.executable, str(picky), "{port}"))), patience_s=12.0)
    assert not {"publish", "subscribe"} & {case.name for case in found.failed}


@pytest.mark.parametrize(
    ("transport", "status", "kind", "says"),
    [
        ("sse", 200, "text/event-stream; charset=utf-8", ""),
        ("sse", 200, "", ""),  # who reads it takes it; the case `headers` is for who claims them
        ("sse", 200, "application/json", "wanted 200 text/event-stream, got 200 application/json: is this polling?"),
        ("sse", 426, "", "wanted 200 text/event-stream, got 426: is this WebSocket?"),
        ("sse", 0, "", ""),
        ("websocket", 101, "", ""),
        ("websocket", 404, "text/html", "wanted 101, got 404 text/html: is this its path?"),
        ("short-poll", 304, "", ""),
        ("long-poll", 204, "", ""),
        ("short-poll", 200, "text/event-stream", "wanted 200, got 200 text/event-stream: is this SSE?"),
        ("tcp", 404, "", ""),
    ],
)
def test_an_answer_to_a_subscriber(
    monkeypatch: pytest.MonkeyPatch, transport: str, status: int, kind: str, says: str
) -> None:
    fields = {"content-type": kind} if kind else {}
    monkeypatch.setattr("rtbench.conformance._reach.fetch", lambda *_, **__: Answer(status, fields, b""))
    target = Target("::1", 8000, transport, "fanout", subject=replace(MINE, transport=transport, subprotocol="x"))
    assert not_subscribed(target) == (says and f"GET http://[::1]:8000/events/fanout: {says}")


# A URL with a path is a subject as it is


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["sse-aiohttp", "websocket-aiohttp"])
def test_a_url_with_a_path_is_held_to_what_its_transport_does(serve: Any, subject: str) -> None:
    transport = subject.partition("-")[0]
    url = serve(subject, Scenario())
    there = url + "/sse/fanout" if transport == "sse" else url.replace("http:", "ws:") + "/ws/fanout"
    found = verify(there, patience_s=15.0)
    assert (found.target, failures(found)) == (there, [])
    assert {case.transport for case in found.cases} == {transport}
    assert {"churn", "order", "from-now"} == {case.name for case in found.cases if case.status == "passed"}
    unclaimed = {problem for case in found.cases for problem in case.problems}
    assert "it does not claim 'resume'" in unclaimed


@pytest.mark.slow
def test_a_url_asked_by_the_wrong_transport_says_what_it_is(serve: Any) -> None:
    url = serve("sse-aiohttp", Scenario())
    ((name, problem),) = failures(verify(url.replace("http:", "ws:") + "/sse/fanout"))
    assert (name, problem) == (
        "subscribe",
        f"GET {url}/sse/fanout: wanted 101, got 200 text/event-stream: is this SSE?",
    )
    with pytest.raises(UserError, match=f"{url}/nothing answers with status 404: check the path"):
        verify(url + "/nothing")


ANEW = """
import socket, sys, threading, time
def talk(link, number):
    link.recv(65536)
    try:
        link.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n")
        for seq in range(1, 10**6):
            link.sendall((b"id: %d\\n" % seq if number else b"") + b"data: {}\\n\\n")
            time.sleep(0.005)
    except OSError:
        pass
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    link, _ = listener.accept()
    threading.Thread(target=talk, args=(link, int(sys.argv[3])), daemon=True).start()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["no ids", "ids that begin anew"])
def test_a_server_with_a_timetable_of_its_own_need_not_number_its_messages(number: int) -> None:
    command = (sys.executable, "-c", ANEW, "{host}", "{port}", str(number))
    own = Subject("sse-own", "sse", "own", program=Program(command), publish="nobody", capabilities=frozenset())
    found = {case.name: case for case in verify(own, patience_s=6.0).cases}
    assert not [case for case in found.values() if case.status == "failed"]
    assert found["from-now"].status == "skipped" and "carry no id" in found["from-now"].problems[0]
    assert found["churn"].status == "passed"
    assert found["order"].status == ("passed" if number else "skipped")
