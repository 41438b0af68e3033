"""What the HTML pages share: how templates are filled, and the report's styles and script.

Invariant: text from a results folder cannot break out of HTML; should it, the page's policy still lets no script, style
sheet or request of its own through. A name that a template lacks is an error. Called by the report, `rtbench compare
--format html` and the list of past campaigns.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

_REPORT = Path(__file__).parent / "report" / "templates"


@cache
def environment(folder: Path) -> jinja2.Environment:
    """The templates of a folder, compiled once in a process: HTML is escaped, Markdown is not."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["policy"] = policy
    return made


def policy(css: str, js: str = "") -> Markup:
    """The Content-Security-Policy of a page: its own style sheet and script by their hashes (CSP 3, §2.3.1).

    A page with a script has figures, too. Their lines have style attributes, which are allowed: a page that loads
    nothing gives them nothing to do. `style-src` is for browsers that cannot tell them from style sheets (§6.1.15).
    """
    if js:
        rules = f"script-src {_hash(js)}; style-src 'unsafe-inline'; style-src-elem {_hash(css)}"
    else:
        rules = f"style-src {_hash(css)}"
    return Markup(f"default-src 'none'; {rules}; base-uri 'none'; form-action 'none'")  # noqa: S704 - words and hashes


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def parts() -> dict[str, Markup]:
    """`css` and `js` of the report, which stand inside each page."""
    own = {part: (_REPORT / f"report.{part}").read_text(encoding="utf-8") for part in ("css", "js")}
    return {part: Markup(text) for part, text in own.items()}  # noqa: S704 - our own files
