//! Identifiers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

/// Namespace of the version 5 UUIDs of documents and chunks.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c6f_7265_0000_5000_8000_646f_6373_0001);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(s).map(Self)
            }
        }
    };
}

uuid_id! {
    /// Names a document for as long as it exists, across its versions.
    DocumentId
}

uuid_id! {
    /// Names one chunk of one version of a document.
    ChunkId
}

uuid_id! {
    /// Names a conversation (UUID version 7).
    ConversationId
}

impl ConversationId {
    /// A new one.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }
}

impl DocumentId {
    /// The id of the document that comes from `source` (a URI such as `file:///srv/handbook.md`).
    ///
    /// The same source always has the same id (UUID version 5).
    pub fn from_source(source: &str) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, source.as_bytes()))
    }
}

impl ChunkId {
    /// The id of chunk number `ordinal` of a document version.
    pub fn new(document: DocumentId, version: u32, ordinal: u32) -> Self {
        let mut name = [0u8; 8];
        name[..4].copy_from_slice(&version.to_be_bytes());
        name[4..].copy_from_slice(&ordinal.to_be_bytes());
        Self(Uuid::new_v5(&document.0, &name))
    }
}

/// Number of a change in the catalog; changes are applied to the indexes in this order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// SHA-256 of some content, in lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct ContentHash(pub String);

impl ContentHash {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)))
    }

    /// The 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({})", self.0.get(..12).unwrap_or(&self.0))
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_distinct() {
        let a = DocumentId::from_source("file:///a.md");
        assert_eq!(a, DocumentId::from_source("file:///a.md"));
        assert_ne!(a, DocumentId::from_source("file:///b.md"));
        assert_ne!(ChunkId::new(a, 1, 0), ChunkId::new(a, 1, 1));
        assert_ne!(ChunkId::new(a, 1, 0), ChunkId::new(a, 2, 0));
    }

    #[test]
    fn sha256_of_the_empty_string() {
        assert_eq!(
            ContentHash::of(b"").as_str(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
