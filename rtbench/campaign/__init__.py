"""All blocks of a scenario: the checks before it, the order of trials, and the results folder."""
