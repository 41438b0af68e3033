"""One server, for people: `rtbench serve` and `rtbench demo`, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click

from rtbench import streams as stream_catalogue
from rtbench.cli._options import seed_option, settings_option
from rtbench.cli._scenario import build
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import publish_into, server_of
from rtbench.subjects import Subject
from rtbench.subjects.names import module_at
from rtbench.subjects.registry import Registry

_host = click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
_port = click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: any free port.")
_real = click.option("--real", is_flag=True, help="Stream metrics: this machine's figures instead of simulated ones.")


@click.command(epilog="Example: rtbench serve sse-aiohttp --port 8000, then: curl -N http://127.0.0.1:8000/sse/stocks")
@click.argument("subject")
@_host
@_port
@_real
@seed_option
@settings_option
def serve(subject: str, host: str, port: int, real: bool, seed: int | None, settings: tuple[str, ...]) -> None:
    """One server with every stream played into it, until Ctrl-C or SIGTERM.

    Stream replay is among them with `--set workload.trace=FILE`. What a browser shows of it is at /.
    """
    registry, name = Registry().reading(subject)
    _play(registry.find(name), host, port, real, seed, settings)


@click.command(epilog="Example: rtbench demo --port 8000, then open http://127.0.0.1:8000/ in a browser")
@_host
@_port
@_real
@seed_option
@settings_option
def demo(host: str, port: int, real: bool, seed: int | None, settings: tuple[str, ...]) -> None:
    """The race page and the article's pages, live, in a browser, until Ctrl-C or SIGTERM.

    One server with all four transports, whose lanes can be stopped and cut: by default on this machine only.
    """
    _play(replace(module_at(DEMO), module=DEMO), host, port, real, seed, settings, DEMO_PAGES)


DEMO = "rtbench.servers.demo.demo"
DEMO_PAGES = (
    ("/pages/race.html", "the race: four transports, one workload"),
    ("/pages/list.html", "the article's live list"),
    ("/pages/dashboard.html", "the article's dashboard"),
    ("/", "all of them"),
)


def _play(
    served: Subject,
    host: str,
    port: int,
    real: bool,
    seed: int | None,
    settings: tuple[str, ...],
    pages: tuple[tuple[str, str], ...] = (),
) -> None:
    if not any(setting.startswith("epoch_s=") for setting in settings):
        settings = (f"epoch_s={int(time.time())}", *settings)
    if real:
        settings = (*settings, "workload.real=true")
    every = stream_catalogue.catalogue().values()
    pace = build({"stream": [s.name for s in every if not s.needs]}, seed, settings).make_workload().pace
    table = build({"stream": [s.name for s in every if not s.needs or getattr(pace, s.needs)]}, seed, settings)
    # Whenever the signal comes, also while it starts: it ends what runs, and that is what was asked.
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="rtbench-") as name:
        folder = Path(name)
        with PublisherProcess(table.make_workload(), table, folder, (), folder / "publisher.log") as publisher:
            publisher.ready()
            feed, log = publisher.socket_path, folder / "server.log"
            with server_of(served, table, feed, folder, (), log, host=host, port=port) as server:
                publish_into(publisher, served, server)
                publisher.play(table.stream)
                url = server.ready()
                click.echo(f"listening on {url}")
                for path, what in pages:
                    click.echo(f"  open {url}{path}  {what}")
                sys.stdout.flush()
                while True:
                    for process in (publisher, server):
                        if process.exited() is not None:
                            raise process.died()
                    time.sleep(0.25)
