//! The language model in use, which may become another one while questions run.
//!
//! Whoever begins a question takes a lease ([`Live::now`]) and keeps it until the end: rewriting, packing and writing then
//! come from one model, whatever is put in its place meanwhile. A model's engine ends when nobody has a lease any more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::generate::Generator;

/// Digits of a release's id that people see.
pub const SHORT_ID: usize = 12;

/// Who writes where no language model does.
pub const EXTRACTIVE: &str = "extractive";

/// Names a release: what a person calls it, and the hash of its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReleaseName {
    /// The hash of the folder's content, in lower-case hexadecimal.
    pub id: String,
    /// What a person calls it.
    pub name: String,
}

impl ReleaseName {
    /// The name with the beginning of the id, such as `handbook@3f2a91c04d17`: what answers say who wrote them.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, short(&self.id))
    }
}

/// The beginning of a release's id, as people see it.
pub fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

/// A language model that runs.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The handle.
    pub generator: Generator,
    /// The release that it is; `None` for the model that the settings name.
    pub release: Option<ReleaseName>,
    /// Memory for its weights and its keys and values in bytes, about.
    pub bytes: u64,
}

impl Serving {
    /// Who writes, as answers and verdicts have it: the model, or [`EXTRACTIVE`].
    pub fn called(serving: Option<&Self>) -> &str {
        serving.map_or(EXTRACTIVE, |serving| serving.generator.info().id.as_str())
    }

    /// The id of the release that it is.
    pub fn release_id(&self) -> Option<String> {
        self.release.as_ref().map(|release| release.id.clone())
    }
}

impl From<Generator> for Serving {
    fn from(generator: Generator) -> Self {
        Self { generator, release: None, bytes: 0 }
    }
}

/// The language model in use, if there is one; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Live {
    slot: Arc<ArcSwapOption<Serving>>,
}

impl Live {
    /// One that begins with `serving`; nobody writes where that is `None`.
    pub fn new(serving: Option<Serving>) -> Self {
        Self { slot: Arc::new(ArcSwapOption::new(serving.map(Arc::new))) }
    }

    /// A lease on what is in use now, to be kept until the work that begins with it has ended. Waits for nobody.
    pub fn now(&self) -> Option<Arc<Serving>> {
        self.slot.load_full()
    }

    /// Puts `next` in use; what was in use before goes on for those who have a lease on it.
    pub fn swap(&self, next: Option<Serving>) -> Option<Arc<Serving>> {
        self.slot.swap(next.map(Arc::new))
    }
}

/// Why a model could not be put to work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is too little memory for it beside what runs.
    #[error("it needs about {needed} bytes of memory, and {available} are available")]
    NoRoom {
        /// Bytes that it needs, about.
        needed: u64,
        /// Bytes that the machine can give.
        available: u64,
    },
    /// Its files are not what they were when it was made.
    #[error("its files are damaged: {0}")]
    Damaged(String),
    /// Its files are whole, and no model that can be loaded or that writes.
    #[error("it cannot be run: {0}")]
    Unfit(String),
    /// Something else failed, such as reading the disk.
    #[error("{0}")]
    Failed(String),
}

impl OpenError {
    /// Whether it tells of the release itself, which cannot be run anywhere; else of the machine or of the moment.
    pub fn is_of_release(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Unfit(_))
    }
}

/// What [`Opener`] gives: the model, running and warm; `None` where the settings name none.
pub type Opened = Pin<Box<dyn Future<Output = Result<Option<Serving>, OpenError>> + Send>>;

/// Puts a release to work, or (`None`) the model that the settings name, beside what runs already.
pub type Opener = Arc<dyn Fn(Option<ReleaseName>) -> Opened + Send + Sync>;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::generate::GeneratorInfo;
    use crate::model::ModelError;

    fn model(id: &str) -> (Generator, tokio::sync::mpsc::Receiver<crate::generate::GenerateRequest>) {
        let refuse = |_: &[_], _: &_| Err(ModelError::Stopped { model: String::new() });
        let info =
            GeneratorInfo { id: id.into(), context_tokens: 8, answer_style: crate::AnswerStyle::default() };
        Generator::channel(info, Arc::new(|text| text.len()), Arc::new(refuse), 1)
    }

    #[test]
    fn a_lease_outlives_the_swap_and_the_last_one_ends_the_engine() {
        let ((old, old_queue), (new, new_queue)) = (model("old"), model("new"));
        let live = Live::new(Some(old.into()));
        let lease = live.now().unwrap();
        drop(live.swap(Some(new.into())));
        assert_eq!(live.now().unwrap().generator.info().id, "new");
        assert_eq!(lease.generator.info().id, "old");
        assert!(
            lease.generator.is_running() && !old_queue.is_closed() && old_queue.sender_strong_count() == 1
        );
        drop(lease);
        assert_eq!(old_queue.sender_strong_count(), 0);
        live.swap(None);
        assert!(live.now().is_none());
        assert_eq!(new_queue.sender_strong_count(), 0);
    }

    #[test]
    fn a_release_is_called_by_its_name_and_the_beginning_of_its_id() {
        let name = ReleaseName { id: "0123456789abcdef".into(), name: "handbook".into() };
        assert_eq!(name.label(), "handbook@0123456789ab");
        assert_eq!(short("abc"), "abc");
    }
}
