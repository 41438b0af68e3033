"""Before and after: the change of each metric of each subject, and its output formats."""
