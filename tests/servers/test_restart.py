"""Coming back after the server, or the publisher, was started again: real processes, every subject
that resumes.

A server that was started again is refilled by the publisher: nothing is lost. A publisher that was started again has
other messages under the same ids: its subscribers are told by a gap notice, never by silence.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbench.conformance._client import Subscriber, fetch
from rtbench.conformance._target import Target
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import Server, server_of
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ServerTable, WorkloadTable
from rtbench.subjects.registry import catalogue, find

pytestmark = pytest.mark.slow

SCENARIO = Scenario(server=ServerTable(ring_messages=5000), workload=WorkloadTable(rate_hz=100))
HEAD_START_NS = 4 * 10**9
"""The first publisher's ids are ahead of the second's by so long a time, within which a cursor tells them apart."""
HELD = 400
PATIENCE_S = 60
RESUMING = sorted(name for name, subject in catalogue().items() if {"resume", "gap"} <= subject.capabilities)
PLANNED = [name for name in RESUMING if "plan" in catalogue()[name].capabilities]
"""Whose plan says which publisher they have."""


class Pair:
    """A publisher and a server that can be started again; both log into `folder`."""

    def __init__(self, subject: str, folder: Path, stack: contextlib.ExitStack) -> None:
        self.subject = subject
        self.folder = folder
        self._stack = stack
        self.publisher = self._publisher(HEAD_START_NS)
        self.server = self._server()

    def _publisher(self, ago_ns: int = 0) -> PublisherProcess:
        log = self.folder / "publisher.log"
        publisher: PublisherProcess = self._stack.enter_context(
            PublisherProcess(SCENARIO.make_workload(), SCENARIO, self.folder, (), log)
        )
        publisher.ready()
        publisher.play(SCENARIO.stream, time.monotonic_ns() - ago_ns)
        return publisher

    def _server(self, port: int = 0) -> Server:
        feed, log = self.publisher.socket_path, self.folder / "server.log"
        server: Server = self._stack.enter_context(
            server_of(find(self.subject), SCENARIO, feed, self.folder, (), log, port=port)
        )
        server.ready()
        return server

    @property
    def target(self) -> Target:
        """The server as the cases' clients know it."""
        port = int(self.server.url.rpartition(":")[2])
        transport = catalogue()[self.subject].transport
        return Target("127.0.0.1", port, transport, "fanout", workload=SCENARIO.make_workload(), patience_s=PATIENCE_S)

    def restart_server(self) -> None:
        """Kill the server and start another one at the same port."""
        port = self.target.port
        self.server.kill()
        self.server.stop()
        self.server = self._server(port)

    def restart_publisher(self) -> None:
        """Kill the publisher and start another one at the same socket; wait until the server has noticed."""
        before = fetch(self.target, "/plan/fanout").json()["epoch"]
        self.publisher.kill()
        self.publisher.stop()
        self.publisher = self._publisher()
        deadline = time.monotonic() + PATIENCE_S
        while fetch(self.target, "/plan/fanout").json()["epoch"] == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        lacking, remedy = find(request.param).missing()
        if lacking:
            pytest.skip(f"{request.param} needs {lacking}: {remedy}")
        yield Pair(request.param, tmp_path, stack)


@pytest.mark.parametrize("pair", RESUMING, indirect=True)
def test_nothing_is_lost_when_the_server_is_started_again(pair: Pair):
    with Subscriber(pair.target) as subscriber:
        last = subscriber.messages(5)[-1].id
        pair.restart_server()
    with Subscriber(pair.target, last) as subscriber:
        found = subscriber.messages(20)
        assert [message.id for message in found] == list(range(last + 1, last + 21))
        assert not subscriber.gaps
    ticks = pair.target.ticks(found[-1].id)
    assert [message.payload for message in found] == [ticks[message.id - 1].payload for message in found]
    with Subscriber(pair.target, 0) as subscriber:
        assert subscriber.messages(1)[0].id == 1


@pytest.mark.parametrize("pair", PLANNED, indirect=True)
def test_subscribers_learn_of_a_restarted_publisher(pair: Pair):
    with Subscriber(pair.target, 0, timeout_s=10) as present:
        assert present.messages(HELD)[-1].id == HELD
        with Subscriber(pair.target, 0) as leaving:
            last = leaving.messages(HELD)[-1].id
        pair.restart_publisher()
        with Subscriber(pair.target, last) as returned:
            found = returned.messages(5)
            assert [notice.fields["from"] for notice in returned.gaps] == [1]
            assert returned.gaps[0].fields["to"] == last
            assert [message.id for message in found] == [1, 2, 3, 4, 5]
        while not present.gaps:
            assert present.event() is not None, present.why()
        notice = present.gaps[0].fields
        assert notice["from"] == 1
        assert notice["to"] >= HELD
        assert notice["reason"] == "the publisher began again"
        found = present.messages(20)
        # Everything of the new run; a poll begins with what was published when it asked again.
        assert [message.id for message in found] == list(range(found[0].id, found[0].id + 20))
        assert found[0].id == 1
        assert len(present.gaps) == 1
