//! What the engines share.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lore_core::ModelError;

/// Runs an engine on a thread of its own. Where no thread can be started the queue closes, and callers hear that the
/// engine has stopped.
pub(crate) fn start(name: &str, engine: impl FnOnce() + Send + 'static) {
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(engine) {
        tracing::error!(name, %error, "cannot start the engine's thread");
    }
}

/// A forward pass; what it returns or panics with as the caller's error, so that one bad input does not end the engine.
pub(crate) fn guarded<T, E: std::fmt::Display>(
    model: &str,
    forward: impl FnOnce() -> Result<T, E>,
) -> Result<T, ModelError> {
    let failed = |message: String| {
        tracing::warn!(model, message, "a forward pass failed");
        ModelError::Failed { model: model.to_owned(), message }
    };
    match catch_unwind(AssertUnwindSafe(forward)) {
        Ok(result) => result.map_err(|error| failed(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(failed(text.unwrap_or_else(|| "it panicked".to_owned())))
        }
    }
}
