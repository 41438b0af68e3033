"""One epoll set for all sockets of a Locust process: connections, capture buffer, TLS, and the inner loop in C."""
