"""The child processes of a trial: publisher, server, proxy and load: how each is started, commanded and stopped."""
