"""From raw files to metrics, comparisons and the report. What it means; reads results/, never the network."""

from rtbench.analysis.notebook import Campaign, load

__all__ = ["Campaign", "load"]
