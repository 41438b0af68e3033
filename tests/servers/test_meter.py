"""The meter: every byte of a connection on the account of whose request it is, and on no other's."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from rtbench.servers.demo.meter import Account, MeteredConnection, metered


class FakeTransport:
    """Holds what is written; has a method that the link does not know."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def writelines(self, parts: list[bytes]) -> None:
        self.written += parts

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 7


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def link(transport: FakeTransport) -> MeteredConnection:
    return MeteredConnection(cast(asyncio.Transport, transport))


def test_a_request_is_charged_with_its_head_and_its_response(link: MeteredConnection, transport: FakeTransport) -> None:
    account = Account()
    link.heard(100)
    link.begin()
    link.claim(account)
    link.end()
    link.write(b"head and body")  # aiohttp writes it when the handler has returned
    assert (account.up, account.down, account.requests) == (100, 13, 1)
    assert transport.written == [b"head and body"]


def test_two_lanes_on_a_connection_do_not_share_their_bytes(link: MeteredConnection) -> None:
    first, second = Account(), Account()
    for account, up, down in ((first, 10, b"x" * 1000), (second, 20, b"x" * 2000), (first, 1, b"x")):
        link.heard(up)
        link.begin()
        link.claim(account)
        link.end()
        link.write(down)
    assert (first.up, first.down, first.requests) == (11, 1001, 2)
    assert (second.up, second.down, second.requests) == (20, 2000, 1)


def test_unclaimed_bytes_belong_to_no_lane(link: MeteredConnection) -> None:
    account = Account()
    link.heard(10)
    link.begin()
    link.claim(account)
    link.end()
    link.write(b"mine")
    link.heard(500)  # for a page
    link.begin()
    link.end()
    link.write(b"x" * 5000)
    link.heard(20)
    link.begin()
    link.claim(account)
    assert (account.up, account.down) == (30, 4)


def test_what_a_connection_says_while_it_is_served_is_its_own(link: MeteredConnection) -> None:
    account = Account()
    link.heard(50)
    link.begin()
    link.claim(account)
    link.heard(6)  # a WebSocket's pong
    link.writelines([b"ab", memoryview(b"cde"), bytearray(b"f")])
    assert (account.up, account.down) == (56, 6)


def test_what_can_not_be_written_any_more_is_not_charged(link: MeteredConnection, transport: FakeTransport) -> None:
    account = Account()
    link.begin()
    link.claim(account)
    transport.closing = True
    link.write(b"too late")
    assert account.down == 0


def test_a_link_is_else_what_it_stands_for(link: MeteredConnection) -> None:
    assert link.get_write_buffer_size() == 7
    with pytest.raises(AttributeError):
        _ = link.no_such_thing


def test_a_protocol_gets_every_event_and_a_link(transport: FakeTransport) -> None:
    told: list[Any] = []

    class Served(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            told.append(transport)

        def data_received(self, data: bytes) -> None:
            told.append(data)

        def eof_received(self) -> bool:
            told.append("eof")
            return True

        def pause_writing(self) -> None:
            told.append("pause")

        def resume_writing(self) -> None:
            told.append("resume")

        def connection_lost(self, exc: Exception | None) -> None:
            told.append(exc)

    protocol = metered(Served)()
    protocol.connection_made(cast(asyncio.Transport, transport))
    protocol.data_received(b"request")
    protocol.pause_writing()
    protocol.resume_writing()
    assert protocol.eof_received()
    protocol.connection_lost(None)
    link = told.pop(0)
    assert isinstance(link, MeteredConnection)
    assert told == [b"request", "pause", "resume", "eof", None]
    account = Account()
    link.claim(account)
    assert account.up == len(b"request")
