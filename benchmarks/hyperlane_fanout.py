"""CPU of hyperlane's process for one delivered message, written by its hub or by tasks, beside sse-aiohttp: ratios.

    .venv/bin/python benchmarks/hyperlane_fanout.py [BLOCKS] [SECONDS] [SUBSCRIBERS]

Each block runs, in a shuffled order: hyperlane whose hub writes to the sockets itself ("direct", as it is measured),
hyperlane whose hub wakes a task for each connection ("task", the framework's idiom), and sse-aiohttp. The work: a
broadcast of 10 messages a second of 150 bytes to SUBSCRIBERS (1,000), read by the C loop (epoll_floor.c, built with
cc) on the other core. For quick checks of a change to the fan-out; only a campaign measures. Needs
`make hyperlane`. Prints microseconds of each block and the ratios to "direct" with their t-intervals (R8).
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rtbench.analysis.statistics import compare
from rtbench.campaign.campaign import stay_on
from rtbench.campaign.preflight import prepare
from rtbench.errors import UserError
from rtbench.machine import probes
from rtbench.machine.placement import Place
from rtbench.processes.process import Process
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.server import ServerProcess
from rtbench.scenario import loading

HERE = Path(__file__).parent
BINARY = HERE.parent / "servers" / "hyperlane" / "target" / "release" / "rtbench-hyperlane"
NAMES = ("direct", "task", "sse-aiohttp")


class Hyperlane(ServerProcess):
    """A server process with one option of its own."""

    def __init__(self, settings: loading.Scenario, feed: Path, place: Place, log: Path, fanout: str) -> None:
        options: dict[str, Any] = {"host": "127.0.0.1", "ingest": str(feed), "fanout": fanout}
        options["limits"] = asdict(settings.server)
        Process.__init__(self, [str(BINARY), json.dumps(options)], place.server, log)


def cost_us(settings: loading.Scenario, name: str, binary: Path, place: Place) -> float:
    """CPU of a fresh server's process, microseconds a delivered message."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        publisher = stack.enter_context(
            PublisherProcess(settings.make_workload(), settings, folder, place.publisher, folder / "publisher.log")
        )
        publisher.ready()
        feed, log = publisher.socket_path, folder / "server.log"
        server: ServerProcess = (
            ServerProcess(name, settings, feed, place.server, log)
            if name == "sse-aiohttp"
            else Hyperlane(settings, feed, place, log, name)
        )
        stack.enter_context(server)
        publisher.play(settings.stream)
        port = server.ready().rpartition(":")[2]
        command = ["taskset", "-c", ",".join(map(str, place.load)), str(binary), str(settings.subscribers), port]
        warm, seconds = settings.warmup_s + 1, settings.window_s
        with subprocess.Popen(
            [*command, "/sse/fanout", str(warm), str(seconds + 1)], stdout=subprocess.PIPE, text=True
        ) as client:
            time.sleep(warm + 0.5)
            before, began = probes.cpu_ns(server.pid), time.monotonic()
            time.sleep(seconds)
            used, took = probes.cpu_ns(server.pid) - before, time.monotonic() - began
            output, _ = client.communicate(timeout=60)
        messages, _, wall_ns = (int(text) for text in output.split())
        wanted = settings.subscribers * settings.workload.rate_hz
        if not 0.9 <= messages / (wall_ns / 1e9) / wanted <= 1.1:
            raise UserError(f"{name}: {messages} messages in {wall_ns / 1e9:.1f} s, wanted {wanted:g} a second")
        return used / (wanted * took) / 1e3


def main() -> int:
    blocks = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 6.0
    subscribers = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    compiler = shutil.which("cc")
    if compiler is None:
        raise UserError("no C compiler", "apt-get install gcc")
    if not BINARY.exists():
        raise UserError("hyperlane is not built", "make hyperlane")
    keys = ("workload.rate_hz=10", f"window_s={seconds}", f"subscribers={subscribers}")
    settings = loading.load("ci", keys, {"subjects": ["sse-aiohttp"]})
    prepare(settings)
    place = Place.here()
    stay_on(place)
    seen: dict[str, list[float]] = {name: [] for name in NAMES}
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "epoll_floor"
        subprocess.run([compiler, "-O2", str(HERE / "epoll_floor.c"), "-o", str(binary)], check=True)
        for block in range(blocks):
            for name in draw.sample(list(seen), len(seen)):
                seen[name].append(cost_us(settings, name, binary, place))
            print(f"block {block + 1}: " + ", ".join(f"{name} {values[-1]:.2f} us" for name, values in seen.items()))
    for name in NAMES[1:]:
        one = compare.pair("", "", "", np.log(np.divide(seen[name], seen[NAMES[0]])), None)
        low, high = (np.nan if end is None else end for end in (one.low, one.high))
        print(f"{name}: {one.ratio:.2f}x direct [{low:.2f}, {high:.2f}], {blocks} blocks of {seconds:g} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
