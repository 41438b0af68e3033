from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rtbench.analysis.report.aliasing import Aliasing, aliasing, aliasings


@pytest.mark.parametrize(
    ("interval_s", "period_s", "ages"),
    [
        (1.0, 0.2, 5), (0.5, 0.2, 5), (0.1, 0.2, 1), (0.2, 0.2, 1), (1.0, 1.0, 1), (0.3, 0.2, 3), (0.2001, 0.2, 1),
        (1.09, 0.2, None), (0.27, 0.2, None), (0.63, 0.2, None), (0.0, 0.2, None), (60.0, 0.2, None),
    ],
)  # fmt: skip
def test_beats(interval_s: float, period_s: float, ages: int | None) -> None:
    found = aliasing(interval_s, period_s, 10.0) if interval_s else None
    assert (found.ages if found else None) == ages


@pytest.mark.parametrize("interval_s", [0.11, 0.2, 0.27, 0.3, 0.5, 0.63, 0.97, 1.0, 1.09, 1.31])
def test_a_comb_of_phases_is_what_is_warned_of(interval_s: float) -> None:
    """By looking: how wide the widest gap between the phases of 50 messages is, beside that of a comb."""
    phases = np.sort((np.arange(50) * 0.2 / interval_s) % 1)
    gap = np.diff(np.append(phases, phases[0] + 1)).max()
    found = aliasing(interval_s, 0.2, 10.0)
    assert (found is None) == (gap < 0.1)
    if found is not None:
        assert gap == pytest.approx(1 / found.ages, rel=0.35)


def scenario(**more: Any) -> dict[str, Any]:
    table = {"stream": "fanout", "window_s": 10, "workload": {"rate_hz": 5, "arrival": "constant"}}
    return table | {"poll": {"interval_s": 1.0}} | more


def test_each_cell_is_asked_once() -> None:
    cells = [{"poll.interval_s": v, "subscribers": n} for v in (0.27, 0.2) for n in (1, 2)]
    assert list(aliasings(scenario(), cells, True)) == [Aliasing(0.2, 0.2, 1, 1)]
    assert list(aliasings(scenario(), [{"workload.rate_hz": 1.0}], True)) == [Aliasing(1.0, 1.0, 1, 1)]
    assert list(aliasings(scenario(), [{"workload.arrival": "poisson"}], True)) == []
    assert list(aliasings(scenario(), [{}], False)) == []
    assert list(aliasings(scenario(stream=["stocks", "production"]), [{}], True)) == [Aliasing(1.0, 1.0, 1, 1)]
    assert list(aliasings({}, [{}], True)) == []


def test_it_says_what_stands_to_what() -> None:
    assert "stand as 5 : 1" in Aliasing(1.0, 0.2, 5, 1).text() and "the same 5 ages" in Aliasing(1.0, 0.2, 5, 1).text()
    assert "the same 1 age again and again" in Aliasing(0.2, 0.2, 1, 1).text()
