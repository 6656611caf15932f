//! `lore ingest`: takes in files and folders.
//!
//! This process parses and commits to the catalog. Whoever owns the indexes follows: this process where they are free,
//! else the server, which is waited for.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use lore_core::Embedder;
use lore_index::{Catalog, Index, IndexError, Owner};
use lore_ingest::{IngestOptions, Ingester};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::search::key_value;
use crate::client::Client;
use crate::intake::{self, Teller};
use crate::progress::{self, Progress, Unit};
use crate::settings::Settings;
use crate::{client, open, print, signals};

/// How often the owner of the indexes is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// A server whose indexes do not move for so long is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// A server that cannot be reached for so long is not waited for.
const REACH: Duration = Duration::from_secs(3);

/// Take in files and folders
#[derive(Debug, Args)]
pub struct Ingest {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Remove documents whose file has gone from the folder
    #[arg(long)]
    prune: bool,
    /// Go on and follow what changes
    #[arg(long)]
    watch: bool,
    /// Let only this group read them, beside those that .lore.yaml names
    #[arg(long = "acl", value_name = "GROUP", value_delimiter = ',')]
    acl: Vec<String>,
    /// Give them this tag
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
    tags: Vec<(String, String)>,
    /// Do not wait until a server has indexed them
    #[arg(long)]
    no_wait: bool,
}

/// What `/readyz` says of the indexes.
#[derive(Deserialize)]
struct Readiness {
    last_change: u64,
    lag: Option<u64>,
}

/// Who brings the indexes up to date.
enum Follower {
    This(Index),
    Server(Client),
}

impl Ingest {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where a path does not exist, a manifest is wrong, and where catalog, model or index fail; never because of
    /// one file.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let stop = signals::stop_signal()?;
        let options = IngestOptions {
            prune: self.prune,
            acl: self.acl.iter().cloned().collect(),
            tags: self.tags.iter().cloned().collect(),
            stop: intake::stop_flag(&stop),
        };
        let catalog = open::catalog(&settings).await?;
        let embedder = open::embedder(&settings).await?;
        let ingester = intake::ingester(&settings, &catalog, &embedder);
        if self.watch {
            return watch_folders(&settings, ingester, embedder, self.paths, options, stop).await;
        }
        let report = intake::folders(&ingester, self.paths, options, settings.json).await?;
        if !settings.json && !settings.quiet {
            print::line(&intake::summary(&report))?;
        }
        if report.stopped {
            progress::say("stopped; run the command again to go on");
            return Ok(ExitCode::FAILURE);
        }
        let Some(follower) = follower(&settings, &catalog, &embedder, &stop).await? else {
            return Ok(ExitCode::FAILURE);
        };
        match follower {
            Follower::This(index) => {
                let done = intake::follow(&index, &stop).await?;
                index.close().await?;
                let Some(done) = done else {
                    progress::say("stopped; what is not indexed yet is taken up by the next command");
                    return Ok(ExitCode::FAILURE);
                };
                if settings.json {
                    let (changes, chunks, embedded) = (done.changes, done.chunks, done.embedded);
                    print::json(
                        &json!({"event": "indexed", "changes": changes, "chunks": chunks, "embedded": embedded}),
                    )?;
                }
            }
            Follower::Server(_) if self.no_wait => {}
            Follower::Server(client) => {
                let last = catalog.clone();
                let last = open::blocking(move || last.last_seq()).await?;
                let indexed = tokio::select! {
                    indexed = caught_up(&client, last.0) => indexed?,
                    () = signals::stopped(stop) => false,
                };
                if settings.json {
                    print::json(
                        &json!({"event": if indexed { "indexed" } else { "indexing" }, "by": client.owner}),
                    )?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Takes the indexes, or finds the server that has them; waits while another command has them. `None` when stopped.
async fn follower(
    settings: &Settings,
    catalog: &Catalog,
    embedder: &Embedder,
    stop: &watch::Receiver<bool>,
) -> anyhow::Result<Option<Follower>> {
    let mut told = false;
    while !*stop.borrow() {
        match Owner::take(&settings.data_dir, "lore ingest") {
            Ok(owner) => {
                let config = settings.config.index.clone();
                let index = Index::open(catalog.clone(), config, embedder.clone(), owner).await?;
                return Ok(Some(Follower::This(index)));
            }
            Err(IndexError::Locked { by, .. }) => {
                if let Some(client) = open::server(settings).await? {
                    return Ok(Some(Follower::Server(client)));
                }
                if !std::mem::replace(&mut told, true) {
                    progress::say(&format!(
                        "the documents are stored; waiting for {by}, which has the indexes"
                    ));
                }
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Waits until the server's indexes hold change `last`; false where they stand still.
async fn caught_up(client: &Client, last: u64) -> anyhow::Result<bool> {
    progress::say(&format!("{} indexes them", client.owner));
    let shown = Progress::new("indexing", Unit::Count("changes"));
    let (mut most, mut moved) = (0, Instant::now());
    let mut first = None;
    loop {
        let answer = client.get::<Readiness>("/readyz").await;
        // A server that starts up answers with an error until it is ready; one in another container cannot be reached.
        if answer.as_ref().is_err_and(client::is_unreachable) && moved.elapsed() > REACH {
            shown.finish(
                "it cannot be reached from here; the documents will be found when it has indexed them",
            );
            return Ok(false);
        }
        if let Ok(readiness) = answer {
            let Some(lag) = readiness.lag else { return Ok(false) };
            let followed = readiness.last_change.saturating_sub(lag);
            if followed >= last {
                shown.finish("indexed");
                return Ok(true);
            }
            let first = *first.get_or_insert(followed);
            shown.set(followed - first.min(followed), last - first.min(last));
            if followed > most {
                (most, moved) = (followed, Instant::now());
            }
        }
        if moved.elapsed() > PATIENCE {
            shown.finish("the server is still busy; the documents will be found when it has indexed them");
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Takes folders in and follows them until `stop`; indexes meanwhile where no server does.
async fn watch_folders(
    settings: &Settings,
    ingester: Ingester,
    embedder: Embedder,
    paths: Vec<PathBuf>,
    options: IngestOptions,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<ExitCode> {
    let catalog = ingester.catalog().clone();
    let json = settings.json;
    let watching = tokio::task::spawn_blocking(move || {
        let mut teller = Teller::new(json);
        lore_ingest::watch(&ingester, &paths, &options, &mut |event| teller.hear(&event))?;
        teller.end()
    });
    let mut watching = std::pin::pin!(watching);
    let following = async {
        if let Some(Follower::This(index)) = follower(settings, &catalog, &embedder, &stop).await? {
            index.run(crate::service::FOLLOW_EVERY, stop.clone()).await?;
            index.close().await?;
        } else {
            signals::stopped(stop.clone()).await;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        end = &mut watching => end??,
        end = following => {
            end?;
            watching.await??;
        }
    }
    Ok(ExitCode::SUCCESS)
}
