//! A running server: the socket, the indexes that it owns, and what works beside them.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use lore_index::{Catalog, Index, Owner};
use lore_ingest::Ingester;
use lore_server::{AppState, Options};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::settings::{Settings, socket_address};
use crate::{client, intake, open, print, signals};

/// When what nothing refers to is removed for the first time: not while a start is waited for.
const FIRST_UPKEEP: Duration = Duration::from_secs(600);
/// How often after that.
const UPKEEP: Duration = Duration::from_secs(24 * 3_600);
/// How often the catalog is asked for changes that other processes made.
pub const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Time for the helpers to end.
const FAREWELL: Duration = Duration::from_secs(20);

/// A socket, taken before any long work so that a busy port is heard of at once, and the right to the indexes.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    owner: Owner,
    catalog: Catalog,
    token: String,
}

impl Door {
    /// Takes the data folder and the address `listen` for `command`.
    ///
    /// # Errors
    /// Fails where another process owns the folder, where the port is in use, and on an address beyond loopback
    /// without any key.
    pub async fn open(settings: &Settings, listen: &str, command: &str) -> anyhow::Result<Self> {
        let wanted = socket_address(listen)?;
        let owner = Owner::take(&settings.data_dir, command)?;
        let catalog = open::catalog(settings).await?;
        if !wanted.ip().is_loopback() {
            let keys = catalog.clone();
            let keys = open::blocking(move || keys.keys()).await?;
            if keys.iter().all(|key| key.revoked_at.is_some()) {
                bail!(
                    "{wanted} can be reached from other machines and there is no API key; make one with \
                     `lore keys create --admin`, or listen on 127.0.0.1"
                );
            }
        }
        let listener = TcpListener::bind(wanted).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => anyhow!(
                "{wanted} is in use by another program; stop it, or choose another address with --listen HOST:PORT"
            ),
            _ => anyhow::Error::new(error).context(format!("cannot listen on {wanted}")),
        })?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, owner, catalog, token: open::secret() })
    }

    /// Base URL for callers on this machine.
    pub fn url(&self) -> String {
        client::local_url(self.address)
    }

    /// Opens the indexes before anything is served, for work that comes first; they bring the lock along.
    ///
    /// # Errors
    /// Fails where the embedder or an index does.
    pub async fn index(self, settings: &Settings) -> anyhow::Result<(Room, Index)> {
        let embedder = open::embedder(settings).await?;
        let index =
            Index::open(self.catalog.clone(), settings.config.index.clone(), embedder, self.owner).await?;
        let room =
            Room { listener: self.listener, address: self.address, catalog: self.catalog, token: self.token };
        Ok((room, index))
    }

    /// Serves at once and opens the indexes meanwhile; ends at `stop`.
    ///
    /// # Errors
    /// Fails where the embedder, an index or the socket does.
    pub async fn serve(
        self,
        settings: &Settings,
        worker: bool,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        self.owner.publish(&self.url(), &self.token)?;
        let Self { listener, address, owner, catalog, token } = self;
        let room = Room { listener, address, catalog: catalog.clone(), token };
        let opening = async {
            let embedder = open::embedder(settings).await?;
            Ok(Index::open(catalog, settings.config.index.clone(), embedder, owner).await?)
        };
        room.serve(settings, opening, worker, stop).await
    }
}

/// A socket whose data folder is taken.
#[derive(Debug)]
pub struct Room {
    listener: TcpListener,
    address: SocketAddr,
    catalog: Catalog,
    token: String,
}

impl Room {
    /// Base URL for callers on this machine.
    pub fn url(&self) -> String {
        client::local_url(self.address)
    }

    /// Secret of the data folder's owner.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Serves; questions are answered from the moment that `opening` gives the indexes. Ends at `stop`.
    ///
    /// # Errors
    /// As `opening`, and where the socket fails.
    pub async fn serve(
        self,
        settings: &Settings,
        opening: impl Future<Output = anyhow::Result<Index>>,
        worker: bool,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let jobs = Arc::new(Notify::new());
        let nudge = jobs.clone();
        // The indexes come after the server.
        let followed = Arc::new(OnceLock::<Index>::new());
        let known = followed.clone();
        let state = AppState::new(
            self.catalog.clone(),
            Options {
                limits: settings.config.limits.clone(),
                http: settings.config.http.clone(),
                local_token: Some(self.token.clone()),
                require_keys: !self.address.ip().is_loopback(),
                followed: Arc::new(move || known.get().map(Index::followed)),
                nudge: Arc::new(move || nudge.notify_one()),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
        );
        state.lifecycle().wait_for("indexes", "the embedder and the indexes are being opened");
        let stopped = signals::stopped(stop.clone());
        let mut server = tokio::spawn(lore_server::serve(self.listener, state.clone(), stopped));

        let parts = async { open::Parts::over(settings, opening.await?).await };
        let parts = tokio::select! {
            parts = parts => parts?,
            () = signals::stopped(stop.clone()) => return ended(server.await),
            end = &mut server => return ended(end),
        };
        let index = parts.retriever.index().clone();
        let _ = followed.set(index.clone());
        state.set_engine(lore_server::Engine { retriever: parts.retriever, answerer: parts.answerer });
        state.lifecycle().arrived("indexes");
        tracing::info!(url = client::local_url(self.address), "ready");

        let ingester = intake::ingester(settings, &self.catalog, index.embedder());
        let mut helpers = vec![follower(index.clone(), stop.clone()), upkeep(ingester.clone(), stop.clone())];
        if worker {
            helpers.push(intake::worker(ingester, jobs, stop.clone(), Some(index.clone())));
        }
        let outcome = tokio::select! {
            end = &mut server => ended(end),
            () = signals::stopped(stop.clone()) => ended(server.await),
        };
        for helper in helpers {
            match tokio::time::timeout(FAREWELL, helper).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => {
                    tracing::error!(error = print::chain(&error), "work beside the server failed")
                }
                Ok(Err(error)) => tracing::error!(%error, "work beside the server failed"),
                Err(_) => tracing::warn!("work was cut off; it is taken up at the next start"),
            }
        }
        drop((state, followed));
        index.close().await?;
        outcome
    }
}

fn ended(end: Result<Result<(), lore_server::ServeError>, tokio::task::JoinError>) -> anyhow::Result<()> {
    Ok(end.context("the server ended")??)
}

/// Keeps the indexes at the catalog's last change.
fn follower(index: Index, stop: watch::Receiver<bool>) -> JoinHandle<anyhow::Result<()>> {
    tokio::spawn(async move { Ok(index.run(FOLLOW_EVERY, stop).await?) })
}

/// Says where documents are cut for other settings, and removes once a day what nothing in the catalog refers to.
fn upkeep(ingester: Ingester, stop: watch::Receiver<bool>) -> JoinHandle<anyhow::Result<()>> {
    tokio::spawn(async move {
        let catalog = ingester.catalog().clone();
        let stale = open::blocking(move || ingester.stale()).await?.len();
        if stale > 0 {
            tracing::warn!(
                documents = stale,
                "documents are cut for other settings or another embedder; stop the server and run `lore reindex`"
            );
        }
        let mut wait = FIRST_UPKEEP;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = signals::stopped(stop.clone()) => return Ok(()),
            }
            let catalog = catalog.clone();
            match open::blocking(move || catalog.vacuum()).await {
                Ok(removed) => tracing::debug!(?removed, "the catalog is swept"),
                Err(error) => tracing::warn!(error = print::chain(&error), "the catalog could not be swept"),
            }
            wait = UPKEEP;
        }
    })
}
