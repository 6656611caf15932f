//! Kills at random moments: afterwards nothing acknowledged is lost and nothing is half there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::house::{House, killed_after};

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
}

fn listed(house: &House) -> BTreeMap<String, u64> {
    house
        .ok(&["documents", "list", "--json", "--limit", "1000"])
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|d| d["version"].as_u64().unwrap() > 0)
        .map(|d| (d["name"].as_str().unwrap().to_owned(), d["version"].as_u64().unwrap()))
        .collect()
}

#[test]
fn kill_during_ingestion_and_deletion() {
    let kills: u32 = std::env::var("LORE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let house = House::new();
    let mut moments = Moments(42);
    // What has been acknowledged: name to the version it has at least, or to 0 where it was deleted.
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..kills {
        let deleting = round % 3 == 2;
        let time = Duration::from_millis(30 + moments.below(1500));
        if deleting {
            let names: Vec<String> = listed(&house).into_keys().take(12).collect();
            let mut command = house.lore();
            command.args(["documents", "delete", "--json"]).args(&names);
            for line in killed_after(command, time) {
                let event: Value = serde_json::from_str(&line).unwrap();
                if let Some(name) = event["name"].as_str() {
                    acknowledged.insert(name.to_owned(), 0);
                }
            }
        } else {
            for document in 0..40 {
                if moments.below(2) == 0 {
                    let text = format!(
                        "# Note {document}\n\nRound {round} gave number {} to it.\n",
                        moments.below(1 << 40)
                    );
                    house.write(&format!("{document:02}.md"), &text);
                }
            }
            let mut command = house.lore();
            command.args(["ingest", house.docs().to_str().unwrap(), "--json"]);
            for line in killed_after(command, time) {
                let event: Value = serde_json::from_str(&line).unwrap();
                if event["event"] == "finished" && event["version"].is_u64() {
                    acknowledged.insert(
                        event["name"].as_str().unwrap().to_owned(),
                        event["version"].as_u64().unwrap(),
                    );
                }
            }
        }
        let out = house.run(&["check"]);
        assert!(
            out.status.success(),
            "round {round}, killed after {time:?}: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        let listed = listed(&house);
        for (name, version) in &acknowledged {
            let found = listed.get(name).copied().unwrap_or(0);
            // A deletion or a version that was not acknowledged may have happened as well.
            let kept = if *version == 0 { found == 0 } else { found >= *version || deleting };
            assert!(kept, "round {round}: {name} was acknowledged at version {version}, found {found}");
        }
        acknowledged = listed;
    }
    eprintln!("{kills} kills: catalog and indexes agreed after each, nothing acknowledged was lost");
}
