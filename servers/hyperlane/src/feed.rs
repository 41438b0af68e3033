//! The feed: how ticks travel from rtbench's publisher to a server, over a Unix socket (`servers/kit/feed.py`).
//!
//! A frame is `length (u32) kind (u8) body`, little endian. Invariant: a frame of a kind that is not known here is
//! stepped over, so that a newer publisher can still be listened to.

use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{error::Error, fmt};

pub const HELLO: u8 = 1;
pub const TICKS: u8 = 2;
pub const LIVE: u8 = 3;
/// The seq of a notice: what a stream says of itself, between its messages. Its payload is `{"control":KIND,…}`.
pub const NOTICE: u64 = 0;

const FRAME: usize = 5;
const TICK: usize = 24;

/// Streams that are kept whole for who comes late (`Stream.finite` in `rtbench/streams`; a test compares the two).
pub const FINITE: [&str; 6] = ["chat", "events", "general", "news", "replay", "resilient"];
/// Those of them that are had from their start only once they are over (`Stream.from_start`).
pub const FROM_NOW: [&str; 1] = ["resilient"];
/// A stream with a heartbeat of its own, in seconds (`Stream.heartbeat_s`).
pub const OWN_HEARTBEAT: (&str, f64) = ("production", 30.0);

/// Frames out of a byte stream split anywhere: append to `buffer`, then take frames until there is none.
#[derive(Default)]
pub struct Reader {
    pub buffer: BytesMut,
}

impl Reader {
    /// The next complete frame as (kind, body).
    pub fn frame(&mut self) -> Option<(u8, Bytes)> {
        let size: [u8; 4] = self.buffer.get(..4)?.try_into().ok()?;
        let size = u32::from_le_bytes(size) as usize;
        if self.buffer.len() < FRAME + size {
            return None;
        }
        let kind = self.buffer[4];
        self.buffer.advance(FRAME);
        Some((kind, self.buffer.split_to(size).freeze()))
    }
}

/// One message of the workload, or a notice; `due_ns` absolute, `CLOCK_MONOTONIC`.
#[derive(Debug, PartialEq)]
pub struct Tick<'a> {
    pub channel: usize,
    pub seq: u64,
    pub due_ns: i64,
    pub payload: &'a [u8],
}

/// A body that is not what its kind promises.
#[derive(Debug, PartialEq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a frame of the feed is malformed")
    }
}

impl Error for Malformed {}

/// The ticks of a TICKS frame.
pub struct Ticks<'a>(pub &'a [u8]);

impl<'a> Iterator for Ticks<'a> {
    type Item = Result<Tick<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let tick = self.take();
        if tick.is_none() {
            self.0 = &[];
        }
        Some(tick.ok_or(Malformed))
    }
}

impl<'a> Ticks<'a> {
    fn take(&mut self) -> Option<Tick<'a>> {
        let (head, mut rest) = self.0.split_at_checked(TICK)?;
        let mut head = head;
        let channel = usize::try_from(head.get_i32_le()).ok()?;
        let seq = u64::try_from(head.get_i64_le()).ok()?;
        let due_ns = head.get_i64_le();
        let payload;
        (payload, rest) = rest.split_at_checked(head.get_u32_le() as usize)?;
        self.0 = rest;
        Some(Tick {
            channel,
            seq,
            due_ns,
            payload,
        })
    }
}

/// HELLO's body. What this server does not need is passed over.
#[derive(Deserialize)]
pub struct Greeting {
    pub epoch: String,
    pub boot_id: String,
    pub workload: Workload,
}

/// The streams and channels of a scenario (`rtbench/workload.py`).
#[derive(Deserialize)]
pub struct Workload {
    pub streams: Vec<String>,
    pub seed: Box<RawValue>,
    pub subscribers: usize,
    pub pace: Vec<serde_json::Value>,
}

impl Workload {
    /// (stream, index within it) by channel number. Broadcast: one a stream. Unicast: one a subscriber, in turn.
    pub fn channels(&self) -> impl Iterator<Item = (&str, usize)> {
        let kinds = self.streams.len();
        let unicast = self.pace.first().is_some_and(|channels| channels == "unicast");
        let count = if unicast { self.subscribers.max(kinds) } else { kinds };
        (0..count).map(move |number| (self.streams[number % kinds].as_str(), number / kinds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut data = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        data.push(kind);
        data.extend_from_slice(body);
        data
    }

    fn tick(channel: i32, seq: i64, due_ns: i64, payload: &[u8]) -> Vec<u8> {
        let mut data = channel.to_le_bytes().to_vec();
        data.extend_from_slice(&seq.to_le_bytes());
        data.extend_from_slice(&due_ns.to_le_bytes());
        data.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        data.extend_from_slice(payload);
        data
    }

    fn frames(reader: &mut Reader, data: &[u8]) -> Vec<(u8, Bytes)> {
        reader.buffer.extend_from_slice(data);
        std::iter::from_fn(|| reader.frame()).collect()
    }

    #[test]
    fn frames_come_out_whole_however_they_are_split() {
        let data = [
            frame(HELLO, b"{}"),
            frame(77, b"a newer kind"),
            frame(TICKS, b""),
            frame(LIVE, b""),
        ]
        .concat();
        let whole = frames(&mut Reader::default(), &data);
        assert_eq!(
            whole.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            [HELLO, 77, TICKS, LIVE]
        );
        assert_eq!(whole[1].1, "a newer kind");
        for at in 0..data.len() {
            let mut reader = Reader::default();
            let mut found = frames(&mut reader, &data[..at]);
            found.extend(frames(&mut reader, &data[at..]));
            assert_eq!(found, whole, "split at {at}");
        }
    }

    #[test]
    fn ticks_are_read_as_the_publisher_packs_them() {
        let body = [
            tick(0, 1, -5, b"first"),
            tick(3, 1 << 40, 7, b""),
            tick(1, 2, 9, "\u{e9}".as_bytes()),
        ]
        .concat();
        let ticks: Vec<_> = Ticks(&body).map(Result::unwrap).collect();
        assert_eq!(
            ticks[0],
            Tick {
                channel: 0,
                seq: 1,
                due_ns: -5,
                payload: b"first"
            }
        );
        assert_eq!(
            ticks[1],
            Tick {
                channel: 3,
                seq: 1 << 40,
                due_ns: 7,
                payload: b""
            }
        );
        assert_eq!((ticks[2].channel, ticks[2].payload), (1, "\u{e9}".as_bytes()));
    }

    #[test]
    fn a_torn_tick_is_an_error_and_the_last_item() {
        let body = tick(0, 1, 0, b"payload");
        for at in 1..body.len() {
            assert_eq!(Ticks(&body[..at]).collect::<Vec<_>>(), [Err(Malformed)], "{at} bytes");
        }
        assert_eq!(Ticks(&tick(-1, 1, 0, b"")).next(), Some(Err(Malformed)));
    }

    fn workload(pace: &str, subscribers: usize) -> Workload {
        let text = format!(
            r#"{{"streams":["fanout","stocks"],"seed":123456789012345678901234567890,"epoch_s":0,
                "subscribers":{subscribers},"pace":["{pace}",5.0,150,"constant"],"later":true}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn channels_are_numbered_as_in_the_workload() {
        let broadcast = workload("broadcast", 5);
        assert_eq!(broadcast.channels().collect::<Vec<_>>(), [("fanout", 0), ("stocks", 0)]);
        let unicast = workload("unicast", 3);
        assert_eq!(
            unicast.channels().collect::<Vec<_>>(),
            [("fanout", 0), ("stocks", 0), ("fanout", 1)]
        );
        assert_eq!(workload("unicast", 1).channels().count(), 2);
        assert_eq!(broadcast.seed.get(), "123456789012345678901234567890");
    }
}
