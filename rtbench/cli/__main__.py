"""`python -m rtbench.cli`, for environments without the console script."""

from rtbench.cli import main

main()
