"""Time and memory of `rtbench report`, by the number of deliveries.

    .venv/bin/python benchmarks/report_speed.py                     # 1 and 10 million, five subjects, four blocks
    .venv/bin/python benchmarks/report_speed.py 1e6 --subjects sse-aiohttp --blocks 2 --keep /tmp/campaigns

Makes a campaign of that size without a network (the numbers are drawn, tests/golden/make.py) and reports on it in a
process of its own. CPU is user + system time of that process and its children, memory its peak resident set. Limits for
a 10 M campaign: 30 s on two cores, 2 GB, and time that grows no faster than the deliveries.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from rtbench.records import tables

ROOT = Path(__file__).resolve().parent.parent
SUBSCRIBERS, RATE_HZ = 1000, 10.0
SUBJECTS = "sse-aiohttp,websocket-aiohttp,short-poll-aiohttp,long-poll-aiohttp,websocket-websockets"


@dataclass(frozen=True, slots=True)
class Took:
    """The cost of one report."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def generate(folder: Path, deliveries: int, subjects: list[str], blocks: int) -> Path:
    """A campaign of that many deliveries in all, 1,000 subscribers at 10 messages a second."""
    seconds = deliveries / (SUBSCRIBERS * RATE_HZ * len(subjects) * blocks)
    warmup_s = 0.1 * seconds
    make = _golden()
    plan = make.Plan(
        subjects=tuple(subjects),
        blocks=blocks,
        subscribers=SUBSCRIBERS,
        rate_hz=RATE_HZ,
        warmup_s=warmup_s,
        window_s=seconds - warmup_s,
        faults={1: ("lose",), 2: ("stamps",)},
        campaign=f"generated-{deliveries}",
    )
    return _seal(Path(make.write(folder, plan)))


def _seal(folder: Path) -> Path:
    """Record the checksums, as `rtbench run` does, since a report checks them."""
    document = tables.read_json(folder / "campaign.json")
    for row in document["trials"]:
        manifest = folder / row["directory"] / "manifest.json"
        tables.write_json(manifest, tables.read_json(manifest) | {"files": tables.sums(manifest.parent)})
        row["manifest_sha256"] = tables.sha256(manifest)
    tables.write_json(folder / "campaign.json", document)
    return folder


def _golden() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_make", ROOT / "tests/golden/make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["golden_make"] = module
    spec.loader.exec_module(module)
    return module


def measure(folder: Path) -> Took:
    """One `rtbench report` of the folder."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "rtbench.cli", "report", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode not in (0, 1, 3):
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(wall_s, cpu_s, used.ru_maxrss * 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=["1e6", "1e7"], help="deliveries of the campaign")
    parser.add_argument("--subjects", default=SUBJECTS)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--keep", help="a folder for the campaigns, which are made once (default: a temporary one)")
    given = parser.parse_args()
    rows: list[tuple[int, Took]] = []
    with tempfile.TemporaryDirectory(prefix="rtbench-speed-") as temporary:
        home = Path(given.keep or temporary)
        for size in sorted(int(float(text)) for text in given.sizes):
            subjects = given.subjects.split(",")
            folder = home / f"{size}-{len(subjects)}x{given.blocks}"
            if not (folder / "campaign.json").exists():
                generate(folder, size, subjects, given.blocks)
            print(f"{size:>12,} deliveries: ", end="", flush=True)
            took = measure(folder)
            rows.append((size, took))
            print(f"{took.wall_s:6.1f} s, {took.cpu_s:6.1f} s of CPU, {took.peak_bytes / 1e9:5.2f} GB", flush=True)
    _growth(rows)


def _growth(rows: list[tuple[int, Any]]) -> None:
    """The cost of one more delivery, from the smallest and the largest campaign: constant costs drop out."""
    if len(rows) > 1:
        (small, one), (large, other) = rows[0], rows[-1]
        each = (other.cpu_s - one.cpu_s) / (large - small)
        print(f"each million more: {1e6 * each:.2f} s of CPU; {large / small:g}× the deliveries cost "
              f"{other.cpu_s / one.cpu_s:.1f}× the CPU")  # fmt: skip


if __name__ == "__main__":
    main()
