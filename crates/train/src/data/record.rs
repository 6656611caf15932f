//! What a line of a data file says, whatever its format.

use lore_core::generate::{Message, Role};
use sha2::{Digest, Sha256};

/// SHA-256.
pub(super) type Hash = [u8; 32];

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its own id.
    pub id: Option<String>,
    /// Ids of documents that it was made from.
    pub documents: Vec<String>,
    /// What is learned from.
    pub body: Body,
}

/// What is learned from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A conversation that ends with an answer to be learned.
    Chat(Vec<Turn>),
    /// Plain text.
    Text(String),
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Who speaks and what.
    pub message: Message,
    /// Whether it is an answer that is learned.
    pub learned: bool,
    /// Whether it is what a tool gave back, which belongs to the answer before it.
    pub observed: bool,
}

impl Turn {
    /// A message; answers are learned.
    pub(super) fn new(role: Role, content: impl Into<String>) -> Self {
        let message = Message::new(role, content);
        Self { learned: message.role == Role::Assistant, message, observed: false }
    }
}

impl Body {
    /// The digest of what is learned from: not of ids, names or places, so that equal examples have equal digests.
    pub(super) fn digest(&self) -> Hash {
        let mut hash = Sha256::new();
        let mut field = |kind: u8, text: &str| {
            hash.update([kind]);
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        match self {
            Self::Text(text) => field(b't', text),
            Self::Chat(turns) => {
                for Turn { message, learned, .. } in turns {
                    let kind = match (message.role, learned) {
                        (Role::System, _) => b's',
                        (Role::User, _) => b'u',
                        (Role::Assistant, true) => b'a',
                        (Role::Assistant, false) => b'h',
                    };
                    field(kind, &message.content);
                }
            }
        }
        hash.finalize().into()
    }
}
