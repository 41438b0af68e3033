"""Processor time and memory: per message that arrived in the window, gross, over whole processes (R4).

On loopback the kernel bills the receiver's softirq work to the sender, so the server's number has some of the
client's in it: the whole machine's is given beside it. Memory per connection is a slope over a ladder of connection
counts, which one trial cannot give; it and the idle cost are taken from the manifest when a campaign put them there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.metrics import metric
from rtbench.analysis.samples.samples import Samples


@metric(
    "server_cpu_ns_per_message",
    "ns",
    "lower",
    "Server CPU per message",
    "processor time of the server's whole process tree in the window, by the messages that arrived in it",
)
def server_cpu(samples: Samples) -> float | None:
    return samples.per_message(samples.process("server", "cpu_ns"))


@metric(
    "proxy_cpu_ns_per_message",
    "ns",
    "lower",
    "Proxy CPU per message",
    "processor time of the proxy before the server in the window, by the messages that arrived in it; never in the "
    "server's",
)
def proxy_cpu(samples: Samples) -> float | None:
    return samples.per_message(samples.process("proxy", "cpu_ns"))


@metric(
    "client_cpu_ns_per_message",
    "ns",
    "lower",
    "Client CPU per message",
    "processor time of the load generator in the window, by the messages that arrived in it",
)
def client_cpu(samples: Samples) -> float | None:
    return samples.per_message(samples.process("load", "cpu_ns"))


@metric(
    "machine_busy_ns_per_message",
    "ns",
    "lower",
    "Whole machine busy per message",
    "busy time of all cores in the window, by the messages that arrived in it",
)
def machine_busy(samples: Samples) -> float | None:
    return samples.per_message(samples.process("machine", "busy_ns"))


SLOPES: Mapping[str, tuple[str, str]] = {
    "server_memory_bytes_per_connection": ("memory", "server_bytes_per_connection"),
    "kernel_memory_bytes_per_connection": ("memory", "kernel_bytes_per_connection"),
    "server_memory_idle_bytes_per_connection": ("memory", "server_idle_bytes_per_connection"),
    "kernel_memory_idle_bytes_per_connection": ("memory", "kernel_idle_bytes_per_connection"),
    "idle_cpu_ns_per_connection_second": ("idle", "cpu_ns_per_connection_second"),
}
"""A metric that is the slope of a ladder to where the manifest has it: the table and its key."""


def given(trial: Trial, metric: str, suffix: str = "") -> float | None:
    """What the manifest of `trial` has under the key of this slope and `suffix`; None where there is nothing."""
    table, key = SLOPES[metric]
    value: Any = (trial.manifest.get(table) or {}).get(key + suffix)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


@metric(
    "server_memory_bytes_per_connection",
    "bytes",
    "lower",
    "Server memory per connection",
    "slope of the server's proportional set size over a ladder of connection counts, while messages are published",
)
def server_memory(samples: Samples) -> float | None:
    return given(samples.trial, "server_memory_bytes_per_connection")


@metric(
    "kernel_memory_bytes_per_connection",
    "bytes",
    "lower",
    "Kernel memory per connection",
    "slope of the sockets' slab objects and TCP's buffers, of both ends of a connection, while messages are published",
)
def kernel_memory(samples: Samples) -> float | None:
    return given(samples.trial, "kernel_memory_bytes_per_connection")


@metric(
    "server_memory_idle_bytes_per_connection",
    "bytes",
    "lower",
    "Server memory per idle connection",
    "the same slope while nothing is published",
)
def server_memory_idle(samples: Samples) -> float | None:
    return given(samples.trial, "server_memory_idle_bytes_per_connection")


@metric(
    "kernel_memory_idle_bytes_per_connection",
    "bytes",
    "lower",
    "Kernel memory per idle connection",
    "the same slope while nothing is published, of both ends of a connection",
)
def kernel_memory_idle(samples: Samples) -> float | None:
    return given(samples.trial, "kernel_memory_idle_bytes_per_connection")


@metric(
    "idle_cpu_ns_per_connection_second",
    "ns",
    "lower",
    "Idle CPU per connection and second",
    "slope of the server's processor time over a ladder of connections that carry nothing; never subtracted",
)
def idle_cpu(samples: Samples) -> float | None:
    return given(samples.trial, "idle_cpu_ns_per_connection_second")
