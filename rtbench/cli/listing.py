"""`rtbench list`: subjects, streams, scenarios, metrics and past campaigns.

Invariant: a list imports only what it lists, so that `rtbench list subjects` does not load scenarios and metrics.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from rtbench.cli._options import json_option
from rtbench.errors import UserError

Rows = list[dict[str, Any]]


def _subjects(_: Path) -> Rows:
    from rtbench.subjects import registry

    rows: Rows = []
    for one in registry.catalogue().values():
        missing, remedy = one.missing()
        here = f"no: {remedy}" if missing else "yes"
        state = {"available": not missing, "missing": missing, "remedy": remedy, "here": here}
        rows.append({**one.describe(), "description": one.description, **state})
    return rows


def _streams(_: Path) -> Rows:
    from rtbench import streams

    return [
        {"stream": one.name, "finite": one.finite, "description": one.description}
        for one in streams.catalogue().values()
    ]


def _scenarios(_: Path) -> Rows:
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


def _metrics(_: Path) -> Rows:
    from rtbench.analysis import metrics

    return [
        {"metric": one.name, "unit": one.unit, "better": one.direction, "description": one.caption}
        for one in metrics.catalogue()
    ]


def _results(holder: Path) -> Rows:
    from rtbench.records import past

    rows = past.campaigns(holder)
    return [
        {**row.row(), "started": row.started, "state": row.state, "first": textwrap.shorten(row.answer, 100)}
        for row in rows
    ]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False


LISTS: Mapping[str, tuple[Callable[[Path], Rows], tuple[str, ...]]] = {
    "subjects": (_subjects, ("subject", "arm", "technique", "description", "here")),
    "streams": (_streams, ("stream", "description")),
    "scenarios": (_scenarios, ("scenario", "description")),
    "metrics": (_metrics, ("metric", "unit", "description")),
    "results": (_results, ("result", "started", "scenario", "machine", "state", "first")),
}
"""Each list: the function that makes its rows, and the keys that the table shows."""


@click.command("list", epilog="Example: rtbench list subjects --json")
@click.argument("what", type=click.Choice(list(LISTS)))
@click.option(
    "--in",
    "holder",
    type=click.Path(path_type=Path),
    help="The folder of past campaigns, for `rtbench list results` (default: results).",
)
@json_option
def list_(what: str, holder: Path | None, as_json: bool) -> None:
    """List subjects, streams, scenarios or metrics. `results` lists past campaigns, newest first."""
    found, shown = LISTS[what]
    if holder is not None and not _is_folder(holder):
        raise UserError(f"--in {holder}: is not a folder", "name one that holds results folders")
    holder = holder or Path("results")
    rows = found(holder)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if what == "results" and not rows:
        click.echo(f"rtbench: no campaigns in {holder}: measure one with `rtbench run smoke`", err=True)
    widths = {name: max((len(str(row[name])) for row in rows), default=0) for name in shown[:-1]}
    for row in rows:
        click.echo("  ".join([*(f"{row[name]:<{widths[name]}}" for name in shown[:-1]), str(row[shown[-1]])]))
