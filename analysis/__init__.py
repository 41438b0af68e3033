"""From raw files to metrics, comparisons and the report: reads results/, never the network."""

from rtbench.analysis.notebook import Campaign, load

__all__ = ["Campaign", "load"]
