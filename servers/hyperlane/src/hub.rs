//! The hub: channels, their rings, their connections and their polls, as in `servers/kit/hub.py`.
//!
//! Invariant: every tick is encoded once a transport, kept in the ring, and written to each of its channel's
//! connections in one write; what is published while a connection catches up is in the ring that it catches up from.
//! No connection is made to hold more than the declared number of bytes: who would is dropped and counted, as is who
//! acknowledges nothing (the kernel says so, `listener.rs`).
//!
//! hyperlane gives a handler the connection's `Stream`. A subscriber's handler lends the transport inside it to the
//! hub for as long as it is subscribed, so that a message goes to all sockets in one loop and wakes nobody; the handler
//! stays, and its task does the rest: it replays, reads what the client sends, writes what a socket did not take at
//! once, and says farewell. A poll is answered out of the ring; one that waits is woken by its channel's next message.
//! Everything runs on one thread: the lock is never contended, and never held while waiting.

use crate::{
    clock,
    encode::{self, Incoming, KINDS, Kind, LAST_CHUNK, Notice, Said, Word},
    feed::{FINITE, FROM_NOW, Greeting, Malformed, NOTICE, OWN_HEARTBEAT, Ticks},
    options::{Fanout, Limits, Options},
    ring::{Held, Ring, Rings},
};
use bytes::{Buf, Bytes};
use hyperlane::Transport;
use parking_lot::{Mutex, MutexGuard};
use serde_json::value::RawValue;
use slab::Slab;
use std::{
    collections::{HashMap, VecDeque},
    io, mem,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

const BEGAN_AGAIN: &str = "the publisher began again";

/// Into how many turns a round of heartbeats is divided: all at once would hold messages up.
pub const TURNS: usize = 50;

static HUB: OnceLock<Mutex<Hub>> = OnceLock::new();

/// The process's hub: a `ServerHook` is made by hyperlane and can be given nothing.
pub fn hub() -> MutexGuard<'static, Hub> {
    HUB.get().expect("main sets up the hub before it serves").lock()
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// Its stream ended.
    End,
    /// Its stream failed for good.
    Failure,
    /// The server goes away.
    Stop,
    /// It would hold too much, or acknowledged nothing.
    Slow,
    /// The client left.
    Gone,
}

#[allow(clippy::struct_excessive_bools)] // they are independent
struct Connection {
    /// None once it was cut off.
    transport: Option<Box<dyn Transport>>,
    channel: usize,
    kind: Kind,
    /// Where it stands in its channel's list, once it is live.
    place: Option<usize>,
    /// The last id that it has, while it catches up.
    replaying: Option<u64>,
    /// When it is slower than its replay.
    deadline: Instant,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// How much it may hold, and whether it was not given something for that.
    limit: usize,
    full: bool,
    /// The kernel gave it up: nothing was acknowledged for too long.
    silent: bool,
    /// When it was last written a heartbeat.
    beaten: Instant,
    /// Its handler's.
    waker: Option<Waker>,
    over: Option<Why>,
    /// What the client sent that is not a whole frame yet.
    inbox: Vec<u8>,
    /// The client sent something after its request.
    spoke: bool,
    /// The client ended its side, or said that it would.
    left: bool,
}

impl Connection {
    /// Write, or queue what the socket does not take now. False when the connection needs the hub's attention.
    fn write(&mut self, data: &Bytes, direct: bool) -> bool {
        let Some(transport) = &mut self.transport else {
            return true;
        };
        let mut written = 0;
        if direct && self.queue.is_empty() {
            // The handler is the one to be woken when the socket takes more; see `drain`.
            let mut nobody = Context::from_waker(Waker::noop());
            match Pin::new(transport).poll_write(&mut nobody, data) {
                Poll::Ready(Ok(size)) if size == data.len() => return true,
                Poll::Ready(Ok(size)) => written = size,
                Poll::Ready(Err(error)) => {
                    self.lose(&error);
                    return false;
                }
                Poll::Pending => {}
            }
        }
        self.keep(data.slice(written..));
        false
    }

    /// Leave it to the handler.
    #[cold]
    fn keep(&mut self, data: Bytes) {
        if self.full || (!self.queue.is_empty() && self.queued + data.len() > self.limit) {
            self.full = true; // what fits into an empty queue always is taken: it is nobody's fault
            return;
        }
        if self.queue.is_empty() {
            self.wake();
        }
        self.queued += data.len();
        self.queue.push_back(data);
    }

    fn lose(&mut self, error: &io::Error) {
        self.left = true;
        self.silent |= error.kind() == io::ErrorKind::TimedOut;
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Write what is queued, one write a message, as far as the socket takes it. True when nothing is left.
    fn drain(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(transport) = &mut self.transport else {
            return true;
        };
        while let Some(data) = self.queue.front_mut() {
            match Pin::new(&mut *transport).poll_write(cx, data) {
                Poll::Ready(Ok(written)) => {
                    self.queued -= written;
                    data.advance(written);
                    if data.is_empty() {
                        self.queue.pop_front();
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.lose(&error);
                    return true;
                }
                Poll::Pending => return false,
            }
        }
        true
    }

    /// Read what the client sent, until there is no more now.
    fn read(&mut self, cx: &mut Context<'_>) {
        let mut space = [mem::MaybeUninit::uninit(); 1024];
        while !self.left
            && let Some(transport) = &mut self.transport
        {
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(transport).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.spoke = true;
                    if self.kind == Kind::WebSocket {
                        self.inbox.extend_from_slice(buffer.filled());
                        self.hear();
                    }
                }
                Poll::Ready(Err(error)) => self.lose(&error),
                Poll::Ready(Ok(())) => self.left = true,
                Poll::Pending => return,
            }
        }
    }

    /// Answer the client's whole frames: pings, and its close (RFC 6455 §5.5).
    fn hear(&mut self) {
        let inbox = mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while !self.left {
            let answer = match encode::incoming(rest) {
                Ok(None) => break,
                Ok(Some((frame, size))) => {
                    rest = &rest[size..];
                    match frame {
                        Incoming::Ignored => continue,
                        Incoming::Ping(body) => encode::frame(encode::PONG, &body),
                        Incoming::Close(code) => {
                            self.left = true;
                            code.map_or_else(|| encode::frame(encode::CLOSE, b""), encode::close)
                        }
                    }
                }
                Err(code) => {
                    self.left = true;
                    encode::close(code)
                }
            };
            if self.over.is_none() {
                self.write(&answer, true);
            }
        }
        self.inbox = rest.to_vec();
    }
}

struct Channel {
    stream: Arc<str>,
    index: usize,
    /// By the publisher; the others are published to over HTTP.
    fed: bool,
    /// Its end or failure, once its stream is over.
    last_word: Option<Said>,
    /// The retry advice that stands: its source failed, and nothing came since.
    advice: Option<Said>,
    /// The last id of the publisher's run before this one: ids up to it may be somebody's cursor still.
    void: u64,
    /// Live connections by transport.
    live: [Vec<usize>; KINDS.len()],
    /// Somebody polls it: its messages are encoded for polls as they come.
    polled: bool,
    /// Wakes the polls that wait for something new.
    news: Arc<Notify>,
}

impl Channel {
    /// How the wire names it.
    fn query(&self) -> String {
        match self.index {
            0 => self.stream.to_string(),
            index => format!("{}?channel={index}", self.stream),
        }
    }
}

/// What the publisher said of its run; for `/plan`.
#[derive(Clone)]
struct Run {
    seed: Box<RawValue>,
    epoch: String,
    boot_id: String,
}

/// What a poll is answered.
#[derive(Debug)]
pub enum Answer {
    /// 200: the body, and the cursor that it gives.
    News { body: Vec<u8>, next: u64 },
    /// The client's `ETag` is this cursor, and nothing is newer.
    Unchanged(u64),
    /// The stream failed for good: the failure's members.
    Failed(String),
    /// Nothing is newer than its cursor.
    Nothing,
}

/// A poll that waits for something new. The process does not leave before it is answered.
pub struct Waiting(pub Arc<Notify>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut hub = hub();
        hub.waiting -= 1;
        hub.rest();
    }
}

/// Why `POST /publish` is refused.
#[derive(Debug, PartialEq)]
pub enum Refused {
    Unknown,
    Fed,
    NotOneLine,
}

/// All channels and connections of the process.
pub struct Hub {
    limits: Limits,
    direct: bool,
    channels: Vec<Channel>,
    rings: Rings,
    /// Channel numbers by stream and index.
    streams: HashMap<Arc<str>, Vec<usize>>,
    /// The streams' names in the order in which they came, for error texts.
    names: Vec<Arc<str>>,
    connections: Slab<Connection>,
    /// How many polls wait.
    waiting: usize,
    /// How long a poll waits that does not say for how long.
    pub poll_timeout_s: f64,
    /// Origins of other sites whose pages may connect.
    pub allow_origin: Vec<String>,
    /// How many of other sites' pages were refused.
    pub foreign: u64,
    /// What a post must show; empty: posts are off.
    pub token: String,
    run: Run,
    stopping: bool,
    /// How many slow consumers were cut off.
    pub dropped: u64,
    /// Connections that did not take a message at once, until the end of the batch.
    attention: Vec<usize>,
    /// The ring was refilled.
    pub live: Arc<Notify>,
    /// Nobody is subscribed or waits any more, after `stop`.
    pub empty: Arc<Notify>,
}

impl Hub {
    /// Set up the process's hub.
    pub fn install(options: &Options) {
        let limits = options.limits;
        let mut hub = Self {
            limits,
            direct: options.fanout == Fanout::Direct,
            channels: Vec::new(),
            rings: Rings::new(limits.ring_messages, limits.ring_bytes),
            streams: HashMap::new(),
            names: Vec::new(),
            connections: Slab::new(),
            waiting: 0,
            poll_timeout_s: options.poll_timeout_s,
            allow_origin: options.allow_origin.clone(),
            foreign: 0,
            token: options.token.clone(),
            run: Run {
                seed: RawValue::from_string("0".to_owned()).expect("a number is JSON"),
                epoch: format!("{:x}", clock::unix_ns()),
                boot_id: clock::boot_id(),
            },
            stopping: false,
            dropped: 0,
            attention: Vec::new(),
            live: Arc::default(),
            empty: Arc::default(),
        };
        for stream in &options.streams {
            for index in 0..options.channels {
                hub.add(stream, index, false, Ring::new(false));
            }
        }
        assert!(HUB.set(Mutex::new(hub)).is_ok(), "there is one hub");
    }

    fn add(&mut self, stream: &str, index: usize, fed: bool, ring: Ring) -> usize {
        let number = self.channels.len();
        let name = if let Some((name, _)) = self.streams.get_key_value(stream) {
            Arc::clone(name)
        } else {
            let name: Arc<str> = Arc::from(stream);
            self.names.push(Arc::clone(&name));
            name
        };
        self.streams.entry(Arc::clone(&name)).or_default().push(number);
        self.channels.push(Channel {
            stream: name,
            index,
            fed,
            last_word: None,
            advice: None,
            void: 0,
            live: Default::default(),
            polled: false,
            news: Arc::default(),
        });
        self.rings.add(ring);
        number
    }

    // The feed

    /// The publisher (re)connected. Another epoch is another run of it: ids begin again, subscribers are told.
    pub fn hello(&mut self, greeting: &Greeting) {
        let workload = &greeting.workload;
        let same = self.run.epoch == greeting.epoch
            && self.run.boot_id == greeting.boot_id
            && self.run.seed.get() == workload.seed.get();
        if same {
            return;
        }
        self.run = Run {
            seed: workload.seed.clone(),
            epoch: greeting.epoch.clone(),
            boot_id: greeting.boot_id.clone(),
        };
        let before = mem::take(&mut self.channels);
        let rings = self.rings.take();
        self.streams.clear();
        self.names.clear();
        for (stream, index) in workload.channels() {
            self.add(stream, index, true, Ring::new(FINITE.contains(&stream)));
        }
        let mut moved = Vec::with_capacity(before.len());
        for (mut old, ring) in before.into_iter().zip(rings) {
            old.news.notify_waiters();
            // What became of it: its number, and the last id that is worth nothing any more.
            let (number, void) = match self.find(&old.stream, old.index) {
                Some(number) => (Some(number), ring.last.max(old.void)),
                None if old.fed => (None, 0),
                None => (Some(self.add(&old.stream, old.index, false, ring)), 0),
            };
            if let Some(number) = number {
                self.channels[number].live = mem::take(&mut old.live);
                self.channels[number].void = void;
            }
            moved.push((number, void));
        }
        let direct = self.direct;
        let mut orphans = Vec::new();
        for (id, connection) in &mut self.connections {
            if connection.over.is_some() {
                continue;
            }
            let (number, void) = moved[connection.channel];
            let Some(number) = number else {
                connection.place = None;
                orphans.push(id);
                continue;
            };
            connection.channel = number;
            if void > 0 {
                let gap = Notice::Gap {
                    from: 1,
                    to: void,
                    reason: BEGAN_AGAIN,
                };
                if !connection.write(&connection.kind.notice(&gap), direct) {
                    self.attention.push(id);
                }
                connection.replaying = connection.replaying.map(|_| 0);
            }
        }
        for id in orphans {
            self.finish(id, Why::Stop);
        }
        self.attend();
    }

    /// The ticks of one feed frame: encode once, keep, write to all.
    pub fn ticks(&mut self, body: &[u8]) -> Result<(), Malformed> {
        for tick in Ticks(body) {
            let tick = tick?;
            if tick.channel >= self.channels.len() || !self.channels[tick.channel].fed {
                return Err(Malformed);
            }
            if tick.seq == NOTICE {
                self.say(tick.channel, Said::parse(tick.payload).ok_or(Malformed)?);
                continue;
            }
            let last = self.rings.get(tick.channel).last;
            if tick.seq <= last {
                continue; // refilled already
            }
            if last > 0 && tick.seq > last + 1 {
                // The feed was away for longer than the publisher's ring holds.
                self.rings.clear(tick.channel);
                self.tell(
                    tick.channel,
                    &Notice::Gap {
                        from: last + 1,
                        to: tick.seq - 1,
                        reason: "no longer held",
                    },
                );
            }
            self.publish(tick.channel, tick.seq, tick.due_ns, tick.payload);
        }
        self.attend();
        Ok(())
    }

    fn publish(&mut self, number: usize, seq: u64, due_ns: i64, payload: &[u8]) {
        let channel = &mut self.channels[number];
        channel.advice = None;
        let mut wanted = KINDS.map(|kind| !channel.live[kind as usize].is_empty());
        wanted[Kind::Poll as usize] = channel.polled;
        channel.news.notify_waiters();
        let held = Held::new(seq, due_ns, payload, wanted);
        for kind in KINDS {
            if let Some(data) = held.encoded(kind) {
                for &id in &channel.live[kind as usize] {
                    if !self.connections[id].write(data, self.direct) {
                        self.attention.push(id);
                    }
                }
            }
        }
        self.rings.append(number, held);
    }

    /// What a channel's stream says of itself; said again after a refill, it changes nothing.
    fn say(&mut self, number: usize, said: Said) {
        let channel = &mut self.channels[number];
        if channel.last_word.is_some() || channel.advice.as_ref() == Some(&said) {
            return;
        }
        let over = over(said.word);
        channel.advice = over.is_none().then(|| said.clone());
        channel.last_word = over.map(|_| said.clone());
        channel.news.notify_waiters();
        self.tell(number, &Notice::Said(said));
        if let Some(why) = over {
            for id in self.channels[number].live.concat() {
                self.finish(id, why);
            }
        }
    }

    /// Publish the next message of a channel that nobody feeds; its id.
    pub fn post(&mut self, stream: &str, index: usize, payload: &[u8]) -> Result<u64, Refused> {
        let number = self.find(stream, index).ok_or(Refused::Unknown)?;
        if self.channels[number].fed {
            return Err(Refused::Fed);
        }
        if std::str::from_utf8(payload).is_err() || payload.iter().any(|byte| b"\r\n\0".contains(byte)) {
            return Err(Refused::NotOneLine);
        }
        let seq = self.rings.get(number).last + 1;
        self.publish(number, seq, clock::monotonic_ns(), payload);
        self.attend();
        Ok(seq)
    }

    /// Write a notice to every live connection of a channel.
    fn tell(&mut self, number: usize, notice: &Notice) {
        for kind in KINDS {
            let data = kind.notice(notice);
            for &id in &self.channels[number].live[kind as usize] {
                if !self.connections[id].write(&data, self.direct) {
                    self.attention.push(id);
                }
            }
        }
    }

    /// Look at the connections that did not take what was written: some have left, some hold too much.
    fn attend(&mut self) {
        for id in mem::take(&mut self.attention) {
            let Some(connection) = self.connections.get(id) else {
                continue;
            };
            if connection.over.is_some() {
                continue;
            }
            if connection.left {
                self.lost(id);
            } else if connection.full {
                self.drop_slow(id, "it would hold too much");
            }
        }
    }

    /// A connection's client is not there any more.
    fn lost(&mut self, id: usize) {
        if self.connections[id].silent {
            self.drop_slow(id, "it acknowledged nothing for too long");
        } else {
            self.finish(id, Why::Gone);
        }
    }

    fn drop_slow(&mut self, id: usize, why: &str) {
        self.dropped += 1;
        let connection = &self.connections[id];
        let channel = self.channels[connection.channel].query();
        eprintln!(
            "dropped a slow consumer of {channel}: {why}; it held {} bytes (number {})",
            connection.queued, self.dropped
        );
        self.finish(id, Why::Slow);
    }

    // Subscribers

    /// The channel that a request names.
    pub fn find(&self, stream: &str, index: usize) -> Option<usize> {
        self.streams.get(stream)?.get(index).copied()
    }

    pub fn has(&self, stream: &str) -> bool {
        self.streams.contains_key(stream)
    }

    /// The streams that there are, for an error's text.
    pub fn names(&self) -> String {
        self.names.join(", ")
    }

    /// Whether a stream is over and its last id is this cursor.
    pub fn is_complete(&self, number: usize, cursor: Option<u64>) -> bool {
        self.channels[number].last_word.is_some() && cursor == Some(self.rings.get(number).last)
    }

    /// Where a subscriber with this cursor begins, and what it cannot have.
    fn start(&self, number: usize, cursor: Option<u64>) -> (u64, Option<Notice>) {
        let (ring, channel) = (self.rings.get(number), &self.channels[number]);
        let whole = ring.finite && (channel.last_word.is_some() || !FROM_NOW.contains(&&*channel.stream));
        match cursor {
            None if whole => (0, None),
            None => (ring.last, None),
            // Given out by the publisher's run before this one: everything of this one is new to it.
            Some(at) if at > ring.last && at <= channel.void => {
                let from_here = ring.first() - 1;
                let gap = Notice::Gap {
                    from: 1,
                    to: at.max(from_here),
                    reason: BEGAN_AGAIN,
                };
                (from_here, Some(gap))
            }
            Some(at) if at > ring.last => {
                let reason = "this cursor is from the future";
                (
                    ring.last,
                    Some(Notice::Gap {
                        from: ring.last + 1,
                        to: at,
                        reason,
                    }),
                )
            }
            Some(at) if at + 1 < ring.first() => {
                let to = ring.first() - 1;
                (
                    to,
                    Some(Notice::Gap {
                        from: at + 1,
                        to,
                        reason: "no longer held",
                    }),
                )
            }
            Some(at) => (at, None),
        }
    }

    /// What a poll with this cursor is answered. `known`: its If-None-Match. `advise`: retry advice alone is an answer.
    pub fn answer(&mut self, number: usize, cursor: Option<u64>, known: Option<&str>, advise: bool) -> Answer {
        let (at, gap) = self.start(number, cursor);
        let held = self.rings.replay(number, at, Kind::Poll, usize::MAX);
        let next = held.last().map_or(at, |(seq, _)| *seq);
        let channel = &mut self.channels[number];
        channel.polled = true;
        let last_word = channel.last_word.as_ref();
        let failure = last_word.filter(|said| said.word == Word::Failure);
        if held.is_empty() && gap.is_none() {
            if let Some(said) = failure {
                return Answer::Failed(said.fields.clone());
            }
            // Who has every message may not know yet that the stream ended, or that its source fails.
            let said = last_word.is_some() || (advise && channel.advice.is_some());
            if !said && known == Some(entity_tag(next).as_str()) {
                return Answer::Unchanged(next);
            }
            if !said && cursor.is_some() {
                return Answer::Nothing;
            }
        }
        let end = last_word.is_some() && failure.is_none();
        let body = encode::answer(&held, next, gap.as_ref(), end, channel.advice.as_ref());
        Answer::News { body, next }
    }

    /// Take in a poll that is to wait for something new in a channel; None when the server goes away.
    pub fn wait(&mut self, number: usize) -> Option<Waiting> {
        if self.stopping {
            return None;
        }
        self.waiting += 1;
        Some(Waiting(Arc::clone(&self.channels[number].news)))
    }

    /// Take a connection in. Its handler then calls `poll`, which replays from `cursor` and goes live.
    pub fn attach(
        &mut self,
        transport: Box<dyn Transport>,
        number: usize,
        kind: Kind,
        cursor: Option<u64>,
        inbox: &[u8],
    ) -> usize {
        let (at, gap) = self.start(number, cursor);
        let mut connection = Connection {
            transport: Some(transport),
            channel: number,
            kind,
            place: None,
            replaying: Some(at),
            deadline: self.deadline(),
            queue: VecDeque::new(),
            queued: 0,
            limit: self.limits.buffer_bytes,
            full: false,
            silent: false,
            beaten: Instant::now(),
            waker: None,
            over: None,
            inbox: inbox.to_vec(),
            spoke: false,
            left: false,
        };
        if let Some(gap) = gap {
            connection.write(&kind.notice(&gap), true);
        }
        if !inbox.is_empty() {
            connection.hear();
        }
        self.connections.insert(connection)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs_f64(2.0 * self.limits.heartbeat_s)
    }

    /// What a connection's handler does until it is over: catch up, go live, read, write what was queued.
    pub fn poll(&mut self, id: usize, cx: &mut Context<'_>) -> Poll<Why> {
        let connection = &mut self.connections[id];
        if !connection
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            connection.waker = Some(cx.waker().clone());
        }
        if connection.over.is_none() {
            connection.read(cx);
            let drained = connection.drain(cx);
            let (left, replaying) = (connection.left, connection.replaying);
            if left {
                self.lost(id);
            } else if self.stopping {
                self.finish(id, Why::Stop);
            } else if drained && let Some(at) = replaying {
                self.replay(id, at, cx);
            }
        }
        self.connections[id].over.map_or(Poll::Pending, Poll::Ready)
    }

    /// Write what is held after `at` until the socket takes no more; then go live in the same step: no message can be
    /// published in between.
    fn replay(&mut self, id: usize, mut at: u64, cx: &mut Context<'_>) {
        // Half of what it may hold: the other half is for what is published before the replay has gone out.
        let half = self.limits.buffer_bytes / 2;
        let deadline = self.deadline();
        loop {
            let (number, kind) = (self.connections[id].channel, self.connections[id].kind);
            let gap;
            (at, gap) = self.start(number, Some(at)); // the ring may have let go of more meanwhile
            let batch = self.rings.replay(number, at, kind, half);
            let connection = &mut self.connections[id];
            if let Some(gap) = gap {
                connection.write(&kind.notice(&gap), true);
            }
            if batch.is_empty() {
                break;
            }
            for (seq, data) in batch {
                connection.write(&data, true);
                at = seq;
            }
            connection.replaying = Some(at);
            connection.deadline = deadline;
            if !connection.drain(cx) {
                return;
            }
            if connection.left {
                self.lost(id);
                return;
            }
        }
        let channel = &mut self.channels[self.connections[id].channel];
        let connection = &mut self.connections[id];
        connection.replaying = None;
        let kind = connection.kind;
        if let Some(said) = channel.last_word.clone() {
            let why = over(said.word).unwrap_or(Why::End);
            connection.write(&kind.notice(&Notice::Said(said)), true);
            self.finish(id, why);
        } else {
            if let Some(said) = channel.advice.clone() {
                connection.write(&kind.notice(&Notice::Said(said)), true);
            }
            let live = &mut channel.live[connection.kind as usize];
            connection.place = Some(live.len());
            live.push(id);
        }
    }

    /// After `poll`: until the farewell has gone out and, on a WebSocket, was answered.
    pub fn poll_farewell(&mut self, id: usize, cx: &mut Context<'_>) -> Poll<()> {
        let connection = &mut self.connections[id];
        if !connection.drain(cx) {
            return Poll::Pending;
        }
        if connection.kind == Kind::WebSocket && connection.transport.is_some() {
            connection.read(cx);
            if !connection.left {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Let go of a connection whose handler is done: its transport, if it can be used for another request.
    pub fn remove(&mut self, id: usize) -> Option<Box<dyn Transport>> {
        self.detach(id);
        let connection = self.connections.remove(id);
        self.rest();
        let usable = matches!(connection.over, Some(Why::End | Why::Failure)) && connection.kind == Kind::Sse;
        connection
            .transport
            .filter(|_| usable && !self.stopping && !connection.spoke && connection.queue.is_empty())
    }

    /// Say so when nobody is left, after `stop`.
    fn rest(&self) {
        if self.stopping && self.connections.is_empty() && self.waiting == 0 {
            self.empty.notify_one();
        }
    }

    /// Take a connection off its channel's list.
    fn detach(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        if let Some(place) = connection.place.take() {
            let live = &mut self.channels[connection.channel].live[connection.kind as usize];
            live.swap_remove(place);
            if let Some(&moved) = live.get(place) {
                self.connections[moved].place = Some(place);
            }
        }
    }

    /// Say once why a connection is over, and the transport's farewell; its handler does the rest.
    fn finish(&mut self, id: usize, why: Why) {
        self.detach(id);
        let connection = &mut self.connections[id];
        match (why, connection.kind) {
            (Why::Slow, _) => {
                connection.queue.clear();
                connection.queued = 0;
                connection.transport = None;
            }
            (Why::Gone, _) | (_, Kind::Poll) => {}
            (_, Kind::Sse) => _ = connection.write(&LAST_CHUNK, true),
            (Why::End, Kind::WebSocket) => _ = connection.write(&encode::close(1000), true),
            (Why::Stop, Kind::WebSocket) => _ = connection.write(&encode::close(1001), true),
            (Why::Failure, Kind::WebSocket) => _ = connection.write(&encode::close(1011), true),
        }
        connection.over = Some(why);
        connection.wake();
    }

    /// A turn of heartbeats: to one in `TURNS` of the connections.
    pub fn beat(&mut self, turn: usize) {
        let data = KINDS.map(Kind::heartbeat);
        let now = Instant::now();
        let end = self.connections.iter().next_back().map_or(0, |(id, _)| id + 1);
        for id in (turn..end).step_by(TURNS) {
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            if connection.over.is_some() {
                continue;
            }
            if connection.place.is_some() {
                let (stream, own_s) = OWN_HEARTBEAT;
                if &*self.channels[connection.channel].stream == stream {
                    // A tenth less, for turns are not exact.
                    if now - connection.beaten < Duration::from_secs_f64(0.9 * own_s) {
                        continue;
                    }
                    connection.beaten = now;
                }
                if !connection.write(&data[connection.kind as usize], self.direct) {
                    self.attention.push(id);
                }
            } else if now > connection.deadline {
                self.drop_slow(id, "it did not take its replay");
            }
        }
        self.attend();
    }

    /// Shut down: every connection gets the transport's farewell, and polls that wait an answer.
    pub fn stop(&mut self) {
        self.stopping = true;
        let ids: Vec<usize> = self
            .connections
            .iter()
            .filter(|(_, c)| c.over.is_none())
            .map(|(id, _)| id)
            .collect();
        for id in ids {
            self.finish(id, Why::Stop);
        }
        for channel in &self.channels {
            channel.news.notify_waiters();
        }
        self.rest();
    }

    /// The answer to GET /plan/STREAM: when each held message was due, in Unix time.
    pub fn plan(&self, number: usize, since: u64) -> String {
        let offset_ns = clock::offset_ns();
        let ticks: Vec<String> = self
            .rings
            .get(number)
            .after(since)
            .map(|held| format!("[{},{}]", held.seq, held.due_ns + offset_ns))
            .collect();
        let Run { seed, epoch, boot_id } = &self.run;
        let [epoch, boot_id] = [epoch, boot_id].map(|text| serde_json::Value::from(text.as_str()));
        format!(
            r#"{{"seed":{seed},"epoch":{epoch},"boot_id":{boot_id},"ticks":[{}]}}"#,
            ticks.join(",")
        )
    }
}

/// A cursor as an `ETag` (RFC 9110 §8.8.3).
pub fn entity_tag(cursor: u64) -> String {
    format!("\"{cursor}\"")
}

/// Why connections are over after this word of their stream, if they are.
fn over(word: Word) -> Option<Why> {
    match word {
        Word::Retry => None,
        Word::End => Some(Why::End),
        Word::Failure => Some(Why::Failure),
    }
}

/// What stands in a `Stream` while its transport is lent to the hub, and after a consumer was cut off.
#[derive(Debug)]
pub struct Lent;

impl Transport for Lent {
    fn peer_addr(&self) -> io::Result<std::net::SocketAddr> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        Err(io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Lent {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lent {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
