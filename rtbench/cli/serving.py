"""`rtbench serve` and `rtbench demo`: run one server until Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import sys
import time
from dataclasses import replace

import click

from rtbench import streams as stream_catalogue
from rtbench.cli._options import seed_option, settings_option, warn
from rtbench.cli._scenario import build
from rtbench.processes import certificates
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.scratch import scratch
from rtbench.processes.starting import publish_into, server_of
from rtbench.scenario import strangers
from rtbench.subjects import Subject
from rtbench.subjects.names import module_at
from rtbench.subjects.registry import Registry, secured
from rtbench.subjects.tls import version_of

_host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
_port = click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port; 0: any free one."
)
_allow = click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Origin whose pages may connect, post and read answers, such as https://example.org; * for every site.",
)
_real = click.option("--real", is_flag=True, help="Stream `metrics`: send this machine's figures, not simulated ones.")


@click.command(epilog="Example: rtbench serve sse-aiohttp --port 8000, then: curl -N http://127.0.0.1:8000/sse/stocks")
@click.argument("subject")
@_host
@_port
@_allow
@_real
@seed_option
@settings_option
def serve(
    subject: str,
    host: str,
    port: int,
    origins: tuple[str, ...],
    real: bool,
    seed: int | None,
    settings: tuple[str, ...],
) -> None:
    """Run one server and play every stream into it, until Ctrl-C or SIGTERM.

    `--set workload.trace=FILE` adds the stream `replay`. The page at / shows the streams in a browser.
    """
    for text in strangers.of_module(subject):
        warn(text)
    registry, name = Registry().reading(subject)
    _play(registry.find(name), host, port, real, seed, _with(origins, settings))


@click.command(epilog="Example: rtbench demo --port 8000, then open http://127.0.0.1:8000/ in a browser")
@_host
@_port
@_allow
@_real
@seed_option
@settings_option
def demo(
    host: str, port: int, origins: tuple[str, ...], real: bool, seed: int | None, settings: tuple[str, ...]
) -> None:
    """Serve the race page and the article's pages, until Ctrl-C or SIGTERM.

    One server offers all four transports. The page can stop and cut each lane, so the default address is local.
    """
    _play(replace(module_at(DEMO), module=DEMO), host, port, real, seed, _with(origins, settings), DEMO_PAGES)


DEMO = "rtbench.servers.demo.demo"
DEMO_PAGES = (
    ("/pages/race.html", "the race: four transports, one workload"),
    ("/pages/list.html", "the article's live list"),
    ("/pages/dashboard.html", "the article's dashboard"),
    ("/", "all of them"),
)


def _with(origins: tuple[str, ...], settings: tuple[str, ...]) -> tuple[str, ...]:
    """The settings with `--allow-origin`."""
    return (*settings, f"server.allow_origin={json.dumps(origins)}") if origins else settings


def _local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _play(
    served: Subject,
    host: str,
    port: int,
    real: bool,
    seed: int | None,
    settings: tuple[str, ...],
    pages: tuple[tuple[str, str], ...] = (),
) -> None:
    if not _local(host):
        text = "every machine that reaches this one can use this server, without a password and without TLS"
        warn(f"--host {host}: {text}; leave out --host to serve this machine only")
    if not any(setting.startswith("epoch_s=") for setting in settings):
        settings = (f"epoch_s={int(time.time())}", *settings)
    if real:
        settings = (*settings, "workload.real=true")
    every = stream_catalogue.catalogue().values()
    pace = build({"stream": [s.name for s in every if not s.needs]}, seed, settings).make_workload().pace
    table = build({"stream": [s.name for s in every if not s.needs or getattr(pace, s.needs)]}, seed, settings)
    if table.tls:
        served = secured(served, version_of(table.tls))
    # The signal may come at any time, also during the start: it ends whatever runs.
    with (
        contextlib.suppress(KeyboardInterrupt),
        scratch() as folder,
        PublisherProcess(table.make_workload(), table, folder, (), folder / "publisher.log") as publisher,
    ):
        publisher.ready()
        feed, log = publisher.socket_path, folder / "server.log"
        served = certificates.trusting(served, folder, host)
        with server_of(served, table, feed, folder, (), log, host=host, port=port) as server:
            publish_into(publisher, served, server)
            publisher.play(table.stream)
            url = server.ready()
            click.echo(f"listening on {url}")
            if served.tls:
                click.echo(f"  curl --cacert {served.tls_ca} {url}/")
            for path, what in pages:
                click.echo(f"  open {url}{path}  {what}")
            sys.stdout.flush()
            while True:
                for process in (publisher, server):
                    if process.exited() is not None:
                        raise process.died()
                time.sleep(0.25)
