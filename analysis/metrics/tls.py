"""TLS: what its handshakes take and cost, and what its records add to the bytes (R5, R6). Null in cleartext.

A handshake's time is the load's: from the TCP connection until the client has verified the server. While many connect
at once, they wait for each other in both processes, so that it rises with `ramp_hz`. Its CPU is measured apart, with
one connection after the other (`rtbench.trial._handshakes`).
"""

from __future__ import annotations

import numpy as np

from rtbench.analysis.metrics import metric
from rtbench.analysis.metrics.traffic import gained
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.statistics.quantiles import quantiles


def _handshake(samples: Samples, level: float) -> float | None:
    table = samples.connections
    done = table["secured_ns"] >= 0
    (found,) = quantiles(np.sort((table["secured_ns"] - table["connected_ns"])[done]), [level])
    return found


@metric(
    "handshake_p50_ns",
    "ns",
    "lower",
    "TLS handshake, median",
    "from TCP connected until the client had verified the server",
)
def handshake_p50(samples: Samples) -> float | None:
    return _handshake(samples, 0.5)


@metric("handshake_p99_ns", "ns", "lower", "TLS handshake, p99", "the same, 99th percentile of the connections")
def handshake_p99(samples: Samples) -> float | None:
    return _handshake(samples, 0.99)


def _cpu(samples: Samples, kind: str) -> float | None:
    table = (samples.trial.manifest.get("tls") or {}).get("handshakes") or {}
    count = table.get(kind)
    return table[f"{kind}_cpu_ns"] / count if count else None


@metric(
    "server_cpu_ns_per_handshake",
    "ns",
    "lower",
    "Server CPU per TLS handshake",
    "processor time of the server, or of the proxy that speaks TLS, for a connection with a full handshake that asks "
    "nothing; TCP is in it",
)
def cpu_full(samples: Samples) -> float | None:
    return _cpu(samples, "full")


@metric(
    "server_cpu_ns_per_resumed_handshake",
    "ns",
    "lower",
    "Server CPU per resumed TLS handshake",
    "the same for a connection that resumes a session; null where the server gives out none",
)
def cpu_resumed(samples: Samples) -> float | None:
    return _cpu(samples, "resumed")


@metric(
    "tls_bytes_per_message",
    "bytes",
    "lower",
    "TLS records, server to client",
    "bytes of the TCP stream that clients received in the window beyond the plaintext in them: heads and tags of "
    "records, session tickets",
)
def tls_bytes(samples: Samples) -> float | None:
    table = samples.trial.manifest.get("tls") or {}
    received, plaintext = gained(samples, "tcp_received_bytes"), table.get("plaintext_bytes")
    if received is None or not table.get("negotiated") or plaintext is None:
        return None
    return samples.per_message(received - plaintext)
