package wire

import "testing"

func TestAnEventHasOneIDAndOneDataLine(t *testing.T) {
	if got, want := string(SSE{}.Message(7, []byte(`{"a":1}`))), "id: 7\ndata: {\"a\":1}\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAPayloadStandsInItsEnvelopeAsItIsWhenItIsJSON(t *testing.T) {
	for payload, want := range map[string]string{
		`{"a":1}`:             `{"id":7,"data":{"a":1}}`,
		"12":                  `{"id":7,"data":12}`,
		`"text"`:              `{"id":7,"data":"text"}`,
		"plain text":          `{"id":7,"data":"plain text"}`,
		" 12":                 `{"id":7,"data":" 12"}`,
		"{\"a\":1}\t":         `{"id":7,"data":"{\"a\":1}\t"}`,
		"NaN":                 `{"id":7,"data":"NaN"}`,
		"<é \"\\\u0001\u007f": "{\"id\":7,\"data\":\"<é \\\"\\\\\\u0001\u007f\"}",
		"":                    `{"id":7,"data":""}`,
	} {
		if got := string(Envelope{}.Message(7, []byte(payload))); got != want {
			t.Errorf("%q: got %s, want %s", payload, got, want)
		}
	}
}

func TestNoticesHaveEachTransportsForm(t *testing.T) {
	retry, err := ParseNotice([]byte(`{"control":"retry","after_ms":5000,"count":2}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		notice         *Notice
		event, control string
	}{
		{
			retry, "event: retry\nretry: 5000\ndata: {\"after_ms\":5000,\"count\":2}\n\n",
			`{"control":"retry","after_ms":5000,"count":2}`,
		},
		{
			Gap(1, 4, "no longer held"), "event: gap\ndata: {\"from\":1,\"to\":4,\"reason\":\"no longer held\"}\n\n",
			`{"control":"gap","from":1,"to":4,"reason":"no longer held"}`,
		},
	} {
		if got := string(SSE{}.Notice(one.notice)); got != one.event {
			t.Errorf("got %q, want %q", got, one.event)
		}
		if got := string(Envelope{}.Notice(one.notice)); got != one.control {
			t.Errorf("got %q, want %q", got, one.control)
		}
	}
	for _, wrong := range []string{"", "{}", "[]", `{"control":"later","x":1}`, `{"last":9,"control":"end"}`} {
		if _, err := ParseNotice([]byte(wrong)); err == nil {
			t.Errorf("%s is no notice", wrong)
		}
	}
}

func TestAnAnswerJoinsWhatIsHeld(t *testing.T) {
	held := [][]byte{Envelope{}.Message(8, []byte("1")), Envelope{}.Message(9, []byte("2"))}
	for want, answer := range map[string]Answer{
		`{"messages":[{"id":8,"data":1},{"id":9,"data":2}],"next":9,"gap":null,"end":false}`: {Messages: held, Next: 9},
		`{"messages":[],"next":7,"gap":{"from":1,"to":7,"reason":"x"},"end":true,"retry":{"count":1}}`: {
			Next: 7, Gap: Gap(1, 7, "x"), End: true, Retry: &Notice{Fields: `{"count":1}`},
		},
	} {
		if got := string(answer.JSON()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
