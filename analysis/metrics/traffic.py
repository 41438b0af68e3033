"""Bytes and segments per message that arrived in the window, at three layers (R5), and the CPU of a segment.

TCP counts are TCP_INFO's at the edges of the window, so the one-time bytes of set-up are not in them; they are
divided by the messages that arrived between the edges, which are the ones that they carried. The CPU of a pushed
message is segments a message times CPU a segment (R17). A segment is what the other end sees of a write: joined and
split writes show in their number.
"""

from __future__ import annotations

import numpy as np

from rtbench.analysis.metrics import metric
from rtbench.analysis.samples.samples import Samples


@metric(
    "payload_bytes_per_message", "bytes", "neither", "Payload per message", "the message itself, without any envelope"
)
def payload(samples: Samples) -> float | None:
    return samples.per_message(samples.arrived_payload_bytes)


@metric(
    "tcp_down_bytes_per_message",
    "bytes",
    "lower",
    "TCP stream, server to client",
    "bytes of the TCP stream that clients received in the window, with envelopes, heads and pings",
)
def tcp_down(samples: Samples) -> float | None:
    return samples.per_message(gained(samples, "tcp_received_bytes"))


@metric(
    "tcp_up_bytes_per_message",
    "bytes",
    "lower",
    "TCP stream, client to server",
    "bytes of the TCP stream that clients sent in the window: requests, pongs",
)
def tcp_up(samples: Samples) -> float | None:
    return samples.per_message(gained(samples, "tcp_sent_bytes"))


@metric(
    "wire_bytes_per_message",
    "bytes",
    "lower",
    "Wire, both directions",
    "bytes on the interface with all headers; only when the run had a network of its own",
)
def wire(samples: Samples) -> float | None:
    table = samples.trial.manifest.get("bytes") or {}
    begin, end = table.get("wire_bytes_at_start"), table.get("wire_bytes_at_end")
    if begin is None or end is None or not 0 <= begin <= end:  # -1: a server that was down had no interface
        return None
    return samples.per_message(end - begin)


PUSHES = ("sse", "websocket", "tcp")


@metric(
    "tcp_segments_per_message",
    "segments",
    "neither",
    "Data segments per message",
    "segments with data that clients received in the window: below 1 where writes are joined, above 1 where a message "
    "or an answer takes several; heartbeats are in it",
)
def tcp_segments(samples: Samples) -> float | None:
    return samples.per_message(gained(samples, "tcp_received_segments"))


@metric(
    "server_cpu_ns_per_segment",
    "ns",
    "lower",
    "Server CPU per data segment",
    "processor time of the server's whole process tree in the window, by the segments with data that clients received "
    "in it; times the segments per message it is the server CPU per message",
    *PUSHES,
)
def server_cpu_per_segment(samples: Samples) -> float | None:
    cpu_ns, segments = samples.process("server", "cpu_ns"), gained(samples, "tcp_received_segments")
    return cpu_ns / segments if cpu_ns is not None and segments else None


def gained(samples: Samples, counter: str) -> int | None:
    """What all connections' `counter` gained between the edges of the window; None when one's part is not known.

    A connection that was not there at an edge has -1 there: opened inside, it began at 0; closed inside, it ended at
    its total; closed before or opened after, it has no part.
    """
    table = samples.connections
    start_ns, end_ns = samples.window
    total, closed, began = table[counter], table["closed_ns"], table["started_ns"]
    before = (closed >= 0) & (closed < start_ns)
    outside = before | (began >= end_ns)
    begin, end = table[f"{counter}_at_start"], table[f"{counter}_at_end"]
    begin = np.where((begin < 0) & (began >= start_ns), 0, begin)
    end = np.where((end < 0) & (closed >= 0) & (closed < end_ns), total, end)
    part = np.where(outside, 0, end - begin)
    unknown = ~outside & ((begin < 0) | (end < 0))
    return None if bool(unknown.any()) else int(part.sum())
