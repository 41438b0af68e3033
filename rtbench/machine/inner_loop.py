"""The one piece of the load generator that is in C, compiled when it is first wanted, and where it was put.

Invariant: optional: without a compiler the reactor's own loop in Python does the same, at a higher cost. One
campaign reads in one way, and says which: the campaign decides, its load processes obey. Used by the campaign, by
`rtbench doctor` and by a standalone Locust.
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

SOURCE = Path(__file__).parents[1] / "loadtests" / "reactor" / "inner_loop.c"
SWITCH = "RTBENCH_INNER_LOOP"
"""`python` in this variable of the environment: do not use C."""
FLAGS = ("-O2", "-shared", "-fPIC", "-x", "c", "-")
"""What the compiler is given, besides where to put the library; the source comes on its standard input."""
REMEDY = "apt-get install gcc libc6-dev"
_PATIENCE_S = 60


@functools.cache
def library() -> Path | None:
    """The shared library of `loadtests/reactor/inner_loop.c`; None when there is none to be had, or none is wanted."""
    if os.environ.get(SWITCH) == "python":
        return None
    try:
        return _built(SOURCE.read_bytes())
    except (OSError, subprocess.SubprocessError):
        return None


def inner_loop() -> str:
    """What the load generator's inner loop is in: C, or Python."""
    return "Python" if library() is None else "C"


def _built(source: bytes) -> Path:
    """Raises OSError or SubprocessError when it cannot be built or loaded."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rtbench"
    kept = cache / f"inner-loop-{hashlib.sha256(source).hexdigest()[:16]}-{platform.machine()}.so"
    if not kept.exists():
        compiler = shutil.which("cc")
        if compiler is None:
            raise FileNotFoundError("cc")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / kept.name
            command = [compiler, *FLAGS, "-o", str(made)]
            subprocess.run(command, input=source, check=True, capture_output=True, timeout=_PATIENCE_S)
            made.replace(kept)  # at once: others may be building it, too
    ctypes.CDLL(str(kept))
    return kept
