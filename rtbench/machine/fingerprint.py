"""The environment's fingerprint: what a number depends on besides the scenario (R15).

Invariant: `CHECKED` names the keys in which trials that are put together must agree; everything else is for the reader.
No address and no user name is in it: a results folder can be published. Written into campaign.json and every manifest.
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
"""Keys in which campaigns must agree to be put together; the scenario's hash is checked beside them.

`processor` is what of the machine's shape and settings changes every number: cores, SMT, frequency, the cgroup's quota.
A folder of before there was a `processor` agrees with others like it.
"""

PACKAGES = ("aiohttp", "websockets", "locust", "gevent", "uvloop", "httptools", "numpy", "pandas", "pyarrow", "scipy")


KEYS: Mapping[str, str] = {
    "machine": "12 digits that tell machines apart without naming one",
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
    "packages": "the packages that numbers depend on to their versions; all of them are in environment.json",
    "packages_sha256": "SHA-256 of all installed packages and their versions, as in environment.json",
    "rtbench": "rtbench's version",
    "inner_loop": "`C` or `Python`: what the load generator's inner loop is in",
    "compiler": "what `cc --version` prints first; empty: there is none",
    "commit": "rtbench's commit, with a + when files were changed; empty outside a checkout",
    "clock_source": "the kernel's",
    "governor": "of the first cpu's frequency; empty: none",
    "descriptors": "file descriptors that a process may have",
    "local_ports": "the first and the last ephemeral port",
    "backlog": "the longest queue of connections to be accepted",
    "congestion_control": "TCP's",
    "tcp": "the kernel's settings of TCP, by their names below `net.ipv4`, but for those that follow the memory "
    "or list what could be chosen",
    "mitigations": "the kernel's word on each hardware vulnerability",
}
"""What `environment` of campaign.json and manifest.json holds, for docs/data.md."""


def fingerprint() -> dict[str, Any]:
    """The fingerprint of this machine and this installation, as plain JSON."""
    return {
        "machine": _machine(),
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
    """`processor`, which is checked, and `tuning`, which is for the reader."""
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
    """The first checked key in which two fingerprints differ, with both values; empty when there is none."""
    for key in CHECKED:
        if a.get(key) != b.get(key):
            return f"{key}: {a.get(key)} and {b.get(key)}"
    return ""


def _machine() -> str:
    """12 digits that tell machines apart without naming one."""
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
    """The checkout's commit, with a + when it was changed; empty outside a checkout."""
    folder = Path(rtbench.__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
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
