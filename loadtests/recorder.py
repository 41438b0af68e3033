"""The recorder: decodes the capture buffer into rows of deliveries, requests and connections (rtbench.records).

Invariant: rows of one subscriber are in order of arrival, and only the message that a kernel stamp belongs to has it
(R2). Where several messages ended in one read, or a later read carried the same stamp, the stamp is only an upper bound
for the earlier ones, and they get -1. (The messages of one poll's answer were written together and share a stamp.)
Run outside the measured window; in it only where a trial is so long that the buffer fills (`Load.relieve`), or when a
subscriber reconnects, then piece by piece.
"""

from __future__ import annotations

import contextlib
import struct
import time
import zlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtbench.loadtests.reactor.capture import READ_BYTES
from rtbench.loadtests.reactor.http2 import SharedLink
from rtbench.loadtests.reactor.links import Link, PollLink
from rtbench.loadtests.reactor.tcp_info import TcpCounts
from rtbench.loadtests.reactor.tls import SEALED, TlsError
from rtbench.loadtests.rows import Rows
from rtbench.machine import clock
from rtbench.records.tables import ROW_GROUP, write_pieces, write_table
from rtbench.transports import Control, Heartbeat, Message, Opened, ProtocolError, Undecodable
from rtbench.transports.envelope import at_path
from rtbench.transports.poll import PollResponse

if TYPE_CHECKING:
    from rtbench.loadtests.reactor.reactor import Reactor
    from rtbench.loadtests.visits import Visits

Array = npt.NDArray[np.int64]

_STAMP = struct.Struct("qq")
_LATEST_S = 2**33
"""The latest due time, in Unix seconds, that fits nanoseconds of 64 bits. (JSON has 1e999; Python reads NaN, too.)"""


class Clock:
    """CLOCK_REALTIME (kernel stamps) paired with CLOCK_MONOTONIC (the timetable) through the trial (R2)."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []

    def pair(self) -> None:
        """Read both clocks."""
        self.pairs.append(clock.pair())

    def to_monotonic(self, real_ns: Array) -> Array:
        """Kernel stamps on CLOCK_MONOTONIC: the offset between two pairs is interpolated."""
        pairs = np.asarray(self.pairs, dtype=np.int64)
        offset_ns = pairs[:, 1] - pairs[:, 0]
        # Interpolate differences: a float cannot hold nanoseconds since 1970.
        at = (real_ns - pairs[0, 1]).astype(np.float64)
        drift = np.interp(at, (pairs[:, 1] - pairs[0, 1]).astype(np.float64), (offset_ns - offset_ns[0]).astype(float))
        monotonic: Array = real_ns - offset_ns[0] - np.rint(drift).astype(np.int64)
        return monotonic


class Recorder:
    """Decodes the reactor's capture buffer and keeps the rows of one load process."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self.clock = Clock()
        self.clock.pair()
        self.deliveries, self.requests, self.sends = Rows("deliveries"), Rows("requests"), Rows("sends")
        self.controls: dict[str, int] = {}
        self.faults: list[str] = []
        self.due: dict[tuple[int, int], int] = {}
        """(channel, id) to the due time (Unix ns) in the payload at the load's `due_path`."""
        self.response_headers: dict[str, str] = {}
        """The headers of the first decoded response, which show what was negotiated (R11)."""
        self.decode_cpu_ns = 0
        self.window = (0, 0)
        """The window's edges; (0, 0): not known yet."""
        self.opened_bytes = 0
        """Plaintext of TLS connections that was read in the window."""
        self._read = self._at = 0
        """The number of decoded reads in the buffer, and the offset of the next one's bytes."""
        reactor.on_full = self.decode

    def request(self, subscriber: int, planned_ns: int, asked_ns: int, now_ns: int, status: int, size: int) -> int:
        """Add the row of an answered poll and return its place; decoding fills in the number of messages."""
        place = self.requests.place()
        self.requests.append((subscriber, planned_ns, asked_ns, now_ns, status, 0, size))
        return place

    def record_send(self, subscriber: int, planned_ns: int, now_ns: int, size: int, digest: int) -> int:
        """Add the row of a subscriber's message (`now_ns` -1: not sent) and return its place, for the answer."""
        place = self.sends.place()
        self.sends.append((subscriber, planned_ns, now_ns, -1, 0, size, digest))
        return place

    def answer(self, place: int, now_ns: int, status: int) -> None:
        """Fill in the server's answer to a sent message."""
        self.sends.put(place, "answered_ns", now_ns)
        self.sends.put(place, "status", status)

    def decode(self, most: int | None = None) -> bool:
        """Decode `most` captured reads into rows (None: all). Returns whether the buffer was decoded and cleared."""
        before = time.thread_time_ns()
        capture, links = self._reactor.capture, self._reactor.links
        reads, data, stamps = capture.reads, capture.data, capture.stamps
        at, total = self._at, len(reads) // 3
        stop = total if most is None else min(total, self._read + most)
        for number in range(self._read, stop):
            tag, app_ns, size = reads[3 * number : 3 * number + 3]
            link = links[tag & ~SEALED]
            seconds, nanoseconds = _STAMP.unpack_from(stamps, 16 * number)
            stamp_ns = seconds * 1_000_000_000 + nanoseconds
            if link.last_stamp_ns == stamp_ns and link.last_row >= 0 and stamp_ns:
                self.deliveries.put(link.last_row, "kernel_ns", -1)
                if isinstance(link, SharedLink):
                    for row in link.last_rows[:-1]:
                        self.deliveries.put(row, "kernel_ns", -1)
            link.last_stamp_ns, link.last_row = stamp_ns, -1
            fault, events = "", ()
            try:
                piece = bytes(data[at : at + size])
                if tag & SEALED:
                    piece = link.unsealed(number, at, piece)
                if link.secured_ns >= 0 and self.window[0] <= app_ns < self.window[1]:
                    self.opened_bytes += len(piece)
                if isinstance(link, SharedLink):
                    self._streams(link, stamp_ns, app_ns, size == READ_BYTES)
                else:
                    events = link.codec.feed(piece)
            except ProtocolError as error:
                events, fault = error.events, str(error)
            except TlsError as error:
                fault = error.why
            at += size
            self._events(link, events, stamp_ns, app_ns, size == READ_BYTES)
            if fault:
                self._fault(link, fault)
        self._read, self._at = stop, at
        if stop == total:
            self._read = self._at = 0
            capture.clear()
        self.decode_cpu_ns += time.thread_time_ns() - before
        return stop == total

    def _streams(self, shared: SharedLink, stamp_ns: int, app_ns: int, cut: bool) -> None:
        """A read of a connection with many streams: the messages of its last record have the stamp (R2).

        All of a record is there at one moment, when its last byte is.
        """
        first = stamped = self.deliveries.place()
        record = -1
        for link, part, number in shared.taken():
            link.last_row, fault, events = -1, "", ()
            before = self.deliveries.place()
            try:
                events = link.codec.feed(part)
            except ProtocolError as error:
                events, fault = error.events, str(error)
            self._events(link, events, stamp_ns, app_ns, False)
            if (after := self.deliveries.place()) > before:
                if number != record:
                    stamped, record, shared.last_rows = before, number, []
                shared.last_rows += range(before, after)
            if fault:
                self._fault(link, fault)
        if record >= 0:
            shared.last_row = shared.last_rows[-1]
        if cut:
            stamped = self.deliveries.place()
        if stamped > first:
            self.deliveries.fill(first, stamped, "kernel_ns", -1)

    def _events(self, link: Link, events: Iterable[Any], stamp_ns: int, app_ns: int, cut: bool) -> None:
        first = self.deliveries.place()
        for event in events:
            kind = type(event)
            if kind is Message:
                self._message(link, event, stamp_ns, app_ns)
            elif kind is PollResponse:
                assert isinstance(link, PollLink)
                self.response_headers = self.response_headers or dict(event.headers)
                for message in event.messages:
                    self._message(link, message, stamp_ns, app_ns)
                if event.messages and type(event.messages[-1]) is Undecodable:  # an answer of one message
                    self._fault(link, event.messages[-1].why)
                if link.rows:
                    self.requests.put(link.rows.popleft(), "messages", len(event.messages))
                link.last_row = -1
                for control in event.controls:
                    self._count(control.kind)
            elif kind is Control:
                self._count(event.kind)
            elif kind is Heartbeat:
                self._count("heartbeat")
                link.codec.to_send()  # the scanner has answered it; what nothing takes would pile up
            elif kind is Undecodable:
                cursor = link.subscriber.cursor
                self._message(link, event, stamp_ns, app_ns)
                link.subscriber.cursor = cursor
                self._fault(link, event.why)
            elif kind is Opened:
                self.response_headers = self.response_headers or dict(event.headers)
        # Only the last message of a read surely owns its stamp; a read that was cut has a later message's.
        stamped = self.deliveries.place() if cut else link.last_row
        if stamped > first and not isinstance(link, PollLink):
            self.deliveries.fill(first, stamped, "kernel_ns", -1)

    def _message(self, link: Link, message: Message, stamp_ns: int, app_ns: int) -> None:
        subscriber, payload = link.subscriber, message.payload
        if link.first_message_ns < 0:
            link.first_message_ns = app_ns
        if subscriber.load.due_path:
            self._note_due(subscriber.channel.number, message, subscriber.load.due_path)
        if subscriber.on_message is not None:
            subscriber.on_message(message)
        link.last_row = self.deliveries.place()
        subscriber.cursor = message.id
        self.deliveries.append(
            (
                subscriber.index,
                link.connection,
                subscriber.channel.number,
                message.id,
                stamp_ns or -1,
                app_ns,
                len(payload),
                zlib.crc32(payload),
            )
        )

    def _note_due(self, channel: int, message: Message, path: list[str]) -> None:
        key = channel, message.id
        if key not in self.due:
            value = at_path(message.payload, path)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LATEST_S:
                self.due[key] = round(value * 1e9)

    def _count(self, kind: str) -> None:
        self.controls[kind] = self.controls.get(kind, 0) + 1

    def _fault(self, link: Link, why: str) -> None:
        if len(self.faults) < 20:
            self.faults.append(f"subscriber {link.subscriber.index}, connection {link.connection}: {why}")

    def spill(self, folder: Path) -> None:
        """Move rows from memory to files in `folder`, where there are many. A disk that takes none: they stay here,
        and `write` meets the same disk."""
        for rows in (self.deliveries, self.requests, self.sends):
            with contextlib.suppress(OSError):
                rows.spill(folder)

    def table(self, first: int = 0) -> dict[str, Array]:
        """The deliveries from row `first` on, kernel stamps on CLOCK_MONOTONIC."""
        return self._stamped(self.deliveries.columns(first))

    def _stamped(self, columns: dict[str, Array]) -> dict[str, Array]:
        kernel = columns["kernel_ns"]
        stamped = kernel >= 0
        kernel[stamped] = self.clock.to_monotonic(kernel[stamped])
        return columns

    def write(self, folder: Path, suffix: str, polling: bool, visits: Visits | None = None) -> None:
        """Write this process's shard of a trial's files. OSError (a full disk) passes through.

        What visitors had goes into a table of its own.
        """
        self.clock.pair()
        pieces = partial(self.deliveries.pieces, ROW_GROUP)
        staying: Iterable[dict[str, Array]] = map(self._stamped, pieces())
        if visits is not None:
            first = visits.first
            staying = (_rows(piece, piece["subscriber"] < first) for piece in staying)
            visiting = (_rows(piece, piece["subscriber"] >= first) for piece in map(self._stamped, pieces()))
            write_pieces(folder / f"visit_deliveries{suffix}.parquet", "visit_deliveries", visiting)
            write_table(folder / f"visits{suffix}.parquet", "visits", visits.table())
        write_pieces(folder / f"deliveries{suffix}.parquet", "deliveries", staying)
        if polling:
            write_pieces(folder / f"requests{suffix}.parquet", "requests", self.requests.pieces(ROW_GROUP))
        if self.sends:
            write_pieces(folder / f"sends{suffix}.parquet", "sends", self.sends.pieces(ROW_GROUP))
        write_table(folder / f"connections{suffix}.parquet", "connections", self._connections())

    def _connections(self) -> dict[str, Any]:
        links = [link for link in self._reactor.links if not isinstance(link, SharedLink)]
        columns: dict[str, Any] = {
            name: [getattr(link, name) for link in links]
            for name in (
                "connection",
                "local_port",
                "started_ns",
                "connected_ns",
                "secured_ns",
                "response_ns",
                "first_message_ns",
                "closed_ns",
                "outcome",
            )
        }
        whole = [link.counts_now() for link in links]
        columns["planned_ns"] = [link.attempt_ns for link in links]
        columns["subscriber"] = [link.subscriber.index for link in links]
        for suffix, counts in (
            ("", whole),
            ("_at_start", [link.at_start for link in links]),
            ("_at_end", [link.at_end for link in links]),
        ):
            for name in TcpCounts._fields:
                columns[f"tcp_{name}{suffix}"] = [getattr(one, name) for one in counts]
        return columns


def _rows(table: dict[str, Array], chosen: npt.NDArray[np.bool_]) -> dict[str, Array]:
    return {name: column[chosen] for name, column in table.items()}
