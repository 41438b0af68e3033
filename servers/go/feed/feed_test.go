package feed

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"
)

func frame(kind byte, body string) []byte {
	data := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	return append(append(data, kind), body...)
}

func tick(channel int32, seq, due int64, payload string) []byte {
	data := binary.LittleEndian.AppendUint32(nil, uint32(channel))
	data = binary.LittleEndian.AppendUint64(data, uint64(seq))
	data = binary.LittleEndian.AppendUint64(data, uint64(due))
	data = binary.LittleEndian.AppendUint32(data, uint32(len(payload)))
	return append(data, payload...)
}

func TestFramesComeOutWholeHoweverTheyAreSplit(t *testing.T) {
	data := bytes.Join([][]byte{frame(Hello, "{}"), frame(77, "a newer kind"), frame(Ticks, ""), frame(Live, "")}, nil)
	reader := NewReader(iotest.OneByteReader(bytes.NewReader(data)))
	for _, want := range []struct {
		kind byte
		body string
	}{{Hello, "{}"}, {77, "a newer kind"}, {Ticks, ""}, {Live, ""}} {
		kind, body, err := reader.Next()
		if kind != want.kind || string(body) != want.body || err != nil {
			t.Errorf("got %d %q %v, want %v", kind, body, err, want)
		}
	}
	if _, _, err := reader.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if _, _, err := NewReader(bytes.NewReader(frame(Ticks, "torn")[:7])).Next(); err != io.ErrUnexpectedEOF {
		t.Errorf("torn: %v", err)
	}
}

func TestTicksAreReadAsThePublisherPacksThem(t *testing.T) {
	want := []Tick{{0, 1, -5, []byte("first")}, {3, 1 << 40, 7, []byte{}}, {1, 2, 9, []byte("é")}}
	var body []byte
	for _, one := range want {
		body = append(body, tick(int32(one.Channel), int64(one.Seq), one.DueNS, string(one.Payload))...)
	}
	var got []Tick
	for len(body) > 0 {
		one, rest, err := Cut(body)
		if err != nil {
			t.Fatal(err)
		}
		got, body = append(got, one), rest
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestATornTickIsAnError(t *testing.T) {
	body := tick(0, 1, 0, "payload")
	for at := 1; at < len(body); at++ {
		if _, _, err := Cut(body[:at]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", at, err)
		}
	}
	for _, body := range [][]byte{tick(-1, 1, 0, ""), tick(0, -1, 0, "")} {
		if _, _, err := Cut(body); !errors.Is(err, ErrMalformed) {
			t.Errorf("negative: %v", err)
		}
	}
}

func TestChannelsAreNumberedAsInTheWorkload(t *testing.T) {
	for text, want := range map[string][]Address{
		`"streams":["fanout","stocks"],"subscribers":5,"pace":["broadcast",5.0]`: {{"fanout", 0}, {"stocks", 0}},
		`"streams":["fanout","stocks"],"subscribers":3,"pace":["unicast",5.0]`:   {{"fanout", 0}, {"stocks", 0}, {"fanout", 1}},
		`"streams":["fanout","stocks"],"subscribers":1,"pace":["unicast",5.0]`:   {{"fanout", 0}, {"stocks", 0}},
	} {
		var greeting Greeting
		text = `{"epoch":"e","workload":{"seed":123456789012345678901234567890,"later":true,` + text + `}}`
		if err := json.Unmarshal([]byte(text), &greeting); err != nil {
			t.Fatal(err)
		}
		if got := greeting.Workload.Channels(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
		if seed := string(greeting.Workload.Seed); seed != "123456789012345678901234567890" {
			t.Errorf("seed %s", seed)
		}
	}
}
