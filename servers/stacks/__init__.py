"""What the subjects of one stack share: Nchan, hyperlane, other people's Python servers."""
