"""A forecast: machines, memory, bandwidth and load hosts for a number of subscribers, from what a campaign measured."""
