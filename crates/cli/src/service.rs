//! A running server: the socket, the indexes that it owns, and what works beside them.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use lore_index::{Catalog, Index, Owner};
use lore_ingest::Ingester;
use lore_server::{AppState, Lifecycle, Options};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::settings::{Settings, socket_address};
use crate::{client, intake, open, print, signals, trainings, writer};

/// When what nothing refers to is removed for the first time: not while a start is waited for.
const FIRST_UPKEEP: Duration = Duration::from_secs(600);
/// How often after that.
const UPKEEP: Duration = Duration::from_secs(24 * 3_600);
/// How often the catalog is asked for changes that other processes made.
pub const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Time for the helpers to end.
const FAREWELL: Duration = Duration::from_secs(20);
/// What the readiness waits for until the work that comes first is done; that may say what it does.
pub const START: &str = "start";
const INDEXES: &str = "indexes";
const GENERATOR: &str = "generator";
const FOLLOWER: &str = "follower";
const WORKER: &str = "worker";
const SWEEPER: &str = "upkeep";
const TRAINER: &str = "trainer";
/// Wait before a trainer that ended by itself is started again.
const AGAIN: Duration = Duration::from_secs(30);

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

    /// Serves at once and opens the indexes meanwhile, then does `first` beside; ends at `stop`. Until `first` is done the
    /// service is not ready, and where there were no documents before, it answers no questions.
    ///
    /// # Errors
    /// Fails where the embedder, an index, `first` or the socket does.
    pub async fn serve(
        self,
        settings: &Settings,
        worker: bool,
        stop: watch::Receiver<bool>,
        first: impl AsyncFnOnce(Index, Lifecycle) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.owner.publish(&self.url(), &self.token)?;
        let Self { listener, address, owner, catalog, token } = self;
        let jobs = Arc::new(Notify::new());
        let nudge = jobs.clone();
        // The indexes come after the server.
        let followed = Arc::new(OnceLock::<Index>::new());
        let known = followed.clone();
        let state = AppState::new(
            catalog.clone(),
            Options {
                limits: settings.config.limits.clone(),
                http: settings.config.http.clone(),
                local_token: Some(token),
                require_keys: !address.ip().is_loopback(),
                followed: Arc::new(move || known.get().map(Index::followed)),
                nudge: Arc::new(move || nudge.notify_one()),
                opener: Some(writer::opener(settings)),
                configuration: settings.config.clone().redacted().yaml(),
                trainings: Some(trainings::desk(settings, &catalog)?),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
        );
        let lifecycle = state.lifecycle().clone();
        lifecycle.wait_for(INDEXES, "the embedder and the indexes are being opened");
        let looking = catalog.clone();
        let release = open::blocking(move || looking.live_release()).await?.filter(|_| !settings.own_writer);
        if release.is_some() || settings.config.generator.model().is_some() {
            lifecycle.wait_for(GENERATOR, "the language model is being loaded");
        }
        // Set by a signal, and by a failure of what comes first.
        let (quit, stop) = quit_after(stop);
        let mut server =
            tokio::spawn(lore_server::serve(listener, state.clone(), signals::stopped(stop.clone())));

        let opening = async {
            let indexes = async {
                let embedder = open::embedder(settings).await?;
                let index =
                    Index::open(catalog.clone(), settings.config.index.clone(), embedder, owner).await?;
                lifecycle.arrived(INDEXES);
                anyhow::Ok(index)
            };
            let writing = async {
                let writing = writer::begin(settings, &catalog).await?;
                lifecycle.trouble(lore_server::state::WRITER, writing.trouble.as_deref());
                lifecycle.arrived(GENERATOR);
                anyhow::Ok(writing.live)
            };
            let (index, live) = tokio::try_join!(indexes, writing)?;
            let counted = catalog.clone();
            let (documents, _) = open::blocking(move || counted.counts()).await?;
            anyhow::Ok((open::Parts::with(settings, index, live).await?, documents))
        };
        let (parts, documents) = tokio::select! {
            opened = opening => opened?,
            () = signals::stopped(stop.clone()) => return ended(server.await),
            end = &mut server => return ended(end),
        };
        let index = parts.retriever.index().clone();
        let _ = followed.set(index.clone());
        let ingester = intake::ingester(settings, &catalog, index.embedder());
        let mut helpers = JoinSet::new();
        let following = follower(index.clone(), stop.clone());
        helpers.spawn(async move { (FOLLOWER, flat(following.await)) });
        let keeping = upkeep(ingester.clone(), stop.clone());
        helpers.spawn(async move { (SWEEPER, flat(keeping.await)) });
        if worker {
            let working = intake::worker(ingester, jobs, stop.clone(), Some(index.clone()), tell(&lifecycle));
            helpers.spawn(async move { (WORKER, flat(working.await)) });
        }
        if settings.config.trainer.start {
            let training = trainer(settings, stop.clone());
            helpers.spawn(async move { (TRAINER, flat(training.await)) });
        }
        let mut engine = Some(lore_server::Engine { retriever: parts.retriever, answerer: parts.answerer });
        lifecycle.wait_for(START, "the last steps of the start are being done");
        if documents > 0 {
            engine.take().into_iter().for_each(|engine| state.set_engine(engine));
        }

        let mut outcome = Ok(());
        {
            let mut first = std::pin::pin!(first(index.clone(), lifecycle.clone()));
            let mut busy = true;
            let end = loop {
                tokio::select! {
                    end = &mut server => break ended(end),
                    () = signals::stopped(stop.clone()) => break ended((&mut server).await),
                    Some(done) = helpers.join_next() => lament(done, &lifecycle, *stop.borrow()),
                    done = &mut first, if busy => {
                        busy = false;
                        match done {
                            Ok(()) if *stop.borrow() => {}
                            Ok(()) => {
                                engine.take().into_iter().for_each(|engine| state.set_engine(engine));
                                lifecycle.arrived(START);
                                tracing::info!(url = client::local_url(address), "serving");
                            }
                            Err(error) => {
                                outcome = Err(error);
                                quit.send_replace(true);
                            }
                        }
                    }
                }
            };
            outcome = outcome.and(end);
            // It hears of the end, too.
            quit.send_replace(true);
            if busy {
                let _ = tokio::time::timeout(FAREWELL, first).await;
            }
        }
        let farewell = async {
            while let Some(done) = helpers.join_next().await {
                lament(done, &lifecycle, true);
            }
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("work was cut off; it is taken up at the next start");
            helpers.shutdown().await;
        }
        drop((state, followed, engine));
        index.close().await?;
        outcome
    }
}

/// Says at once, in the log and to whoever asks for readiness, that work beside the server has ended, unless it was to.
fn lament(
    done: Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>,
    lifecycle: &Lifecycle,
    stopping: bool,
) {
    let (part, end) = match done {
        Ok(done) => done,
        Err(error) => ("helper", Err(error.into())),
    };
    if let Err(error) = &end {
        tracing::error!(part, error = print::chain(error), "work beside the server failed");
    }
    if !stopping && (part == SWEEPER || part == TRAINER) {
        // Questions and uploads do not need it.
        tracing::warn!(part, "this goes on at the next start alone");
    } else if !stopping {
        let reason = match part {
            WORKER => "uploads are not taken in any more, the log says why; start the server again",
            _ => "the indexes do not follow any more, the log says why; start the server again",
        };
        tracing::error!(part, "{reason}");
        lifecycle.wait_for(part, reason);
    }
}

/// Passes on what the worker says of itself.
fn tell(lifecycle: &Lifecycle) -> impl Fn(Option<&str>) + Send + Sync + 'static {
    let lifecycle = lifecycle.clone();
    move |trouble| {
        // The log has the reason, with its paths.
        let reason = trouble.map(|_| "uploads wait, because they cannot be taken in at the moment");
        lifecycle.trouble(WORKER, reason);
    }
}

/// A value that becomes true when `stop` does, or when it is set.
fn quit_after(stop: watch::Receiver<bool>) -> (watch::Sender<bool>, watch::Receiver<bool>) {
    let (quit, quitting) = watch::channel(false);
    let pass_on = quit.clone();
    tokio::spawn(async move {
        signals::stopped(stop).await;
        pass_on.send_replace(true);
    });
    (quit, quitting)
}

fn flat(end: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    end.context("it broke off")?
}

fn ended(end: Result<Result<(), lore_server::ServeError>, tokio::task::JoinError>) -> anyhow::Result<()> {
    Ok(end.context("the server ended")??)
}

/// Keeps the indexes at the catalog's last change.
fn follower(index: Index, stop: watch::Receiver<bool>) -> JoinHandle<anyhow::Result<()>> {
    tokio::spawn(async move { Ok(index.run(FOLLOW_EVERY, stop).await?) })
}

/// Keeps a process that trains; it hears by the end of its stdin that it is to end, and ends with this process whatever happens.
fn trainer(settings: &Settings, stop: watch::Receiver<bool>) -> JoinHandle<anyhow::Result<()>> {
    let mut flags = settings.flags();
    flags.extend(settings.config.log.level.iter().flat_map(|level| ["--log".to_owned(), level.clone()]));
    flags.extend(settings.quiet.then(|| "--quiet".to_owned()));
    tokio::spawn(async move {
        loop {
            let mut command = tokio::process::Command::new(std::env::current_exe()?);
            command
                .args(["trainer", "--beside-server"])
                .args(&flags)
                .stdin(Stdio::piped())
                .kill_on_drop(true);
            let mut child = command.spawn().context("cannot start `lore trainer`")?;
            let stdin = child.stdin.take();
            let ended = tokio::select! {
                ended = child.wait() => Some(ended?),
                () = signals::stopped(stop.clone()) => None,
            };
            let Some(status) = ended else {
                drop(stdin);
                child.wait().await?;
                return Ok(());
            };
            tracing::warn!(%status, "the trainer ended; it is started again");
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = signals::stopped(stop.clone()) => return Ok(()),
            }
        }
    })
}

/// Says where documents are cut for other settings, and removes once a day what nothing in the catalog refers to.
fn upkeep(ingester: Ingester, stop: watch::Receiver<bool>) -> JoinHandle<anyhow::Result<()>> {
    tokio::spawn(async move {
        let catalog = ingester.catalog().clone();
        let stale = open::blocking(move || ingester.stale()).await?.len();
        if stale > 0 {
            tracing::warn!(
                documents = stale,
                "documents are cut for other settings or another embedder; run `lore reindex`"
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
