"""The load generator's inner loop in C, and other C of ours (`built`): compiled at first use, then cached.

Invariant: the inner loop is optional. Without a compiler the reactor's Python loop does the same work at a higher
cost. All load processes of a campaign use the same loop; the campaign chooses and records it. Called by the campaign,
by `rtbench doctor` and by a standalone Locust; `built` also by the router (`rtbench.processes.router`).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from rtbench.errors import UserError
from rtbench.scenario.strangers import whose

SOURCE = Path(__file__).parents[1] / "loadtests" / "reactor" / "inner_loop.c"
SWITCH = "RTBENCH_INNER_LOOP"
"""The value `python` in this environment variable disables the C loop."""
FLAGS = ("-O2", "-shared", "-fPIC", "-x", "c", "-")
"""The compiler's arguments, before `-o LIBRARY`; the source comes on its standard input."""
REMEDY = "apt-get install gcc libc6-dev"
_PATIENCE_S = 60


@functools.cache
def library() -> Path | None:
    """The shared library of `loadtests/reactor/inner_loop.c`; None without a compiler, or where C is disabled.

    Raises UserError for an unknown value of RTBENCH_INNER_LOOP, and for a library that others may have put there.
    """
    wanted = os.environ.get(SWITCH, "")
    if wanted not in ("", "python"):
        raise UserError(f"{SWITCH}={wanted}: unknown value", 'set it to "python", or remove it for the C loop')
    if wanted:
        return None
    try:
        return built(SOURCE)
    except (OSError, subprocess.SubprocessError):
        return None


def inner_loop() -> str:
    """The language of the load generator's inner loop: `C` or `Python`."""
    return "Python" if library() is None else "C"


def built(file: Path) -> Path:
    """The shared library of a C file. Raises OSError or SubprocessError when it cannot be built or loaded, UserError
    when others may have put it there."""
    source = file.read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rtbench"
    kept = cache / f"{file.stem.replace('_', '-')}-{hashlib.sha256(source).hexdigest()[:16]}-{platform.machine()}.so"
    if not kept.exists():
        compiler = shutil.which("cc")
        if compiler is None:
            raise FileNotFoundError("cc")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / kept.name
            command = [compiler, *FLAGS, "-o", str(made)]
            subprocess.run(command, input=source, check=True, capture_output=True, timeout=_PATIENCE_S)
            made.replace(kept)  # atomic: other processes may build it at the same time
    if why := whose(kept):  # its code would run here
        raise UserError(f"{kept} {why}", "remove it, or set XDG_CACHE_HOME to a folder of your own")
    ctypes.CDLL(str(kept))
    return kept
