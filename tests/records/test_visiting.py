"""The audit of visits: which messages a visitor had to have, decided from both ends of its own span."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rtbench.records.visiting import VisitAudit, audit, of_visit

MS = 10**6
WINDOW = (100 * MS, 1100 * MS)
"""Ten messages of the window, seq 2 to 11, due at 100, 200, … ms and sent 1 ms later; 1 and 12 are outside of it."""
TICKS: dict[str, Any] = {
    "channel": np.zeros(12, dtype=np.int32),
    "seq": np.arange(1, 13),
    "due_ns": np.arange(12) * 100 * MS,
    "sent_ns": np.arange(12) * 100 * MS + MS,
    "payload_bytes": np.full(12, 5),
    "digest": np.arange(12, dtype=np.uint32) + 70,
}


def audited(*visits: tuple[float, float, list[int]], grace: float = 150, **changes: Any) -> VisitAudit:
    """Visits as (answered, left, what came), in ms: left -1 is open at the trial's end, answered -1 is never."""
    ends = [left * MS if left >= 0 else 2000 * MS for _, left, _ in visits]
    numbers = np.arange(len(visits)) + 50
    seqs = [seq for _, _, came in visits for seq in came]
    who = np.repeat(numbers, [len(came) for _, _, came in visits])
    table = {
        "subscriber": numbers,
        "planned_ns": np.array([answered * MS for answered, _, _ in visits]),
        "had_until_ns": np.array(ends) - grace * MS,
    }
    connections = {
        "subscriber": np.concatenate((numbers, np.arange(5)))[::-1],
        "response_ns": np.array([*(answered * MS if answered >= 0 else -1 for answered, _, _ in visits), *[7] * 5])[
            ::-1
        ],
        "closed_ns": np.array([*(left * MS if left >= 0 else -1 for _, left, _ in visits), *[9] * 5])[::-1],
    }
    deliveries: dict[str, Any] = {
        "subscriber": who,
        "channel": np.zeros(who.size, dtype=np.int32),
        "seq": np.array(seqs, dtype=np.int64),
        "payload_bytes": np.full(who.size, 5),
        "digest": np.array([seq + 69 if seq > 0 else 0 for seq in seqs], dtype=np.uint32),
    } | changes
    return audit(table, connections, deliveries, TICKS, WINDOW, [0] * len(visits))


def numbers(found: VisitAudit) -> tuple[int, int, int, int]:
    assert found.expected == found.delivered + found.lost
    assert int(found.lost_of.sum()) == found.lost
    return found.expected, found.delivered, found.lost, found.undecided


def test_what_was_sent_after_the_answer_and_had_time_to_come_is_expected() -> None:
    # Answered at 250 ms, left at 700: seq 4 (due at 300) to 6 (due at 500); 7 and 8 may have been on their way.
    assert numbers(audited((250, 700.5, [4, 5, 6, 7, 8]))) == (5, 5, 0, 0)
    assert numbers(audited((250, 700.5, [4, 5, 6]))) == (3, 3, 0, 2)
    assert numbers(audited((250, 700.5, [4, 5, 6, 8]))) == (5, 4, 1, 0)  # a later one came: 7 is lost


def test_a_message_of_before_the_answer_may_come_and_what_follows_it_must() -> None:
    assert numbers(audited((250, 700.5, [3, 4, 5, 6, 7, 8]))) == (6, 6, 0, 0)
    found = audited((250, 700.5, [2, 5, 6, 7, 8]))
    assert numbers(found) == (7, 5, 2, 0)
    assert found.examples == ((50, 3), (50, 4))


def test_what_is_missing_at_the_head_is_lost() -> None:
    found = audited((250, 700.5, [6, 7, 8]))
    assert numbers(found) == (5, 3, 2, 0)
    assert found.examples == ((50, 4), (50, 5))


def test_one_who_got_nothing_lost_what_had_the_time_to_come() -> None:
    assert numbers(audited((250, 700.5, []))) == (3, 0, 3, 2)
    assert numbers(audited((250, 320, []))) == (0, 0, 0, 1)
    assert numbers(audited((250, 290, []))) == (0, 0, 0, 0)


def test_one_who_was_never_answered_expects_nothing() -> None:
    assert numbers(audited((-1, 700, []))) == (0, 0, 0, 0)


def test_one_who_stays_to_the_end_has_all_of_the_window() -> None:
    assert numbers(audited((1.5, -1, list(range(2, 13))))) == (10, 10, 0, 0)
    assert numbers(audited((1.5, -1, list(range(2, 11))))) == (10, 9, 1, 0)


def test_ticks_outside_of_the_window_do_not_count() -> None:
    found = audited((0.5, -1, list(range(1, 13))))
    assert numbers(found) == (10, 10, 0, 0)
    assert found.duplicated == 0


def test_repeated_late_and_wrong_messages_are_counted() -> None:
    found = audited((250, 700.5, [4, 6, 5, 5, 7, 8]))
    assert (numbers(found), found.duplicated, found.reordered, found.corrupted) == ((5, 5, 0, 0), 1, 1, 0)
    digests = np.array([73, 74, 0, 76, 77], dtype=np.uint32)
    found = audited((250, 700.5, [4, 5, 6, 7, 8]), digest=digests)
    assert (found.corrupted, found.lost) == (1, 0)
    assert audited((250, 700.5, [4, 5, 6, 99])).corrupted == 1
    assert audited((250, 700.5, [4, 5, 6]), channel=np.array([0, 0, 1])).corrupted == 1


def test_each_visit_has_a_span_of_its_own() -> None:
    found = audited((250, 700.5, [4, 5, 6]), (450, -1, [6, 7, 8, 10, 11]), (-1, 30, []))
    assert numbers(found) == (3 + 6, 3 + 5, 1, 2)
    assert found.lost_of.tolist() == [0, 1, 0]
    assert found.visits == 2
    assert found.counts()["visits_lost"] == 1


def test_nothing_at_all() -> None:
    assert numbers(audited()) == (0, 0, 0, 0)


def test_a_visit_without_a_connection_is_damage() -> None:
    with pytest.raises(ValueError, match="a visit has no connection"):
        of_visit({"subscriber": np.array([4])}, {"subscriber": np.array([5]), "closed_ns": np.array([1])}, "closed_ns")
