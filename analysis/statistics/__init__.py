"""Estimates and verdicts: paired ratios, intervals, noise floor, power, false-discovery control."""
