"""`python benchmarks/reference.py FOLDER NAME`: make a measured campaign the reference result NAME.

Invariant: results/reference/NAME holds report.md, one figure, campaign.json and metrics.csv; `ci` has report.html, too.
A figure that a page shows has one for dark pages beside it. Everything else of the folder stays out of git: the command
in campaign.json repeats it. Called by `make reference`, which then updates the numbers on pages with
`benchmarks/quoted.py --write`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from rtbench.analysis.figures._style import to_dark

REFERENCE = Path(__file__).parent.parent / "results" / "reference"
FIGURES = ("forest.svg", "decision.svg", "sweep.svg")
"""The main figure; over stacks, the forest plot; of a sweep, its curves. The first one that the report has is kept."""
WHOLE = "ci"
"""The reference whose report.html is kept as an example."""
SHOWN = ("ci", "matrix")
"""References whose figure a page shows: there is one for dark pages, too."""


def keep(folder: Path, name: str, reference: Path = REFERENCE) -> Path:
    """Replace `reference`/`name` by the kept files of the results folder. Returns its path. Raises SystemExit, and
    replaces nothing, when the campaign is not finished, lacks a file, or `name` is not the name of a folder."""
    if name != Path(name).name or name in ("", ".", ".."):
        raise SystemExit(f"reference: NAME={name!r}: expected the name of a folder")
    report = folder / "report"
    figure = next((one for one in FIGURES if (report / "figures" / one).is_file()), FIGURES[0])
    kept = {
        "campaign.json": folder / "campaign.json",
        "report.md": report / "report.md",
        "metrics.csv": report / "metrics.csv",
        f"figures/{figure}": report / "figures" / figure,
        **({"report.html": report / "report.html"} if name == WHOLE else {}),
    }
    missing = [str(path) for path in kept.values() if not path.is_file()]
    if missing:
        raise SystemExit(f"reference: {', '.join(missing)}: missing; run `rtbench report {folder}`")
    target = reference / name
    new = reference / f".{name}.new"
    shutil.rmtree(new, ignore_errors=True)
    (new / "figures").mkdir(parents=True)
    for inside, path in kept.items():
        shutil.copyfile(path, new / inside)
    if name in SHOWN:
        light = new / "figures" / figure
        light.with_stem(f"{light.stem}-dark").write_text(to_dark(light.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    return target


if __name__ == "__main__":
    print(keep(Path(sys.argv[1]), sys.argv[2]))
