//! The Hugging Face hub as a source.
//!
//! `hf-hub` lists a repository's files at a commit; the files themselves come by range requests of our own, because a cut
//! transfer must go on where it stopped. Everything until the hub's first answer stands under one short deadline, so that
//! a machine without a way to the hub moves on to the next source at once.

use std::time::{Duration, Instant};

use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFClientSync, HFError};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, HeaderMap, HeaderValue, LOCATION, RANGE,
};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};

use super::error::SourceError;
use super::files;
use super::options::{OnProgress, Progress, SourceOptions};
use super::part::{Expect, PartFile};
use super::spec::{ModelSpec, Pin};
use super::staging::Staging;
use super::store::{Fetched, Place};

const PUBLIC_HUB: &str = "https://huggingface.co";
const AGENT: &str = concat!("lore/", env!("CARGO_PKG_VERSION"));
/// Broken transfers in a row that brought nothing.
const FRUITLESS: u32 = 3;
/// Broken transfers of one file in all.
const BROKEN: u32 = 100;
/// Time to list a repository once the hub has answered.
const LISTING: Duration = Duration::from_secs(60);
/// Most entries of a repository that are read.
const ENTRIES: usize = 10_000;

/// Fetches the model into the staging folder.
pub(super) fn pull(
    spec: &ModelSpec,
    endpoint: Option<&str>,
    options: &SourceOptions,
    place: &Place,
    progress: OnProgress<'_>,
) -> Result<Fetched, SourceError> {
    // A thread of its own, since the caller may stand in an async runtime, where no other one may block.
    std::thread::scope(|scope| {
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|cause| SourceError::io("start a runtime for", place.staging(), cause))?;
            let result = runtime.block_on(async {
                let hub = Hub::reach(spec, endpoint, options).await?;
                hub.fetch(place, progress).await
            });
            // A name look-up that hangs cannot be cancelled; it must not be waited for.
            runtime.shutdown_background();
            result
        };
        scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

struct Hub<'a> {
    spec: &'a ModelSpec,
    base: Url,
    token: Option<String>,
    /// Commit, or the revision as it was asked for where the hub names no commit.
    revision: String,
    client: Client,
    plain: Client,
    options: &'a SourceOptions,
}

impl<'a> Hub<'a> {
    /// Asks for the model's `config.json`, or for the one file that is wanted: tells within the deadline whether hub, model and revision are there.
    async fn reach(
        spec: &'a ModelSpec,
        endpoint: Option<&str>,
        options: &'a SourceOptions,
    ) -> Result<Self, SourceError> {
        let start = Instant::now();
        let env = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let endpoint = endpoint
            .map(str::to_owned)
            .or_else(|| env("HF_ENDPOINT"))
            .unwrap_or_else(|| PUBLIC_HUB.to_owned());
        let unusable = |reason: String| SourceError::Unreachable { host: endpoint.clone(), reason };
        let base = Url::parse(endpoint.trim_end_matches('/'))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| unusable("the hub's address is no http address".to_owned()))?;
        let token = token(&env);
        let client = |redirects| {
            Client::builder()
                .user_agent(AGENT)
                .default_headers(headers(token.as_deref()))
                .connect_timeout(options.connect)
                .read_timeout(options.stall)
                .redirect(redirects)
                .build()
                .map_err(|error| unusable(root_cause(&error)))
        };
        let mut hub = Self {
            spec,
            base,
            revision: spec.hub_revision().to_owned(),
            client: client(redirect::Policy::limited(10))?,
            plain: client(redirect::Policy::none())?,
            token,
            options,
        };
        let ask = hub.client.head(hub.url(spec.file().unwrap_or("config.json"))).send();
        let answer = match tokio::time::timeout(options.first_answer.saturating_sub(start.elapsed()), ask)
            .await
        {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_connect() && error.is_timeout() => {
                return Err(
                    hub.unreachable(format!("no connection within {:.1} s", start.elapsed().as_secs_f32()))
                );
            }
            Ok(Err(error)) => return Err(hub.unreachable(root_cause(&error))),
            Err(_) => {
                let waited = start.elapsed().as_secs_f32();
                return Err(hub.unreachable(format!("no answer within {waited:.1} s")));
            }
        };
        // Some mirrors know no HEAD; the listing or the first file will tell.
        if !answer.status().is_success() && answer.status() != StatusCode::METHOD_NOT_ALLOWED {
            return Err(hub.refused(&answer));
        }
        if let Some(commit) =
            header(&answer, "x-repo-commit").filter(|c| c.chars().all(|c| c.is_ascii_hexdigit()))
        {
            hub.revision = commit;
        }
        Ok(hub)
    }

    async fn fetch(&self, place: &Place, progress: OnProgress<'_>) -> Result<Fetched, SourceError> {
        let pinned = !self.spec.pins().is_empty();
        let expected =
            if pinned { self.spec.pins().iter().map(Expect::from).collect() } else { self.listing().await? };
        let plan = if pinned { place.pinned_plan() } else { format!("{} {}", self.base, self.revision) };
        let staging = place.open(&plan)?;
        files::need_room(staging.dir(), staging.remaining(&expected))?;
        let mut pins = Vec::with_capacity(expected.len());
        for expect in &expected {
            let pin = match staging.finished(expect) {
                Some(pin) => pin,
                None => self.download(&staging, expect, progress).await?,
            };
            pins.push(pin);
        }
        Ok(Fetched {
            staging,
            files: pins,
            revision: Some(self.revision.clone()),
            origin: format!("hub {}", self.host()),
        })
    }

    /// The files to fetch, with lengths, and with hashes where the hub tells them.
    async fn listing(&self) -> Result<Vec<Expect>, SourceError> {
        let failed = |reason: String| SourceError::Listing { model: self.spec.name().to_owned(), reason };
        let listing = {
            let (base, token, revision) = (self.base.to_string(), self.token.clone(), self.revision.clone());
            let name = self.spec.name().to_owned();
            let client = Client::builder()
                .user_agent(AGENT)
                .connect_timeout(self.options.connect)
                .read_timeout(self.options.stall)
                .timeout(LISTING)
                .build()
                .map_err(|error| failed(root_cause(&error)))?;
            tokio::task::spawn_blocking(move || list(client, &base, token, &name, revision))
        };
        let tree = tokio::time::timeout(LISTING, listing)
            .await
            .map_err(|_| failed(format!("not finished within {} s", LISTING.as_secs())))?
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(root_cause(&error)))?;
        let mut expected: Vec<(Expect, bool)> = tree
            .into_iter()
            .filter_map(|entry| match entry {
                RepoTreeEntry::File { path, size, lfs, .. } if files::is_inside(&path) => {
                    let large = lfs.is_some();
                    let sha256 = lfs.and_then(|lfs| lfs.sha256);
                    Some((Expect { path, bytes: Some(size), sha256 }, large))
                }
                _ => None,
            })
            .collect();
        let all: Vec<String> = expected.iter().map(|(e, _)| e.path.clone()).collect();
        let wanted = files::wanted(&all, self.spec.file());
        let missing = files::missing(&wanted, self.spec.file());
        if !missing.is_empty() {
            return Err(SourceError::Incomplete { place: self.spec.name().to_owned(), missing });
        }
        expected.retain(|(e, _)| wanted.contains(&e.path));
        for (expect, large) in &mut expected {
            if *large && expect.sha256.is_none() {
                expect.sha256 = self.announced_hash(&expect.path).await;
            }
        }
        // Small files first: a model that cannot be used is noticed before gigabytes have come.
        expected.sort_by_key(|(e, _)| e.bytes);
        Ok(expected.into_iter().map(|(e, _)| e).collect())
    }

    /// SHA-256 that the hub names for a large file; it stands only on the answer before the redirect to the storage.
    async fn announced_hash(&self, path: &str) -> Option<String> {
        let answer = self.plain.head(self.url(path)).send().await.ok()?;
        let hash = header(&answer, "x-linked-etag")?.trim_matches('"').to_ascii_lowercase();
        (hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit())).then_some(hash)
    }

    async fn download(
        &self,
        staging: &Staging,
        expect: &Expect,
        progress: OnProgress<'_>,
    ) -> Result<Pin, SourceError> {
        let mut part = staging.part(expect)?;
        let (mut fruitless, mut broken, mut afresh) = (0, 0, false);
        loop {
            let before = part.len();
            let reason = if part.is_full() { None } else { self.transfer(&mut part, progress).await? };
            let Some(reason) = reason else {
                if !afresh && part.resumed() && part.fault().is_some() {
                    // What an earlier run left may be what is wrong.
                    (afresh, fruitless) = (true, 0);
                    part.restart()?;
                    continue;
                }
                return part.finish();
            };
            broken += 1;
            fruitless = if part.len() > before { 0 } else { fruitless + 1 };
            tracing::debug!(file = expect.path, at = part.len(), reason, "transfer broke off");
            if fruitless >= FRUITLESS || broken >= BROKEN {
                return Err(SourceError::Interrupted { file: expect.path.clone(), done: part.len(), reason });
            }
            tokio::time::sleep(Duration::from_millis(200 << fruitless)).await;
        }
    }

    /// One request for the rest of a file. `Ok(None)`: everything came; `Ok(Some(reason))`: broke off, worth going on.
    async fn transfer(
        &self,
        part: &mut PartFile,
        progress: OnProgress<'_>,
    ) -> Result<Option<String>, SourceError> {
        let mut request = self.client.request(Method::GET, self.url(&part.expect().path));
        if part.len() > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.len()));
        }
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Ok(Some(root_cause(&error))),
        };
        match answer.status() {
            StatusCode::PARTIAL_CONTENT if range_start(&answer) == Some(part.len()) => {}
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if part.len() > 0 => {
                part.restart()?;
                return Ok(Some("the server could not continue".to_owned()));
            }
            StatusCode::OK => part.restart()?,
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Ok(Some(format!("the server answered {}", status.as_u16())));
            }
            _ => return Err(self.refused(&answer)),
        }
        let total = part.expect().bytes.or_else(|| answer.content_length().map(|rest| rest + part.len()));
        let name = part.expect().path.clone();
        let mut told = Instant::now();
        progress(Progress::File { name: name.clone(), done: part.len(), total });
        loop {
            match answer.chunk().await {
                Ok(Some(bytes)) => part.write(&bytes)?,
                Ok(None) => break,
                Err(error) => return Ok(Some(root_cause(&error))),
            }
            if told.elapsed() >= Duration::from_millis(100) {
                told = Instant::now();
                progress(Progress::File { name: name.clone(), done: part.len(), total });
            }
        }
        progress(Progress::File { name, done: part.len(), total });
        Ok(total.filter(|&total| part.len() < total).map(|_| "the connection was closed early".to_owned()))
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(self.spec.name().split('/'));
            segments.push("resolve").push(&self.revision).extend(path.split('/'));
        }
        url
    }

    /// Scheme, host and port, without user name and password.
    fn host(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    fn unreachable(&self, reason: String) -> SourceError {
        SourceError::Unreachable { host: self.host(), reason }
    }

    fn refused(&self, answer: &Response) -> SourceError {
        let mut url = answer.url().clone();
        url.set_query(None);
        let _ = url.set_username("");
        let _ = url.set_password(None);
        if let Some(to) = header(answer, LOCATION.as_str()) {
            return self.unreachable(format!("too many redirects, the last to {to}"));
        }
        SourceError::Status { url: url.to_string(), status: answer.status().as_u16() }
    }
}

fn list(
    client: Client,
    base: &str,
    token: Option<String>,
    name: &str,
    revision: String,
) -> Result<Vec<RepoTreeEntry>, HFError> {
    let mut builder = HFClient::builder()
        .endpoint(base.trim_end_matches('/'))
        .client(client)
        .cache_enabled(false)
        .retry_max_attempts(2);
    if let Some(token) = token {
        builder = builder.token(token);
    }
    let (owner, repository) = hf_hub::split_id(name);
    HFClientSync::from_inner(builder.build()?)?
        .model(owner, repository)
        .list_tree()
        .revision(revision)
        .recursive(true)
        .limit(ENTRIES)
        .send()
}

/// The token as the hub's own tools find it: `HF_TOKEN`, the file `HF_TOKEN_PATH`, the file of a log-in.
fn token(env: &impl Fn(&'static str) -> Option<String>) -> Option<String> {
    if env("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some() {
        return None;
    }
    let stored = || {
        let path = env("HF_TOKEN_PATH").map_or_else(|| hf_hub::hf_home().join("token"), Into::into);
        std::fs::read_to_string(path).ok()
    };
    let token = env("HF_TOKEN").or_else(stored)?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

fn headers(token: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(mut value) = token.and_then(|t| HeaderValue::from_str(&format!("Bearer {t}")).ok()) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    headers
}

fn header(answer: &Response, name: &str) -> Option<String> {
    answer.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// First byte of a partial answer: `bytes 100-199/200` gives 100.
fn range_start(answer: &Response) -> Option<u64> {
    let range = header(answer, CONTENT_RANGE.as_str())?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// The innermost cause, which says what happened; the outer ones repeat the address.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
