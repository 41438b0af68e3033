"""The children of a trial: publisher, server, proxy and load; how each is started, spoken to and surely stopped."""
