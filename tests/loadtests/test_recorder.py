"""From a capture buffer made by hand to rows: what was delivered, by whose stamp (R2), and what was asked."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtbench.loadtests import recorder as recorder_module
from rtbench.loadtests import rows as rows_module
from rtbench.loadtests.reactor.capture import READ_BYTES
from rtbench.loadtests.recorder import Clock
from rtbench.records import tables
from rtbench.records.audit import audit
from rtbench.records.tables import read_table

A, B, C = b'{"a":1}', b'{"b":22}', b'{"c":333}'

# The clock


def to_monotonic(pairs: list[tuple[int, int]], *real_ns: int) -> list[int]:
    clock = Clock()
    clock.pairs = pairs
    converted: list[int] = clock.to_monotonic(np.array(real_ns, dtype=np.int64)).tolist()
    return converted


NOW = 1_767_225_600_123_456_789


def test_one_pair_is_an_offset() -> None:
    assert to_monotonic([(5_000, NOW)], NOW, NOW + 1, NOW - 7) == [5_000, 5_001, 4_993]


def test_exact_to_the_nanosecond_at_the_end_of_int64() -> None:
    last = 2**63 - 1
    assert to_monotonic([(1_000, last - 10)], last) == [1_010]


def test_drift_between_two_pairs_is_spread_over_the_time_between_them() -> None:
    second = 1_000_000_000
    # In 10 s by the monotonic clock the real one went 10 s + 1 ms: it was slewed.
    pairs = [(0, NOW), (10 * second, NOW + 10 * second + 1_000_000)]
    assert to_monotonic(pairs, NOW, NOW + 10 * second + 1_000_000) == [0, 10 * second]
    (middle,) = to_monotonic(pairs, NOW + 5 * second)
    assert middle == pytest.approx(5 * second - 500_000, abs=100)


def test_before_the_first_and_after_the_last_pair_their_offsets_hold() -> None:
    pairs = [(1_000, NOW), (2_000, NOW + 1_100)]
    assert to_monotonic(pairs, NOW - 500, NOW + 5_000) == [500, 5_900]


@settings(max_examples=50)
@given(
    steps=st.lists(st.tuples(st.integers(1, 10**10), st.integers(-50_000, 50_000)), min_size=1, max_size=8),
    part=st.floats(0, 1),
)
def test_order_is_kept_and_every_pair_is_met(steps: list[tuple[int, int]], part: float) -> None:
    pairs = [(10**9, NOW)]
    for step, drift in steps:
        pairs.append((pairs[-1][0] + step + 100_000, pairs[-1][1] + step + 100_000 + drift))
    assert to_monotonic(pairs, *(real for _, real in pairs)) == [monotonic for monotonic, _ in pairs]
    span = pairs[-1][1] - NOW
    between = NOW + int(span * part)
    low, high = to_monotonic(pairs, NOW, pairs[-1][1])
    assert low <= to_monotonic(pairs, between)[0] <= high


def test_no_stamps_are_no_stamps() -> None:
    assert to_monotonic([(0, NOW)]) == []


def test_pairing_reads_both_clocks() -> None:
    clock = Clock()
    clock.pair()
    clock.pair()
    (a, x), (b, y) = clock.pairs
    assert a <= b
    assert abs((y - x) - (b - a)) < 1_000_000


# Deliveries: what is in a row


def push(bench: Any, wire: Any, transport: str) -> Any:
    """A subscribed link, and how this transport sends one message."""
    link = bench.link(transport)
    if transport == "sse":
        bench.reactor.read(link, wire.sse_head)
        send = wire.sse
    else:
        bench.reactor.read(link, wire.upgrade(link.socket.sent))
        send = wire.text
    return link, send


PUSH = pytest.mark.parametrize("transport", ["sse", "websocket"])
Make = Callable[..., Any]


@PUSH
def test_a_row_has_all_that_a_delivery_has(bench: Make, wire: Any, transport: str) -> None:
    here = bench(unicast=True)
    other, _ = push(here, wire, transport)
    link, send = push(here, wire, transport)
    here.reactor.read(link, send(41, B), 1_000, 1_500)
    columns = ("subscriber", "connection", "channel", "seq", "kernel_ns", "app_ns", "payload_bytes", "digest")
    assert here.deliveries(*columns) == [(1, 0, 1, 41, 1_000, 1_500, len(B), zlib.crc32(B))]
    assert (link.first_message_ns, other.first_message_ns) == (1_500, -1)
    assert link.subscriber.cursor == 41


@PUSH
def test_rows_are_in_order_of_arrival_over_subscribers(bench: Make, wire: Any, transport: str) -> None:
    here = bench()
    (one, send), (two, _) = push(here, wire, transport), push(here, wire, transport)
    for at, (link, seq) in enumerate([(one, 1), (two, 1), (two, 2), (one, 2)], start=1):
        here.reactor.read(link, send(seq, A), at * 100, at * 100 + 1)
    assert here.deliveries("subscriber", "seq", "kernel_ns", "app_ns") == [
        (0, 1, 100, 101),
        (1, 1, 200, 201),
        (1, 2, 300, 301),
        (0, 2, 400, 401),
    ]


@PUSH
def test_a_message_in_pieces_is_stamped_by_its_last(bench: Make, wire: Any, transport: str) -> None:
    here = bench()
    link, send = push(here, wire, transport)
    data = send(1, A)
    for number, byte in enumerate(data, start=1):
        here.reactor.read(link, bytes([byte]), number * 10, number * 10 + 1)
    last = len(data) - (2 if transport == "sse" else 0)  # what ends the chunk comes after what ends the event
    assert here.deliveries("seq", "kernel_ns", "app_ns") == [(1, last * 10, last * 10 + 1)]


@PUSH
def test_decoding_in_between_changes_nothing(bench: Make, wire: Any, transport: str) -> None:
    reads = [(1, 10), (2, 20), (3, 20), (4, 30)]
    results = []
    for most in (0, None, 1):
        here = bench()
        link, send = push(here, wire, transport)
        for seq, stamp in reads:
            data = send(seq, A)
            for piece in (data[:9], data[9:]):
                here.reactor.read(link, piece, stamp, stamp + 1)
                if most != 0:
                    here.load.recorder.decode(most)
        results.append(here.deliveries("seq", "kernel_ns", "app_ns"))
    assert results == [[(1, 10, 11), (2, -1, 21), (3, 20, 21), (4, 30, 31)]] * 3


def test_the_tape_is_begun_again_when_its_last_piece_is_decoded(bench: Make, wire: Any) -> None:
    here = bench()
    link, send = push(here, wire, "sse")
    for seq in (1, 2, 3):
        here.reactor.read(link, send(seq, A), seq, seq)
    recorder, capture = here.load.recorder, here.reactor.capture
    left = len(capture.reads) // 3
    assert [recorder.decode(1) for _ in range(left - 1)] == [False] * (left - 1)
    assert capture.at > 0
    here.reactor.read(link, send(4, A), 4, 4)  # reading goes on meanwhile
    assert not recorder.decode(1)
    assert recorder.decode(1)
    assert (capture.at, len(capture.reads)) == (0, 0)
    assert here.deliveries("seq") == [(1,), (2,), (3,), (4,)]


def test_a_full_tape_is_decoded_and_begun_again(bench: Make, wire: Any) -> None:
    here = bench()
    link, send = push(here, wire, "sse")
    big = b'"' + b"x" * 50_000 + b'"'
    for seq in range(1, 21):
        here.reactor.read(link, send(seq, big), seq, seq)
    assert here.reactor.capture.at < 4 * READ_BYTES
    assert here.deliveries("seq", "payload_bytes") == [(seq, len(big)) for seq in range(1, 21)]


# R2: whose stamp it is


@PUSH
def test_of_several_messages_in_one_read_the_last_owns_the_stamp(bench: Make, wire: Any, transport: str) -> None:
    here = bench()
    link, send = push(here, wire, transport)
    here.reactor.read(link, send(1, A) + send(2, B) + send(3, C), 100, 101)
    here.reactor.read(link, send(4, A), 200, 201)
    assert here.deliveries("seq", "kernel_ns") == [(1, -1), (2, -1), (3, 100), (4, 200)]


@PUSH
def test_of_several_reads_with_one_stamp_the_last_owns_it(bench: Make, wire: Any, transport: str) -> None:
    # Tried: five messages 100 ms apart, read late, all carried the last one's stamp.
    here = bench()
    link, send = push(here, wire, transport)
    for seq in range(1, 6):
        here.reactor.read(link, send(seq, A), 500, 500 + seq)
    assert here.deliveries("seq", "kernel_ns") == [(1, -1), (2, -1), (3, -1), (4, -1), (5, 500)]


@PUSH
def test_a_stamp_that_goes_on_in_a_later_piece_is_not_the_earlier_messages(
    bench: Make, wire: Any, transport: str
) -> None:
    here = bench()
    link, send = push(here, wire, transport)
    second = send(2, B)
    here.reactor.read(link, send(1, A), 100, 101)
    here.reactor.read(link, second[:5], 100, 102)
    here.reactor.read(link, second[5:], 300, 301)
    assert here.deliveries("seq", "kernel_ns") == [(1, -1), (2, 300)]


@PUSH
def test_one_stamp_on_two_connections_is_two_stamps(bench: Make, wire: Any, transport: str) -> None:
    here = bench()
    (one, send), (two, _) = push(here, wire, transport), push(here, wire, transport)
    here.reactor.read(one, send(1, A), 100, 101)
    here.reactor.read(two, send(1, A), 100, 102)
    assert here.deliveries("subscriber", "kernel_ns") == [(0, 100), (1, 100)]


@PUSH
def test_without_stamps_there_are_none(bench: Make, wire: Any, transport: str) -> None:
    here = bench()
    link, send = push(here, wire, transport)
    here.reactor.read(link, send(1, A) + send(2, B), 0, 101)
    here.reactor.read(link, send(3, A), 0, 102)
    assert here.deliveries("seq", "kernel_ns", "app_ns") == [(1, -1, 101), (2, -1, 101), (3, -1, 102)]


def test_a_read_that_was_cut_carries_a_later_messages_stamp(bench: Make, wire: Any) -> None:
    here = bench()
    link, send = push(here, wire, "sse")
    first, last = send(1, A), send(2, b'"' + b"x" * READ_BYTES + b'"')
    room = READ_BYTES - len(first)
    here.reactor.read(link, first + last[:room], 100, 101)
    here.reactor.read(link, last[room:], 200, 201)
    assert here.deliveries("seq", "kernel_ns") == [(1, -1), (2, 200)]


def test_pongs_that_the_scanner_has_sent_do_not_pile_up_in_the_codec(bench: Make, wire: Any) -> None:
    """The codec owes them again when the recorder decodes. Nothing sends them then."""
    here = bench()
    link = here.link("websocket")
    here.reactor.read(link, wire.upgrade(link.socket.sent))
    for _ in range(20):
        here.reactor.read(link, wire.frame(9, b"p") * 100)
    assert here.deliveries("seq") == []
    assert here.load.recorder.controls == {"heartbeat": 2000}
    assert link.codec.to_send() == b""


@pytest.mark.parametrize("due", [b"1e999", b"NaN", b"-1e300", b"9300000000", b"true", b'"5"', b"[5]"])
def test_a_due_time_that_is_none_is_left_out(bench: Make, wire: Any, due: bytes) -> None:
    here = bench(due="due")
    link = here.link("websocket")
    here.reactor.read(link, wire.upgrade(link.socket.sent))
    here.reactor.read(link, wire.text(1, b'{"due":5}') + wire.text(2, b'{"due":%b}' % due))
    assert here.deliveries("seq") == [(1,), (2,)]
    assert here.load.recorder.due == {(0, 1): 5_000_000_000}


def test_heartbeats_and_controls_are_counted_and_take_no_stamp(bench: Make, wire: Any) -> None:
    here = bench()
    link, send = push(here, wire, "sse")
    here.reactor.read(link, send(1, A) + wire.chunk(b": still here\n\n"), 100, 101)
    here.reactor.read(link, wire.chunk(b'event: gap\ndata: {"from":2,"to":3,"reason":"slow"}\n\n'), 200, 201)
    here.reactor.read(link, wire.chunk(b'event: end\ndata: {"last":3}\n\n'), 300, 301)
    assert here.deliveries("seq", "kernel_ns") == [(1, 100)]
    assert here.load.recorder.controls == {"heartbeat": 1, "gap": 1, "end": 1}


# What a foreign server sends


@PUSH
def test_a_message_that_cannot_be_read_is_corrupted_and_the_next_is_read(
    bench: Make, wire: Any, transport: str
) -> None:
    here = bench(carries_id="payload", payload="json:pub.data")
    link, _ = push(here, wire, transport)
    good = b'{"pub":{"data":{"id":%d,"data":{"a":1}}}}'
    texts = [b'{"connect":{}}', good % 1, b'{"pub":{"data":', b'{"pub":{}}', b"{}", good % 4, *[b"?"] * 30]
    for at, text in enumerate(texts, start=1):
        data = wire.chunk(b"data: %b\n\n" % text) if transport == "sse" else wire.frame(1, text)
        here.reactor.read(link, data, at * 100, at * 100 + 1)
    rows = here.deliveries("seq", "kernel_ns", "payload_bytes", "digest")
    broken = [(-1, 300, 15, zlib.crc32(texts[2])), (-1, 400, 10, zlib.crc32(texts[3]))]
    assert rows[:4] == [(1, 200, len(A), zlib.crc32(A)), *broken, (4, 600, len(A), zlib.crc32(A))]
    assert [row[0] for row in rows[4:]] == [-1] * 30
    assert link.subscriber.cursor == 4
    recorder = here.load.recorder
    assert recorder.controls == {"other": 2}
    assert len(recorder.faults) == 20  # bounded; the audit has all of them
    assert 'subscriber 0, connection 0: nothing to take at pub.data of b\'{"pub":{"data":\'' in recorder.faults[0]
    ticks = {name: np.zeros(4, dtype=np.int64) for name in ("channel", "due_ns")}
    ticks |= {"seq": np.arange(1, 5), "payload_bytes": np.full(4, len(A)), "digest": np.full(4, zlib.crc32(A))}
    counts = audit(recorder.table(), ticks, (0, 1), [0]).counts()
    assert counts == {"expected": 4, "delivered": 2, "lost": 2, "duplicated": 0, "reordered": 0, "corrupted": 32}


def test_an_event_s_own_id_goes_with_a_payload_at_a_path(bench: Make, wire: Any) -> None:
    here = bench(payload="json:x")
    link, _ = push(here, wire, "sse")
    here.reactor.read(link, wire.chunk(b'id: 7\ndata: {"x":{"a":1}}\n\n'), 100, 101)
    here.reactor.read(link, wire.chunk(b"id: 8\ndata: ?\n\n"), 200, 201)
    assert here.deliveries("seq", "payload_bytes") == [(7, len(A)), (-1, 1)]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reads=st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=12))
def test_a_stamp_stands_with_one_message_at_most(bench: Make, wire: Any, reads: list[tuple[int, bool]]) -> None:
    """Reads of `count` messages; `merged`: the kernel gave the next read this one's stamp."""
    here = bench()
    link, send = push(here, wire, "sse")
    seq, stamp, expected = 0, 100, []
    for count, merged in reads:
        data = b"".join(send(seq + number, A) for number in range(1, count + 1))
        here.reactor.read(link, data, stamp, stamp)
        expected += [-1] * (count - 1) + [stamp]
        if len(expected) > count and expected[-count - 1] == stamp:
            expected[-count - 1] = -1
        seq += count
        stamp += 0 if merged else 100
    assert [kernel for (kernel,) in here.deliveries("kernel_ns")] == expected


# Polls


def test_polls_messages_keep_the_stamp_of_their_answer(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("short-poll")
    here.reactor.read(link, wire.answer((1, A), (2, B), following=2), 100, 101)
    link.ask(500)
    here.reactor.read(link, wire.answer((3, C), following=3), 100, 102)
    assert here.deliveries("seq", "kernel_ns", "app_ns") == [(1, 100, 101), (2, 100, 101), (3, 100, 102)]


def test_requests_have_their_status_size_and_number_of_messages(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("short-poll")
    answers = [
        wire.answer((1, A), (2, B), following=2),
        wire.empty(304, b'ETag: "2"\r\n'),
        wire.answer((3, C), following=3),
        wire.empty(204),
    ]
    for number, data in enumerate(answers):
        if number:
            link.ask(1_000 * number)
        here.reactor.read(link, data, 10 * number + 5, 10 * number + 6)
    rows = here.requests()
    assert [(row[0], row[4], row[5], row[6]) for row in rows] == [
        (0, 200, 2, len(answers[0])),
        (0, 304, 0, len(answers[1])),
        (0, 200, 1, len(answers[2])),
        (0, 204, 0, len(answers[3])),
    ]
    assert [row[3] for row in rows] == [6, 16, 26, 36]
    assert [row[1] for row in rows[1:]] == [1_000, 2_000, 3_000]


@pytest.mark.parametrize("size", [1, 7, 60])
def test_an_answer_in_pieces_is_one_answer(bench: Make, wire: Any, size: int) -> None:
    here = bench()
    link = here.link("long-poll")
    for data in (wire.answer((1, A), (2, B), following=2), wire.answer((3, C), following=3)):
        for at in range(0, len(data), size):
            here.reactor.read(link, data[at : at + size], 100, 101)
    assert [(row[4], row[5], row[6]) for row in here.requests()] == [
        (200, 2, len(wire.answer((1, A), (2, B), following=2))),
        (200, 1, len(wire.answer((3, C), following=3))),
    ]
    assert [seq for (seq,) in here.deliveries("seq")] == [1, 2, 3]


def test_polls_of_two_subscribers_are_distinguished(bench: Make, wire: Any) -> None:
    here = bench()
    one, two = here.link("short-poll"), here.link("short-poll")
    here.reactor.read(two, wire.answer((1, A), following=1), 5, 6)
    here.reactor.read(one, wire.answer((1, A), (2, B), following=2), 7, 8)
    assert [(row[0], row[5]) for row in here.requests()] == [(1, 1), (0, 2)]


def test_gap_notices_of_polls_are_counted(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("short-poll")
    body = b'{"messages":[],"next":9,"gap":{"from":1,"to":9,"reason":"ring"},"end":false}'
    here.reactor.read(link, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body), 5, 6)
    assert here.requests()[0][4:6] == (200, 0)
    assert here.load.recorder.controls == {"gap": 1}
    assert link.client.since == 9


# Faults


def test_a_broken_stream_is_a_fault_and_keeps_what_came_before(bench: Make, wire: Any) -> None:
    here = bench()
    link, send = push(here, wire, "sse")
    here.reactor.read(link, send(1, A) + b"no chunk\r\n", 100, 101)
    assert here.deliveries("seq") == [(1,)]
    (fault,) = here.load.recorder.faults
    assert fault.startswith("subscriber 0, connection 0: ")


def test_faults_do_not_pile_up(bench: Make, wire: Any) -> None:
    here = bench()
    for _ in range(30):
        link, _ = push(here, wire, "sse")
        here.reactor.read(link, b"no chunk\r\n", 100, 101)
    here.load.recorder.decode()
    assert len(here.load.recorder.faults) == 20


# Files


def test_shards_are_written_on_the_monotonic_clock(bench: Make, wire: Any, tmp_path: Path) -> None:
    here = bench()
    here.load.recorder.clock.pairs = [(5_000, NOW)]
    link, send = push(here, wire, "sse")
    here.reactor.read(link, send(1, A), NOW + 100, 5_200)
    poll = here.link("short-poll")
    here.reactor.read(poll, wire.answer((1, A), following=1), NOW + 300, 5_400)
    here.load.recorder.decode()
    here.load.recorder.clock.pair = lambda: None
    here.load.recorder.write(tmp_path, "-7", polling=True)
    deliveries = read_table(tmp_path / "deliveries-7.parquet", "deliveries")
    assert deliveries["kernel_ns"].tolist() == [5_100, 5_300]
    assert read_table(tmp_path / "requests-7.parquet", "requests")["messages"].tolist() == [1]
    connections = read_table(tmp_path / "connections-7.parquet", "connections")
    assert connections["subscriber"].tolist() == [0, 1]
    assert connections["outcome"].tolist() == ["open", "open"]
    assert connections["first_message_ns"].tolist() == [5_200, 5_400]
    assert connections["local_port"].tolist() == [50_000, 50_000]
    assert connections["tcp_received_bytes"].tolist() == connections["tcp_received_segments"].tolist() == [-1, -1]


def test_nothing_recorded_is_empty_tables(bench: Make, tmp_path: Path) -> None:
    bench().load.recorder.write(tmp_path, "", polling=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["connections.parquet", "deliveries.parquet"]
    assert len(read_table(tmp_path / "deliveries.parquet", "deliveries")["seq"]) == 0


@pytest.mark.parametrize("transport", ["sse", "short-poll"])
def test_rows_that_go_to_a_file_in_between_give_the_same_bytes(
    bench: Make, wire: Any, transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP", 4)
    monkeypatch.setattr(recorder_module, "ROW_GROUP", 4)
    monkeypatch.setattr(recorder_module.time, "monotonic_ns", lambda: 7)
    for numbers in (10**9, 1, 20):  # never, after each read, in between
        monkeypatch.setattr(rows_module, "SPILL_NUMBERS", numbers)
        folder = tmp_path / str(numbers)
        folder.mkdir()
        here = bench(streams=("fanout",))
        recorder = here.load.recorder
        link, send = push(here, wire, transport) if transport == "sse" else (here.link(transport), None)
        for seq in range(1, 31):
            # Stamps that a later read shares take back those of rows that may be in the file by then.
            data = send(seq, A) if send else wire.answer((seq, A), (seq + 100, B), following=seq)
            here.reactor.read(link, data, 100 * (seq // 3), 100 * seq)
            here.turn()  # the next poll
            recorder.decode()
            recorder.spill(folder)
        assert len(recorder.deliveries) == (30 if send else 60)
        assert not list(folder.iterdir())  # the file has no name
        recorder.clock.pair = lambda: None
        recorder.write(folder, "", polling=send is None)
    names = ["deliveries.parquet"] + ([] if transport == "sse" else ["requests.parquet"])
    for name in names:
        kept, *spilled = ((tmp_path / str(numbers) / name).read_bytes() for numbers in (10**9, 1, 20))
        assert spilled == [kept, kept]
    found = read_table(tmp_path / "1" / "deliveries.parquet", "deliveries")
    assert len(found["seq"]) == (30 if transport == "sse" else 60)
    if transport == "sse":
        assert (found["kernel_ns"] == -1).sum() == 20
    else:
        assert read_table(tmp_path / "1" / "requests.parquet", "requests")["messages"].tolist() == [2] * 30


def test_a_disk_that_takes_no_rows_costs_none(
    bench: Make, wire: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "SPILL_NUMBERS", 1)
    here = bench()
    link, send = push(here, wire, "sse")
    for seq in range(1, 5):
        here.reactor.read(link, send(seq, A), seq, seq)
        here.load.recorder.decode()
        with monkeypatch.context() as full:
            if seq > 2:
                full.setattr(rows_module.os, "pwrite", _full)
            here.load.recorder.spill(tmp_path / "missing" if seq == 1 else tmp_path)
    here.load.recorder.write(tmp_path, "", polling=False)
    assert read_table(tmp_path / "deliveries.parquet", "deliveries")["seq"].tolist() == [1, 2, 3, 4]


def _full(*_: Any) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_long_trial_is_decoded_as_it_goes(
    bench: Make, wire: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "SPILL_NUMBERS", 1)
    here = bench(capture_bytes=0, spill=str(tmp_path))
    load, recorder, capture = here.load, here.load.recorder, here.reactor.capture
    link, send = push(here, wire, "sse")
    seq, data = 0, b"x" * 1000
    while capture.at <= 0.7 * capture.limit:
        here.reactor.read(link, send(seq := seq + 1, data), seq, seq)
    load.relieve()
    here.turn()
    assert capture.at
    assert not recorder.deliveries  # a trial of this size decodes nothing before its end
    while capture.at <= 0.75 * capture.limit:
        here.reactor.read(link, send(seq := seq + 1, data), seq, seq)
    load.relieve()
    while here.reactor.timers:
        here.turn()
    assert (capture.at, len(recorder.deliveries)) == (0, seq)
    for _ in range(3):  # from then on every second
        here.reactor.read(link, send(seq := seq + 1, data), seq, seq)
        load.relieve()
        while here.reactor.timers:
            here.turn()
        assert (capture.at, len(recorder.deliveries)) == (0, seq)
    assert recorder.table()["seq"].tolist() == []  # all in the file
    recorder.write(tmp_path, "", polling=False)
    assert read_table(tmp_path / "deliveries.parquet", "deliveries")["seq"].tolist() == list(range(1, seq + 1))


def test_table_from_a_row_on(bench: Make, wire: Any) -> None:
    here = bench()
    link, send = push(here, wire, "sse")
    for seq in (1, 2, 3):
        here.reactor.read(link, send(seq, A), seq * 10, seq * 10)
    here.load.recorder.decode()
    assert here.load.recorder.table(2)["seq"].tolist() == [3]
    assert here.load.recorder.table(3)["seq"].tolist() == []


def test_decoding_is_billed(bench: Make, wire: Any) -> None:
    here = bench()
    link, send = push(here, wire, "sse")
    for seq in range(1, 200):
        here.reactor.read(link, send(seq, A))
    here.load.recorder.decode()
    assert here.load.recorder.decode_cpu_ns > 0
