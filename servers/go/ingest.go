package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"rtbench-go/feed"
	"rtbench-go/hub"
)

// ingest stays connected to the publisher for ever. After a reconnect the publisher sends the missed ticks.
func ingest(to *hub.Hub, path string) {
	for {
		if publisher, err := net.Dial("unix", path); err == nil {
			err = take(to, publisher)
			publisher.Close()
			if !errors.Is(err, io.EOF) {
				fmt.Fprintf(os.Stderr, "the feed broke off (%v)\n", err)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// take publishes ticks as they arrive.
func take(to *hub.Hub, publisher io.Reader) error {
	frames := feed.NewReader(publisher)
	for {
		kind, body, err := frames.Next()
		if err != nil {
			return err
		}
		switch kind {
		case feed.Hello:
			greeting := &feed.Greeting{}
			if err := json.Unmarshal(body, greeting); err != nil {
				return err
			}
			to.Hello(greeting)
		case feed.Ticks:
			if err := to.Ticks(body); err != nil {
				return err
			}
			runtime.Gosched() // the connections have their turn before the next frame
		case feed.Live:
			to.Refilled()
		}
	}
}
