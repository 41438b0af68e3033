"""`rtbench ticks`: print the workload."""

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
@click.option("--count", type=click.IntRange(0), default=20, show_default=True, help="Number of messages.")
@click.option("--channel", type=click.IntRange(0), default=0, show_default=True, help="Channel of the stream.")
@settings_option
def ticks(stream: str, seed: int | None, count: int, channel: int, settings: tuple[str, ...]) -> None:
    """Print the workload: one JSON object per line. `payload` is the exact text that every transport sends."""
    found = streams.find(stream)
    table = build({"stream": [stream]}, seed, settings)
    if not found.foreseen(table.make_workload().pace):
        raise UserError(f"stream {stream}: real figures do not exist before they are due", "leave out workload.real")
    channels = table.subscribers if table.workload.channels == "unicast" else 1
    if channel >= channels:
        more = "set workload.channels=unicast, or subscribers" if channels == 1 else "set subscribers"
        raise UserError(f"--channel {channel}: the stream {stream} has {channels:,}, numbered from 0", more)
    for tick in islice(table.make_workload().ticks_of(Channel(channel, stream, channel)), count):
        row = {"channel": channel, "seq": tick.seq, "due_ns": tick.due_ns, "payload": tick.payload.decode()}
        click.echo(json.dumps(row, ensure_ascii=False))
