//! Bytes in memory or in a mapped file.

use std::ops::Deref;
use std::sync::Arc;

use memmap2::Mmap;

/// Bytes that do not change, wherever they lie.
#[derive(Clone)]
pub(crate) enum Bytes {
    /// In memory.
    Owned(Vec<u8>),
    /// In a file that is mapped.
    Mapped {
        /// The file.
        file: Arc<Mmap>,
        /// The first,
        from: usize,
        /// and the one after the last; both within the file.
        to: usize,
    },
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped { file, from, to } => &file[*from..*to],
        }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Bytes {
    /// As signed numbers.
    #[allow(unsafe_code, reason = "the same bytes under another type")]
    pub fn signed(&self) -> &[i8] {
        let bytes: &[u8] = self;
        // SAFETY: u8 and i8 have one size and alignment, every pattern of bits is a value of both, and the borrow is the
        // same.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<i8>(), bytes.len()) }
    }
}
