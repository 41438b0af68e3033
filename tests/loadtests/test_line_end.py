"""Plain TCP has no close code: the last line says that a stream is over, and who read it does not come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]
MESSAGE = b'{"id":1,"data":{"control":"end"}}\n'
END, FAILURE = b'{"control":"end","last":1}\n', b'{"control":"failure","error":"x","last":1}\n'


@pytest.mark.parametrize(
    ("reads", "outcome"),
    [
        ((b"ok\n", MESSAGE + END), "ended"),
        ((b"ok\n" + MESSAGE + END,), "ended"),
        ((b"ok\n", MESSAGE, FAILURE), "failed by its stream"),
        ((b"ok\n", MESSAGE), "closed"),
        ((b"ok\n", END, MESSAGE), "closed"),
        ((b"ok\n", b'{"control":"gap","from":1,"to":2}\n'), "closed"),
        ((b"ok\n",), "closed"),
    ],
)
def test_the_last_line_says_whether_it_is_over(bench: Make, reads: tuple[bytes, ...], outcome: str) -> None:
    here = bench()
    link = here.link("tcp")
    for data in reads:
        here.reactor.read(link, data)
    link.over("closed")
    assert link.outcome == outcome
    assert link.subscriber.over_for_good is (outcome != "closed")


def test_what_broke_is_not_an_end(bench: Make) -> None:
    here = bench()
    link = here.link("tcp")
    here.reactor.read(link, b"ok\n" + END)
    link.over("reset")
    assert link.outcome == "reset"
