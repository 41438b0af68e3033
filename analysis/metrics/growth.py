"""A leak's figures: what a process gains while its load stays the same, memory an hour and open descriptors.

A window below LEAST_S has no growth: what an allocator does in its first seconds is not a leak. Read from
probes.parquet (resident set) and the manifest. Called by the registry; the report has a table of them.
"""

from __future__ import annotations

from functools import partial

from rtbench.analysis.metrics import Metric, register
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.statistics.growth import line

LEAST_S = 60.0
PROCESSES = {"server": "Server", "load": "Load generator"}


def memory(process: str, which: str, samples: Samples) -> float | None:
    """`which`: "slope", "low" or "high" of the growth of `process`."""
    if samples.seconds < LEAST_S or not samples.trial.has("probes"):
        return None
    column = f"{process}_memory_bytes"
    table = samples.trial.read("probes", ["at_ns", column])
    found = line(table["at_ns"], table[column], samples.window)
    return None if found is None else getattr(found, which)


def descriptors(process: str, samples: Samples) -> float | None:
    """How many more descriptors were open at the window's end than at its start."""
    row = (samples.trial.manifest.get("processes") or {}).get(process) or {}
    begin, end = row.get("descriptors_at_start"), row.get("descriptors_at_end")
    if not (isinstance(begin, int) and isinstance(end, int)) or min(begin, end) < 0 or samples.seconds < LEAST_S:
        return None
    return end - begin


_WHICH = {
    "slope": (
        "",
        "slope of the resident set over the window, through the means of 12 equal parts of it; 60 s or longer",
    ),
    "low": ("_low", "lower end of the 95 % interval of that slope (Student's t, 10 degrees of freedom)"),
    "high": ("_high", "upper end of the 95 % interval of that slope"),
}

for _process, _title in PROCESSES.items():
    for _which, (_suffix, _caption) in _WHICH.items():
        register(
            Metric(
                name=f"{_process}_memory_growth_bytes_per_hour{_suffix}",
                unit="bytes",
                direction="neither",
                title=f"{_title} memory growth per hour{', ' * bool(_suffix)}{_suffix[1:]}",
                caption=_caption,
                function=partial(memory, _process, _which),
            )
        )
    register(
        Metric(
            name=f"{_process}_descriptors_growth",
            unit="connections",
            direction="neither",
            title=f"{_title} descriptors, growth",
            caption="open file descriptors at the end of the window less those at its start; 60 s or longer",
            function=partial(descriptors, _process),
        )
    )
