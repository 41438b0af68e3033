"""A server that is a program: started by a command, polled until it answers.

Invariant: it has the same methods as a server of ours. CPU and memory are those of its whole process tree, or of its
container's cgroup. Started by `rtbench.processes.starting`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rtbench import programs
from rtbench.errors import SubjectError
from rtbench.machine import probes, sockets
from rtbench.machine.topology import Cores
from rtbench.messages.lines import MessageError
from rtbench.messages.server import PROGRAM_READINESS
from rtbench.processes.process import Process
from rtbench.processes.server import refused_in
from rtbench.scenario.model import Scenario
from rtbench.subjects import Launch, Post, Program, Subject
from rtbench.subjects.tls import TlsFiles

ASK_S = 0.02
"""Seconds between readiness checks of a program that does not report its readiness."""

_LAST_BYTES, _KEEP_S = 4096, 1.0
"""The end of its output that is searched for what it refused, and how long that may take to come."""


class ProgramServer(Process):
    """A server that a command starts. `url` is set at once; the server answers after `ready` returns."""

    name = "server"

    def __init__(
        self,
        subject: Subject,
        scenario: Scenario,
        feed: Path,
        folder: Path,
        cores: Cores,
        log: Path,
        *,
        host: str,
        port: int = 0,
        network: str = "",
        tls: TlsFiles | None = None,
    ) -> None:
        assert subject.program is not None
        self.subject = subject
        self.program: Program = subject.program
        # A namespace of its own has no other process that takes ports.
        port = port or (8080 if network else free_port(host))
        folder = folder / "program"
        folder.mkdir(exist_ok=True)
        limits = asdict(scenario.server)
        apart = tls is not None and isinstance(subject.publish, Post) and not subject.publish.port
        posts = (8081 if network else free_port(host)) if apart else 0
        launch = Launch(host, port, folder, feed, limits, scenario.subscribers, tls, posts)
        scheme = {"tcp": "tcp"}.get(subject.transport, "https" if _speaks_tls(subject, tls) else "http")
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        self.post_url = f"http://{f'[{host}]' if ':' in host else host}:{posts}" if posts else ""
        """Where posts go, if not to `url`."""
        self.uses: dict[str, Any] = {}
        self.refused: dict[str, int] = {}
        """How often it refused a client, if it says that as our servers do; known once it has stopped."""
        self._keeper: threading.Thread | None = None
        self._last = b""
        self._said = False
        self._inside = bool(network)
        command = self.program.command
        words = command(launch) if callable(command) else [_filled(word, launch) for word in command]
        if self.program.cwd:
            words = ["env", "-C", self.program.cwd, *words]
        super().__init__(words, cores, log, self.program.environment, network, listen=self.program.ready == "line")

    def ready(self, timeout_s: float = 30) -> str:
        """Wait until it answers. Raises SubjectError when it ends first or takes longer."""
        if self._said:  # an earlier call has waited: publishing by HTTP needs the URL
            return self.url
        if self.program.ready == "line":
            line = self.line(timeout_s)
            try:
                readiness = PROGRAM_READINESS(line)
            except MessageError as error:
                text = f"expected one JSON line with the server's url, got {line[:60]!r}"
                raise SubjectError(text, 'correct the program, or set ready = "/PATH"') from error
            self.url, self.uses = readiness.url or self.url, readiness.uses
            self._keeper = threading.Thread(target=self._keep, daemon=True)
            self._keeper.start()
        else:
            deadline = time.monotonic() + timeout_s
            while not self._answers():
                if self.exited() is not None:
                    raise self.died()
                if time.monotonic() > deadline:
                    raise SubjectError(f"the server did not answer at {self.url} within {timeout_s:g} s", self.why())
                time.sleep(ASK_S)
        if self.program.nodelay:
            self.uses["nodelay"] = sockets.no_delay(self.pid, port_of(self.url))
        self.uses = {"stack": version_of(self.subject), "technique": self.subject.technique, **self.uses}
        self._said = True
        return self.url

    def _keep(self) -> None:
        """Copy the rest of its output to the log: an unread pipe would block it after 64 KiB."""
        output = self._child.stdout
        assert output is not None
        with contextlib.suppress(OSError, ValueError), self.log.open("ab") as log:
            while data := os.read(output.fileno(), 65536):
                log.write(data)
                log.flush()
                self._last = (self._last + data)[-_LAST_BYTES:]

    def _over(self) -> None:
        if self._keeper is not None:
            self._keeper.join(_KEEP_S)  # it reads to the end, unless a child of the program holds the pipe
        self.refused = refused_in(self._last.splitlines()) or self.refused

    def _answers(self) -> bool:
        """Whether it listens and answers a request (in a namespace of its own: only whether it listens)."""
        host, port = urlsplit(self.url).hostname or "", port_of(self.url)
        if self._inside:
            return probes.listens(self.pid, port)
        try:
            with socket.create_connection((host, port), 1) as sock:
                if self.url.startswith("http://"):
                    sock.sendall(f"GET {self.program.ready} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                    return bool(sock.recv(16))  # one byte is an answer
                return True
        except OSError:
            return False

    def cpu_ns(self) -> int:
        return probes.cgroup_cpu_ns(self.program.cgroup) if self.program.cgroup else super().cpu_ns()

    def memory_bytes(self) -> int:
        return probes.cgroup_memory_bytes(self.program.cgroup) if self.program.cgroup else super().memory_bytes()

    def resident_bytes(self) -> int:
        return probes.cgroup_memory_bytes(self.program.cgroup) if self.program.cgroup else super().resident_bytes()

    def tidy(self) -> str:
        """Signal it to collect its garbage, if it has a signal for that. Returns a description for the record (R4)."""
        if not self.program.tidy:
            return "not signalled: it has no signal for it"
        self.kill(self.program.tidy)
        return f"signal {self.program.tidy} before each reading"


def _speaks_tls(subject: Subject, tls: TlsFiles | None) -> bool:
    """Whether the program itself speaks TLS: it was given a certificate, or it has one that the subject names."""
    return tls is not None or bool(subject.tls_ca and not subject.tls)


def _filled(word: str, launch: Launch) -> str:
    for name in ("host", "port", "folder", "feed", "posts"):
        word = word.replace("{" + name + "}", str(getattr(launch, name)))
    for name in ("certificate", "key"):
        word = word.replace("{" + name + "}", getattr(launch.tls, name) if launch.tls else "")
    return word


def free_port(host: str) -> int:
    """A TCP port without a listener at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


def port_of(url: str) -> int:
    """The port of a URL; the scheme's default if it has none."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme in ("https", "wss") else 80)


def version_of(subject: Subject) -> str:
    """`STACK (VERSION)` with the program's version line; the stack's name alone if it prints none."""
    version = printed(subject.program.version) if subject.program is not None else ""
    return f"{subject.stack} ({version})" if version else subject.stack


def printed(words: Sequence[str]) -> str:
    """The first line of a command's output; empty when it prints nothing or cannot be run."""
    if not words:
        return ""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=10, check=False, env=programs.environment()
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout.strip() or done.stderr.strip()).partition("\n")[0].strip()
