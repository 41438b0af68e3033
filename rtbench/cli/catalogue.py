"""What there is: `rtbench list`, and the workload itself: `rtbench ticks`."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import click

from rtbench import streams as stream_catalogue
from rtbench.cli._options import build, json_option, seed_option, settings_option
from rtbench.errors import UserError
from rtbench.scenario import loading as scenarios
from rtbench.subjects import registry as subject_catalogue
from rtbench.workload import Channel


@click.command("list", epilog="Example: rtbench list subjects --json")
@click.argument("what", type=click.Choice(["subjects", "streams", "scenarios", "metrics"]))
@json_option
def list_(what: str, as_json: bool) -> None:
    """What there is: subjects, streams, scenarios or metrics."""
    rows: list[dict[str, Any]]
    shown: tuple[str, ...]
    if what == "subjects":
        rows = [
            {
                **one.describe(),
                "description": one.description,
                "available": not missing,
                "missing": missing,
                "remedy": how,
            }
            for one in subject_catalogue.catalogue().values()
            for missing, how in [one.missing()]
        ]
        for row in rows:
            row["here"] = "yes" if row["available"] else f"no: {row['remedy']}"
        shown = ("subject", "arm", "technique", "description", "here")
    elif what == "streams":
        rows = [
            {"stream": stream.name, "finite": stream.finite, "description": stream.description}
            for stream in stream_catalogue.catalogue().values()
        ]
        shown = ("stream", "description")
    elif what == "scenarios":
        loaded = [scenarios.load(name) for name in scenarios.names()]
        rows = [
            {
                "scenario": one.name,
                "subjects": list(one.subjects),
                "subscribers": one.subscribers,
                "blocks": one.blocks,
                "description": one.description,
            }
            for one in loaded
        ]
        shown = ("scenario", "description")
    else:
        from rtbench.analysis import metrics  # takes a second, which the other lists do not have

        rows = [
            {"metric": m.name, "unit": m.unit, "better": m.direction, "description": m.caption}
            for m in metrics.catalogue()
        ]
        shown = ("metric", "unit", "description")
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    widths = {name: max(len(str(row[name])) for row in rows) for name in shown[:-1]}
    for row in rows:
        click.echo("  ".join([*(f"{row[name]:<{widths[name]}}" for name in shown[:-1]), str(row[shown[-1]])]))


@click.command(epilog="Example: rtbench ticks stocks --seed 7 --count 10")
@click.argument("stream")
@seed_option
@click.option("--count", type=click.IntRange(0), default=20, show_default=True, help="How many.")
@click.option("--channel", type=click.IntRange(0), default=0, show_default=True, help="Which channel of the stream.")
@settings_option
def ticks(stream: str, seed: int | None, count: int, channel: int, settings: tuple[str, ...]) -> None:
    """The workload itself: one JSON object a line, `payload` the exact text that every transport sends."""
    found = stream_catalogue.find(stream)
    table = build({"stream": [stream]}, seed, settings)
    if not found.foreseen(table.make_workload().pace):
        raise UserError(f"what {stream} sends then is known when it is due", "leave workload.real out, or serve it")
    number = channel if table.workload.channels == "unicast" else 0
    for tick in islice(table.make_workload().ticks_of(Channel(number, stream, channel)), count):
        row = {"channel": channel, "seq": tick.seq, "due_ns": tick.due_ns, "payload": tick.payload.decode()}
        click.echo(json.dumps(row, ensure_ascii=False))
