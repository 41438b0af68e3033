"""The workload itself: `rtbench ticks`."""

from __future__ import annotations

import json
from itertools import islice

import click

from rtbench import streams
from rtbench.cli._options import seed_option, settings_option
from rtbench.cli._scenario import build
from rtbench.errors import UserError
from rtbench.workload import Channel


@click.command(epilog="Example: rtbench ticks stocks --seed 7 --count 10")
@click.argument("stream")
@seed_option
@click.option("--count", type=click.IntRange(0), default=20, show_default=True, help="How many.")
@click.option("--channel", type=click.IntRange(0), default=0, show_default=True, help="Which channel of the stream.")
@settings_option
def ticks(stream: str, seed: int | None, count: int, channel: int, settings: tuple[str, ...]) -> None:
    """The workload itself: one JSON object a line, `payload` the exact text that every transport sends."""
    found = streams.find(stream)
    table = build({"stream": [stream]}, seed, settings)
    if not found.foreseen(table.make_workload().pace):
        raise UserError(f"what {stream} sends then is known when it is due", "leave workload.real out, or serve it")
    number = channel if table.workload.channels == "unicast" else 0
    for tick in islice(table.make_workload().ticks_of(Channel(number, stream, channel)), count):
        row = {"channel": channel, "seq": tick.seq, "due_ns": tick.due_ns, "payload": tick.payload.decode()}
        click.echo(json.dumps(row, ensure_ascii=False))
