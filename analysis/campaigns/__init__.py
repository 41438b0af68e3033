"""A campaign on disk: its files, its trials, and their tables as DataFrames."""
