"""Where programs are found: on PATH, then in the sbin folders, where Debian puts nginx, haproxy and ip.

An ordinary user's PATH does not name the sbin folders. Invariant: what `find` finds, a child started with
`search_path()` finds, too. Called by requirements, checks and the launcher of every child.
"""

from __future__ import annotations

import os

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def search_path() -> str:
    """PATH, followed by the folders of SBIN that it lacks."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*folders, *(folder for folder in SBIN if folder not in folders)])


def environment() -> dict[str, str]:
    """This process's environment with `search_path()` as its PATH, to start a program in."""
    return {**os.environ, "PATH": search_path()}


def find(name: str) -> str | None:
    """The path of the program `name`; None when this machine does not have it."""
    import shutil  # takes 5 ms, which each child that only needs its path would pay

    return shutil.which(name, path=search_path())
