"""What lies inside a results folder, links followed.

Invariant: a results folder may come from a stranger (a pull request, an archive), so what rtbench reads and writes
under its name lies in it: a link that leads out is refused, and neither read nor written through. The folder itself may
be a link: its user named it. Called by every reader of a results folder, by the report and by the campaign.
"""

from __future__ import annotations

import os
from pathlib import Path

from rtbench.errors import ResultsError


def inside(folder: Path, path: Path) -> bool:
    """Whether `path`, which is named as below `folder`, is also there. A path that does not exist may be."""
    root, real = os.path.realpath(folder), os.path.realpath(path)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)


def own(folder: Path, path: Path) -> Path:
    """`path`. Raises ResultsError if it leads out of `folder`."""
    if not inside(folder, path):
        text = f"{path}: is a link that leads out of the results folder, to {os.path.realpath(path)}"
        raise ResultsError(text, "replace the link by what it names")
    return path


def own_all(folder: Path, directory: Path) -> None:
    """Raises ResultsError if `directory`, or anything in it, leads out of `folder`. It need not exist."""
    own(folder, directory)
    try:
        with os.scandir(directory) as entries:
            links = [Path(entry.path) for entry in entries if entry.is_symlink()]
    except OSError:
        return  # the reader of its files says so
    for link in links:
        own(folder, link)
