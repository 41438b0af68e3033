"""The demo: all four transports in one process, for a browser. Never measured."""
