"""The replay ring and the budget that rings share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtbench.servers.kit.ring import Budget, Ring


def fill(ring: Ring, count: int, size: int = 10) -> None:
    for _ in range(count):
        ring.append(ring.last + 1, 0, b"x" * size)


def test_an_empty_ring():
    ring = Ring(Budget(1000), 10, False)
    assert (ring.first, ring.last, ring.after(0)) == (1, 0, [])


def test_the_oldest_goes_first():
    ring = Ring(Budget(10**6), 10, False)
    fill(ring, 25)
    assert (ring.first, ring.last) == (16, 25)
    assert [held.seq for held in ring.after(0)] == list(range(16, 26))
    assert [held.seq for held in ring.after(22)] == [23, 24, 25]
    assert ring.after(25) == ring.after(99) == []


def test_a_finite_ring_is_kept_whole():
    budget = Budget(10)
    ring = Ring(budget, 2, True)
    fill(ring, 25)
    assert ring.first == 1
    assert budget.used == 0


def test_bytes_are_bounded_over_all_rings_and_each_keeps_its_last():
    budget = Budget(100)
    one, two = Ring(budget, 1000, False), Ring(budget, 1000, False)
    fill(one, 8)
    fill(two, 8)
    assert budget.used == 10 * (len(one.held) + len(two.held)) <= 100
    assert len(one.held) < len(two.held)
    fill(two, 100)
    assert len(one.held) == 1
    assert two.last == 108


def test_what_the_budget_remembers_is_bounded_by_what_is_held():
    """It once grew by an entry a message for ever, and let go of messages that were not the oldest."""
    budget = Budget(10**6)
    busy, calm = Ring(budget, 10, False), Ring(budget, 10, False)
    fill(calm, 1)
    fill(busy, 5000)
    assert len(budget._order) <= len(busy.held) + len(calm.held)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 60)), max_size=200),
    st.integers(1, 8),
    st.integers(50, 400),
)
def test_whatever_is_appended(appended: list[tuple[int, int]], limit: int, most: int):
    budget = Budget(most)
    rings = [Ring(budget, limit, False) for _ in range(3)]
    for number, size in appended:
        fill(rings[number], 1, size)
        for ring in rings:
            seqs = [held.seq for held in ring.held]
            assert seqs == list(range(ring.first, ring.last + 1))
            assert len(seqs) <= limit
            assert bool(seqs) == bool(ring.last)
            for cursor in range(ring.last + 2):
                assert [h.seq for h in ring.after(cursor)] == [s for s in seqs if s > cursor]
        assert budget.used == sum(len(held.data) for ring in rings for held in ring.held)
        # Each ring keeps its last message whatever the limit.
        assert budget.used <= most or all(len(ring.held) <= 1 for ring in rings)


def test_clear_gives_the_bytes_back():
    budget = Budget(100)
    ring = Ring(budget, 10, False)
    fill(ring, 5)
    ring.clear()
    assert (budget.used, ring.after(0), ring.first) == (0, [], 6)
    ring.append(50, 0, b"x" * 10)
    assert (budget.used, ring.first, ring.last) == (10, 50, 50)
