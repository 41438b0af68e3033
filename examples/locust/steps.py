"""The same users in steps: 20 more every 10 seconds, three times. Locust takes the shape from this file by itself.

locust -f examples/locust/steps.py --host http://127.0.0.1:8000 --headless
"""

from __future__ import annotations

import os

from locust import LoadTestShape

# Locust puts the folder of the locustfile first on sys.path.
from locustfile import Reader, Watcher

__all__ = ["Reader", "Steps", "Watcher"]

STEP_S = float(os.environ.get("STEP_S", "10"))


class Steps(LoadTestShape):
    def tick(self) -> tuple[int, float] | None:
        step = int(self.get_run_time() // STEP_S)
        return ((step + 1) * 20, 20.0) if step < 3 else None
