"""The full environment of a campaign, to reproduce it: more than the fingerprint has (R15).

Invariant: bounded in size (`MOST` rows a table, `LONGEST` characters a value); without addresses, user names or keys.
Nothing is compared here: `fingerprint` names the checked keys, and may take its values from these functions. The
campaign writes it once, to environment.json.
"""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from rtbench import programs
from rtbench.machine import inner_loop
from rtbench.records.record import Record
from rtbench.records.tables import SCHEMA

MOST = 2_000
LONGEST = 200

SYSCTLS = (
    "net/ipv4/tcp_*", "net/ipv4/ip_local_port_range", "net/core/rmem_*", "net/core/wmem_*", "net/core/somaxconn",
    "net/core/default_qdisc", "net/core/netdev_*", "net/core/busy_*", "net/core/rps_*", "kernel/sched_*",
    "vm/swappiness",
)  # fmt: skip
"""Patterns below /proc/sys that are read; a secret (`…_key`) never is."""

_FOLLOWS = re.compile("_mem$|_max_orphans|_max_tw_buckets|_available_|_allowed_|_entries$")
"""Settings of TCP that follow the memory, loaded modules or the traffic: two boots may differ in them."""


class Compiled(Record, frozen=True, kw_only=True):
    """The load generator's inner loop."""

    language: str
    """`C`; `Python` without a compiler or when C is disabled."""
    compiler: str
    """First line of `cc --version`; empty: no compiler."""
    flags: list[str]
    """Its arguments."""
    source_sha256: str
    """SHA-256 of the source, hexadecimal."""


class Inventory(Record, frozen=True, kw_only=True):
    """environment.json."""

    schema: int
    """number: of the folder's format."""
    packages: dict[str, str]
    """Every installed distribution to its version, as `pip freeze` lists them."""
    packages_sha256: str
    """SHA-256 of the lines `NAME==VERSION`, sorted, each ended by a line feed."""
    python: dict[str, str]
    """`implementation`, `version`, `compiler` and `build` of the interpreter."""
    inner_loop: Compiled
    """How the load generator's inner loop was compiled."""
    sysctls: dict[str, str]
    """Settings of the kernel (TCP, sockets, scheduler) by their dotted names."""
    loopback: dict[str, str]
    """Of the interface `lo`: `qdisc` (as `tc` or `ip` shows it; empty: neither is there), `mtu`, `tx_queue_len`,
    `rps_cpus` (the mask of receive packet steering)."""
    mitigations: dict[str, str]
    """The kernel's mitigation of each hardware vulnerability."""


def inventory() -> Inventory:
    """The inventory of this machine and this installation."""
    found = packages()
    return Inventory(
        schema=SCHEMA,
        packages=found,
        packages_sha256=digest(found),
        python={
            "implementation": platform.python_implementation(),
            "version": platform.python_version(),
            "compiler": platform.python_compiler(),
            "build": " ".join(platform.python_build()),
        },
        inner_loop=Compiled(
            language=inner_loop.inner_loop(),
            compiler=compiler(),
            flags=list(inner_loop.FLAGS),
            source_sha256=hashlib.sha256(inner_loop.SOURCE.read_bytes()).hexdigest(),
        ),
        sysctls=sysctls(),
        loopback={
            "qdisc": _first_line("tc", "qdisc", "show", "dev", "lo") or _first_line("ip", "-o", "link", "show", "lo"),
            **{name: _text(Path("/sys/class/net/lo") / name) for name in ("mtu", "tx_queue_len")},
            "rps_cpus": _text(Path("/sys/class/net/lo/queues/rx-0/rps_cpus")),
        },
        mitigations=mitigations(),
    )


def packages() -> dict[str, str]:
    """Every installed distribution (its normalized name, PEP 503) to its version, sorted."""
    found = {re.sub(r"[-_.]+", "-", str(one.metadata["Name"])).lower(): one.version for one in metadata.distributions()}
    return {name: (found[name] or "")[:LONGEST] for name in sorted(found)[:MOST]}


def digest(found: Mapping[str, str]) -> str:
    """A hash over all packages and their versions."""
    lines = "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def sysctls(root: Path = Path("/proc/sys")) -> dict[str, str]:
    """The settings of `SYSCTLS` that can be read, by their dotted names."""
    files = sorted(path for pattern in SYSCTLS for path in root.glob(pattern) if not path.name.endswith("_key"))
    rows = ((".".join(path.relative_to(root).parts), _text(path)) for path in files[:MOST] if path.is_file())
    return {name: value for name, value in rows if value}


def tcp() -> dict[str, str]:
    """The settings of TCP that a campaign was measured under, by their names below `net.ipv4`."""
    known = {name.removeprefix("net.ipv4."): value for name, value in sysctls().items()}
    return {name: value for name, value in known.items() if name.startswith("tcp_") and not _FOLLOWS.search(name)}


def compiler() -> str:
    """What the C compiler says of itself; empty without one."""
    return _first_line("cc", "--version")


def mitigations(root: Path = Path("/sys/devices/system/cpu/vulnerabilities")) -> dict[str, str]:
    """Hardware vulnerability to the kernel's mitigation; empty where the kernel lists none."""
    return {path.name: _text(path) for path in sorted(root.glob("*"))[:MOST]}


def _first_line(program: str, *arguments: str) -> str:
    """The first line of a program's output; empty without the program."""
    path = programs.find(program)
    if path is None:
        return ""
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return next(iter(done.stdout.splitlines()), "").strip()[:LONGEST]


def _text(path: Path) -> str:
    try:
        return " ".join(path.read_text(encoding="utf-8", errors="replace").split())[:LONGEST]
    except OSError:
        return ""
