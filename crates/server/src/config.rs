//! Settings of the HTTP server.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time-outs and bounds of connections; the bounds of what a request may ask for are `lore_core::Limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Open connections; more wait to be accepted.
    pub connections: usize,
    /// Seconds in which a client must have sent a request's headers, counted from the end of the request before.
    pub header_seconds: u64,
    /// Seconds in which a JSON body must have arrived; for uploads, the longest pause between two pieces.
    pub body_seconds: u64,
    /// Seconds for which a client may take nothing of what is sent to it; then its connection is closed.
    pub write_seconds: u64,
    /// Seconds that an answer or a search may take, waiting included.
    pub answer_seconds: u64,
    /// Seconds between two comments that keep an event stream open.
    pub keep_alive_seconds: u64,
    /// Seconds that running requests and streams get to end when the server is told to stop.
    pub grace_seconds: u64,
    /// Whether every caller needs a key on loopback too, as behind a proxy on the same machine, whose requests cannot be
    /// told from those of the person at this machine. On other addresses a key is always needed.
    pub require_keys: bool,
    /// Where people reach this server, such as `https://lore.example.com`; the links of citations start with it, and
    /// are paths on this server where it is null.
    pub public_url: Option<String>,
    /// Seconds for which a document that was deleted with `undo` can be brought back; then its content is gone for good.
    /// 0 to a day.
    pub undo_seconds: u64,
    /// Uploads received at once; four times as many wait, more are refused with 429. Each holds a document in memory.
    pub uploads: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            connections: 1024,
            header_seconds: 15,
            body_seconds: 30,
            write_seconds: 30,
            answer_seconds: 120,
            keep_alive_seconds: 15,
            grace_seconds: 10,
            require_keys: false,
            public_url: None,
            undo_seconds: 30,
            uploads: 4,
        }
    }
}

impl HttpConfig {
    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_seconds.max(1))
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_seconds.max(1))
    }

    pub(crate) fn write_timeout(&self) -> Duration {
        Duration::from_secs(self.write_seconds.max(1))
    }

    pub(crate) fn undo_time(&self) -> Duration {
        Duration::from_secs(self.undo_seconds)
    }

    pub(crate) fn answer_timeout(&self) -> Duration {
        Duration::from_secs(self.answer_seconds.max(1))
    }

    pub(crate) fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds.max(1))
    }

    /// `path` as a link for people.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_deref().unwrap_or_default().trim_end_matches('/'))
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }
}
