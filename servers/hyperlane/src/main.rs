//! The article's framework as a subject of rtbench: `rtbench-hyperlane OPTIONS`, where OPTIONS is one JSON object.
//!
//! Invariant: the line on standard output (`{"url", "uses"}`) is printed when the server accepts and its ring is
//! refilled; after SIGTERM or SIGINT the process is gone within two seconds, whatever its connections do. One thread
//! does everything: hyperlane spawns its tasks on the runtime that it is run on, and this is tokio's current-thread one.

mod clock;
mod encode;
mod feed;
mod hub;
mod listener;
mod options;
mod ring;
mod routes;

use bytes::BytesMut;
use hub::{Hub, TURNS, hub};
use hyperlane::{RequestConfig, Server, ServerConfig, ServerControlHook, ServerError};
use options::{Fanout, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use std::{env, io, process, sync::Arc, thread, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    runtime,
    signal::unix::{SignalKind, signal},
    sync::Notify,
    task::{unconstrained, yield_now},
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};

/// How long farewells may take after SIGTERM; the process leaves at `LAST` in any case.
const FAREWELL: Duration = Duration::from_millis(1200);
const LAST: Duration = Duration::from_millis(1700);
/// The article's read buffer.
const READ_BUFFER: usize = 4096;
const MOST_BODY: usize = 1 << 20;
const FEED_READ: usize = 256 * 1024;

fn main() {
    let Some(argument) = env::args().nth(1) else {
        refuse("the options are missing: give one JSON object")
    };
    let options = Options::parse(&argument).unwrap_or_else(|error| refuse(&format!("the options are wrong ({error})")));
    descriptors();
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| refuse(&format!("tokio does not start ({error})")));
    runtime.block_on(serve(options));
    process::exit(0); // connections that wait for another request are the kernel's to close
}

/// What the user can mend: one line, exit code 2.
fn refuse(message: &str) -> ! {
    eprintln!("rtbench: {message}");
    process::exit(2)
}

/// As many descriptors as this user may have: hyperlane stops accepting for ever at the first accept(2) that fails.
fn descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}

async fn serve(options: Options) {
    Hub::install(&options);
    let control = listen(&options).await;
    let address = listener::deepen(options.limits.heartbeat_s)
        .unwrap_or_else(|error| refuse(&format!("hyperlane's socket ({error})")));
    let stopped = Arc::new(Notify::new());
    tokio::spawn(stop_on_signal(Arc::clone(&stopped)));
    tokio::spawn(unconstrained(beat(options.limits.heartbeat_s)));
    let live = Arc::clone(&hub().live);
    match options.ingest.clone() {
        Some(path) => _ = tokio::spawn(unconstrained(ingest(path))),
        None => live.notify_one(),
    }
    let stop = stopped.notified();
    tokio::pin!(stop);
    tokio::select! {
        () = &mut stop => {}
        () = live.notified() => {
            println!("{}", json!({ "url": format!("http://{address}"), "uses": uses(&options) }));
            stop.await;
        }
    }
    control.shutdown().await;
    let empty = Arc::clone(&hub().empty);
    unconstrained(async { hub().stop() }).await;
    let _ = timeout(FAREWELL, empty.notified()).await;
    println!("{}", json!({ "refused": { "origin": hub().foreign } }));
}

/// How long a connection may be silent: hyperlane has one limit for heads and for idle connections.
fn idle_ms(idle_s: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a day at most
    let limit = (1000.0 * idle_s).max(100.0) as u64;
    limit
}

async fn listen(options: &Options) -> ServerControlHook {
    let mut config = ServerConfig::default();
    config.set_address(options.address()).set_nodelay(Some(true));
    let mut server = Server::default();
    server
        .server_config(config)
        .request_config(RequestConfig {
            buffer_size: READ_BUFFER,
            max_path_size: 8192,
            max_header_count: 100,
            max_header_key_size: options.bounds.head_bytes,
            max_header_value_size: options.bounds.head_bytes,
            max_body_size: MOST_BODY,
            read_timeout_ms: idle_ms(options.bounds.idle_s),
        })
        .request_error::<routes::BadRequest>()
        .task_panic::<routes::Panicked>()
        .route::<routes::Sse>("/sse/{stream}")
        .route::<routes::WebSocket>("/ws/{stream}")
        .route::<routes::ShortPoll>("/poll/{stream}")
        .route::<routes::LongPoll>("/long-poll/{stream}")
        .route::<routes::Plan>("/plan/{stream}")
        .route::<routes::Publish>("/publish/{stream}")
        .route::<routes::Article>("/events")
        .route::<routes::Article>("/metrics")
        .route::<routes::Article>("/{stream}")
        .response_middleware::<routes::NotFound>();
    server.run().await.unwrap_or_else(|error| {
        let said = match *error {
            ServerError::TcpBind(said) => said,
            other => other.to_string(),
        };
        let reason = said.split(" (os error").next().unwrap_or(&said);
        let (host, port) = (&options.host, options.port);
        refuse(&format!(
            "cannot listen on {host}:{port} ({reason}): free that port or take --port 0"
        ))
    })
}

/// What this process uses (R11), for the trial's manifest.
fn uses(options: &Options) -> serde_json::Value {
    let limits = options.limits;
    json!({
        "loop": "tokio",
        "runtime": "current_thread",
        "stack": concat!("hyperlane ", env!("RTBENCH_HYPERLANE")),
        "tokio": env!("RTBENCH_TOKIO"),
        "rustc": env!("RTBENCH_RUSTC"),
        "technique": "encode-once",
        "fanout": if options.fanout == Fanout::Direct { "direct" } else { "task" },
        "nodelay": true,
        "backlog": listener::BACKLOG,
        "access_log": false,
        "compression": "none",
        "heartbeat_s": limits.heartbeat_s,
        "buffer_bytes": limits.buffer_bytes,
        "slow_consumer": "drop",
        "user_timeout_ms": listener::user_timeout_ms(limits.heartbeat_s),
        "ring_messages": limits.ring_messages,
        "ring_bytes": limits.ring_bytes,
        "head_bytes": options.bounds.head_bytes,
        "idle_s": options.bounds.idle_s,
        "allow_origin": options.allow_origin,
    })
}

/// Note SIGTERM and SIGINT, and see to it that the process leaves.
async fn stop_on_signal(stopped: Arc<Notify>) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        refuse("signals cannot be handled")
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // A thread's: the runtime may have 10,000 farewells to say.
    thread::spawn(|| {
        thread::sleep(LAST);
        process::exit(0);
    });
    stopped.notify_one();
}

async fn beat(heartbeat_s: f64) {
    let turn = Duration::from_secs_f64(heartbeat_s) / u32::try_from(TURNS).unwrap_or(1);
    let mut ticks = interval_at(Instant::now() + turn, turn);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        for turn in 0..TURNS {
            ticks.tick().await;
            hub().beat(turn);
        }
    }
}

/// Stay connected to the publisher at `path`, for ever.
async fn ingest(path: String) {
    loop {
        if let Ok(socket) = UnixStream::connect(&path).await
            && let Err(error) = listen_to(socket).await
        {
            eprintln!("the feed broke off ({error})");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Ticks are published as they come.
async fn listen_to(mut socket: UnixStream) -> io::Result<()> {
    let mut reader = feed::Reader {
        buffer: BytesMut::with_capacity(2 * FEED_READ),
    };
    loop {
        reader.buffer.reserve(FEED_READ);
        if socket.read_buf(&mut reader.buffer).await? == 0 {
            return Ok(());
        }
        while let Some((kind, body)) = reader.frame() {
            match kind {
                feed::TICKS => hub().ticks(&body).map_err(io::Error::other)?,
                feed::HELLO => hub().hello(&serde_json::from_slice(&body)?),
                feed::LIVE => hub().live.notify_one(),
                _ => {} // of a newer publisher
            }
        }
        yield_now().await; // connections have their turn, as in any event loop
    }
}
