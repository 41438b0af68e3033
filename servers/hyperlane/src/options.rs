//! The one argument: a JSON object with the members of `servers/kit/app.py`'s Options, and a few of this server's own.

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Options {
    pub host: String,
    /// 0: any free port.
    #[serde(default)]
    pub port: u16,
    /// The publisher's Unix socket. Without one, `streams` are published to over HTTP alone.
    #[serde(default)]
    pub ingest: Option<String>,
    pub limits: Limits,
    /// How long a poll waits that does not say for how long, seconds.
    #[serde(default = "poll_timeout_s")]
    pub poll_timeout_s: f64,
    /// Streams that `POST /publish/{stream}` may publish to; those that the publisher feeds are not to be named.
    #[serde(default)]
    pub streams: Vec<String>,
    /// How many channels each of `streams` has.
    #[serde(default = "one")]
    pub channels: usize,
    #[serde(default)]
    pub fanout: Fanout,
    /// What `POST /publish/{stream}` must show (`Authorization: Bearer TOKEN`). Without one it is off.
    #[serde(default)]
    pub token: String,
    #[serde(default)]
    pub bounds: Bounds,
    /// Origins of other sites whose pages may connect.
    #[serde(default)]
    pub allow_origin: Vec<String>,
}

/// What a client may take, as far as hyperlane can be told (servers/kit/guard.py).
#[derive(Clone, Copy, Deserialize)]
pub struct Bounds {
    pub head_bytes: usize,
    pub idle_s: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            head_bytes: 16_384,
            idle_s: 3600.0,
        }
    }
}

/// The scenario's [server] table, as far as this server is concerned.
#[derive(Clone, Copy, Deserialize)]
pub struct Limits {
    pub ring_messages: usize,
    pub ring_bytes: usize,
    pub buffer_bytes: usize,
    pub heartbeat_s: f64,
}

/// Who writes a message to a connection.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Fanout {
    /// The hub, as soon as the message comes; the connection's own task only what the socket did not take at once.
    #[default]
    Direct,
    /// The connection's own task, which the hub wakes: hyperlane's idiom, and slower. Kept to show by how much.
    Task,
}

/// The article's streams (streams.md), for a server that nobody feeds.
const ARTICLE: [&str; 9] = [
    "events",
    "metrics",
    "news",
    "stocks",
    "chat",
    "general",
    "resilient",
    "dashboard",
    "production",
];

fn one() -> usize {
    1
}

fn poll_timeout_s() -> f64 {
    25.0
}

impl Options {
    /// Parse the argument; an error is what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut options: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        options.ingest = options.ingest.filter(|path| !path.is_empty());
        if options.ingest.is_none() && options.streams.is_empty() {
            options.streams = ARTICLE.map(String::from).to_vec();
        }
        if !(0.0..=300.0).contains(&options.poll_timeout_s) {
            return Err(format!(
                "poll_timeout_s must be from 0 to 300, not {}",
                options.poll_timeout_s
            ));
        }
        let heartbeat_s = options.limits.heartbeat_s;
        if !(0.01..=86_400.0).contains(&heartbeat_s) {
            return Err(format!(
                "limits.heartbeat_s must be from 0.01 to 86400, not {heartbeat_s}"
            ));
        }
        Ok(options)
    }

    /// Where hyperlane binds.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = r#""limits":{"heartbeat_s":0.2,"ring_messages":200,"ring_bytes":65536,"buffer_bytes":32768}"#;

    #[test]
    fn what_the_other_servers_are_given_is_understood() {
        let text =
            format!(r#"{{"host":"::1","port":0,"ingest":"/tmp/s","loop":"uvloop","poll_timeout_s":1,{LIMITS}}}"#);
        let options = Options::parse(&text).unwrap();
        assert_eq!(
            (options.address().as_str(), options.ingest.as_deref()),
            ("[::1]:0", Some("/tmp/s"))
        );
        assert!(options.streams.is_empty() && options.fanout == Fanout::Direct);
        assert!((options.poll_timeout_s - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn without_a_feed_there_are_the_article_s_streams() {
        let options = Options::parse(&format!(r#"{{"host":"127.0.0.1","ingest":"",{LIMITS}}}"#)).unwrap();
        assert!(options.ingest.is_none() && options.streams.contains(&"stocks".to_owned()));
        let named = format!(r#"{{"host":"127.0.0.1","streams":["mine"],"channels":3,"fanout":"task",{LIMITS}}}"#);
        let options = Options::parse(&named).unwrap();
        assert_eq!(
            (options.streams.len(), options.channels, options.address().as_str()),
            (1, 3, "127.0.0.1:0")
        );
        assert!(options.fanout == Fanout::Task);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(Options::parse("{}").err().unwrap().contains("host"));
        let idle = format!(r#"{{"host":"h",{}}}"#, LIMITS.replace("0.2", "0"));
        assert!(Options::parse(&idle).err().unwrap().contains("heartbeat_s"));
        let endless = format!(r#"{{"host":"h","poll_timeout_s":-1,{LIMITS}}}"#);
        assert!(Options::parse(&endless).err().unwrap().contains("poll_timeout_s"));
    }
}
