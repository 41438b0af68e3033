"""Scenarios: their tables, loading, checks and sweep cells."""
