//! Kills at random moments: afterwards nothing acknowledged is lost and nothing is half there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::house::{House, Server, killed_after};

/// Files in the folder that is ingested.
const FILES: u64 = 40;
/// Names that are uploaded to the server.
const UPLOADS: u64 = 12;

/// A small generator of moments (SplitMix64), so that a failure can be repeated.
struct Moments(u64);

impl Moments {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    fn within(&mut self, time: Duration) -> Duration {
        Duration::from_micros(self.below(time.as_micros() as u64))
    }
}

/// What an upload or deletion over HTTP was acknowledged with.
#[derive(Clone, Debug)]
enum Promise {
    /// The job that makes this text live.
    Uploaded { document: String, job: String, mark: String },
    /// It is gone.
    Deleted { document: String },
}

/// A folder that is killed again and again, and what it promised.
struct Trial {
    house: House,
    moments: Moments,
    /// Version that an ingested file has at least, 0 where it was deleted.
    acknowledged: BTreeMap<String, u64>,
    /// By name of the upload.
    promised: BTreeMap<String, Promise>,
    /// Times of whole runs.
    ingestion: Duration,
    deletion: Duration,
    /// Kills of processes that were running.
    live: u32,
}

impl Trial {
    fn write_all(&mut self) {
        for file in 0..FILES {
            let number = self.moments.below(1 << 40);
            let text = format!(
                "# Note {file}\n\nThe number {number} was given to it.\n\n## More\n\nAnd {number} again.\n"
            );
            self.house.write(&format!("{file:02}.md"), &text);
        }
    }

    /// Names and versions of the live documents from the folder.
    fn listed(&self) -> BTreeMap<String, u64> {
        self.house
            .ok(&["documents", "list", "--json", "--limit", "1000"])
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|d| d["version"].as_u64().unwrap() > 0)
            .map(|d| (d["name"].as_str().unwrap().to_owned(), d["version"].as_u64().unwrap()))
            .filter(|(name, _)| !name.starts_with("upload"))
            .collect()
    }

    fn ingest(&mut self) {
        self.write_all();
        let mut command = self.house.lore();
        command.args(["ingest", self.house.docs().to_str().unwrap(), "--json"]);
        let (lines, took) = self.kill(command, self.ingestion);
        self.ingestion = took.unwrap_or(self.ingestion);
        for line in lines {
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "finished" && event["version"].is_u64() {
                let name = event["name"].as_str().unwrap().to_owned();
                self.acknowledged.insert(name, event["version"].as_u64().unwrap());
            }
        }
        self.verify(&BTreeSet::new());
    }

    fn delete(&mut self) {
        let names: BTreeSet<String> = self.listed().into_keys().collect();
        let mut command = self.house.lore();
        command.args(["documents", "delete", "--json"]).args(&names);
        let share = names.len() as f64 / FILES as f64;
        let (lines, took) = self.kill(command, self.deletion.mul_f64(share));
        self.deletion = took.map_or(self.deletion, |took| took.div_f64(share.max(0.1)));
        for line in lines {
            let event: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(event["deleted"], true, "{event}");
            self.acknowledged.insert(event["name"].as_str().unwrap().to_owned(), 0);
        }
        self.verify(&names);
    }

    /// Runs a command and kills it within `whole`; what it printed, and its time where it ended before: how long it takes
    /// depends on what else the machine does.
    fn kill(&mut self, command: Command, whole: Duration) -> (Vec<String>, Option<Duration>) {
        let began = Instant::now();
        let (lines, alive) = killed_after(command, self.moments.within(whole));
        self.live += u32::from(alive);
        (lines, (!alive).then(|| began.elapsed()))
    }

    /// Catalog and indexes agree, and what was acknowledged is there; of `going` the deletion may have been done though
    /// it was not acknowledged.
    fn verify(&mut self, going: &BTreeSet<String>) {
        self.check();
        let listed = self.listed();
        for (name, version) in &self.acknowledged {
            let found = listed.get(name).copied().unwrap_or(0);
            let gone = found == 0 && (*version == 0 || going.contains(name));
            let kept = *version > 0 && found >= *version;
            assert!(gone || kept, "{name} was acknowledged at version {version}, found {found}");
        }
        self.acknowledged = listed;
    }

    fn check(&self) {
        let out = self.house.run(&["check"]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(out.status.success(), "{}{}", text(&out.stdout), text(&out.stderr));
    }

    /// Uploads to a server and deletes from it until it is killed; then another one keeps the promises.
    fn serve(&mut self) {
        let server = self.house.serve();
        server.kill_after(self.moments.within(Duration::from_secs(2)));
        while self.act(&server) {}
        self.live += 1;
        drop(server);

        let server = self.house.serve();
        for (name, promise) in &self.promised {
            match promise {
                Promise::Deleted { document } => {
                    let (status, found) =
                        server.send("GET", &format!("/v1/documents/{document}"), None, None);
                    assert_eq!(status, 404, "{name} was deleted: {found}");
                }
                Promise::Uploaded { document, job, mark } => {
                    server.wait("an acknowledged upload", |server| {
                        let (_, job) = server.send("GET", &format!("/v1/jobs/{job}"), None, None);
                        assert_ne!(job["state"], "failed", "{job}");
                        job["state"] == "done"
                    });
                    let (_, text) = server.send("GET", &format!("/v1/documents/{document}/text"), None, None);
                    assert!(text["text"].as_str().unwrap().contains(mark), "{name}: {text}, promised {mark}");
                }
            }
        }
        // Through the server, which owns the indexes.
        self.check();
        assert!(server.stop());
    }

    /// One upload or deletion; false when the server has gone, and then nothing is known of the document.
    fn act(&mut self, server: &Server) -> bool {
        let name = format!("upload-{:02}.md", self.moments.below(UPLOADS));
        let before = self.promised.remove(&name);
        if let Some(Promise::Uploaded { document, .. }) = &before
            && self.moments.below(3) == 0
        {
            let path = format!("/v1/documents/{document}");
            let Ok((status, answer)) = server.try_send("DELETE", &path, None, None) else { return false };
            assert_eq!(status, 204, "{answer}");
            self.promised.insert(name, Promise::Deleted { document: document.clone() });
            return true;
        }
        let mark = format!("number {}", self.moments.below(1 << 40));
        let content = format!("# {name}\n\nThe {mark} was given to it.\n");
        let body = json!({"name": name, "content": content});
        let Ok((status, answer)) = server.try_send("POST", "/v1/documents", None, Some(body)) else {
            return false;
        };
        assert_eq!(status, 202, "{answer}");
        let of = |key: &str| answer["documents"][0][key].as_str().unwrap().to_owned();
        self.promised.insert(name, Promise::Uploaded { document: of("document"), job: of("job"), mark });
        true
    }
}

#[test]
fn kill_during_ingestion_deletion_and_serving() {
    let kills: u32 = std::env::var("LORE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    let mut trial = Trial {
        house: House::new(),
        moments: Moments(42),
        acknowledged: BTreeMap::new(),
        promised: BTreeMap::new(),
        ingestion: Duration::ZERO,
        deletion: Duration::ZERO,
        live: 0,
    };
    // Whole runs, so that the kills fall into them and not after them.
    let began = Instant::now();
    trial.write_all();
    trial.house.ingest();
    trial.ingestion = began.elapsed();
    let names: Vec<String> = trial.listed().into_keys().collect();
    assert_eq!(names.len() as u64, FILES);
    let mut all = vec!["documents", "delete"];
    all.extend(names.iter().map(String::as_str));
    let began = Instant::now();
    trial.house.ok(&all);
    trial.deletion = began.elapsed();
    let mut rounds = 0;
    // One that came too late is made up for.
    while trial.live < kills && rounds < 2 * kills {
        match rounds % 4 {
            0 => trial.ingest(),
            2 => trial.delete(),
            _ => trial.serve(),
        }
        rounds += 1;
    }
    let live = trial.live;
    assert_eq!(live, kills, "of {rounds} kills only these hit a running process");
    let text = format!(
        "{live} of {rounds} kills hit a running process; catalog and indexes agreed after each, and nothing \
         acknowledged was lost\n"
    );
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}
