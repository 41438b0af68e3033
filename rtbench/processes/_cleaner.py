"""`python _cleaner.py FOLDER`: ends what a killed owner left: process groups and the folder of its sockets.

Standard input has the process groups, one number a line, then `done`. Its end without `done` means that the owner was
killed: then every group gets SIGKILL. FOLDER goes in any case: the owner may lack a descriptor for that. The kernel
ends the owner's direct children by itself (`_launch`); these may have started others. Invariant: it only sleeps while
the owner lives. Started by `scratch`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys


def main() -> None:
    """Read until the end, then act."""
    groups: list[int] = []
    for line in sys.stdin:
        if line == "done\n":
            groups = []
            break
        groups.append(int(line))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
