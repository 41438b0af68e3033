"""The search for programs: on PATH, then in the sbin folders, where Debian installs nginx, haproxy and ip.

An ordinary user's PATH lacks the sbin folders. Invariant: a program that `find` finds is also found by a child with
`search_path()` as its PATH. Called by requirements, checks and the launcher of every child.
"""

from __future__ import annotations

import os

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def search_path() -> str:
    """PATH, then the folders of SBIN that it lacks."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*folders, *(folder for folder in SBIN if folder not in folders)])


def environment() -> dict[str, str]:
    """This process's environment with `search_path()` as PATH, for a child."""
    return {**os.environ, "PATH": search_path()}


def find(name: str) -> str | None:
    """The path of the program `name`; None if it is not installed."""
    import shutil  # takes 5 ms: too much for a child that only needs `search_path`

    return shutil.which(name, path=search_path())
