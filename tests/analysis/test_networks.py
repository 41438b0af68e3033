"""The caveat of a network: what was asked of each direction."""

from __future__ import annotations

import pytest

from rtbench.analysis.report.networks import words

DOWN = (20.0, 5.0, 0.01, 8.0, 100.0)


@pytest.mark.parametrize(
    ("up", "sentence"),
    [
        (
            DOWN,
            "a router between server and clients delayed packets by 20 ± 5 ms each way, lost 0.01 of them, "
            "passed 8 Mbit/s with a queue of 100 ms",
        ),
        (
            (5.0, 0.0, 0.0, 0.0, 0.0),
            "a router between server and clients delayed packets by 20 ± 5 ms to the clients, lost 0.01 of them, "
            "passed 8 Mbit/s with a queue of 100 ms, and delayed packets by 5 ms to the server",
        ),
    ],
)
def test_each_direction_is_named_where_they_differ(up: tuple[float, ...], sentence: str) -> None:
    assert words(DOWN + up) == sentence
