"""What there is: `rtbench list`.

Invariant: a list imports what it lists and nothing else: whoever asks for subjects waits for no scenario and no metric.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from rtbench.cli._options import json_option

Rows = list[dict[str, Any]]


def _subjects() -> Rows:
    from rtbench.subjects import registry

    rows: Rows = []
    for one in registry.catalogue().values():
        missing, remedy = one.missing()
        here = f"no: {remedy}" if missing else "yes"
        state = {"available": not missing, "missing": missing, "remedy": remedy, "here": here}
        rows.append({**one.describe(), "description": one.description, **state})
    return rows


def _streams() -> Rows:
    from rtbench import streams

    return [
        {"stream": one.name, "finite": one.finite, "description": one.description}
        for one in streams.catalogue().values()
    ]


def _scenarios() -> Rows:
    from rtbench.scenario import loading

    return [
        {
            "scenario": one.name,
            "subjects": list(one.subjects),
            "subscribers": one.subscribers,
            "blocks": one.blocks,
            "description": one.description,
        }
        for one in map(loading.load, loading.names())
    ]


def _metrics() -> Rows:
    from rtbench.analysis import metrics

    return [
        {"metric": one.name, "unit": one.unit, "better": one.direction, "description": one.caption}
        for one in metrics.catalogue()
    ]


LISTS: Mapping[str, tuple[Callable[[], Rows], tuple[str, ...]]] = {
    "subjects": (_subjects, ("subject", "arm", "technique", "description", "here")),
    "streams": (_streams, ("stream", "description")),
    "scenarios": (_scenarios, ("scenario", "description")),
    "metrics": (_metrics, ("metric", "unit", "description")),
}
"""What can be listed: its rows, and which of their keys the table shows."""


@click.command("list", epilog="Example: rtbench list subjects --json")
@click.argument("what", type=click.Choice(list(LISTS)))
@json_option
def list_(what: str, as_json: bool) -> None:
    """What there is: subjects, streams, scenarios or metrics."""
    found, shown = LISTS[what]
    rows = found()
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    widths = {name: max(len(str(row[name])) for row in rows) for name in shown[:-1]}
    for row in rows:
        click.echo("  ".join([*(f"{row[name]:<{widths[name]}}" for name in shown[:-1]), str(row[shown[-1]])]))
