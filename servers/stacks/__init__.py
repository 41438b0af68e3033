"""Shared by the subjects of one stack: Nchan, hyperlane, Go, Node, other people's Python servers."""
