//! Logs go to stderr; stdout belongs to results.

use anyhow::{Context as _, bail};
use tracing_subscriber::EnvFilter;

use crate::progress;
use crate::settings::{LogConfig, LogFormat};

/// Starts logging: by default what a service does, and of other commands only what went wrong.
///
/// # Errors
/// Fails on a filter that cannot be parsed.
pub fn init(config: &LogConfig, service: bool) -> anyhow::Result<()> {
    let filter = match config.level.as_deref() {
        Some(level) => filter(level)?,
        None if service => filter("info")?,
        // A question that fails is what the command itself ends with.
        None => filter("warn")?.add_directive("lore_query::answer=error".parse()?),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(progress::LogWriter::default);
    match config.format {
        LogFormat::Text => lines.with_ansi(false).with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

/// A bare level is for Lore's own crates; of the libraries below less is heard, for what they warn of is seldom of use to
/// the person who runs Lore.
fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    let directives = match level.to_ascii_lowercase().as_str() {
        bare @ ("off" | "error") => bare.to_owned(),
        bare @ ("warn" | "info") => format!("error,lore={bare}"),
        bare @ ("debug" | "trace") => format!("warn,lore={bare}"),
        _ => level.to_owned(),
    };
    let none = || format!("the log level {level:?} is none; use error, warn, info, debug or trace");
    // A single word would be taken for the name of a module, and nothing logged.
    if directives.chars().all(|c| c.is_ascii_alphabetic()) && !matches!(directives.as_str(), "off" | "error")
    {
        bail!("{}", none());
    }
    EnvFilter::try_new(&directives).with_context(none)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::filter;

    #[test]
    fn levels_and_filters() {
        assert!(filter("info").is_ok());
        assert!(filter("lore_index=debug,warn").is_ok());
        for wrong in ["lore=loud", "loud"] {
            let error = filter(wrong).unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }
}
