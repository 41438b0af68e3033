"""The cases' client on servers that never come to an end: every step is over in time, and holds no more than it may."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import pytest

from rtbench.conformance import _client, gap
from rtbench.conformance import verify as verify_module
from rtbench.conformance._client import CLOSED, Subscriber, fetch
from rtbench.conformance._target import Target
from rtbench.conformance.verify import verify
from rtbench.errors import UserError
from rtbench.subjects import Subject, bounded
from rtbench.transports import Closed

Endless = Callable[..., str]


def target_at(url: str, transport: str = "sse", patience_s: float = 0.2) -> Target:
    parts = urlsplit(url)
    return Target(parts.hostname or "", parts.port or 0, transport, "fanout", patience_s=patience_s)


def test_a_document_without_end_is_over_in_time(endless: Endless) -> None:
    began = time.monotonic()
    answer = fetch(target_at(endless("application/json", b" ")), "/plan/fanout")
    assert (answer.status, answer.body) == (CLOSED, b"nothing more within 0.2 s")
    assert time.monotonic() - began < 60


def test_a_document_without_end_is_over_at_its_limit(endless: Endless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded.response, "__defaults__", (10**6, False))
    answer = fetch(target_at(endless("application/json", b" " * 65536, 0), patience_s=20), "/plan/fanout")
    assert (answer.status, answer.body) == (CLOSED, b"it sent more than 1,000,000 bytes and did not end")


def test_an_event_stream_is_over_with_its_head(endless: Endless) -> None:
    assert fetch(target_at(endless()), "/anything").status == 200


@pytest.mark.slow
def test_a_subscriber_waits_for_messages_no_longer_than_it_may(endless: Endless) -> None:
    """Comments come all the time; not one message does."""
    began = time.monotonic()
    with Subscriber(target_at(endless())) as subscriber:
        assert subscriber.open()
        assert subscriber.messages(1) == subscriber.until(5) == []
        subscriber.rest()
        assert gap._beginning(subscriber) is None
        assert subscriber.heartbeats > 0
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_a_subscriber_holds_no_more_than_it_may(endless: Endless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "MOST_BYTES", 10**6)
    with Subscriber(target_at(endless(piece=b": more\n\n" * 5000, pause_s=0), patience_s=20)) as subscriber:
        assert subscriber.messages(1) == []
        assert subscriber.closed == Closed(False, reason="it sent more than 1,000,000 bytes and did not end")


@pytest.mark.slow
def test_messages_without_the_payload_s_key_are_named(endless: Endless) -> None:
    """Where `payload` is wrong, everything that comes is the server's own."""
    own = Subject("mine", "sse", "mine", carries_id="payload", payload="json:pub.data")
    target = replace(target_at(endless(piece=b'data: {"ping":1}\n\n')), subject=own)
    with Subscriber(target) as subscriber:
        assert subscriber.messages(1) == []
        says = r"nothing more came within 0\.2 s, but \d+ without pub, first '\{\"ping\":1\}'"
        assert re.fullmatch(says, subscriber.why())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of a verification may take a tenth of what it may take else."""
    monkeypatch.setattr(verify_module, "Target", partial(Target, patience_s=0.3))


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_an_event_stream_without_end_is_verified_in_bounded_time(endless: Endless) -> None:
    began = time.monotonic()
    found = verify(endless(pause_s=0.05))
    assert not found.ok
    assert time.monotonic() - began < 60


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_documents_without_end_are_found_to_be_none_in_bounded_time(endless: Endless) -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match="serves none of"):
        verify(endless("application/json", b" "))
    assert time.monotonic() - began < 60
