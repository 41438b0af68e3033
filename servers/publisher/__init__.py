"""The publisher: the process that plays the workload on its absolute timetable into any connected server."""
