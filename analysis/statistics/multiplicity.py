"""False-discovery control: p-values adjusted for how many comparisons were made together (R8). Called by `judgement`,
by a sweep's curves and by `rtbench compare`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def adjust(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Benjamini–Hochberg adjusted p-values, in the order given: q[i] ≤ α exactly when p[i] is rejected at rate α.

    `scipy.stats.false_discovery_control` rounds the last bit otherwise, which would change every stored report.json; a
    test holds the two together.
    """
    count = p.size
    order = np.argsort(p)
    scaled = p[order] * count / np.arange(1, count + 1)
    q = np.empty(count)
    q[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return q
