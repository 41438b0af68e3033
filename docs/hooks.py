"""What MkDocs does besides mkdocs.yml: folders in the nav, pages from outside docs/, notebooks, links out of docs/."""

from __future__ import annotations

import json
import os.path
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
ADOPTED = {
    "ARCHITECTURE.md": "explanation/architecture.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Files of the repository that are pages of the site, too."""
LINK = re.compile(r"(!?\[[^\]]*\])\(([\w./-]+)(#[\w.-]+)?\)")
FIRST = "tutorial/first-report.md"
"""The page that comes first in its folder."""


def on_config(config: Any) -> Any:
    """A nav entry that ends with / becomes the pages of that folder; without any it goes."""
    nav = []
    for entry in config["nav"]:
        ((title, value),) = entry.items()
        if isinstance(value, str) and value.endswith("/"):
            found = [path for end in ("md", "ipynb") for path in (ROOT / "docs" / value).glob(f"*.{end}")]
            names = sorted((str(path.relative_to(ROOT / "docs")) for path in found), key=lambda n: (n != FIRST, n))
            value = [name.removesuffix(".ipynb") + "-cells.md" if name.endswith(".ipynb") else name for name in names]
        if value:
            nav.append({title: value})
    config["nav"] = nav
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the adopted pages, and a page with the cells of each notebook."""
    for name, page in ADOPTED.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for path in (ROOT / "docs").rglob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join(_cell(cell["cell_type"], "".join(cell["source"])) for cell in cells)
        name = str(path.relative_to(ROOT / "docs")).removesuffix(".ipynb") + "-cells.md"
        files.append(File.generated(config, name, content=text + "\n"))
    return files


def _cell(kind: str, source: str) -> str:
    return source if kind == "markdown" else f"```python\n{source}\n```"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to the repository's other files become links of the site or of the repository, or plain words."""
    where = page.file.src_uri
    home = next((name for name, page_of in ADOPTED.items() if page_of == where), f"docs/{where}")

    def resolved(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        path = os.path.normpath(Path(home).parent / target)
        to = ADOPTED.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        to = to.replace(".ipynb", "-cells.md")
        if to and files.get_file_from_path(to):
            return f"{words}({os.path.relpath(to, Path(where).parent)}{anchor})"
        if not (ROOT / path).exists():
            return found[0]  # MkDocs says what is wrong with it
        if config["extra"]["repository"]:
            return f"{words}({config['extra']['repository']}/{path}{anchor})"
        plain = words.removeprefix("!")[1:-1]
        return plain if path in plain.replace("`", "") else f"{plain} (`{path}`)"

    return LINK.sub(resolved, markdown)
