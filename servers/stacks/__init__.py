"""Shared by the subjects of one stack: Nchan, hyperlane, Node, other people's Python servers."""
