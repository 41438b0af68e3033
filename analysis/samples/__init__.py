"""One trial's samples: every delivery joined with its tick, its series in time, its standstills."""
