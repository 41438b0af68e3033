"""The processes of a trial: publisher, server and load, each started pinned, awaited by protocol, and surely stopped.

Invariant: whatever a `with` block of one of these ends by (a return, an error, Ctrl-C), its process is gone
afterwards; waiting always has a limit and a reason. The kernel knows the modules only by their names. Used by the
campaign, `rtbench serve` and `rtbench verify`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from rtbench.errors import RtbenchError, SubjectError, UserError
from rtbench.machine import probes
from rtbench.machine.topology import Cores
from rtbench.scenario.model import Scenario
from rtbench.subjects import Post
from rtbench.subjects.names import is_faulty
from rtbench.workload import Workload

STOP_S = 2.0
"""How long a server may take to leave after SIGTERM (interface.md)."""


class Process:
    """One child. `log` is where its standard error goes, and its standard output where nobody listens to it."""

    name = "process"

    def __init__(
        self,
        command: Sequence[str],
        cores: Cores,
        log: Path,
        environment: Mapping[str, str] = {},
        network: str = "",
        listen: bool = True,
    ) -> None:
        self.log = log
        self.cores = cores
        self.network = network
        self.stopped_in_s: float | None = None
        self._log_file: IO[bytes] = log.open("ab")
        launcher = [
            sys.executable,
            "-m",
            "rtbench.processes._launch",
            str(os.getpid()),
            ",".join(map(str, cores)) or "-",
        ]
        launcher.append(network or "-")
        self._child = subprocess.Popen(
            [*launcher, *command],
            stdin=subprocess.PIPE,
            # A pipe that nobody reads would be full after 64 KiB, and its writer stand still.
            stdout=subprocess.PIPE if listen else self._log_file,
            stderr=self._log_file,
            env={**os.environ, **environment},
            start_new_session=True,  # the terminal's Ctrl-C is the campaign's to handle
        )
        self._pending = b""

    @property
    def pid(self) -> int:
        """The child's process id (the launcher becomes the command)."""
        return self._child.pid

    def cpu_ns(self) -> int:
        """CPU that its whole tree has used so far."""
        return probes.cpu_ns(self.pid)

    def memory_bytes(self) -> int:
        """Proportional set size of its tree (tens of milliseconds)."""
        return probes.memory_bytes(self.pid)

    def resident_bytes(self) -> int:
        """Resident set of its tree."""
        return probes.resident_bytes(self.pid)

    def run_delay_ns(self) -> int:
        """How long its threads were ready to run and waited."""
        return probes.run_delay_ns(self.pid)

    def exited(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._child.poll()

    def tail(self, lines: int = 5) -> str:
        """The last lines of what it said."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in text[-lines:])

    def died(self) -> SubjectError:
        """The error for a child that is gone, with its log's last lines; one that only closed its output is ended."""
        try:
            code = self._child.wait(STOP_S)
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            self.kill()
            self._child.wait()
            how = "it closed its output and went on"
        said = self.tail()
        return SubjectError(f"the {self.name} ended early ({how})", said and f"it said: {said}")

    def line(self, timeout_s: float) -> str:
        """The next line of its standard output. Raises SubjectError when it ends or takes longer."""
        assert self._child.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._child.stdout], [], [], max(0.0, left))
            if not ready:
                raise SubjectError(f"the {self.name} said nothing for {timeout_s:g} s", self.tail() or "see its log")
            data = os.read(self._child.stdout.fileno(), 65536)
            if not data:
                raise self.died()
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def send(self, value: dict[str, Any]) -> None:
        """Send one JSON line to its standard input. Raises SubjectError when it is gone."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(value).encode() + b"\n")
            self._child.stdin.flush()
        except OSError as error:
            raise self.died() from error

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, if it still runs."""
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)

    def stop(self, timeout_s: float = STOP_S) -> None:
        """SIGTERM, then SIGKILL after `timeout_s`; closes everything."""
        began = time.monotonic()
        self.kill(signal.SIGTERM)
        self.kill(signal.SIGCONT)  # it may have been stopped on purpose
        try:
            self._child.wait(timeout_s)
            self.stopped_in_s = time.monotonic() - began
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._log_file):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class PublisherProcess(Process):
    """The publisher; `socket_path` is where servers connect. It makes `ahead_s` seconds of ticks before it is ready."""

    name = "publisher"

    def __init__(
        self, workload: Workload, scenario: Scenario, folder: Path, cores: Cores, log: Path, ahead_s: float = 0.0
    ) -> None:
        self.socket_path = folder / "publisher.sock"
        self._streams = workload.streams
        table = {
            "streams": list(workload.streams),
            "seed": workload.seed,
            "epoch_s": workload.epoch_s,
            "subscribers": workload.subscribers,
            "pace": list(astuple(workload.pace)),
        }
        config = {
            "workload": table,
            "path": str(self.socket_path),
            "ring_messages": scenario.server.ring_messages,
            "ring_bytes": scenario.server.ring_bytes,
            "ahead_s": ahead_s,
        }
        super().__init__([sys.executable, "-m", "rtbench.servers.publisher", json.dumps(config)], cores, log)
        self.greeting: dict[str, Any] = {}
        self.started: dict[str, int] = {}
        self.posts: dict[str, int] = {}
        """What became of what was posted, once it has finished (`servers/publisher/post.py`)."""

    def ready(self, timeout_s: float = 20) -> None:
        """Wait until servers can connect."""
        self.greeting = json.loads(self.line(timeout_s))

    def play(self, streams: Sequence[str], start_ns: int | None = None) -> None:
        """Start the timetable of these streams."""
        if streams:
            self.send({"do": "play", "streams": list(streams), "start_ns": start_ns})
            self.started = json.loads(self.line(10))["started"]

    def post_to(self, url: str, post: Post) -> None:
        """From now on publish by HTTP to the server at `url`."""
        parts = urlsplit(url)
        table = {name: getattr(post, name) for name in ("path", "wrap", "connections", "batch")}
        table |= {"headers": dict(post.headers), "host": parts.hostname, "port": parts.port}
        self.send({"do": "post", "post": table})
        self.line(10)

    def pause(self) -> None:
        """Stop the clock of its timetable."""
        self.send({"do": "pause"})
        self.line(10)

    def resume(self) -> None:
        """Go on with the timetable; what was not due before is due as much later as the pause was long."""
        self.send({"do": "resume"})
        self.started = json.loads(self.line(10))["started"]

    def finish(self, ticks: Path) -> int:
        """Stop playing and write the record of every tick to `ticks`; returns how many."""
        self.send({"do": "stop", "ticks": str(ticks)})
        said = json.loads(self.line(60))
        self.posts = said["posts"]
        return int(said["ticks"])


class ServerProcess(Process):
    """One of our subjects; `url` is known when it is ready."""

    name = "server"

    def __init__(self, subject: str, scenario: Scenario, feed: Path, cores: Cores, log: Path, **where: Any) -> None:
        table = asdict(scenario.server)
        options: dict[str, Any] = {
            "host": where.get("host", table.pop("host")),
            "port": where.get("port", 0),
            "ingest": str(feed),
            "loop": table.pop("loop"),
            "poll_timeout_s": scenario.poll.long_timeout_s,
            "limits": table,
        }
        if where.get("module"):
            options["module"] = where["module"]
        if is_faulty(subject):
            options["inject"] = [asdict(row) for row in scenario.faults.inject]
        command = [sys.executable, "-m", "rtbench.servers", subject, json.dumps(options)]
        super().__init__(command, cores, log, network=where.get("network", ""))
        self.url = ""
        self.uses: dict[str, Any] = {}

    def ready(self, timeout_s: float = 20) -> str:
        """Wait until it accepts; its URL. Raises UserError for what the user can mend (a port in use)."""
        try:
            line = self.line(timeout_s)
        except SubjectError:
            if self.exited() == 2:
                raise UserError(self.tail(1).removeprefix("rtbench: ")) from None
            raise
        said = json.loads(line)
        self.url, self.uses = said["url"], said["uses"]
        return self.url

    def tidy(self) -> str:
        """Ask it to collect its garbage and give free memory back; what that is, for the record (R4)."""
        self.kill(signal.SIGUSR1)
        return "gc.collect() and malloc_trim(0) before each reading"


class StarverProcess(Process):
    """Takes the cores that it shares away from others, when told to (R16)."""

    name = "starver"

    def __init__(self, cores: Cores, log: Path) -> None:
        super().__init__([sys.executable, "-m", "rtbench.processes._starve"], cores, log)

    def burn(self, start_ns: int, end_ns: int, burn_s: float, every_s: float) -> None:
        """Burn `burn_s` of every `every_s` between two instants."""
        self.send({"start_ns": start_ns, "end_ns": end_ns, "burn_s": burn_s, "every_s": every_s})


class LoadProcess(Process):
    """One Locust process of a trial; commands and answers are JSON lines over a Unix socket."""

    name = "load process"

    def __init__(
        self,
        user: str,
        settings: dict[str, Any],
        share: int,
        first: int,
        folder: Path,
        cores: Cores,
        log: Path,
        network: str = "",
    ) -> None:
        path = folder / f"load-{first}.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._control: socket.socket | None = None
        self._buffer = b""
        self.subscribed = 0
        self.failed: dict[str, int] = {}
        self.given_up = 0
        self.closed_window = False
        self.finished: dict[str, Any] | None = None
        trial = {"control": str(path), "first": first, "settings": settings}
        locustfile = Path(__file__).parents[1] / "loadtests" / "locustfile.py"
        command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--skip-log-setup"]
        command += ["--users", str(share), "--spawn-rate", str(share), "--only-summary", user]
        environment = {"RTBENCH_TRIAL": json.dumps(trial), "LOCUST_SKIP_UPDATE_CHECK": "1"}
        super().__init__(command, cores, log, environment, network)

    def connect(self, timeout_s: float = 30) -> None:
        """Wait for its hello."""
        deadline = time.monotonic() + timeout_s
        while not select.select([self._listener], [], [], 0.05)[0]:
            if self.exited() is not None:
                raise self.died()
            if time.monotonic() > deadline:
                raise SubjectError(f"the load process did not start within {timeout_s:g} s", self.tail())
        self._control, _ = self._listener.accept()

    def fileno(self) -> int:
        """The control socket's descriptor, to select on."""
        assert self._control is not None
        return self._control.fileno()

    def command(self, **value: Any) -> None:
        """Send a command. Raises SubjectError when the process is gone."""
        assert self._control is not None
        try:
            self._control.sendall(json.dumps(value).encode() + b"\n")
        except OSError as error:
            raise self.died() from error

    def receive(self) -> None:
        """Take in what it said; blocks until it said something. Raises SubjectError when it is gone or in trouble."""
        assert self._control is not None
        try:
            data = self._control.recv(2**20)
        except ConnectionError:
            data = b""
        if not data:
            raise self.died()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            value = json.loads(line)
            if "subscribed" in value:
                self.subscribed, self.failed = value["subscribed"], value["failed"]
                self.given_up = value.get("given_up", 0)
            if "window" in value:
                self.closed_window = True
            if "finished" in value:
                self.finished = value["finished"]
            if "error" in value:
                raise RtbenchError(value["error"])

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Closing the control socket lets it leave at once."""
        if self._control is not None:
            self._control.close()
        self._listener.close()
        super().stop(timeout_s)
