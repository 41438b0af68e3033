package server

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rtbench-go/feed"
	"rtbench-go/hub"
)

// counting counts the writes to its connections.
type counting struct {
	net.Listener
	writes *atomic.Int64
}

type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (l counting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return counted{conn, l.writes}, err
}

func (c counted) Write(data []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(data)
}

var generous = Bounds{1000, 1000, 16384, 10, 60, 65536, 1000, 1000, 16}

// serve returns a server of one stream, stocks, that holds the messages 1 to 3.
func serve(t *testing.T, transport string) (h *hub.Hub, web *httptest.Server, writes *atomic.Int64) {
	t.Helper()
	limits := hub.Limits{RingMessages: 10, RingBytes: 1 << 20, BufferBytes: 1 << 20, HeartbeatS: 60}
	h = hub.New(Encoders[transport], limits, nil)
	h.Hello(&feed.Greeting{Epoch: "e", BootID: "b", Workload: feed.Workload{Streams: []string{"stocks"}, Seed: []byte("7")}})
	publish(t, h, 1, 2, 3)
	writes = &atomic.Int64{}
	web = httptest.NewUnstartedServer(New(h, time.Minute, NewGuard(generous, nil)).Handler(transport))
	web.Listener = counting{web.Listener, writes}
	web.Start()
	t.Cleanup(func() {
		h.Stop()
		web.CloseClientConnections()
		web.Close()
	})
	return h, web, writes
}

func publish(t *testing.T, h *hub.Hub, seqs ...uint64) {
	t.Helper()
	var body []byte
	for _, seq := range seqs {
		body = append(body, 0, 0, 0, 0)
		body = binary.LittleEndian.AppendUint64(body, seq)
		body = binary.LittleEndian.AppendUint64(body, 1000*seq)
		body = binary.LittleEndian.AppendUint32(body, 2)
		body = append(body, "{}"...)
	}
	if err := h.Ticks(body); err != nil {
		t.Fatal(err)
	}
}

// ask sends a request and returns the connection past the response's head.
func ask(t *testing.T, web *httptest.Server, path string, headers ...string) *bufio.Reader {
	t.Helper()
	conn, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	head := append([]string{"GET " + path + " HTTP/1.1", "Host: test"}, headers...)
	io.WriteString(conn, strings.Join(head, "\r\n")+"\r\n\r\n")
	reader := bufio.NewReader(conn)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\r\n" {
			return reader
		}
	}
}

func TestAMessageIsOneWrite(t *testing.T) {
	for transport, one := range map[string]struct {
		path, message string
		headers       []string
	}{
		"sse": {"/sse/stocks", "10\r\nid: N\ndata: {}\n\n\r\n", nil},
		"websocket": {"/ws/stocks", "\x81\x12{\"id\":N,\"data\":{}}", []string{
			"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: cnRiZW5jaCBjb25mb3JtYQ==",
		}},
	} {
		h, web, writes := serve(t, transport)
		reader := ask(t, web, one.path+"?since=0", one.headers...)
		for seq := uint64(1); seq <= 6; seq++ {
			if seq > 3 {
				publish(t, h, seq)
			}
			want := strings.Replace(one.message, "N", string(rune('0'+seq)), 1)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(reader, got); err != nil || string(got) != want {
				t.Fatalf("%s: got %q %v, want %q", transport, got, err, want)
			}
		}
		if writes.Load() != 1+6 {
			t.Errorf("%s: %d writes of a head and six messages", transport, writes.Load())
		}
	}
}

func TestPollsSayWhatIsNew(t *testing.T) {
	all := `{"messages":[{"id":1,"data":{}},{"id":2,"data":{}},{"id":3,"data":{}}],"next":3,"gap":null,"end":false}`
	none := `{"messages":[],"next":3,"gap":null,"end":false}`
	for transport, rows := range map[string][]struct {
		path, tag, body string
		status          int
	}{
		"short-poll": {
			{"/poll/stocks?since=0", "", all, 200},
			{"/poll/stocks", "", none, 200},
			{"/poll/stocks?since=3", "", none, 200},
			{"/poll/stocks?since=3", `"3"`, "", 304},
			{"/poll/stocks", `W/"0"`, all, 200},
			{"/poll/stocks?since=0", `"3"`, all, 200},
			{"/poll/stocks?since=x", "", `{"error":"since must be a whole number from 0, not \"x\""}`, 400},
			{"/poll/bonds", "", `{"error":"unknown stream \"bonds\"; choose one of stocks"}`, 404},
			{"/poll/stocks?channel=1", "", `{"error":"stocks has no channel 1"}`, 404},
			{"/poll/", "", `{"error":"there is nothing here"}`, 404},
			{"/plan/stocks?since=x", "", `{"error":"since must be a whole number from 0, not \"x\""}`, 400},
		},
		"long-poll": {
			{"/long-poll/stocks?since=0", "", all, 200},
			{"/long-poll/stocks", "", none, 200},
			{"/long-poll/stocks?since=3&timeout=0.01", "", "", 204},
			{"/long-poll/stocks?timeout=nan", "", `{"error":"timeout must be a number of seconds from 0 to 300, not \"nan\""}`, 400},
		},
	} {
		_, web, writes := serve(t, transport)
		for _, row := range rows {
			before := writes.Load()
			request, _ := http.NewRequest(http.MethodGet, web.URL+row.path, nil)
			if row.tag != "" {
				request.Header.Set("If-None-Match", row.tag)
			}
			response, err := web.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != row.status || string(body) != row.body {
				t.Errorf("%s %s: %d %s", row.path, row.tag, response.StatusCode, body)
			}
			if tag := response.Header.Get("ETag"); row.status < 400 && row.status != 204 && tag != `"3"` {
				t.Errorf("%s: the ETag is %s", row.path, tag)
			}
			if count := writes.Load() - before; count != 1 {
				t.Errorf("%s: %d writes of an answer", row.path, count)
			}
		}
	}
}

func TestALongPollWaitsForNews(t *testing.T) {
	h, web, _ := serve(t, "long-poll")
	answered := make(chan string)
	go func() {
		response, err := web.Client().Get(web.URL + "/long-poll/stocks?since=3")
		if err != nil {
			answered <- err.Error()
			return
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		answered <- string(body)
	}()
	select {
	case early := <-answered:
		t.Fatalf("answered with nothing new: %s", early)
	case <-time.After(20 * time.Millisecond):
	}
	publish(t, h, 4)
	if got, want := <-answered, `{"messages":[{"id":4,"data":{}}],"next":4,"gap":null,"end":false}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	for transport, path := range map[string]string{"sse": "/stocks", "websocket": "/ws/stocks", "long-poll": "/plan/stocks"} {
		_, web, _ := serve(t, transport)
		response, err := web.Client().Post(web.URL+path, "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		want := `{"error":"POST is not allowed here"}`
		if response.StatusCode != 405 || response.Header.Get("Allow") != "GET" || string(body) != want {
			t.Errorf("%s: %d %v %s", path, response.StatusCode, response.Header, body)
		}
	}
}
