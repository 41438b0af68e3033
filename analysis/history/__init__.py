"""The page of past campaigns: results/index.html."""
