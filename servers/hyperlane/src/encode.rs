//! How a message is written, once for all connections: an SSE event in one HTTP/1.1 chunk (WHATWG HTML 9.2, RFC 9112
//! §7.1), one unmasked WebSocket text frame (RFC 6455 §5), or a member of the answers to polls; byte for byte as
//! `servers/kit/sse_encoder.py`, `websocket_encoder.py` and `poll_answer.py`.

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use std::{fmt::Write as _, io::Write as _, str};

/// A transport. Its number is its place in arrays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Sse = 0,
    WebSocket = 1,
    /// Short and long polling. No connection is ever subscribed with it: between two polls there is none to write to.
    Poll = 2,
}

pub const KINDS: [Kind; 3] = [Kind::Sse, Kind::WebSocket, Kind::Poll];

/// What the server says about a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// What the stream says itself.
    Said(Said),
    Gap {
        from: u64,
        to: u64,
        reason: &'static str,
    },
}

impl Notice {
    /// Its kind, and its other members.
    fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Said(said) => (said.word.name(), said.fields.clone()),
            Self::Gap { from, to, reason } => ("gap", format!(r#""from":{from},"to":{to},"reason":"{reason}""#)),
        }
    }
}

/// What a notice of the feed says of its stream.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Its source failed and will be asked again; it stands until the next message.
    Retry,
    /// Nothing follows.
    End,
    /// Its source failed for good: nothing follows either.
    Failure,
}

impl Word {
    fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::End => "end",
            Self::Failure => "failure",
        }
    }
}

/// A notice of the feed: `{"control":"retry","after_ms":5000,"count":1}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub word: Word,
    /// The other members as they stand.
    pub fields: String,
    after_ms: u64,
}

impl Said {
    /// From a notice's payload; None when it is none.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Members {
            control: Word,
            #[serde(default)]
            after_ms: u64,
        }
        let text = str::from_utf8(payload).ok()?;
        let Members { control, after_ms } = serde_json::from_str(text).ok()?;
        let fields = text.strip_prefix(&format!(r#"{{"control":"{}","#, control.name()))?;
        Some(Self {
            word: control,
            fields: fields.strip_suffix('}')?.to_owned(),
            after_ms,
        })
    }
}

/// The chunk that ends a body.
pub const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");

const COMMENT: Bytes = Bytes::from_static(b"3\r\n:\n\n\r\n");
const PING: Bytes = Bytes::from_static(&[0x89, 0]);

const FIN: u8 = 0x80;
pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING_FRAME: u8 = 9;
pub const PONG: u8 = 10;

impl Kind {
    /// One message, and where in it the payload stands; None where it does not stand as it is.
    pub fn message(self, seq: u64, payload: &[u8]) -> (Bytes, Option<usize>) {
        match self {
            Self::Sse => sse_message(seq, payload),
            Self::WebSocket => envelope(seq, payload, true),
            Self::Poll => envelope(seq, payload, false),
        }
    }

    /// A notice in this transport's form (interface.md, Wire). The answers to polls carry theirs: see `answer`.
    pub fn notice(self, notice: &Notice) -> Bytes {
        let (name, fields) = notice.parts();
        let retry = match notice {
            // What an EventSource obeys (WHATWG 9.2.6).
            Notice::Said(said) if said.word == Word::Retry => format!("retry: {}\n", said.after_ms),
            _ => String::new(),
        };
        match self {
            // No id: it changes no Last-Event-ID.
            Self::Sse => chunk(format!("event: {name}\n{retry}data: {{{fields}}}\n\n").as_bytes()),
            Self::WebSocket => frame(TEXT, format!(r#"{{"control":"{name}",{fields}}}"#).as_bytes()),
            Self::Poll => Bytes::new(),
        }
    }

    /// What shows that the server lives: a comment, a ping.
    pub fn heartbeat(self) -> Bytes {
        match self {
            Self::Sse => COMMENT,
            Self::WebSocket => PING,
            Self::Poll => Bytes::new(),
        }
    }
}

/// The body of a 200 to a poll (interface.md, short-poll). `retry` is a member only while there is advice.
pub fn answer(messages: &[(u64, Bytes)], next: u64, gap: Option<&Notice>, end: bool, retry: Option<&Said>) -> Vec<u8> {
    let size: usize = messages.iter().map(|(_, data)| data.len() + 1).sum();
    let mut body = Vec::with_capacity(size + 96);
    body.extend_from_slice(br#"{"messages":["#);
    for (number, (_, data)) in messages.iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(data);
    }
    let gap = gap.map_or_else(|| "null".to_owned(), |gap| format!("{{{}}}", gap.parts().1));
    let _ = write!(body, r#"],"next":{next},"gap":{gap},"end":{end}"#);
    if let Some(said) = retry {
        let _ = write!(body, r#","retry":{{{}}}"#, said.fields);
    }
    body.push(b'}');
    body
}

fn sse_message(seq: u64, payload: &[u8]) -> (Bytes, Option<usize>) {
    let mut head = String::with_capacity(40);
    let _ = write!(head, "id: {seq}\ndata: ");
    let size = head.len() + payload.len() + 2;
    let mut data = Vec::with_capacity(size + 24);
    let _ = write!(data, "{size:x}\r\n");
    data.extend_from_slice(head.as_bytes());
    let at = data.len();
    data.extend_from_slice(payload);
    data.extend_from_slice(b"\n\n\r\n");
    (Bytes::from(data), Some(at))
}

fn chunk(text: &[u8]) -> Bytes {
    let mut data = Vec::with_capacity(text.len() + 16);
    let _ = write!(data, "{:x}\r\n", text.len());
    data.extend_from_slice(text);
    data.extend_from_slice(b"\r\n");
    Bytes::from(data)
}

/// `{"id":N,"data":PAYLOAD}`, as it is or in one frame.
fn envelope(seq: u64, payload: &[u8], framed: bool) -> (Bytes, Option<usize>) {
    let mut head = String::with_capacity(40);
    let _ = write!(head, r#"{{"id":{seq},"data":"#);
    let quoted = (!is_json(payload)).then(|| quote(payload));
    let value = quoted.as_ref().map_or(payload, String::as_bytes);
    let size = head.len() + value.len() + 1;
    let mut data = Vec::with_capacity(size + 10);
    if framed {
        frame_head(&mut data, TEXT, size);
    }
    data.extend_from_slice(head.as_bytes());
    let at = data.len();
    data.extend_from_slice(value);
    data.push(b'}');
    (Bytes::from(data), quoted.is_none().then_some(at))
}

/// One frame, whole and unmasked.
pub fn frame(opcode: u8, body: &[u8]) -> Bytes {
    let mut data = Vec::with_capacity(body.len() + 10);
    frame_head(&mut data, opcode, body.len());
    data.extend_from_slice(body);
    Bytes::from(data)
}

/// A close frame with a code.
pub fn close(code: u16) -> Bytes {
    frame(CLOSE, &code.to_be_bytes())
}

fn frame_head(data: &mut Vec<u8>, opcode: u8, size: usize) {
    data.push(FIN | opcode);
    if let Ok(size) = u8::try_from(size)
        && size < 126
    {
        data.push(size);
    } else if let Ok(size) = u16::try_from(size) {
        data.push(126);
        data.extend_from_slice(&size.to_be_bytes());
    } else {
        data.push(127);
        data.extend_from_slice(&(size as u64).to_be_bytes());
    }
}

/// Whether it is one JSON text with no white space around it, which an envelope would lose (`rtbench/transports/envelope.py`).
pub fn is_json(payload: &[u8]) -> bool {
    let space = |byte: Option<&u8>| byte.is_some_and(|byte| b" \t\n\r".contains(byte));
    let Ok(text) = str::from_utf8(payload) else {
        return false;
    };
    !space(payload.first()) && !space(payload.last()) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// As a JSON string, escaped as Python's `json.dumps(…, ensure_ascii=False)` does.
fn quote(payload: &[u8]) -> String {
    serde_json::Value::from(String::from_utf8_lossy(payload)).to_string()
}

/// What a client sends on a WebSocket.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// A text, binary or continuation frame, or a pong: a subscriber has nothing to say.
    Ignored,
    Ping(Vec<u8>),
    /// With its code, where it has one.
    Close(Option<u16>),
}

/// The most that a client may send in one frame.
pub const MOST: usize = 1 << 20;

/// The frame at the head of `data` and its length; None until it is whole. An error is the code to close with.
///
/// Not `WebSocketFrame::decode_ws_frame` of hyperlane: it takes any length that a frame claims, with which its own
/// sum overflows (a panic), and does not say whether a frame was masked.
pub fn incoming(data: &[u8]) -> Result<Option<(Incoming, usize)>, u16> {
    let &[first, second, ref rest @ ..] = data else {
        return Ok(None);
    };
    let opcode = first & 0x0f;
    let control = opcode >= CLOSE;
    let short = usize::from(second & 0x7f);
    let unfragmented = first & FIN != 0;
    if first & 0x70 != 0 || second & 0x80 == 0 || (3..CLOSE).contains(&opcode) || opcode > PONG {
        return Err(1002); // reserved bits, no mask, reserved opcodes (RFC 6455 §5.1, §5.2)
    }
    if control && (short > 125 || !unfragmented) {
        return Err(1002); // §5.5
    }
    let wide = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some((length, rest)) = rest.split_at_checked(wide) else {
        return Ok(None);
    };
    let size = match wide {
        0 => short as u64,
        _ => length.iter().fold(0, |size, byte| size << 8 | u64::from(*byte)),
    };
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size <= MOST)
        .ok_or(1009_u16)?;
    let Some((mask, rest)) = rest.split_at_checked(4) else {
        return Ok(None);
    };
    let Some(body) = rest.get(..size) else { return Ok(None) };
    let unmasked = || {
        body.iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect::<Vec<u8>>()
    };
    let found = match opcode {
        PING_FRAME => Incoming::Ping(unmasked()),
        CLOSE => match unmasked()[..] {
            [] => Incoming::Close(None),
            [high, low, ..] => Incoming::Close(Some(u16::from_be_bytes([high, low]))),
            [_] => return Err(1002),
        },
        _ => Incoming::Ignored,
    };
    Ok(Some((found, 2 + wide + 4 + size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_chunk() {
        let (data, at) = Kind::Sse.message(7, br#"{"a":1}"#);
        assert_eq!(data, "15\r\nid: 7\ndata: {\"a\":1}\n\n\r\n");
        assert_eq!(&data[at.unwrap()..][..7], br#"{"a":1}"#);
        assert_eq!(Kind::Sse.heartbeat(), chunk(b":\n\n"));
        assert_eq!(
            Kind::Sse.message(u64::MAX, b"").0,
            "21\r\nid: 18446744073709551615\ndata: \n\n\r\n"
        );
    }

    #[test]
    fn a_payload_stands_in_its_envelope_as_it_is_when_it_is_json() {
        for (payload, envelope) in [
            (r#"{"a":1}"#, r#"{"id":7,"data":{"a":1}}"#),
            ("12", r#"{"id":7,"data":12}"#),
            (r#""text""#, r#"{"id":7,"data":"text"}"#),
            ("plain text", r#"{"id":7,"data":"plain text"}"#),
            (" 12", r#"{"id":7,"data":" 12"}"#),
            ("{\"a\":1}\t", r#"{"id":7,"data":"{\"a\":1}\t"}"#),
            ("NaN", r#"{"id":7,"data":"NaN"}"#),
            (
                "\u{e9} \"\\\u{1}\u{7f}",
                "{\"id\":7,\"data\":\"\u{e9} \\\"\\\\\\u0001\u{7f}\"}",
            ),
            ("", r#"{"id":7,"data":""}"#),
        ] {
            let (data, at) = Kind::WebSocket.message(7, payload.as_bytes());
            assert_eq!(data[0], 0x81);
            assert_eq!(usize::from(data[1]), envelope.len());
            assert_eq!(&data[2..], envelope.as_bytes());
            if let Some(at) = at {
                assert_eq!(&data[at..data.len() - 1], payload.as_bytes());
            }
            let (member, at) = Kind::Poll.message(7, payload.as_bytes());
            assert_eq!(member, envelope);
            assert!(at.is_none_or(|at| &member[at..member.len() - 1] == payload.as_bytes()));
        }
    }

    #[test]
    fn an_answer_to_a_poll_joins_its_messages() {
        let held: Vec<_> = [(4, "a"), (5, "b")]
            .map(|(seq, payload)| (seq, Kind::Poll.message(seq, payload.as_bytes()).0))
            .into();
        let gap = Notice::Gap {
            from: 1,
            to: 3,
            reason: "no longer held",
        };
        let retry = Said::parse(br#"{"control":"retry","after_ms":5000,"count":2}"#).unwrap();
        let text = |body: Vec<u8>| String::from_utf8(body).unwrap();
        assert_eq!(
            text(answer(&[], 0, None, false, None)),
            r#"{"messages":[],"next":0,"gap":null,"end":false}"#
        );
        assert_eq!(
            text(answer(&held, 5, Some(&gap), true, None)),
            r#"{"messages":[{"id":4,"data":"a"},{"id":5,"data":"b"}],"next":5,"gap":{"from":1,"to":3,"reason":"no longer held"},"end":true}"#
        );
        assert_eq!(
            text(answer(&held[1..], 5, None, false, Some(&retry))),
            r#"{"messages":[{"id":5,"data":"b"}],"next":5,"gap":null,"end":false,"retry":{"after_ms":5000,"count":2}}"#
        );
    }

    #[test]
    fn a_frame_says_its_length_in_the_fewest_bytes() {
        for (size, head) in [
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65535, vec![0x81, 126, 0xff, 0xff]),
            (65536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(&frame(TEXT, &vec![b'x'; size])[..head.len()], head);
        }
        assert_eq!(close(1001), [0x88, 2, 0x03, 0xe9][..]);
    }

    #[test]
    fn notices_have_each_transport_s_form() {
        let end = Notice::Said(Said::parse(br#"{"control":"end","last":9}"#).unwrap());
        let retry = Notice::Said(Said::parse(br#"{"control":"retry","after_ms":5000,"count":2}"#).unwrap());
        assert_eq!(
            Kind::Sse.notice(&retry),
            "3c\r\nevent: retry\nretry: 5000\ndata: {\"after_ms\":5000,\"count\":2}\n\n\r\n"
        );
        assert_eq!(
            &Kind::WebSocket.notice(&retry)[2..],
            br#"{"control":"retry","after_ms":5000,"count":2}"#
        );
        for wrong in [
            &b"{}"[..],
            b"[]",
            br#"{"control":"later","x":1}"#,
            b"\xff",
            br#"{"last":9,"control":"end"}"#,
        ] {
            assert_eq!(Said::parse(wrong), None);
        }
        let gap = Notice::Gap {
            from: 1,
            to: 4,
            reason: "no longer held",
        };
        assert_eq!(Kind::Sse.notice(&end), "1d\r\nevent: end\ndata: {\"last\":9}\n\n\r\n");
        assert!(
            Kind::Sse
                .notice(&gap)
                .ends_with(b"data: {\"from\":1,\"to\":4,\"reason\":\"no longer held\"}\n\n\r\n")
        );
        assert_eq!(&Kind::WebSocket.notice(&end)[2..], br#"{"control":"end","last":9}"#);
        assert_eq!(
            &Kind::WebSocket.notice(&gap)[2..],
            br#"{"control":"gap","from":1,"to":4,"reason":"no longer held"}"#
        );
    }

    fn masked(first: u8, body: &[u8]) -> Vec<u8> {
        let mut data = frame(first & 0x0f, body).to_vec();
        data[0] = first;
        data[1] |= 0x80;
        let at = data.len() - body.len();
        for (index, byte) in body.iter().enumerate() {
            data[at + index] = byte ^ [1, 2, 3, 4][index % 4];
        }
        data.splice(at..at, [1, 2, 3, 4]);
        data
    }

    #[test]
    fn what_a_client_sends_is_understood_once_it_is_whole() {
        for (data, wanted) in [
            (masked(0x81, b"hello"), Incoming::Ignored),
            (masked(0x01, &[b'x'; 300]), Incoming::Ignored),
            (masked(0x82, &vec![b'x'; 70_000]), Incoming::Ignored),
            (
                masked(0x89, b"are you there"),
                Incoming::Ping(b"are you there".to_vec()),
            ),
            (masked(0x8a, b""), Incoming::Ignored),
            (masked(0x88, b""), Incoming::Close(None)),
            (masked(0x88, b"\x03\xe8bye"), Incoming::Close(Some(1000))),
        ] {
            for at in (0..data.len()).step_by(1 + data.len() / 50) {
                assert_eq!(incoming(&data[..at]), Ok(None), "{wanted:?} at {at}");
            }
            let size = data.len();
            assert_eq!(incoming(&[data, b"more".to_vec()].concat()), Ok(Some((wanted, size))));
        }
    }

    #[test]
    fn what_no_client_may_send_is_refused_with_a_code() {
        let long = [&[0x82, 0xff][..], &u64::MAX.to_be_bytes()].concat();
        for (data, code) in [
            (frame(TEXT, b"unmasked").to_vec(), 1002),
            (masked(0xc1, b"compressed"), 1002),
            (masked(0x83, b""), 1002),
            (masked(0x8b, b""), 1002),
            (masked(0x09, b"a fragment"), 1002),
            (masked(0x89, &[0; 126]), 1002),
            (masked(0x88, b"x"), 1002),
            (long, 1009),
        ] {
            assert_eq!(incoming(&data), Err(code), "{data:?}");
        }
    }
}
