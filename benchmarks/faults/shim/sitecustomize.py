"""Loaded by every Python process of a campaign whose PYTHONPATH has this folder. It changes nothing but these two.

RTBENCH_FAULTS_CLOCK=FILE: in a load process, CLOCK_REALTIME is two seconds ahead once FILE exists. The machine's clock
and the kernel's stamps stay as they are.
RTBENCH_FAULTS_LOG=FILE: each fsync and rename is appended to FILE, a line each, in the order in which they returned.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

STEP_NS = 2_000_000_000

if (_trigger := os.environ.get("RTBENCH_FAULTS_CLOCK")) and "locust" in sys.orig_argv:
    _time_ns = time.time_ns

    def _stepped() -> int:
        return _time_ns() + (STEP_NS if os.path.exists(_trigger) else 0)  # noqa: PTH110

    time.time_ns = _stepped

if _log := os.environ.get("RTBENCH_FAULTS_LOG"):
    _fsync, _rename = os.fsync, os.rename

    def _note(*words: object) -> None:
        descriptor = os.open(_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, ("\t".join(map(str, words)) + "\n").encode())
        os.close(descriptor)

    def _noted_fsync(descriptor: int) -> None:
        _fsync(descriptor)
        _note("fsync", os.readlink(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor).st_size)  # noqa: PTH115

    def _noted_rename(source: Any, target: Any, **named: Any) -> None:
        _rename(source, target, **named)
        _note("rename", os.path.abspath(source), os.path.abspath(target))  # noqa: PTH100

    os.fsync, os.rename = _noted_fsync, _noted_rename
