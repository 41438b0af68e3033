package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// backlog is that of every server. Go's own is what the kernel allows (somaxconn).
const backlog = 4096

// watch is how dead peers are noticed: within two heartbeats, by the kernel.
type watch struct {
	userTimeout, idle, interval time.Duration
}

// watchFor returns the limits for a heartbeat. A heartbeat may come just after a peer vanished, so that its
// acknowledgement must be awaited for less than one. Keepalive counts in whole seconds.
func watchFor(heartbeatS float64) watch {
	whole := func(seconds float64) time.Duration {
		return time.Duration(min(max(1, int(seconds)), 32767)) * time.Second
	}
	timeout := time.Duration(max(0.5, 0.75*heartbeatS)*1000) * time.Millisecond
	return watch{timeout, whole(heartbeatS / 2), whole(heartbeatS / 4)}
}

// listen returns a listening socket. net sets TCP_NODELAY on each connection and the rest from the watch.
func listen(host string, port int, watch watch) (net.Listener, error) {
	config := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: watch.idle, Interval: watch.interval, Count: -1},
		Control: func(_, _ string, socket syscall.RawConn) error {
			return control(socket, func(descriptor int) error { // accepted sockets inherit it
				return unix.SetsockoptInt(descriptor, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(watch.userTimeout.Milliseconds()))
			})
		},
	}
	config.SetMultipathTCP(false) // Go's default since 1.24; the other stacks' sockets are plain TCP
	listener, err := config.Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		reason := err
		var call syscall.Errno
		if errors.As(err, &call) {
			reason = call
		}
		return nil, fmt.Errorf("cannot listen on %s:%d (%w): free that port or take --port 0", host, port, reason)
	}
	socket, err := listener.(*net.TCPListener).SyscallConn()
	if err == nil {
		err = control(socket, func(descriptor int) error { return unix.Listen(descriptor, backlog) })
	}
	return listener, err
}

func control(socket syscall.RawConn, do func(descriptor int) error) error {
	var failed error
	err := socket.Control(func(descriptor uintptr) { failed = do(int(descriptor)) })
	return errors.Join(err, failed)
}
