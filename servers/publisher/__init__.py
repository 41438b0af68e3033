"""The publisher: the process that plays the workload on its absolute timetable into whatever server is connected."""
