"""A locustfile with churn: the shipped one, and as Locust's LoadTestShape the number of users that [churn] would have.

locust -f loadtests/churn.py --host http://127.0.0.1:8000 --headless --stay 100 --churn-rate 5 --churn-stay 10 SSEUser

Locust asks once a second how many users there are to be, and chooses whom it stops. Invariant: that number is a pure
function of `--churn-seed` and the time. The spans of single visitors are a matter of `rtbench run churn`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from locust import LoadTestShape, events

from rtbench.loadtests import locustfile, users
from rtbench.loadtests.locustfile import LongPollUser, ShortPollUser, SSEUser, WebSocketUser
from rtbench.scenario.visits import Visit, there, visits

globals().update(users.OTHERS)
__all__ = ["Churn", "LongPollUser", "SSEUser", "ShortPollUser", "WebSocketUser", "locustfile"]

MOST_HZ = 1000.0
"""How fast Locust starts and stops users towards the next number."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:
    group = parser.add_argument_group("rtbench churn")
    group.add_argument("--stay", type=int, default=100, help="users that stay (default 100)")
    group.add_argument("--churn-rate", type=float, default=5.0, help="visitors that arrive a second (default 5)")
    group.add_argument("--churn-stay", type=float, default=10.0, help="seconds that one stays on average (default 10)")
    group.add_argument("--churn-time", type=float, default=60.0, help="seconds of the test (default 60)")
    group.add_argument("--churn-seed", type=int, default=1, help="what arrivals and stays are drawn from (default 1)")


class Churn(LoadTestShape):
    """The users that stay, and as many visitors as the plan has at that moment."""

    @cached_property
    def _plan(self) -> tuple[Visit, ...]:
        options = self._given
        return visits(options.churn_seed, options.churn_rate, options.churn_stay, options.churn_time, lead_s=0.0)

    @property
    def _given(self) -> Any:
        assert self.runner is not None  # Locust sets it before it asks
        return self.runner.environment.parsed_options

    def tick(self) -> tuple[int, float] | None:
        """How many users there are to be now, and how fast to get there; None when the time is over."""
        at_s = self.get_run_time()  # type: ignore[no-untyped-call]
        if at_s >= self._given.churn_time:
            return None
        return self._given.stay + there(self._plan, int(at_s * 1e9)), MOST_HZ
