"""The messages between our processes: one type each, used by its writer and its reader."""
