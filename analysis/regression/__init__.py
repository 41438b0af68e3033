"""Before and after: what has become of each metric of each subject, and in which formats that is printed."""
