"""Shared by the subjects of one stack: Nchan, hyperlane, other people's Python servers."""
