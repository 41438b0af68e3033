"""The load generator: Locust users whose sockets belong to one epoll reactor. This folder measures."""
