//! The routes, as hyperlane's hooks: interface.md's, the article's, and `POST /publish/{stream}`.
//!
//! Invariant: every request is answered, with a small JSON `{"error": …}` where it cannot be had: a request that no
//! hook answers is left without a response by hyperlane.

use crate::{
    encode::{self, Kind},
    hub::{Answer, Lent, Refused, Why, entity_tag, hub},
};
use hyperlane::{Context, Method, Request, RequestError, ServerHook, Status, Stream, WebSocketFrame};
use std::{future::poll_fn, mem, pin::Pin, task::Poll, time::Duration};
use tokio::{
    io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    task::unconstrained,
    time::{sleep, timeout},
};

/// How long a client may take to take in, and to answer, a farewell.
const FAREWELL: Duration = Duration::from_millis(600);
/// The longest that a poll may wait, seconds.
const LONGEST_S: f64 = 300.0;
/// `Retry-After` of a failed stream's 503, seconds: as in `servers/kit/poll_answer.py`.
const RETRY_AFTER_S: &str = "5";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\nconnection: keep-alive\r\n\r\n";

/// What a request is refused with.
struct Refusal {
    status: usize,
    message: String,
    allow: &'static str,
}

impl Refusal {
    fn new(status: usize, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            allow: "",
        }
    }
}

type Answered = Result<(), Refusal>;

/// A decimal number from 0.
fn number(text: &str, name: &str) -> Result<u64, Refusal> {
    let plain = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten().ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Refusal::new(400, format!("{name} must be a whole number from 0, not '{shown}'"))
    })
}

fn query<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request
        .get_querys()
        .get(name)
        .map(|values| values.front().map_or("", String::as_str))
}

/// The value of a header, by its name in small letters.
fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.get_headers().get(name)?.back().map(String::as_str)
}

fn cursor(request: &Request) -> Result<Option<u64>, Refusal> {
    query(request, "since").map(|text| number(text, "since")).transpose()
}

/// Where a poll stands: `?since`, else its `ETag`.
fn position(request: &Request) -> Result<Option<u64>, Refusal> {
    let tagged = || {
        let tag = header(request, "if-none-match")?;
        let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
        number(tag, "If-None-Match").ok()
    };
    Ok(cursor(request)?.or_else(tagged))
}

/// How long a poll waits: `?timeout`, seconds from 0 to `LONGEST_S`.
fn patience(request: &Request) -> Result<Duration, Refusal> {
    let Some(text) = query(request, "timeout") else {
        return Ok(Duration::from_secs_f64(hub().poll_timeout_s));
    };
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=LONGEST_S).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let message = format!("timeout must be a number of seconds from 0 to {LONGEST_S}, not '{shown}'");
        Refusal::new(400, message)
    })
}

/// `Last-Event-ID` wins over `?since` (interface.md).
fn last_event_id(request: &Request) -> Result<Option<u64>, Refusal> {
    match header(request, "last-event-id") {
        Some(text) if !text.is_empty() => number(text, "Last-Event-ID").map(Some),
        _ => cursor(request),
    }
}

/// The stream and channel that a request names.
struct Address {
    stream: String,
    index: usize,
}

impl Address {
    fn of(request: &Request, stream: &str) -> Result<Self, Refusal> {
        let hub = hub();
        if !hub.has(stream) {
            return Err(Refusal::new(
                404,
                format!("unknown stream '{stream}'; choose one of {}", hub.names()),
            ));
        }
        let index = number(query(request, "channel").unwrap_or("0"), "channel")?;
        let missing = || Refusal::new(404, format!("{stream} has no channel {index}"));
        let index = usize::try_from(index).map_err(|_| missing())?;
        hub.find(stream, index).ok_or_else(missing)?;
        Ok(Self {
            stream: stream.to_owned(),
            index,
        })
    }

    /// Its channel's number now: another run of the publisher numbers them anew.
    fn channel(&self) -> Result<usize, Refusal> {
        let gone = || Refusal::new(404, format!("{} is no more", self.stream));
        hub().find(&self.stream, self.index).ok_or_else(gone)
    }
}

fn only(request: &Request, method: &Method, allow: &'static str) -> Answered {
    if request.get_method() == method {
        return Ok(());
    }
    let message = format!("{} is not allowed here", request.get_method());
    Err(Refusal {
        status: 405,
        message,
        allow,
    })
}

/// Refuse another site's page; a request without `Origin` is none (servers/kit/origin.py).
fn same_site(request: &Request) -> Answered {
    let Some(origin) = header(request, "origin") else {
        return Ok(());
    };
    let place = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let host = header(request, "host").unwrap_or_default();
    let mut hub = hub();
    let listed = hub.allow_origin.iter().any(|one| one == origin || one == "*");
    if listed || place.is_some_and(|place| place.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    hub.foreign += 1;
    let message = "a page of another site may not do this; --allow-origin lists those that may";
    Err(Refusal::new(403, message))
}

/// Whether this request may publish: with the token that the server was given.
fn may_publish(request: &Request) -> Answered {
    same_site(request)?;
    let hub = hub();
    if hub.token.is_empty() {
        return Err(Refusal::new(
            403,
            "publishing over HTTP is off: start the server with a token",
        ));
    }
    let shown = header(request, "authorization").and_then(|field| field.strip_prefix("Bearer "));
    if shown == Some(hub.token.as_str()) {
        return Ok(());
    }
    Err(Refusal::new(
        401,
        "publishing needs the server's token: Authorization: Bearer TOKEN",
    ))
}

/// A response with a JSON body.
async fn json(stream: &mut Stream, ctx: &mut Context, status: usize, allow: &str, body: impl AsRef<[u8]>) {
    let response = ctx.get_mut_response();
    response
        .set_status_code(status)
        .set_header("content-type", "application/json")
        .set_body(body);
    if !allow.is_empty() {
        response.set_header("allow", allow);
    }
    let data = response.build();
    if stream.try_send(data).await.is_err() {
        stream.set_closed(true);
    }
}

/// Say why a request is refused. Always `Reject`: nothing is to follow.
async fn finish(stream: &mut Stream, ctx: &mut Context, answered: Answered) -> Status {
    if let Err(Refusal { status, message, allow }) = answered {
        let body = serde_json::json!({ "error": message }).to_string();
        json(stream, ctx, status, allow, &body).await;
    }
    Status::Reject
}

/// Send what has no body and may have no Content-Length (RFC 9110 §8.6), which hyperlane's `build` always adds.
async fn bodyless(stream: &mut Stream, head: &str) {
    if stream.try_send(head).await.is_err() {
        stream.set_closed(true);
    }
}

/// Subscribe this connection and stay until it is over.
async fn subscribe(stream: &mut Stream, channel: usize, kind: Kind, cursor: Option<u64>) {
    // What hyperlane read ahead of the request: of a WebSocket it is ours, else it is the next request.
    let ahead = match kind {
        Kind::Sse | Kind::Poll => Vec::new(),
        Kind::WebSocket => stream.get_leftover()[stream.get_leftover_start()..stream.get_leftover_end()].to_vec(),
    };
    let transport = mem::replace(stream.get_mut_stream(), Box::new(Lent));
    let seat = Seat(Some(hub().attach(transport, channel, kind, cursor, &ahead)));
    let id = seat.id();
    let why = poll_fn(|cx| hub().poll(id, cx)).await;
    if why != Why::Slow {
        let _ = timeout(FAREWELL, poll_fn(|cx| hub().poll_farewell(id, cx))).await;
    }
    match seat.leave() {
        Some(transport) => *stream.get_mut_stream() = transport,
        None => _ = stream.set_closed(true),
    }
}

/// A connection's place in the hub, given up whatever becomes of its handler.
struct Seat(Option<usize>);

impl Seat {
    fn id(&self) -> usize {
        self.0.expect("a seat is left once")
    }

    fn leave(mut self) -> Option<Box<dyn hyperlane::Transport>> {
        self.0.take().and_then(|id| hub().remove(id))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(id) = self.0.take() {
            hub().remove(id);
        }
    }
}

/// Server-Sent Events.
async fn events(stream: &mut Stream, ctx: &mut Context, name: &str) -> Answered {
    let request = ctx.get_request();
    only(request, &Method::Get, "GET")?;
    let address = Address::of(request, name)?;
    let cursor = last_event_id(request)?;
    if !request.get_version().is_http1_1_or_higher() {
        return Err(Refusal::new(505, "a stream needs HTTP/1.1, for it comes in chunks"));
    }
    let channel = address.channel()?;
    if hub().is_complete(channel, cursor) {
        // An EventSource stops for good (WHATWG 9.2.3).
        bodyless(stream, NO_CONTENT).await;
        return Ok(());
    }
    let response = ctx.get_mut_response();
    response
        .set_status_code(200)
        .set_header("content-type", "text/event-stream")
        .set_header("cache-control", "no-cache")
        .set_header("x-accel-buffering", "no")
        .set_header("x-proxy-buffering", "no")
        .set_header("transfer-encoding", "chunked");
    if name == "production" {
        response
            .set_header("cache-control", "no-cache, no-store, must-revalidate")
            .set_header("pragma", "no-cache")
            .set_header("expires", "0");
    }
    let head = response.build();
    let sent = stream.try_send(head).await.is_ok();
    match address.channel() {
        Ok(channel) if sent => subscribe(stream, channel, Kind::Sse, cursor).await,
        _ => _ = stream.set_closed(true),
    }
    Ok(())
}

/// WebSocket: the handshake (RFC 6455 §4.2), then the same.
async fn websocket(stream: &mut Stream, ctx: &mut Context, name: &str) -> Answered {
    let request = ctx.get_request();
    only(request, &Method::Get, "GET")?;
    let address = Address::of(request, name)?;
    let cursor = cursor(request)?;
    let has = |name, value: &str| {
        header(request, name).is_some_and(|found| found.split(',').any(|one| one.trim().eq_ignore_ascii_case(value)))
    };
    let key = header(request, "sec-websocket-key").unwrap_or_default();
    // The length that hyperlane's generate_accept_key takes for granted: 16 bytes in base64.
    let asked = has("upgrade", "websocket") && has("connection", "upgrade") && key.len() == 24;
    if !asked {
        return Err(Refusal::new(400, "this is a WebSocket: ask for an upgrade"));
    }
    if !has("sec-websocket-version", "13") {
        return Err(Refusal::new(400, "this is a WebSocket of version 13"));
    }
    same_site(request)?;
    let accept = WebSocketFrame::generate_accept_key(key);
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    bodyless(stream, &head).await;
    match address.channel() {
        Ok(channel) if !stream.get_closed() => subscribe(stream, channel, Kind::WebSocket, cursor).await,
        _ => {}
    }
    stream.set_closed(true);
    Ok(())
}

/// Answer a poll in one write. When nothing is new: 200 without messages at the cursor `empty`, 204 without one.
async fn reply(stream: &mut Stream, ctx: &mut Context, answer: Answer, empty: Option<u64>) {
    let (body, next) = match (answer, empty) {
        (Answer::News { body, next }, _) => (body, next),
        (Answer::Nothing, Some(at)) => (encode::answer(&[], at, None, false, None), at),
        (Answer::Nothing, None) => return bodyless(stream, NO_CONTENT).await,
        (Answer::Unchanged(at), _) => {
            let tag = entity_tag(at);
            let head = format!("HTTP/1.1 304 Not Modified\r\nconnection: keep-alive\r\netag: {tag}\r\n\r\n");
            return bodyless(stream, &head).await;
        }
        (Answer::Failed(fields), _) => {
            ctx.get_mut_response().set_header("retry-after", RETRY_AFTER_S);
            return json(stream, ctx, 503, "", format!("{{{fields}}}").as_bytes()).await;
        }
    };
    ctx.get_mut_response()
        .set_header("etag", entity_tag(next))
        .set_header("cache-control", "no-cache");
    json(stream, ctx, 200, "", &body).await;
}

/// Short polling: what is new, at once.
async fn short_poll(stream: &mut Stream, ctx: &mut Context, name: &str) -> Answered {
    let request = ctx.get_request();
    only(request, &Method::Get, "GET")?;
    let address = Address::of(request, name)?;
    let at = position(request)?;
    let channel = address.channel()?;
    let answer = hub().answer(channel, at, header(request, "if-none-match"), true);
    reply(stream, ctx, answer, at).await;
    Ok(())
}

/// Long polling: what is new, as soon as there is something, or 204 when the time is up.
async fn long_poll(stream: &mut Stream, ctx: &mut Context, name: &str) -> Answered {
    let request = ctx.get_request();
    only(request, &Method::Get, "GET")?;
    let address = Address::of(request, name)?;
    let at = position(request)?;
    let patience = patience(request)?;
    let channel = address.channel()?;
    // Advice ends a wait and does not prevent it: a client that asks again at once would spin.
    let mut answer = hub().answer(channel, at, None, false);
    let waiting = if matches!(answer, Answer::Nothing) {
        hub().wait(channel)
    } else {
        None
    };
    let mut spoke = false;
    if let Some(waiting) = &waiting {
        let left = tokio::select! {
            () = waiting.0.notified() => false,
            () = sleep(patience) => false,
            () = leaves(stream, &mut spoke) => true,
        };
        if left {
            stream.set_closed(true);
            return Ok(());
        }
        let channel = address.channel()?; // another run of the publisher may have come
        answer = hub().answer(channel, at, None, true);
    }
    reply(stream, ctx, answer, None).await;
    drop(waiting); // the process may leave now
    if spoke {
        // Part of its next request was read here: it is to be sent again on another connection (RFC 9112 §9.3.2).
        let _ = timeout(FAREWELL, hang_up(stream)).await;
        stream.set_closed(true);
    }
    Ok(())
}

/// Return when the client leaves; notice whether it sent something while it waited.
async fn leaves(stream: &mut Stream, spoke: &mut bool) {
    poll_fn(|cx| {
        let mut space = [0; 64];
        while !*spoke {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(stream.get_mut_stream()).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => *spoke = true,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    })
    .await;
}

async fn plan(stream: &mut Stream, ctx: &mut Context, name: &str) -> Answered {
    let request = ctx.get_request();
    only(request, &Method::Get, "GET")?;
    let address = Address::of(request, name)?;
    let since = cursor(request)?.unwrap_or(0);
    let channel = address.channel()?;
    let body = hub().plan(channel, since);
    json(stream, ctx, 200, "", &body).await;
    Ok(())
}

async fn publish(stream: &mut Stream, ctx: &mut Context, name: &str) -> Answered {
    let request = ctx.get_request();
    only(request, &Method::Post, "POST")?;
    may_publish(request)?;
    let Address { index, .. } = Address::of(request, name)?;
    // Without tokio's budget for one task: the message goes to all connections in this one.
    let posted = unconstrained(async { hub().post(name, index, request.get_body()) }).await;
    let id = posted.map_err(|refused| match refused {
        Refused::Unknown => Refusal::new(404, format!("{name} has no channel {index}")),
        Refused::Fed => Refusal::new(
            409,
            format!("{name} is fed by rtbench's publisher, whose ids these are"),
        ),
        Refused::NotOneLine => Refusal::new(400, "a payload is one line of UTF-8: no CR, LF or NUL"),
    })?;
    json(stream, ctx, 200, "", &format!(r#"{{"id":{id}}}"#)).await;
    Ok(())
}

/// The stream in a route's `{stream}`.
fn named(ctx: &Context) -> String {
    ctx.try_get_route_param("stream").unwrap_or_default()
}

/// The article's channels: the path is the stream's name, and whatever is unknown is `general`.
fn article(ctx: &Context) -> String {
    let name = ctx.get_request().get_path().trim_matches('/');
    let hub = hub();
    if !hub.has(name) && hub.has("general") {
        "general".to_owned()
    } else {
        name.to_owned()
    }
}

macro_rules! route {
    ($about:literal, $hook:ident, $stream:ident, $answer:ident) => {
        #[doc = $about]
        pub struct $hook;

        impl ServerHook for $hook {
            async fn new(_: &mut Stream, _: &mut Context) -> Self {
                Self
            }

            async fn handle(self, stream: &mut Stream, ctx: &mut Context) -> Status {
                let name = $stream(ctx);
                let answered = $answer(stream, ctx, &name).await;
                finish(stream, ctx, answered).await
            }
        }
    };
}

route!("`GET /sse/{stream}`", Sse, named, events);
route!("`GET /ws/{stream}`", WebSocket, named, websocket);
route!("`GET /poll/{stream}`", ShortPoll, named, short_poll);
route!("`GET /long-poll/{stream}`", LongPoll, named, long_poll);
route!("`GET /plan/{stream}`", Plan, named, plan);
route!("`POST /publish/{stream}`", Publish, named, publish);
route!(
    "`GET /events`, `/metrics`, `/{stream}`: the article's routes, as SSE",
    Article,
    article,
    events
);

/// Whatever matched no route: hyperlane itself would not answer.
pub struct NotFound;

impl ServerHook for NotFound {
    async fn new(_: &mut Stream, _: &mut Context) -> Self {
        Self
    }

    async fn handle(self, stream: &mut Stream, ctx: &mut Context) -> Status {
        finish(stream, ctx, Err(Refusal::new(404, "there is nothing here"))).await
    }
}

/// What hyperlane could not read as a request. A client that left is one for it too.
pub struct BadRequest;

impl ServerHook for BadRequest {
    async fn new(_: &mut Stream, _: &mut Context) -> Self {
        Self
    }

    async fn handle(self, stream: &mut Stream, ctx: &mut Context) -> Status {
        let error = ctx.try_get_request_error_data().unwrap_or_default();
        if !matches!(error, RequestError::ReadTimeout(_)) && !has_left(stream).await {
            let message = format!("this is no request that can be answered ({error:?})");
            let status = error.get_http_status().code();
            ctx.get_mut_response().set_header("connection", "close");
            finish(stream, ctx, Err(Refusal::new(status, message))).await;
            // What it still sends would be answered with a reset, which takes the answer with it.
            let _ = timeout(FAREWELL, hang_up(stream)).await;
        }
        stream.set_closed(true);
        Status::Reject
    }
}

/// End this side, and read until the client ends its.
async fn hang_up(stream: &mut Stream) {
    let mut space = [0; 4096];
    let transport = stream.get_mut_stream();
    if transport.shutdown().await.is_ok() {
        while matches!(transport.read(&mut space).await, Ok(size) if size > 0) {}
    }
}

/// Whether the client ended its side. What it sent instead is thrown away.
async fn has_left(stream: &mut Stream) -> bool {
    poll_fn(|cx| {
        let mut space = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            return match Pin::new(stream.get_mut_stream()).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => continue,
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending => Poll::Ready(false),
            };
        }
    })
    .await
}

/// A handler panicked, which is a bug of ours: hyperlane caught it.
pub struct Panicked;

impl ServerHook for Panicked {
    async fn new(_: &mut Stream, _: &mut Context) -> Self {
        Self
    }

    async fn handle(self, stream: &mut Stream, ctx: &mut Context) -> Status {
        finish(
            stream,
            ctx,
            Err(Refusal::new(500, "the server has a bug; its log says where")),
        )
        .await;
        stream.set_closed(true);
        Status::Reject
    }
}
