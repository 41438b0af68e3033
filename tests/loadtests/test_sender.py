"""Senders: who they are, what they say on which plan, on which connection, and what is noted of it."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from rtbench.loadtests import sender as module
from rtbench.loadtests.sender import APART, PostLink, sends
from rtbench.messages.load import ChatSettings
from rtbench.streams import Pace, Source, catalogue
from rtbench.streams.chat import utterance

SECOND = 10**9
HEAD = re.compile(rb"POST /send/chat HTTP/1\.1\r\n(.+?)\r\n\r\n", re.DOTALL)
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(("senders", "subscribers"), [(0, 10), (1, 10), (3, 10), (10, 10), (7, 1000)])
def test_exactly_so_many_send_and_they_are_spread(senders: int, subscribers: int) -> None:
    chat = ChatSettings(senders=senders, subscribers=subscribers)
    who = [index for index in range(subscribers) if sends(chat, index)]
    assert len(who) == senders
    gaps = [after - before for before, after in pairwise(who)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_an_utterance_is_one_line_of_json_and_unique() -> None:
    source = Source(7, 1_700_000_000, 0, 1, Pace(), "chat")
    said = {utterance(source, sender, number, number * SECOND) for sender in range(5) for number in range(-3, 20)}
    assert len(said) == 5 * 23
    for text in said:
        value = json.loads(text)
        assert value["type"] == "chat"
        assert value["user"] in ("User1", "User2", "User3")
        assert b"\n" not in text
    assert json.loads(utterance(source, 0, -1, -SECOND))["timestamp"] == 1_699_999_999


def test_only_chat_takes_messages_and_only_when_it_is_to() -> None:
    assert [name for name, stream in catalogue().items() if stream.takes(Pace(conversation=True))] == ["chat"]
    assert not any(stream.takes(Pace()) for stream in catalogue().values())


class Talk:
    """A bench with one subscriber, who sends twice a second."""

    def __init__(self, bench: Callable[..., Any], patch: pytest.MonkeyPatch, transport: str) -> None:
        self.now = 100 * SECOND
        patch.setattr(module, "time", self)
        self.here = bench(streams=("chat",), chat=ChatSettings(senders=1, rate_hz=2.0, subscribers=1))
        self.link = self.here.link(transport)
        self.here.load.target = self.link.subscriber.load.target = Any
        (self.sender,) = self.here.load.senders

    def monotonic_ns(self) -> int:
        return self.now

    def run(self) -> None:
        """Everything that is planned by now and what that plans."""
        timers = self.here.reactor.timers
        while timers and timers[0][0] <= self.now:
            _, call, arguments = timers.pop(0)
            call(*arguments)

    def rows(self) -> list[dict[str, int]]:
        columns = self.here.load.recorder.sends.columns()
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]


@pytest.fixture
def talk(bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Talk]:
    def make(transport: str) -> Talk:
        made = Talk(bench, monkeypatch, transport)
        made.here.load.target = type("T", (), {"host": "server:8080", "family": 0, "address": (), "tls": None})()
        return made

    return make


def test_a_websocket_speaks_on_its_own_connection_on_an_absolute_plan(talk: Callable[[str], Talk], wire: Any) -> None:
    here = talk("websocket")
    here.here.reactor.read(here.link, wire.upgrade(here.link.socket.sent))
    before = len(here.link.socket.sent)
    here.sender.begin(start_ns=101 * SECOND, end_ns=103 * SECOND)
    here.now = 110 * SECOND  # far too late: every slot is still said, planned for when it was
    here.run()
    rows = here.rows()
    assert [row["planned_ns"] for row in rows] == [100 * SECOND + n * SECOND // 2 for n in range(6)]
    assert all(row["started_ns"] == here.now and row["answered_ns"] == -1 for row in rows)
    frames = here.link.socket.sent[before:]
    assert frames.count(b"\x81") >= 6
    assert here.here.reactor.links == [here.link]


def test_a_websocket_that_is_not_open_says_nothing_and_that_is_noted(talk: Callable[[str], Talk]) -> None:
    here = talk("websocket")
    sent = here.link.socket.sent
    here.sender.begin(101 * SECOND, 102 * SECOND)
    here.now = 110 * SECOND
    here.run()
    assert [row["started_ns"] for row in here.rows()] == [-1] * 4
    assert here.link.socket.sent == sent


@pytest.mark.parametrize("transport", ["sse", "short-poll", "long-poll"])
def test_others_post_on_one_connection_apart_without_waiting(talk: Callable[[str], Talk], transport: str) -> None:
    here = talk(transport)
    here.sender.begin(101 * SECOND, 102 * SECOND)
    here.now = 110 * SECOND
    here.run()
    listening, posting = here.here.reactor.links
    assert (listening.connection, posting.connection) == (0, APART)
    assert isinstance(posting, PostLink)
    assert len(HEAD.findall(posting.socket.sent)) == 4
    bodies = re.findall(rb"\r\n\r\n(\{[^\n]*?\})(?=POST|$)", posting.socket.sent)
    rows = here.rows()
    assert [zlib.crc32(body) for body in bodies] == [row["digest"] for row in rows]
    assert [len(body) for body in bodies] == [row["payload_bytes"] for row in rows]
    # Answers come in order, split anywhere, and are no messages.
    data = ACCEPTED * 2 + b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"
    here.here.reactor.read(posting, data[:30], app_ns=1)
    here.here.reactor.read(posting, data[30:], app_ns=2)
    rows = here.rows()
    assert [(row["status"], row["answered_ns"]) for row in rows] == [(202, 2), (202, 2), (503, 2), (0, -1)]
    assert here.here.deliveries("seq") == []


def test_a_connection_for_posting_that_is_over_is_made_again_and_is_not_a_subscriber_s_end(
    talk: Callable[[str], Talk],
) -> None:
    here = talk("sse")
    here.sender.begin(101 * SECOND, 102 * SECOND)
    here.now = 100 * SECOND
    here.run()
    posting = here.here.reactor.links[1]
    posting.over("reset")
    posting.over("again")
    assert (posting.outcome, here.here.load.failed) == ("reset", {})
    assert here.link.closed_ns < 0
    here.now = 110 * SECOND
    here.run()
    assert len(here.here.reactor.links) == 3


def test_an_answer_that_is_not_http_ends_it(talk: Callable[[str], Talk]) -> None:
    here = talk("sse")
    here.sender.begin(101 * SECOND, 102 * SECOND)
    here.run()
    posting = here.here.reactor.links[1]
    here.here.reactor.read(posting, ACCEPTED + b"what?\r\n\r\n", app_ns=1)
    assert posting.outcome.startswith("error (")
    assert here.rows()[0]["status"] == 202  # what came before it counts


def test_messages_sent_before_the_connection_is_open_go_out_with_it(talk: Callable[[str], Talk]) -> None:
    here = talk("sse")
    link = PostLink(here.link.subscriber, lambda *_: None)
    link.post(b"one", 0)
    link.post(b"two", 1)
    assert link.request() == b"onetwo"


def test_a_late_sender_still_sends_the_whole_window(talk: Callable[[str], Talk]) -> None:
    here = talk("sse")
    here.now = 101 * SECOND + SECOND // 4
    here.sender.begin(101 * SECOND, 102 * SECOND)
    here.now = 110 * SECOND
    here.run()
    assert [row["planned_ns"] for row in here.rows()] == [101 * SECOND, 101 * SECOND + SECOND // 2]
