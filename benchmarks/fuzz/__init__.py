"""Parsers under attack: what hostile bytes may do to a codec, for Hypothesis (`make test`) and atheris (`make fuzz`).

`harness` decodes an input whole and in splits and compares; `targets` has one target for each parser; `python -m
benchmarks.fuzz` runs atheris. docs/explanation/parsers.md has the figures.
"""
