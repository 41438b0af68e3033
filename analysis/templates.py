"""What the HTML pages share: how templates are filled, and the report's styles and script.

Invariant: text from a results folder cannot break out of HTML; a name that a template lacks is an error. Called by the
report, `rtbench compare --format html` and the list of past campaigns.
"""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

_REPORT = Path(__file__).parent / "report" / "templates"


def environment(folder: Path) -> jinja2.Environment:
    """The templates of a folder: HTML is escaped, Markdown is not."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def parts() -> dict[str, Markup]:
    """`css` and `js` of the report, which stand inside each page."""
    return {part: Markup((_REPORT / f"report.{part}").read_text(encoding="utf-8")) for part in ("css", "js")}
