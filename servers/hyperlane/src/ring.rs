//! The replay rings: what is still held of each channel, bounded in messages a channel and in bytes over all
//! (`servers/kit/ring.py`).
//!
//! Invariant: a channel's held messages are consecutive ids that end with its last; what was dropped was the oldest.
//! A finite stream is kept whole. A message is encoded for a transport when it is first needed, and then kept.

use crate::encode::{KINDS, Kind};
use bytes::Bytes;
use std::collections::VecDeque;

/// One message: its id, when it was due (`CLOCK_MONOTONIC`), and its bytes.
pub struct Held {
    pub seq: u64,
    pub due_ns: i64,
    payload: Bytes,
    encoded: [Option<Bytes>; KINDS.len()],
}

impl Held {
    /// A message, encoded for the transports that are `wanted` already.
    pub fn new(seq: u64, due_ns: i64, payload: &[u8], wanted: [bool; KINDS.len()]) -> Self {
        let mut encoded = [const { None }; KINDS.len()];
        let mut stands = None;
        for kind in KINDS.into_iter().filter(|kind| wanted[*kind as usize]) {
            let (data, at) = kind.message(seq, payload);
            stands = stands.or(at.map(|at| data.slice(at..at + payload.len())));
            encoded[kind as usize] = Some(data);
        }
        // Of a payload that stands in no encoding (text in a WebSocket frame) the event is made in any case.
        let payload = stands.unwrap_or_else(|| {
            let (data, at) = Kind::Sse.message(seq, payload);
            let payload = at.map_or_else(Bytes::new, |at| data.slice(at..at + payload.len()));
            encoded[Kind::Sse as usize] = Some(data);
            payload
        });
        Self {
            seq,
            due_ns,
            payload,
            encoded,
        }
    }

    /// Its bytes for a transport, if they were made already.
    pub fn encoded(&self, kind: Kind) -> Option<&Bytes> {
        self.encoded[kind as usize].as_ref()
    }

    /// Its bytes for a transport, and how many more are held now than before.
    fn encode(&mut self, kind: Kind) -> (&Bytes, usize) {
        let mut grown = 0;
        let data = self.encoded[kind as usize].get_or_insert_with(|| {
            let (data, _) = kind.message(self.seq, &self.payload);
            grown = data.len();
            data
        });
        (data, grown)
    }

    fn size(&self) -> usize {
        self.encoded.iter().flatten().map(Bytes::len).sum()
    }
}

/// One channel's messages.
#[derive(Default)]
pub struct Ring {
    held: VecDeque<Held>,
    pub last: u64,
    pub finite: bool,
}

impl Ring {
    /// An empty one; of a finite stream nothing is let go of.
    pub fn new(finite: bool) -> Self {
        Self {
            finite,
            ..Self::default()
        }
    }

    /// The oldest id held; one past the last when nothing is.
    pub fn first(&self) -> u64 {
        self.held.front().map_or(self.last + 1, |held| held.seq)
    }

    /// What is held with a higher id than `cursor`, oldest first.
    pub fn after(&self, cursor: u64) -> impl Iterator<Item = &Held> {
        self.held.range(self.position(cursor)..)
    }

    fn position(&self, cursor: u64) -> usize {
        let missing = usize::try_from(self.last.saturating_sub(cursor)).unwrap_or(usize::MAX);
        self.held.len().saturating_sub(missing)
    }

    fn size(&self) -> usize {
        self.held.iter().map(Held::size).sum()
    }
}

/// All channels' rings by channel number, and the bytes that they share.
///
/// `order` has a ring's number once for each message that it holds beyond the last: over the limit, who has grown
/// longest ago lets go first.
pub struct Rings {
    all: Vec<Ring>,
    order: VecDeque<usize>,
    used: usize,
    limit_messages: usize,
    limit_bytes: usize,
}

impl Rings {
    pub fn new(limit_messages: usize, limit_bytes: usize) -> Self {
        Self {
            all: Vec::new(),
            order: VecDeque::new(),
            used: 0,
            limit_messages,
            limit_bytes,
        }
    }

    pub fn get(&self, number: usize) -> &Ring {
        &self.all[number]
    }

    /// All rings by number, leaving none.
    pub fn take(&mut self) -> Vec<Ring> {
        self.order.clear();
        self.used = 0;
        std::mem::take(&mut self.all)
    }

    /// A ring more, with what it holds already.
    pub fn add(&mut self, ring: Ring) {
        let number = self.all.len();
        if !ring.finite {
            self.order.extend(std::iter::repeat_n(number, ring.held.len()));
            self.used += ring.size();
        }
        self.all.push(ring);
        self.shrink();
    }

    /// Keep the next message, and let go of the oldest over the limits.
    pub fn append(&mut self, number: usize, held: Held) {
        let ring = &mut self.all[number];
        ring.last = held.seq;
        let grown = held.size();
        ring.held.push_back(held);
        if ring.finite {
            return;
        }
        self.used += grown;
        if ring.held.len() > self.limit_messages {
            self.used -= ring.held.pop_front().map_or(0, |oldest| oldest.size());
        } else {
            self.order.push_back(number);
        }
        self.shrink();
    }

    /// Let go of everything; the next message may have any higher id.
    pub fn clear(&mut self, number: usize) {
        let ring = &mut self.all[number];
        if !ring.finite {
            self.used -= ring.size();
            self.order.retain(|other| *other != number);
        }
        ring.held.clear();
    }

    /// The first messages after `cursor` for a transport: at least one if there is any, then up to `room` bytes.
    pub fn replay(&mut self, number: usize, cursor: u64, kind: Kind, room: usize) -> Vec<(u64, Bytes)> {
        let ring = &mut self.all[number];
        let mut batch: Vec<(u64, Bytes)> = Vec::new();
        let (mut size, mut grown) = (0, 0);
        let at = ring.position(cursor);
        for held in ring.held.range_mut(at..) {
            let (data, more) = held.encode(kind);
            size += data.len();
            grown += more;
            if size > room && !batch.is_empty() {
                break;
            }
            batch.push((held.seq, held.encoded[kind as usize].clone().unwrap_or_default()));
        }
        if !ring.finite {
            self.used += grown;
            self.shrink();
        }
        batch
    }

    fn shrink(&mut self) {
        while self.used > self.limit_bytes
            && let Some(number) = self.order.pop_front()
        {
            let held = &mut self.all[number].held;
            if held.len() > 1 {
                self.used -= held.pop_front().map_or(0, |oldest| oldest.size());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSE: [bool; KINDS.len()] = [true, false, false];
    /// What one message of 10 bytes with a one-digit id takes as an event.
    const SIZE: usize = 30;

    fn rings(count: usize, messages: usize, bytes: usize) -> Rings {
        let mut rings = Rings::new(messages, bytes);
        for _ in 0..count {
            rings.add(Ring::new(false));
        }
        rings
    }

    fn append(rings: &mut Rings, number: usize, seq: u64) {
        rings.append(number, Held::new(seq, 0, b"0123456789", SSE));
    }

    fn seqs(rings: &Rings, number: usize, cursor: u64) -> Vec<u64> {
        rings.get(number).after(cursor).map(|held| held.seq).collect()
    }

    #[test]
    fn the_newest_messages_are_held() {
        let mut rings = rings(1, 3, 1 << 20);
        assert_eq!((rings.get(0).first(), rings.get(0).last), (1, 0));
        for seq in 1..=5 {
            append(&mut rings, 0, seq);
        }
        assert_eq!(seqs(&rings, 0, 0), [3, 4, 5]);
        assert_eq!(seqs(&rings, 0, 3), [4, 5]);
        assert!(seqs(&rings, 0, 5).is_empty() && seqs(&rings, 0, 99).is_empty());
        assert_eq!((rings.get(0).first(), rings.get(0).last, rings.used), (3, 5, 3 * SIZE));
    }

    #[test]
    fn bytes_are_bounded_over_all_and_each_keeps_its_last() {
        let mut rings = rings(2, 10, 4 * SIZE);
        append(&mut rings, 0, 1);
        for seq in 1..=9 {
            append(&mut rings, 1, seq);
        }
        assert_eq!(seqs(&rings, 0, 0), [1]);
        assert_eq!(seqs(&rings, 1, 0), [7, 8, 9]);
        assert_eq!(rings.used, 4 * SIZE);
        assert!(rings.order.len() <= 4);
    }

    #[test]
    fn a_finite_stream_is_kept_whole() {
        let mut rings = Rings::new(2, 10);
        rings.add(Ring::new(true));
        for seq in 1..=9 {
            append(&mut rings, 0, seq);
        }
        assert_eq!(seqs(&rings, 0, 0).len(), 9);
        assert_eq!(rings.used, 0);
    }

    #[test]
    fn a_replay_is_a_batch_and_what_it_encodes_counts() {
        let mut rings = rings(1, 10, 1 << 20);
        for seq in 1..=5 {
            append(&mut rings, 0, seq);
        }
        let batch = rings.replay(0, 1, Kind::Sse, 2 * SIZE);
        assert_eq!(batch.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(rings.replay(0, 1, Kind::Sse, 0).len(), 1);
        assert_eq!(rings.used, 5 * SIZE);
        let frames = rings.replay(0, 0, Kind::WebSocket, 1 << 20);
        assert_eq!(frames.len(), 5);
        assert_eq!(rings.used, 5 * (SIZE + frames[0].1.len()));
        let again = rings.replay(0, 4, Kind::WebSocket, 1 << 20);
        assert_eq!(again[0].1.as_ptr(), frames[4].1.as_ptr(), "encoded once");
        rings.clear(0);
        assert_eq!((rings.used, rings.get(0).first(), rings.order.len()), (0, 6, 0));
    }

    #[test]
    fn encoding_for_a_second_transport_keeps_the_bound() {
        let mut rings = rings(1, 10, 5 * SIZE);
        for seq in 1..=5 {
            append(&mut rings, 0, seq);
        }
        assert_eq!(rings.replay(0, 0, Kind::WebSocket, 1 << 20).len(), 5);
        assert!(rings.used <= 5 * SIZE);
        assert_eq!(rings.get(0).last, 5);
        assert!(rings.get(0).first() > 1);
    }

    #[test]
    fn a_text_keeps_its_payload_beside_its_frame() {
        let frame = [false, true, false];
        let mut held = Held::new(1, 0, b"not JSON", frame);
        assert_eq!(held.payload, "not JSON");
        assert_eq!(held.encode(Kind::Sse).0, "16\r\nid: 1\ndata: not JSON\n\n\r\n");
        let json = Held::new(1, 0, b"12", frame);
        assert_eq!(json.payload, "12");
        assert!(json.encoded(Kind::Sse).is_none());
    }

    #[test]
    fn rings_that_move_keep_what_they_hold() {
        let mut rings = rings(2, 10, 1 << 20);
        append(&mut rings, 1, 1);
        let mut taken = rings.take();
        rings.add(taken.remove(1));
        assert_eq!((seqs(&rings, 0, 0), rings.used, rings.order.len()), (vec![1], SIZE, 1));
    }
}
