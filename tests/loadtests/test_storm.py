"""A storm: which connections are cut, how many, and what their ends are called."""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from rtbench.loadtests.reactor.reactor import Reactor
from rtbench.loadtests.storm import Storm
from rtbench.loadtests.subscriber import among
from rtbench.messages.load import StormSettings

Make = Callable[..., Any]


def storm_of(here: Any, cut: float, subscribers: int) -> Storm:
    """The storm of a window that starts at 5 s; the reactor's timers have nothing else."""
    here.reactor.timers.clear()
    storm = Storm(here.load, StormSettings(2.0, cut, subscribers))
    storm.begin(5 * 10**9)
    assert [due_ns for due_ns, _, _ in here.reactor.timers] == [7 * 10**9]
    assert storm.cut is None
    here.turn()
    return storm


def accepted(here: Any, wire: Any, count: int) -> list[Any]:
    links = [here.link("sse") for _ in range(count)]
    for link in links:
        here.reactor.read(link, wire.sse_head)
    return links


@pytest.mark.parametrize(("cut", "number"), [(1.0, 20), (0.5, 10), (0.26, 5), (0.001, 1)])
def test_the_share_of_the_subscribers_is_cut(bench: Make, wire: Any, cut: float, number: int) -> None:
    here = bench()
    accepted(here, wire, 20)
    storm = storm_of(here, cut, 20)
    assert storm.cut is not None
    assert storm.cut.connections == len(here.reactor.resets) == number
    assert storm.cut.began_ns <= storm.cut.ended_ns
    places = [link.subscriber.index for link in here.reactor.resets]
    gaps = [later - earlier for earlier, later in pairwise(places)]
    assert not gaps or max(gaps) - min(gaps) <= 1  # evenly over all


def test_load_processes_cut_what_is_theirs(bench: Make, wire: Any) -> None:
    counts = []
    for first in (0, 7):
        here = bench()
        here.load.first = first
        accepted(here, wire, 7)
        storm = storm_of(here, 0.5, 14)
        assert storm.cut is not None
        counts.append(storm.cut.connections)
    assert sum(counts) == 7 == sum(among(who, 7, 14) for who in range(14))


def test_only_standing_connections_of_subscribers_are_cut(bench: Make, wire: Any) -> None:
    here = bench()
    links = accepted(here, wire, 4)
    links.append(here.link("sse"))  # not answered yet
    links[1].over("closed")
    links[2].connection = -1  # a sender's own
    storm_of(here, 1.0, 4)
    assert here.reactor.resets == [links[0], links[3]]


def test_a_connection_that_was_cut_did_not_fail(bench: Make, wire: Any) -> None:
    here = bench()
    link, other = accepted(here, wire, 2)
    storm_of(here, 0.5, 2)
    assert here.reactor.resets == [other]
    other.over("reset")
    link.over("reset")
    assert (other.outcome, link.outcome) == ("cut", "reset")
    assert here.load.failed == {"reset": 1}
    assert not other.subscriber.over_for_good


def test_visitors_are_not_among_the_subscribers() -> None:
    assert not any(among(who, 5, 10) for who in range(10, 40))


def test_both_ends_get_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            server.sendall(b"data that the client has not read")
            link: Any = type("link", (), {"socket": client})
            Reactor.reset(None, link)  # type: ignore[arg-type]
            for end in (client, server):
                end.settimeout(5)
                with pytest.raises(ConnectionResetError):
                    end.recv(100)
            with pytest.raises(OSError, match="endpoint"):
                client.getpeername()


def test_what_is_no_socket_is_an_error() -> None:
    with open("/dev/null") as file, pytest.raises(OSError, match="socket"):  # noqa: PTH123
        Reactor.reset(None, type("link", (), {"socket": file}))  # type: ignore[arg-type]
