"""The registry of transports: a codec's file that says so is one, and what others must know of it stands there."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbench.errors import UserError
from rtbench.transports import Asked, catalogue
from rtbench.transports.conditional import ConditionalClient
from rtbench.transports.poll import PollClient


def test_the_transports_in_the_order_of_lists_and_figures() -> None:
    assert list(catalogue.catalogue()) == ["sse", "websocket", "short-poll", "long-poll", "tcp"]


@pytest.mark.parametrize(
    ("name", "prefix", "user", "polls"),
    [
        ("sse", "/sse", "SSEUser", False),
        ("websocket", "/ws", "WebSocketUser", False),
        ("short-poll", "/poll", "ShortPollUser", True),
        ("long-poll", "/long-poll", "LongPollUser", True),
        ("tcp", "", "TCPUser", False),
    ],
)
def test_what_others_must_know_of_a_transport(name: str, prefix: str, user: str, polls: bool) -> None:
    one = catalogue.find(name)
    assert (one.name, one.prefix, one.user, one.polls) == (name, prefix, user, polls)
    assert one.title


def test_find_lists_what_there_is() -> None:
    with pytest.raises(UserError, match=r"unknown transport 'pigeon': choose one of sse, websocket, .*tcp"):
        catalogue.find("pigeon")


def test_a_subject_may_be_read_in_another_way() -> None:
    asked = Asked("here", "/x")
    assert isinstance(catalogue.maker("long-poll")(asked), PollClient)
    assert isinstance(catalogue.maker("long-poll", "conditional")(asked), ConditionalClient)
    with pytest.raises(UserError, match=r"unknown codec 'morse': choose one of .*conditional"):
        catalogue.maker("long-poll", "morse")


def test_asking_puts_the_cursor_where_there_is_room() -> None:
    assert Asked("h", "/a").resuming == "/a"
    assert Asked("h", "/a", cursor=0).resuming == "/a?since=0"
    assert Asked("h", "/a?channel=2", cursor=7).resuming == "/a?channel=2&since=7"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of codecs of its own in place of rtbench.transports."""
    name = "somebodys_transports"
    module = types.ModuleType(name)
    module.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(catalogue, "PACKAGE", name)
    catalogue.catalogue.cache_clear()
    catalogue.codecs.cache_clear()
    yield tmp_path
    catalogue.catalogue.cache_clear()
    catalogue.codecs.cache_clear()
    for loaded in [key for key in sys.modules if key.startswith(f"{name}.")]:
        del sys.modules[loaded]


def test_a_new_transport_is_one_file(package: Path) -> None:
    (package / "pigeon.py").write_text(
        "from rtbench.transports.catalogue import Transport\n"
        "TRANSPORTS = (Transport('pigeon', '/coop', 'PigeonUser', 'Pigeons', make=lambda asked: asked.path),)\n"
        "CODECS = {'striped': lambda asked: 'striped'}\n"
    )
    (package / "helpers.py").write_text("X = 1\n")
    assert list(catalogue.catalogue()) == ["pigeon"]
    assert catalogue.maker("pigeon")(Asked("h", "/p")) == "/p"
    assert catalogue.maker("pigeon", "striped")(Asked("h", "/p")) == "striped"
