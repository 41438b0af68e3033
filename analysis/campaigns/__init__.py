"""A campaign as it lies on disk: its files, its trials, and their tables as DataFrames."""
