"""The environment's fingerprint: the conditions beside the scenario that change a result (R15).

Invariant: combined trials agree in the keys of `CHECKED`; the other keys only inform the reader. The fingerprint holds
neither addresses nor user names, so a results folder can be published. Written to campaign.json and every manifest.
"""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import rtbench
from rtbench.machine import inner_loop, inventory, topology, tuning
from rtbench.machine.topology import listed

CHECKED = (
    "machine",
    "cpu",
    "cores",
    "processor",
    "kernel",
    "python",
    "packages",
    "packages_sha256",
    "rtbench",
    "commit",
    "inner_loop",
    "compiler",
    "congestion_control",
    "tcp",
    "mitigations",
)
"""Combined campaigns must agree in these keys, and in the scenario's hash.

`processor` holds the machine's shape and settings that change every result: cores, SMT, frequency, the cgroup's quota.
Folders from before `processor` existed agree with each other.
"""

PACKAGES = ("aiohttp", "websockets", "locust", "gevent", "uvloop", "httptools", "numpy", "pandas", "pyarrow", "scipy")


KEYS: Mapping[str, str] = {
    "machine": "12 hexadecimal digits that identify the machine, not its owner",
    "cpu": "the processor's name",
    "cores": "cpus of the machine",
    "processor": "`packages` (sockets), `nodes`, `cores_of_each_type`, `smt`, `governor`, `driver`, `turbo`, and "
    "`quota_cpus` of the cgroup; null: not known",
    "tuning": "`on_battery`, `power_profile`, `isolated` cpus, `irqbalance`, `aslr`; null: not known",
    "memory_bytes": "memory of the machine, bytes",
    "kernel": "its release",
    "system": "the distribution",
    "virtualization": "`hypervisor` or `none seen`",
    "python": "its version",
    "packages": "versions of the packages that change results; environment.json lists all packages",
    "packages_sha256": "SHA-256 of all installed packages and their versions, as in environment.json",
    "rtbench": "rtbench's version",
    "inner_loop": "`C` or `Python`: the language of the load generator's inner loop",
    "compiler": "first line of `cc --version`; empty: no compiler",
    "commit": "rtbench's commit, with a + after uncommitted changes; empty outside a checkout",
    "clock_source": "the kernel's clock source",
    "governor": "frequency governor of the first cpu; empty: none",
    "descriptors": "limit of file descriptors of a process",
    "local_ports": "the first and the last ephemeral port",
    "backlog": "limit of a listening socket's backlog (somaxconn)",
    "congestion_control": "TCP's congestion control",
    "tcp": "the kernel's TCP settings by their names below `net.ipv4`, without those that follow the memory or list "
    "choices",
    "mitigations": "the kernel's status of each hardware vulnerability",
}
"""Keys of `environment` in campaign.json and manifest.json, for docs/data.md."""


def fingerprint() -> dict[str, Any]:
    """The fingerprint of this machine and this installation, as plain JSON."""
    return {
        "machine": machine(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        **_shape_and_tuning(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "system": _system(),
        "virtualization": "hypervisor" if _flag("hypervisor") else "none seen",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "packages_sha256": inventory.digest(inventory.packages()),
        "rtbench": rtbench.__version__,
        "inner_loop": inner_loop.inner_loop(),
        "compiler": inventory.compiler(),
        "commit": _commit(),
        "clock_source": _text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "local_ports": _text("/proc/sys/net/ipv4/ip_local_port_range").split(),
        "backlog": _text("/proc/sys/net/core/somaxconn"),
        "congestion_control": _text("/proc/sys/net/ipv4/tcp_congestion_control"),
        "tcp": inventory.tcp(),
        "mitigations": inventory.mitigations(),
    }


def _shape_and_tuning() -> dict[str, Any]:
    """`processor` (checked) and `tuning` (only for the reader)."""
    shape = topology.read()
    tuned = tuning.look(shape)
    return {
        "processor": {
            "packages": len({cpu.package for cpu in shape.cpus}),
            "nodes": len({cpu.node for cpu in shape.cpus}),
            "cores_of_each_type": list(shape.kinds(allowed=False)),
            "smt": tuned.smt,
            "governor": tuned.governor,
            "driver": tuned.driver,
            "turbo": tuned.turbo,
            "quota_cpus": shape.quota,
        },
        "tuning": {
            "on_battery": tuned.on_battery,
            "power_profile": tuned.profile,
            "isolated": listed(tuned.isolated),
            "irqbalance": tuned.irqbalance,
            "aslr": tuned.aslr,
        },
    }


def difference(a: dict[str, Any], b: dict[str, Any]) -> str:
    """The first checked key in which two fingerprints differ, with both values; empty when they agree."""
    for key in CHECKED:
        if a.get(key) != b.get(key):
            return f"{key}: {a.get(key)} and {b.get(key)}"
    return ""


def machine() -> str:
    """12 hexadecimal digits that identify the machine, not its owner."""
    parts = [_text("/etc/machine-id"), platform.node(), _cpu()]
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:12]


def _cpu() -> str:
    for line in _text("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _flag(name: str) -> bool:
    return any(name in line.split() for line in _text("/proc/cpuinfo").splitlines() if line.startswith("flags"))


def _system() -> str:
    for line in _text("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()


def _commit() -> str:
    """The checkout's commit, with a + after uncommitted changes; empty outside a checkout."""
    folder = Path(rtbench.__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
