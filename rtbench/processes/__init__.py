"""The children of a trial: publisher, server, proxy and load; how each is started, commanded and surely stopped."""
