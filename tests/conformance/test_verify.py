"""What `verify` takes and what it gives."""

from __future__ import annotations

import json
import socket
import sys
import threading

import pytest

from rtbench import conformance
from rtbench.conformance.verify import CaseResult, Verification, verify
from rtbench.errors import UserError
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import WorkloadTable
from rtbench.subjects import NOBODY, Program, Subject

HOSTS = ["http://example.com", "http://192.0.2.1:80", "https://127.0.0.1", "http://127.0.0.1/sse/fanout", "ftp://::1"]


@pytest.mark.parametrize("url", [*HOSTS, "http://", "http://127.0.0.1:99999", "http://me@127.0.0.1"])
def test_only_plain_urls_of_this_machine(url: str):
    with pytest.raises(UserError):
        verify(url)


def test_where_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UserError, match="cannot connect to"):
        verify(f"http://127.0.0.1:{port}")


@pytest.mark.slow
def test_a_server_that_has_no_such_stream(serve):
    with pytest.raises(UserError, match="serves none of"):
        verify(serve("sse-aiohttp", Scenario()), stream="nothing")


@pytest.mark.slow
def test_a_server_that_hangs_up_is_bounded_in_time():
    """It accepts and closes, whatever is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        with pytest.raises(UserError, match="serves none of"):
            verify(f"http://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.slow
def test_a_url_without_a_scenario_is_verified_from_outside(serve):
    seen: list[CaseResult] = []
    scenario = Scenario(stream=("stocks", "fanout"), workload=WorkloadTable(rate_hz=200))
    found = verify(serve("sse-aiohttp", scenario), progress=seen.append, patience_s=15.0)
    assert found.ok, found.problems
    assert {case.name for case in seen} == {case.name for case in found.cases}
    skipped = {case.name: case.problems[0] for case in found.cases if case.status == "skipped"}
    assert "bytes" in skipped
    assert "did not start the server" in skipped["shutdown"]
    assert json.loads(json.dumps(found.as_dict()))["ok"] is True


def test_a_verification_of_nothing_is_not_ok():
    assert not Verification("x", ()).ok
    assert not Verification("x", (CaseResult("a", "skipped", ("why",), 0.0),)).ok
    assert not Verification("x", (CaseResult("a", "passed", (), 0.0), CaseResult("b", "failed", ("p",), 0.0))).ok
    assert Verification("x", (CaseResult("b", "failed", ("p", "q"), 0.0),)).problems == ["b: p", "b: q"]


def test_every_case_says_what_it_is_and_needs_what_there_is():
    for case in conformance.catalogue().values():
        assert case.description.endswith(".")
        assert case.needs <= conformance.NEEDS.keys()
        assert case.transports


OWN_TIMETABLE = """
import itertools, socket, sys, threading, time

def talk(link):
    link.recv(65536)
    try:
        link.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n")
        for seq in itertools.count(int((time.monotonic() - began) * 200) + 1):
            time.sleep(max(0, began + seq / 200 - time.monotonic()))
            link.sendall(b"id: %d\\ndata: {}\\n\\n" % seq)
    except OSError:
        pass

began = time.monotonic()
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    link, _ = listener.accept()
    threading.Thread(target=talk, args=(link,), daemon=True).start()
"""


@pytest.mark.slow
def test_a_program_with_a_timetable_of_its_own_is_not_asked_for_our_bytes():
    command = (sys.executable, "-c", OWN_TIMETABLE, "{host}", "{port}")
    own = Subject("sse-own", "sse", "own", program=Program(command), publish=NOBODY, capabilities=frozenset())
    found = {case.name: case for case in verify(own, patience_s=6.0).cases}
    assert (found["bytes"].status, found["bytes"].problems) == (
        "skipped",
        ("the messages that it should send are not known",),
    )
    for name in ("order", "from-now", "churn"):
        assert found[name].status == "passed", found[name].problems
