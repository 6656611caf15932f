//! A slice whose parts several threads write.

use std::marker::PhantomData;

/// A slice of which each piece of work takes parts of its own.
pub(crate) struct Shared<'a, T> {
    first: *mut T,
    length: usize,
    values: PhantomData<&'a mut [T]>,
}

#[allow(unsafe_code, reason = "threads write disjoint parts")]
// SAFETY: each piece of work takes only parts that no other has.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub fn of(values: &'a mut [T]) -> Self {
        Self { first: values.as_mut_ptr(), length: values.len(), values: PhantomData }
    }

    /// A part that no other piece of work may take.
    ///
    /// # Panics
    /// When it does not lie within the slice.
    #[allow(unsafe_code, reason = "threads write disjoint parts")]
    #[allow(clippy::mut_from_ref, reason = "parts do not overlap")]
    pub fn part(&self, at: usize, count: usize) -> &mut [T] {
        assert!(at + count <= self.length, "a part beyond its slice");
        // SAFETY: within the slice, which is borrowed for as long, and the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(at), count) }
    }
}
