"""The load generator's cost beside a C epoll loop on the same work: client CPU per delivered message, as ratios.

    .venv/bin/python benchmarks/client_floor.py [BLOCKS] [SECONDS] [--tls]

Each block runs, in a shuffled order, the C loop (epoll_floor.c, built with cc) against sse-aiohttp, and a trial of the
load generator against sse-aiohttp and against websocket-aiohttp: 1,000 connections x 10 messages a second x 150 bytes,
server on one core, client on the other. Prints microseconds of each block and the ratios to the C loop with their
t-intervals over blocks (R8). Invalid trials are named. With `--tls` the trials have TLS 1.3, beside the C loop in
cleartext.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtbench import trial
from rtbench.analysis.statistics import compare
from rtbench.campaign.campaign import stay_on
from rtbench.campaign.preflight import prepare
from rtbench.errors import UserError
from rtbench.machine.fingerprint import fingerprint
from rtbench.machine.placement import Place
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.server import ServerProcess
from rtbench.records.record import plain
from rtbench.scenario import loading

HERE = Path(__file__).parent
FLOOR = "epoll_floor.c"
TLS = "--tls"
SUBJECTS = ("sse-aiohttp", "websocket-aiohttp")


def floor_us(settings: loading.Scenario, binary: Path, place: Place, seconds: float) -> float:
    """CPU of the C loop, microseconds a message, against a fresh sse-aiohttp."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        publisher = stack.enter_context(
            PublisherProcess(settings.make_workload(), settings, folder, place.publisher, folder / "publisher.log")
        )
        publisher.ready()
        server = stack.enter_context(
            ServerProcess("sse-aiohttp", settings, publisher.socket_path, place.server, folder / "server.log")
        )
        publisher.play(settings.stream)
        port = server.ready().rpartition(":")[2]
        command = ["taskset", "-c", ",".join(map(str, place.load)), str(binary), str(settings.subscribers), port]
        done = subprocess.run(
            [*command, "/sse/fanout", str(settings.warmup_s + 1), str(seconds)],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 60,
        )
        messages, cpu_ns, _ = (int(text) for text in done.stdout.split())
        return cpu_ns / messages / 1e3


def load_us(settings: loading.Scenario, name: str, place: Place) -> float:
    """CPU of the load generator in a trial's window, microseconds a message."""
    with tempfile.TemporaryDirectory() as folder:
        spec = trial.Spec(1, settings.subject_of(name), 1, 1, settings, fingerprint())
        manifest = plain(trial.run(spec, Path(folder), place, lambda _: None))
        for reason in manifest["reasons"]:
            print(f"  {name}: {manifest['status']}: {reason['message']}")
        load = manifest["processes"]["load"]
        return (load["cpu_ns_at_end"] - load["cpu_ns_at_start"]) / manifest["bytes"]["messages_in_window"] / 1e3


def main() -> int:
    words = [word for word in sys.argv[1:] if word != TLS]
    blocks = int(words[0]) if words else 5
    seconds = float(words[1]) if len(words) > 1 else 10.0
    compiler = shutil.which("cc")
    if compiler is None:
        raise UserError("no C compiler", "apt-get install gcc")
    settings = loading.load("ci", ("workload.rate_hz=10", f"window_s={seconds}"), {"subjects": list(SUBJECTS)})
    secure = replace(settings, tls=TLS in sys.argv)
    prepare(secure)
    place = Place.here()
    stay_on(place)
    seen: dict[str, list[float]] = {name: [] for name in (FLOOR, *SUBJECTS)}
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "epoll_floor"
        subprocess.run([compiler, "-O2", str(HERE / FLOOR), "-o", str(binary)], check=True)
        for block in range(blocks):
            for name in draw.sample(list(seen), len(seen)):
                value = floor_us(settings, binary, place, seconds) if name == FLOOR else load_us(secure, name, place)
                seen[name].append(value)
            print(f"block {block + 1}: " + ", ".join(f"{name} {values[-1]:.2f} us" for name, values in seen.items()))
    for name in SUBJECTS:
        one = compare.pair("", "", "", np.log(np.divide(seen[name], seen[FLOOR])), None)
        low, high = (np.nan if end is None else end for end in (one.low, one.high))
        print(f"{name}: {one.ratio:.2f}x the C loop [{low:.2f}, {high:.2f}], {blocks} blocks of {seconds:g} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
