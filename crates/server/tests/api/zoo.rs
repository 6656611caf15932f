//! Models that say their own name, to tell who wrote what while releases take each other's place.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lore_core::{FinishReason, GenerateEvent, GenerateRequest, OpenError, Opener, ReleaseName, Serving};
use lore_server::Options;
use tokio::sync::{Semaphore, mpsc};

use crate::model::{done, named, told};
use crate::openai_chat::HANDBOOK;
use crate::support::World;

/// Models that say their own name, and how many of them run.
#[derive(Clone, Default)]
pub struct Zoo {
    pub engines: Arc<AtomicUsize>,
    pub opened: Arc<AtomicUsize>,
    /// What the next opening fails with.
    pub refusal: Arc<std::sync::Mutex<Option<OpenError>>>,
    /// Holds openings back until there are permits, where it is set.
    pub gate: Option<Arc<Semaphore>>,
}

impl Zoo {
    fn opener(&self) -> Opener {
        let zoo = self.clone();
        Arc::new(move |name: Option<ReleaseName>| {
            let zoo = zoo.clone();
            Box::pin(async move {
                zoo.opened.fetch_add(1, Ordering::Relaxed);
                if let Some(gate) = &zoo.gate {
                    gate.acquire().await.unwrap().forget();
                }
                if let Some(error) = zoo.refusal.lock().unwrap().take() {
                    return Err(error);
                }
                Ok(Some(zoo.start(name)))
            })
        })
    }

    fn start(&self, release: Option<ReleaseName>) -> Serving {
        let label = release.as_ref().map_or_else(|| "base@test".to_owned(), ReleaseName::label);
        let (generator, requests) = named(&label, 64);
        let engines = self.engines.clone();
        engines.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            say(label.split('@').next().unwrap().to_owned(), requests).await;
            engines.fetch_sub(1, Ordering::Relaxed);
        });
        Serving { release, bytes: 1000, ..generator.into() }
    }

    pub fn running(&self) -> usize {
        self.engines.load(Ordering::Relaxed)
    }

    /// A world in which the model of the settings writes.
    pub async fn world(&self, options: Options) -> World {
        let options = Options { opener: Some(self.opener()), ..options };
        let world = World::with_generator(options, self.start(None).generator).await;
        world.publish("handbook.md", HANDBOOK, &[]).await;
        world
    }
}

/// Answers with `name` in every word, slowly, all requests side by side.
async fn say(name: String, mut requests: mpsc::Receiver<GenerateRequest>) {
    let mut texts = tokio::task::JoinSet::new();
    while let Some(request) = requests.recv().await {
        let name = name.clone();
        texts.spawn(async move {
            let asked = told(&request);
            let words: Vec<String> = if request.prompt.form.is_some() {
                ["New", "employees", "in", "Munich", "get", "30", "vacation", "days", "per", "year", "[1]."]
                    .iter()
                    .map(|word| format!("{word}/{name} "))
                    .collect()
            } else if asked.contains("user: Say: yes.") || asked.ends_with("user: Why?\nassistant:") {
                (0..6).map(|_| format!("because/{name} ")).collect()
            } else {
                vec![format!("How many vacation days per year does a new employee in Munich get, {name}?")]
            };
            for word in words {
                if request.reply.send(GenerateEvent::Text(word)).await.is_err() {
                    return;
                }
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
            let _ = request.reply.send(GenerateEvent::Done(done(&request, FinishReason::Stop, 5))).await;
        });
    }
    // What was asked before the last handle went is answered.
    while texts.join_next().await.is_some() {}
}

/// The names in a text that [`say`] made.
pub fn names(text: &str) -> BTreeSet<String> {
    let tails =
        text.split('/').skip(1).map(|tail| tail.chars().take_while(|c| c.is_alphanumeric()).collect());
    tails.collect()
}
