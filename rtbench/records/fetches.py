"""Which request fetched a message: the join of a polling subscriber's deliveries with its requests.

Invariant: one answer per message, whatever the order of the rows. Called by the trial's judge, and by the samples of
the analysis.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rtbench.records.audit import Ints, Table

_TIME_BITS = 43
"""Bits of a key for the time since a trial's first request: 2^43 ns are 2.4 hours; leaves 2^20 subscribers."""
_SLICE = 1 << 20


def asked_ns(requests: Table, subscriber: npt.NDArray[np.integer], app_ns: Ints) -> Ints:
    """For every message, the start of the request that fetched it: its subscriber's last before `app_ns`; -1: none."""
    found = np.full(app_ns.size, -1, dtype=np.int64)
    started = requests["started_ns"]
    if not started.size or not app_ns.size:
        return found
    origin = min(int(started.min()), int(app_ns.min()))
    key = (requests["subscriber"].astype(np.int64) << _TIME_BITS) | (started - origin)
    order = np.argsort(key)
    key = key[order]
    for begin in range(0, app_ns.size, _SLICE):  # in slices: its intermediate results are several times its size
        part = slice(begin, begin + _SLICE)
        # strictly before: a request that starts at the very moment of a delivery asked for the next one
        wanted = (subscriber[part].astype(np.int64) << _TIME_BITS) | (app_ns[part] - origin)
        place = np.searchsorted(key, wanted, side="left") - 1
        row = order[np.maximum(place, 0)]
        found[part] = np.where((place >= 0) & (requests["subscriber"][row] == subscriber[part]), started[row], -1)
    return found
