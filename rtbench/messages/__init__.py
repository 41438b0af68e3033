"""What crosses the border between our processes: one type for each message, used by its writer and its reader."""
