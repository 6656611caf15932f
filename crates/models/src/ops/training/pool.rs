//! Buffers that are used again: fresh ones cost a page fault for every 4 KiB.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Buffers by their length.
#[derive(Debug)]
pub(crate) struct Pool<E> {
    free: Mutex<HashMap<usize, Vec<Vec<E>>>>,
}

impl<E> Default for Pool<E> {
    fn default() -> Self {
        Self { free: Mutex::new(HashMap::new()) }
    }
}

impl<E: Copy + Default> Pool<E> {
    /// A buffer with any values in it.
    pub fn take(&self, length: usize) -> Vec<E> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match free.get_mut(&length).and_then(Vec::pop) {
            Some(buffer) => buffer,
            None => vec![E::default(); length],
        }
    }

    /// A buffer of zeros.
    pub fn zeros(&self, length: usize) -> Vec<E> {
        let mut buffer = self.take(length);
        buffer.fill(E::default());
        buffer
    }

    /// Gives a buffer back.
    pub fn give(&self, buffer: Vec<E>) {
        if !buffer.is_empty() {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.entry(buffer.len()).or_default().push(buffer);
        }
    }

    /// Frees all buffers, where lengths change from batch to batch.
    pub fn clear(&self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
