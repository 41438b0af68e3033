"""`python -m rtbench.cli`, where the console script is not installed."""

from rtbench.cli import main

main()
