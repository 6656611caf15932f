//! A hash that tells model files of gigabytes apart without reading them whole.

use sha2::{Digest, Sha256};

/// Files up to this many bytes are hashed whole.
const WHOLE: u64 = 64 << 20;
/// Bytes of a sample.
const PAGE: u64 = 4096;
/// A sample is taken at each multiple of this.
const STEP: u64 = 1 << 20;

/// Adds a file of `length` bytes to `hash`: whole up to 64 MiB; above, its length, its header of `header` bytes, 4 KiB
/// at each of `starts` (where tensors begin), and 4 KiB of each MiB. A training run changes almost every value of the
/// tensors that it trains, so that a sample of each tensor sees it; damage elsewhere is for a checksum of the file.
pub(crate) fn sample<E>(
    hash: &mut Sha256,
    length: u64,
    header: u64,
    mut starts: Vec<u64>,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<(), E> {
    hash.update(length.to_le_bytes());
    let mut buffer = vec![0; STEP as usize];
    let mut add = |from: u64, to: u64| {
        let (mut from, to) = (from, to.min(length));
        while from < to {
            let part = &mut buffer[..(to - from).min(STEP) as usize];
            read(from, part)?;
            hash.update(&*part);
            from += part.len() as u64;
        }
        Ok(())
    };
    if length <= WHOLE {
        return add(0, length);
    }
    add(0, header)?;
    starts.extend((0..length.div_ceil(STEP)).map(|step| step * STEP));
    starts.sort_unstable();
    starts.dedup();
    starts
        .into_iter()
        .filter(|start| *start >= header)
        .try_for_each(|start| add(start, start.saturating_add(PAGE)))
}
