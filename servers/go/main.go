// Command rtbench-go is the Go stack as a subject of rtbench: net/http for SSE and both polls, coder/websocket for
// WebSocket. Its one argument is a JSON object (options.go).
//
// It prints one line of JSON when it accepts and its rings are filled. After SIGTERM or SIGINT it is gone within two
// seconds, whatever its connections do.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"rtbench-go/hub"
	"rtbench-go/server"
)

const (
	// farewell is how long farewells may take after the signal; last is when the process exits in any case.
	farewell = 1200 * time.Millisecond
	last     = 1700 * time.Millisecond
	// lame is how long requests that have come already are still read. Shutdown closes each connection on which none was
	// read yet, with a reset where one had come.
	lame = 200 * time.Millisecond
	// pollTimeout is how long a long poll waits that does not say it.
	pollTimeout = 25 * time.Second
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "rtbench: %v\n", err)
		os.Exit(2)
	}
}

func run(arguments []string) error {
	options, err := parse(arguments)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(1) // a subject has one core
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	tidy := make(chan os.Signal, 1)
	signal.Notify(tidy, syscall.SIGUSR1)
	go func() {
		for range tidy {
			debug.FreeOSMemory() // memory is read in a declared state (R4)
		}
	}()

	watch := watchFor(options.Limits.HeartbeatS)
	listener, err := listen(options.Host, options.Port, watch)
	if err != nil {
		return err
	}
	to := hub.New(server.Encoders[options.Transport], options.Limits, options.Streams)
	go ingest(to, options.Ingest)
	select {
	case <-to.Live: // clients that come before wait in the backlog: without its workload a hub would answer 404
	case <-stop:
		return nil
	}
	guard := server.NewGuard(options.Bounds, options.Pages)
	answers := server.New(to, pollTimeout, guard)
	web := guard.Serve(answers.Handler(options.Transport))
	failed := make(chan error, 1)
	serve := func() error { return web.Serve(listener) }
	if options.TLS != nil {
		if web.TLSConfig, err = options.TLS.config(); err != nil {
			return err
		}
		serve = func() error { return web.ServeTLS(listener, "", "") }
	}
	go func() { failed <- serve() }()
	if err := json.NewEncoder(os.Stdout).Encode(ready(listener.Addr(), options, watch)); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-stop:
	}
	time.AfterFunc(last, func() { os.Exit(0) })
	listener.Close()
	to.Stop()
	err = goodbye(web, answers)
	counts := map[string]map[string]int{"refused": guard.Refused()}
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(counts))
}

// goodbye ends streams as their protocol wants, answers waiting polls, and gives the clients time to take it in.
func goodbye(web *http.Server, answers *server.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	time.Sleep(lame)
	if err := web.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	done := make(chan struct{})
	go func() {
		answers.Sockets.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	return nil
}
