"""A proxy in front of a server, on the server's core. Started by a trial once the server is ready."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

from rtbench.errors import SubjectError, UnavailableError
from rtbench.machine import probes
from rtbench.machine.topology import Cores
from rtbench.processes.process import Process
from rtbench.processes.program import ASK_S, free_port, port_of, printed
from rtbench.subjects.proxies import Before, Proxy
from rtbench.subjects.requirements import lacking
from rtbench.subjects.tls import TlsFiles


class ProxyProcess(Process):
    """A proxy before a server; subscribers connect to `url`."""

    name = "proxy"

    def __init__(
        self,
        proxy: Proxy,
        upstream: str,
        subscribers: int,
        folder: Path,
        cores: Cores,
        log: Path,
        *,
        host: str = "",
        network: str = "",
        tls: TlsFiles | None = None,
    ) -> None:
        what, remedy = lacking(proxy.requires)
        if what:
            raise UnavailableError(f"the proxy {proxy.name} needs {what}", remedy)
        parts = urlsplit(upstream)
        host = host or parts.hostname or "127.0.0.1"
        self._port = 8090 if network else free_port(host)
        folder = folder / "proxy"
        folder.mkdir(exist_ok=True)
        before = Before(host, self._port, parts.hostname or "", port_of(upstream), folder, subscribers, tls)
        self.url = f"{'https' if tls else parts.scheme}://{f'[{host}]' if ':' in host else host}:{self._port}"
        self.uses = {"proxy": proxy.name, "version": printed(proxy.version)}
        super().__init__(proxy.command(before), cores, log, network=network, listen=False)

    def ready(self, timeout_s: float = 20) -> str:
        """Wait until it listens."""
        deadline = time.monotonic() + timeout_s
        while not probes.listens(self.pid, self._port):
            if self.exited() is not None:
                raise self.died()
            if time.monotonic() > deadline:
                raise SubjectError(f"the proxy did not listen within {timeout_s:g} s", self.why())
            time.sleep(ASK_S)
        return self.url
