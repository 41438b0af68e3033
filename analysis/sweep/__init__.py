"""A sweep read as a whole: cells, curves over the swept key, and their sentences."""
