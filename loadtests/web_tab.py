"""The tab "Push" of Locust's web UI: subscribers, messages and their latency, by user class.

It uses `extended_tabs`, `extended_tables` and `extended_stats`, which Locust has for extensions; it adds no page.
Invariant: the figures are those of its statistics, the numbers of subscribers those of the last reports.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from flask import Response, request
from locust.env import Environment

from rtbench.loadtests.locust_stats import MESSAGE

KEY = "push"
_COLUMNS = {
    "name": "Subscription",
    "subscribed": "Subscribed now",
    "rate": "Messages/s",
    "minute": "Messages/s, last minute",
    "median": "Median latency (ms)",
    "tail": "99%ile latency (ms)",
    "messages": "# Messages",
    "bytes": "Payload bytes",
}
_BARS = "▁▂▃▄▅▆▇█"
_SAMPLE_S = 2.0
_SAMPLES = 30


def add(environment: Environment, subscribed: Callable[[], Mapping[str, int]]) -> None:
    """Add the tab to the environment's web UI. `subscribed`: the number of subscribers by name."""
    ui = environment.web_ui
    assert ui is not None and ui.app is not None
    rates: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_SAMPLES))

    def sample() -> None:
        while True:
            gevent.sleep(_SAMPLE_S)
            for name, entry in _entries(environment):
                rates[name].append(entry.current_rps)

    def rows() -> list[dict[str, Any]]:
        counts = subscribed()
        return [
            {
                "name": name,
                "subscribed": counts.get(name, 0),
                "rate": round(entry.current_rps, 1),
                "minute": sparkline(rates[name]),
                "median": entry.get_response_time_percentile(0.5) if entry.response_times else "not known",
                "tail": entry.get_response_time_percentile(0.99) if entry.response_times else "not known",
                "messages": entry.num_requests,
                "bytes": entry.total_content_length,
            }
            for name, entry in _entries(environment)
        ]

    @ui.app.after_request
    def extend(response: Response) -> Response:
        if request.path.endswith("/stats/requests") and response.is_json:
            found = response.get_json()
            others = [one for one in found.get("extended_stats", []) if one["key"] != KEY]  # Locust keeps responses
            response.set_data(json.dumps({**found, "extended_stats": [*others, {"key": KEY, "data": rows()}]}))
        return response

    structure = [{"key": key, "title": title} for key, title in _COLUMNS.items()]
    for name, one in (
        ("extended_tabs", {"title": "Push", "key": KEY}),
        ("extended_tables", {"key": KEY, "structure": structure}),
    ):
        ui.template_args[name] = [*ui.template_args.get(name, []), one]
    gevent.spawn(sample)


def sparkline(values: deque[float]) -> str:
    """A bar for each value, from 0 to the greatest."""
    most = max(values, default=0.0) or 1.0
    return "".join(_BARS[round(value / most * (len(_BARS) - 1))] for value in values)


def _entries(environment: Environment) -> list[tuple[str, Any]]:
    return [
        (name.removeprefix(MESSAGE), entry)
        for (name, _), entry in environment.stats.entries.items()
        if name.startswith(MESSAGE)
    ]
