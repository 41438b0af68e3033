"""Differential tests: the same generated streams through our parsers and through those of others.

`streams` generates, `events` compares event streams (npm's eventsource-parser, Chromium's EventSource), `frames`
compares WebSocket streams (websockets' Sans-I/O protocol). `make differential` runs all of them;
docs/explanation/parsers.md has the figures.
"""
