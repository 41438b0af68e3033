"""Bytes on the TCP stream, counted by the kernel, are to the byte what the specifications make of every message (R5).

The arithmetic is written here by hand: none of it calls the code that sends. Ticks are 250 ms apart and the window's
edges lie halfway between two. The load process notes when it had read its counters; what came less than 100 ms before
the edge or after that moment may be counted or not. Everything else is on one side only, and every size is exact.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PAYLOAD_BYTES = 150
MARGIN_NS = 100_000_000
Events = list[tuple[int, int]]
"""When something came or was sent, and how many bytes it is."""


# What the specifications say


def line(text: str) -> int:
    """A line of an HTTP/1.1 head and its CRLF (RFC 9112 §2.1)."""
    return len(text) + 2


def digits(number: int) -> int:
    return len(str(number))


def event_in_a_chunk(seq: int) -> int:
    """WHATWG 9.2.6: a line `id: N`, a line `data: P`, an empty line. RFC 9112 §7.1: size in hexadecimal, CRLF, CRLF."""
    event = len("id: ") + digits(seq) + len("\n") + len("data: ") + PAYLOAD_BYTES + len("\n") + len("\n")
    assert 0x10 <= event <= 0xFF  # two digits
    return 2 + len("\r\n") + event + len("\r\n")


def envelope(seq: int) -> int:
    """interface.md, Wire."""
    return len('{"id":') + digits(seq) + len(',"data":') + PAYLOAD_BYTES + len("}")


def frame(seq: int) -> int:
    """RFC 6455 §5.2: two bytes, two of extended length from 126 bytes on, no mask from a server."""
    assert 126 <= envelope(seq) < 65_536
    return 2 + 2 + envelope(seq)


def poll_request(target: str, host: str, since: int) -> int:
    """What our client asks with: request line, Host (RFC 9112 §3.2), the validator that it has (RFC 9110 §13.1.2)."""
    return line(f"GET {target} HTTP/1.1") + line(f"Host: {host}") + line(f'If-None-Match: "{since}"') + line("")


SERVER = f"Server: Python/{sys.version_info.major}.{sys.version_info.minor} aiohttp/{version('aiohttp')}"
DATE = "Date: Tue, 24 Nov 2026 16:49:51 GMT"  # of a fixed length (RFC 9110 §5.6.7)


def poll_answer(seqs: list[int], since: int) -> int:
    """A 200 with these messages: the fields as aiohttp writes them, and the body of interface.md."""
    following = seqs[-1]
    body = len('{"messages":[') + sum(map(envelope, seqs)) + len(",") * (len(seqs) - 1)
    body += len('],"next":') + digits(following) + len(',"gap":null,"end":false}')
    return (
        line("HTTP/1.1 200 OK")
        + line(f'ETag: "{following}"')
        + line("Cache-Control: no-cache")
        + line("Content-Type: application/json")
        + line(f"Content-Length: {body}")
        + line(DATE)
        + line(SERVER)
        + line("")
        + body
    )


def not_modified(since: int) -> int:
    """A 304: no body, and no field about one (RFC 9110 §15.4.5)."""
    return line("HTTP/1.1 304 Not Modified") + line(f'ETag: "{since}"') + line(DATE) + line(SERVER) + line("")


# What was counted


def sums(events: Iterable[tuple[int, int]], whole: Any) -> set[int]:
    """What the bytes between the edges may be: one number, unless something came while the counters were read."""
    ordered = sorted(events)
    table = whole.manifest["processes"]["load"]
    (start, started), (end, ended) = (
        (edge - MARGIN_NS, table[f"read_ns_at_{name}"] + MARGIN_NS)
        for edge, name in zip(whole.window, ("start", "end"), strict=True)
    )
    sure = sum(size for at, size in ordered if started < at < end)
    early = [size for at, size in ordered if start <= at <= started]
    late = [size for at, size in ordered if end <= at <= ended]
    return {
        sure + sum(early[skipped:]) + sum(late[:taken])
        for skipped in range(len(early) + 1)
        for taken in range(len(late) + 1)
    }


def counted(whole: Any, subscriber: int, direction: str) -> int:
    """TCP_INFO's gain between the window's edges, of a subscriber's one connection."""
    table = whole.table("connections")
    (row,) = (table["subscriber"] == subscriber).nonzero()[0].tolist()
    begin, end = (int(table[f"tcp_{direction}_bytes_{edge}"][row]) for edge in ("at_start", "at_end"))
    assert begin > 0
    return end - begin


@pytest.fixture(scope="module")
def count(measure: Callable[..., Any]) -> Callable[[str], Any]:
    """`count(subject)`: a trial of five subscribers of four messages a second, without heartbeats."""

    def run(subject: str) -> Any:
        whole = measure(
            subject,
            warmup_s=0.4,
            window_s=1,
            workload={"rate_hz": 4, "payload_bytes": PAYLOAD_BYTES},
            server={"heartbeat_s": 3600},
            poll={"interval_s": 0.2},
        )
        assert (whole.manifest["status"], whole.manifest["reasons"]) == ("ok", [])
        assert whole.manifest["counts"]["delivered"] == 20
        assert (whole.table("ticks")["payload_bytes"] == PAYLOAD_BYTES).all()
        return whole

    return run


@pytest.mark.parametrize(
    ("subject", "size"),
    [
        ("sse-aiohttp", event_in_a_chunk),
        ("websocket-aiohttp", frame),
        ("websocket-websockets", frame),
    ],
)
def test_a_pushed_message_is_its_frame_and_nothing_more(
    subject: str, size: Callable[[int], int], count: Callable[[str], Any]
) -> None:
    whole = count(subject)
    deliveries = whole.table("deliveries")
    for subscriber in range(5):
        mine = deliveries["subscriber"] == subscriber
        came: Events = [
            (int(at), size(int(seq)))
            for at, seq in zip(deliveries["app_ns"][mine], deliveries["seq"][mine], strict=True)
        ]
        assert counted(whole, subscriber, "received") in sums(came, whole)
        assert counted(whole, subscriber, "sent") == 0  # nothing to say, nothing to answer
    assert whole.manifest["bytes"]["tcp_down"] == sum(counted(whole, who, "received") for who in range(5))
    assert whole.manifest["bytes"]["tcp_up"] == 0


def test_the_overhead_of_150_bytes_is_21_on_both_push_transports() -> None:
    """From the id 10 on: what the report of `ci` has."""
    assert event_in_a_chunk(10) == frame(10) == PAYLOAD_BYTES + 21
    assert event_in_a_chunk(9) == frame(9) == PAYLOAD_BYTES + 20


@pytest.mark.parametrize(
    ("subject", "target"),
    [
        ("short-poll-aiohttp", "/poll/fanout?since={since}"),
        ("long-poll-aiohttp", "/long-poll/fanout?since={since}&timeout=25"),
    ],
)
def test_a_poll_is_its_request_and_its_answer(subject: str, target: str, count: Callable[[str], Any]) -> None:
    whole = count(subject)
    (server,) = [process for process in whole.children.all if process.name == "server"]
    host = server.url.removeprefix("http://")
    deliveries, requests = whole.table("deliveries"), whole.table("requests")
    statuses: set[int] = set()
    for subscriber in range(5):
        mine = deliveries["subscriber"] == subscriber
        by_answer: dict[int, list[int]] = {}
        for at, seq in zip(deliveries["app_ns"][mine].tolist(), deliveries["seq"][mine].tolist(), strict=True):
            by_answer.setdefault(at, []).append(seq)
        asked: Events = []
        answered: Events = []
        since = min(seqs[0] for seqs in by_answer.values()) - 1
        rows = (requests["subscriber"] == subscriber).nonzero()[0].tolist()
        for row in sorted(rows, key=lambda row: int(requests["started_ns"][row]))[1:]:  # the first one has no cursor
            asked.append((int(requests["started_ns"][row]), poll_request(target.format(since=since), host, since)))
            at, status = int(requests["response_ns"][row]), int(requests["status"][row])
            if status == 0:  # asked when the trial ended, not answered any more
                continue
            seqs = by_answer.get(at, [])
            assert len(seqs) == int(requests["messages"][row])
            assert status == (200 if seqs else 304)
            answered.append((at, poll_answer(seqs, since) if seqs else not_modified(since)))
            since = seqs[-1] if seqs else since
            if whole.window[0] < at < whole.window[1]:
                statuses.add(status)
        assert counted(whole, subscriber, "received") in sums(answered, whole)
        assert counted(whole, subscriber, "sent") in sums(asked, whole)
    assert statuses == ({200, 304} if subject.startswith("short") else {200})
    assert whole.manifest["bytes"]["tcp_up"] == sum(counted(whole, who, "sent") for who in range(5))
