//! Speaks to a running server over HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use lore_core::{AnswerEvent, ConversationId};
use lore_index::OwnerInfo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Time to reach the server.
const CONNECT: Duration = Duration::from_secs(3);
/// Time for an answer, waiting in the server's queue included.
const ANSWER: Duration = Duration::from_secs(180);
/// Time for work on the indexes.
const WORK: Duration = Duration::from_secs(3600);
/// Longest event of a stream in bytes; a server that sends more is none of ours.
const EVENT_BYTES: usize = 16 << 20;

/// An HTTP client that gives up after `timeout`.
///
/// # Errors
/// Fails where TLS cannot be set up.
pub fn http(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().connect_timeout(CONNECT).timeout(timeout).no_proxy().build()?)
}

/// The base URL at which a server bound to `address` is reached from this machine.
pub fn local_url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}

/// Whether `error` says that there was no connection.
pub fn is_unreachable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect))
}

/// An event of an answer as a server sends it.
#[derive(Clone, Debug, Deserialize)]
pub struct Received {
    /// The event.
    #[serde(flatten)]
    pub event: AnswerEvent,
    /// Of the last one: the conversation that the answer was kept in.
    #[serde(default)]
    pub conversation: Option<ConversationId>,
}

/// What a server says where it refuses.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Code for programs; the status where it gives none.
    pub code: String,
    /// For a person.
    pub message: String,
    /// Seconds after which it may be asked again.
    pub retry_after: Option<u64>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// A server; that of the data folder, as the folder's owner speaks to it, or any other.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    token: Option<String>,
    groups: Option<String>,
    http: reqwest::Client,
    /// Who it is, for messages.
    pub owner: String,
}

impl Client {
    /// A client for `owner`; `None` where it serves nothing.
    ///
    /// # Errors
    /// Fails where TLS cannot be set up.
    pub fn new(owner: &OwnerInfo) -> anyhow::Result<Option<Self>> {
        let (Some(url), Some(token)) = (&owner.url, &owner.token) else { return Ok(None) };
        Ok(Some(Self {
            url: url.trim_end_matches('/').to_owned(),
            token: Some(token.clone()),
            groups: None,
            http: http(ANSWER)?,
            owner: format!("`{}` (process {})", owner.command, owner.pid),
        }))
    }

    /// A client for the server at `url`, which may want `key`.
    ///
    /// # Errors
    /// Fails where TLS cannot be set up.
    pub fn at(url: &str, key: Option<String>) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, token: key, groups: None, http: http(ANSWER)?, owner: "the server".to_owned() })
    }

    /// The same as a member of `groups`, and of nothing else.
    pub fn with_groups(mut self, groups: &[String]) -> Self {
        self.groups = Some(groups.join(","));
        self
    }

    /// Sends `body` and reads the JSON that comes back.
    ///
    /// # Errors
    /// Fails where nobody answers, and with the server's message where it refuses.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        let response = self.send(self.http.post(format!("{}{path}", self.url)).json(body)).await?;
        response.json().await.with_context(|| format!("{} sent something that is no answer", self.owner))
    }

    /// Has the server do work that may take long, and reads the JSON that comes back.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub async fn work<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let request = self.http.post(format!("{}{path}", self.url)).timeout(WORK);
        let response = self.send(request).await?;
        response.json().await.with_context(|| format!("{} sent something that is no answer", self.owner))
    }

    /// As [`Client::work`], with a body.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub async fn work_with<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let request = self.http.post(format!("{}{path}", self.url)).timeout(WORK).json(body);
        let response = self.send(request).await?;
        response.json().await.with_context(|| format!("{} sent something that is no answer", self.owner))
    }

    /// Reads the JSON at `path`.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = self.send(self.http.get(format!("{}{path}", self.url))).await?;
        response.json().await.with_context(|| format!("{} sent something that is no answer", self.owner))
    }

    /// Reads the text at `path`.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        Ok(self.send(self.http.get(format!("{}{path}", self.url))).await?.text().await?)
    }

    /// Sends a question and hands each event of its answer to `each`.
    ///
    /// # Errors
    /// As [`Client::post`], where the stream breaks off, and where `each` fails.
    pub async fn ask(
        &self,
        body: &impl Serialize,
        mut each: impl FnMut(Received) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let request = self.http.post(format!("{}/v1/ask", self.url)).json(body);
        let mut response = self.send(request.header("accept", "text/event-stream")).await?;
        let mut events = EventReader::default();
        let broken = || format!("the answer broke off; {} may have been stopped", self.owner);
        while let Some(bytes) = response.chunk().await.with_context(broken)? {
            for data in events.push(&bytes)? {
                let event: Received = serde_json::from_str(&data)
                    .with_context(|| format!("{} sent an event that is none", self.owner))?;
                let last = matches!(event.event, AnswerEvent::Done(_) | AnswerEvent::Error { .. });
                each(event)?;
                if last {
                    return Ok(());
                }
            }
        }
        Err(anyhow!(broken()))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        let request = match &self.groups {
            Some(groups) => request.header(lore_server::auth::GROUPS, groups.as_bytes()),
            None => request,
        };
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response =
            request.send().await.with_context(|| format!("no answer from {} at {}", self.owner, self.url))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
        let body: serde_json::Value = response.json().await.unwrap_or_default();
        let said = |key: &str| body["error"][key].as_str().map(str::to_owned);
        Err(Refusal {
            code: said("code").unwrap_or_else(|| status.as_u16().to_string()),
            message: said("message")
                .unwrap_or_else(|| format!("{} answered with status {status}", self.owner)),
            retry_after,
        }
        .into())
    }
}

/// Takes server-sent events apart (WHATWG HTML, 9.2.6): the data of each, its lines joined.
#[derive(Debug, Default)]
struct EventReader {
    waiting: Vec<u8>,
    data: Vec<String>,
}

impl EventReader {
    /// Takes bytes and gives the events that they end.
    fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<String>> {
        self.waiting.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.waiting.drain(..=end).collect();
            let line = String::from_utf8(line).context("the answer is not UTF-8")?;
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(data) = line.strip_prefix("data:") {
                self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
            } else if line.is_empty() && !self.data.is_empty() {
                out.push(std::mem::take(&mut self.data).join("\n"));
            }
        }
        if self.waiting.len() + self.data.iter().map(String::len).sum::<usize>() > EVENT_BYTES {
            bail!("the answer has an event of more than {EVENT_BYTES} bytes");
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn events_come_apart_wherever_the_bytes_are_cut() {
        let stream = ": hello\n\nevent: token\ndata: {\"a\":\ndata: \"é\"}\n\ndata:{}\r\n\r\n";
        for cut in 0..stream.len() {
            let mut reader = EventReader::default();
            let mut got = reader.push(&stream.as_bytes()[..cut]).unwrap();
            got.extend(reader.push(&stream.as_bytes()[cut..]).unwrap());
            assert_eq!(got, ["{\"a\":\n\"é\"}", "{}"], "cut at {cut}");
        }
    }

    #[test]
    fn a_server_on_all_addresses_is_reached_on_loopback() {
        assert_eq!(local_url("0.0.0.0:8787".parse().unwrap()), "http://127.0.0.1:8787");
        assert_eq!(local_url("[::]:1".parse().unwrap()), "http://[::1]:1");
        assert_eq!(local_url("10.0.0.2:80".parse().unwrap()), "http://10.0.0.2:80");
    }
}
