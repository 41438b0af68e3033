package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds is what a client may take of a server: the scenario's [server] table (servers/kit/guard.py).
type Bounds struct {
	Connections       int     `json:"connections"`
	ConnectionsByPeer int     `json:"connections_by_peer"`
	HeadBytes         int     `json:"head_bytes"`
	HeadS             float64 `json:"head_s"`
	IdleS             float64 `json:"idle_s"`
	MessageBytes      int64   `json:"message_bytes"`
	PublishesHz       float64 `json:"publishes_hz"`
	RequestsHz        float64 `json:"requests_hz"`
	Pipelined         int     `json:"pipelined"` // net/http answers one after the other, and others do not wait for that
}

const (
	// headSlack is what net/http adds to MaxHeaderBytes.
	headSlack = 4096
	// crossSite is why another site's page is refused.
	crossSite = "a page of another site may not do this; --allow-origin lists those that may"
	// full is the whole answer to a connection too many.
	full = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 43\r\n" +
		"Connection: close\r\nRetry-After: 5\r\n\r\n{\"error\":\"too many connections; try again\"}"
	// often is the whole answer to a request too many.
	often = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 40\r\n" +
		"Connection: close\r\nRetry-After: 1\r\n\r\n{\"error\":\"too many requests; try again\"}"
	// manyPeers is how many addresses have a rate of their own at once.
	manyPeers = 10_000
)

// Guard applies the bounds, and counts the connections and what was refused.
type Guard struct {
	bounds Bounds
	pages  []string // origins of other sites that may connect

	mu      sync.Mutex
	doors   map[net.Conn]*door
	peers   map[string]int
	rates   map[string]*bucket // of requests, by address
	refused map[string]int
}

// door is one counted connection.
type door struct {
	peer  string
	since time.Time
	read  time.Time // when a head had been read, whole or not
	asked bool      // a head was whole
	huge  bool      // it was longer than a head may be
}

type doorKey struct{}

// NewGuard returns a guard; pages are the origins that may connect besides the server's own.
func NewGuard(bounds Bounds, pages []string) *Guard {
	return &Guard{
		bounds: bounds, pages: pages,
		doors: map[net.Conn]*door{}, peers: map[string]int{}, rates: map[string]*bucket{}, refused: map[string]int{},
	}
}

// Serve returns an http.Server within the bounds.
func (g *Guard) Serve(handler http.Handler) *http.Server {
	seconds := func(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }
	return &http.Server{
		Handler:           g.entrance(handler),
		ReadHeaderTimeout: seconds(g.bounds.HeadS),
		IdleTimeout:       seconds(g.bounds.IdleS),
		MaxHeaderBytes:    max(1, g.bounds.HeadBytes-headSlack),
		ConnState:         g.state,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, doorKey{}, conn)
		},
	}
}

// entrance notes that a head was whole, and shares answers with the pages that may read them (CORS).
func (g *Guard) entrance(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := r.Context().Value(doorKey{}).(net.Conn)
		if !g.may(conn) {
			g.Refuse("requests_hz")
			header := w.Header()
			header.Set("Connection", "close")
			header.Set("Retry-After", "1")
			header.Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusTooManyRequests)
			io.WriteString(w, "{\"error\":\"too many requests; try again\"}")
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && g.listed(origin) {
			header := w.Header()
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Expose-Headers", "ETag")
			header.Set("Vary", "Origin")
		}
		handler.ServeHTTP(w, r)
	})
}

// state counts connections as they come and go. net/http calls it for a new one before it accepts the next.
func (g *Guard) state(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if why := g.enter(conn); why != "" {
			g.Refuse(why)
			if secure, ok := conn.(*tls.Conn); ok {
				conn = secure.NetConn() // an answer would need a handshake first
			} else {
				conn.SetWriteDeadline(time.Now().Add(time.Second))
				answer := full
				if why == "requests_hz" {
					answer = often
				}
				conn.Write([]byte(answer)) // a fresh socket takes it at once
			}
			conn.Close()
		}
	case http.StateActive: // something was read, or its time was up
		g.mu.Lock()
		if door := g.doors[conn]; door != nil && door.read.IsZero() {
			door.read = time.Now()
			door.huge = received(conn) > uint64(g.bounds.HeadBytes) // net/http answers 431 by itself
		}
		g.mu.Unlock()
	case http.StateClosed:
		g.leave(conn)
	}
}

func (g *Guard) enter(conn net.Conn) (why string) {
	peer, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.within(peer): // a connection counts as its first request
		return "requests_hz"
	case len(g.doors) >= g.bounds.Connections:
		return "connections"
	case g.peers[peer] >= g.bounds.ConnectionsByPeer:
		return "connections_by_peer"
	}
	g.doors[conn] = &door{peer: peer, since: time.Now()}
	g.peers[peer]++
	return ""
}

// leave ends the count of a connection. One that never had a whole head, for as long as it may take, was cut off.
func (g *Guard) leave(conn net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	door := g.doors[conn]
	if door == nil {
		return
	}
	delete(g.doors, conn)
	if g.peers[door.peer]--; g.peers[door.peer] == 0 {
		delete(g.peers, door.peer)
	}
	if door.read.IsZero() {
		door.read = time.Now()
	}
	switch {
	case door.asked:
	case door.read.Sub(door.since).Seconds() >= g.bounds.HeadS:
		g.refused["head_s"]++
	case door.huge:
		g.refused["head_bytes"]++
	}
}

// may notes that a head was whole. It returns whether the request is within the rate of its address.
func (g *Guard) may(conn net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	door := g.doors[conn]
	if door == nil {
		return true
	}
	first := !door.asked
	door.asked = true
	return first || g.within(door.peer)
}

// within takes one request from the rate of an address; mu is held.
func (g *Guard) within(peer string) bool {
	rate := g.rates[peer]
	if rate == nil {
		if len(g.rates) >= manyPeers {
			maps.DeleteFunc(g.rates, func(_ string, one *bucket) bool { return time.Since(one.at) > time.Second })
		}
		rate = newBucket(g.bounds.RequestsHz)
		g.rates[peer] = rate
	}
	return rate.take()
}

// received is how many bytes a connection has received, by the kernel's count; 0: it does not say.
func received(conn net.Conn) (size uint64) {
	socket, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(descriptor uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(descriptor), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			size = info.Bytes_received
		}
	})
	return size
}

// left ends the count of a connection that net/http handed over (a WebSocket).
func (g *Guard) left(r *http.Request) {
	if conn, ok := r.Context().Value(doorKey{}).(net.Conn); ok {
		g.leave(conn)
	}
}

// Refuse counts a refusal by the key of its bound.
func (g *Guard) Refuse(why string) {
	g.mu.Lock()
	g.refused[why]++
	g.mu.Unlock()
}

// Refused returns the counts.
func (g *Guard) Refused() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	counts := map[string]int{}
	for why, count := range g.refused {
		counts[why] = count
	}
	return counts
}

func (g *Guard) listed(origin string) bool {
	return slices.Contains(g.pages, origin) || slices.Contains(g.pages, "*")
}

// sameSite refuses another site's page; a request without Origin is none (servers/kit/origin.py).
func (g *Guard) sameSite(r *http.Request) error {
	origins := r.Header["Origin"]
	if len(origins) == 0 || g.listed(origins[0]) {
		return nil
	}
	if scheme, place, found := strings.Cut(origins[0], "://"); found && (scheme == "http" || scheme == "https") &&
		strings.EqualFold(place, r.Host) {
		return nil
	}
	g.Refuse("origin")
	return refuse(http.StatusForbidden, crossSite)
}

// bucket is so many events a second, and as many at once.
type bucket struct {
	hz, left float64
	at       time.Time
}

func newBucket(hz float64) *bucket {
	return &bucket{hz, max(1, hz), time.Now()}
}

func (b *bucket) take() bool {
	if b.left < 1 {
		now := time.Now()
		b.left = min(max(1, b.hz), b.left+now.Sub(b.at).Seconds()*b.hz)
		b.at = now
		if b.left < 1 {
			return false
		}
	}
	b.left--
	return true
}

// Check returns what is wrong with the bounds.
func (b Bounds) Check() error {
	if b.Connections < 1 || b.ConnectionsByPeer < 1 || b.HeadBytes < 1 || b.HeadS <= 0 || b.IdleS <= 0 ||
		b.MessageBytes < 1 || b.PublishesHz <= 0 || b.RequestsHz <= 0 || b.Pipelined < 1 {
		return fmt.Errorf("each of bounds must be more than 0: %+v", b)
	}
	return nil
}
