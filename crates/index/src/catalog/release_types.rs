//! What is known of releases.

use jiff::Timestamp;
use lore_core::{DocumentId, ReleaseName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseState {
    /// Made, and not refused by an evaluation.
    Candidate,
    /// It writes the answers.
    Live,
    /// It was live.
    Retired,
    /// Its evaluation did not pass.
    Rejected,
    /// It cannot be run.
    Failed,
}

impl ReleaseState {
    /// Its name in the catalog and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Live => "live",
            Self::Retired => "retired",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Candidate, Self::Live, Self::Retired, Self::Rejected, Self::Failed]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// How a release came about; what is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ReleaseOrigin {
    /// Name of the model that was taught.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Hash of its weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_hash: Option<String>,
    /// Hash of what it was taught.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_hash: Option<String>,
    /// The training's settings, as YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The seed of the training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The version of Lore that trained it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_version: Option<String>,
}

/// A version of a document that a release learned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseSource {
    /// The document.
    pub document: DocumentId,
    /// Its version.
    pub version: u32,
    /// Its name then; its id where the document was not here.
    pub name: String,
}

/// How a source of a release stands today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// It is the document's live version.
    Live,
    /// A newer version is live, this one is kept.
    Replaced,
    /// The document is there, this version is not kept any more.
    VersionGone,
    /// The document was deleted.
    Deleted,
    /// The document was never in this catalog.
    NeverHere,
}

/// A source of a release, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoredSource {
    /// The document and its version.
    #[serde(flatten)]
    pub source: ReleaseSource,
    /// How it stands.
    pub state: SourceState,
}

/// A release whose folder is there, to be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRelease {
    /// The hash of the folder's content, in hexadecimal.
    pub id: String,
    /// What a person calls it; several may have one name.
    pub name: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// How it came about.
    pub origin: ReleaseOrigin,
    /// What it learned from.
    pub sources: Vec<ReleaseSource>,
}

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseVerdict {
    /// Whether it may go live.
    pub passed: bool,
    /// Why, in words.
    pub reasons: Vec<String>,
    /// Whom it was compared with: another release, the model of the settings, or `extractive`.
    pub against: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// A release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Release {
    /// The hash of its content; a beginning that no other has names it.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// Where it stands.
    pub state: ReleaseState,
    /// Why it cannot be run, where it was found that it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// How it came about.
    pub origin: ReleaseOrigin,
    /// Documents that it learned from.
    pub documents: u64,
    /// Those of its sources that were deleted since, whose version is gone, or that were never here.
    pub gone: Vec<StoredSource>,
    /// What its evaluation found; null where there was none.
    pub verdict: Option<ReleaseVerdict>,
    /// When it last went live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub promoted_at: Option<Timestamp>,
    /// When it was last replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub retired_at: Option<Timestamp>,
    /// When its folder was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub removed_at: Option<Timestamp>,
    /// Why it went live without a verdict that lets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<String>,
}

impl Release {
    /// What it is called.
    pub fn release_name(&self) -> ReleaseName {
        ReleaseName { id: self.id.clone(), name: self.name.clone() }
    }

    /// Its name with the beginning of its id, as answers have it.
    pub fn label(&self) -> String {
        self.release_name().label()
    }
}

/// One time that a release went live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Promotion {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who did it.
    pub by: String,
    /// Why, where it had no verdict that let it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<String>,
    /// What was live before; null for the model of the settings.
    pub before: Option<String>,
    /// When a rollback undid it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub undone_at: Option<Timestamp>,
    /// Who undid it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<String>,
}

/// A release with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseDetails {
    /// The release.
    #[serde(flatten)]
    pub release: Release,
    /// What it learned from.
    pub sources: Vec<StoredSource>,
    /// The times that it went live, oldest first.
    pub promotions: Vec<Promotion>,
    /// Both sides of its evaluation.
    #[schema(value_type = Option<Object>)]
    pub report: Option<serde_json::Value>,
}

/// A step back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rollback {
    /// What was live.
    pub from: Release,
    /// What is live now; null for the model of the settings, or nobody.
    pub to: Option<Release>,
}
