//! How many tokens of a batch fit into memory.

use crate::error::TrainError;

/// What came of a step of some tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// It was computed, and this was the process' peak in bytes.
    Peak(u64),
    /// It was computed; nobody knows how much it took.
    Unknown,
    /// The device had no room.
    TooMuch,
}

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// Tokens of the longest example: a batch has at least those.
    pub smallest: usize,
    /// Tokens of all examples: more than those are never together.
    pub most: usize,
    /// Most bytes; `None` where they cannot be counted.
    pub limit: Option<u64>,
    /// Bytes before the first step.
    pub before: u64,
}

/// Share of the limit that is used: batches of the same number of tokens do not take quite the same memory.
const MARGIN: f64 = 0.9;

/// The most tokens whose step fits.
///
/// The number doubles until the next is likely to be too much, judging by the last two; then the rest is taken along a
/// line, tried, and kept where it fits. So the limit is approached from below.
///
/// # Errors
/// When not even the longest example fits, or a trial fails.
pub(super) fn most_tokens(
    search: Search,
    mut trial: impl FnMut(usize) -> Result<Trial, TrainError>,
) -> Result<usize, TrainError> {
    let Search { smallest, most, limit, before } = search;
    let usable = limit.map_or(f64::INFINITY, |limit| limit as f64 * MARGIN);
    let too_much = |peak: Option<u64>| {
        let takes = peak.map_or_else(String::new, |peak| format!(" ({peak} bytes)"));
        let limit = limit.map_or_else(String::new, |limit| format!(" of {limit} bytes"));
        TrainError::Setup(format!(
            "a step of the longest example alone, {smallest} tokens, does not fit the memory{limit}{takes}; lower \
             cutoff_len, set gradient_checkpointing, or raise memory_limit"
        ))
    };
    let (mut tokens, mut bytes) = match trial(smallest)? {
        Trial::Peak(peak) if limit.is_some_and(|limit| peak > limit) => return Err(too_much(Some(peak))),
        Trial::Peak(peak) => (smallest, peak as f64),
        Trial::TooMuch => return Err(too_much(None)),
        // Without figures, the device's own refusal is the only limit.
        Trial::Unknown => return doubled(smallest, most, trial),
    };
    let (mut last_tokens, mut last_bytes) = (0, before as f64);
    while tokens < most {
        let slope = ((bytes - last_bytes) / (tokens - last_tokens).max(1) as f64).max(1.0);
        let room = ((usable - bytes) / slope).max(0.0);
        let whole = room >= (tokens.min(most - tokens)) as f64;
        let next = if whole { tokens.saturating_mul(2).min(most) } else { tokens + room as usize };
        // A tenth more is not worth the try.
        if next < tokens + tokens / 10 + 1 && next != most {
            break;
        }
        match trial(next)? {
            Trial::Peak(peak) if peak as f64 <= usable => {
                (last_tokens, last_bytes) = (tokens, bytes);
                (tokens, bytes) = (next, peak as f64);
            }
            _ => break,
        }
        if !whole {
            break;
        }
    }
    Ok(tokens)
}

/// Half of what the device took last, as a margin.
fn doubled(
    smallest: usize,
    most: usize,
    mut trial: impl FnMut(usize) -> Result<Trial, TrainError>,
) -> Result<usize, TrainError> {
    let mut tokens = smallest;
    while tokens < most {
        let next = tokens.saturating_mul(2).min(most);
        if trial(next)? == Trial::TooMuch {
            return Ok((tokens / 2).max(smallest));
        }
        tokens = next;
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a token costs, what is found fits, nothing over the limit was tried, and little is left.
        #[test]
        fn what_is_found_fits_and_little_is_left(
            weights in 0u64..10_000_000,
            token in 1u64..200_000,
            smallest in 1usize..3000,
            most in 1usize..10_000_000,
            share in 1.2f64..100.0,
        ) {
            let most = most.max(smallest);
            let peak = |tokens: usize| weights + token * tokens as u64;
            let limit = (peak(smallest) as f64 * share) as u64;
            let mut highest = 0;
            let search = Search { smallest, most, limit: Some(limit), before: weights };
            let found = most_tokens(search, |tokens| {
                highest = highest.max(peak(tokens));
                Ok(Trial::Peak(peak(tokens)))
            }).unwrap();
            prop_assert!(peak(found) <= limit && highest <= limit);
            prop_assert!((smallest..=most).contains(&found));
            let full = found == most || peak(found + found / 5 + 3) as f64 >= MARGIN * limit as f64;
            prop_assert!(full, "{found} of {most}: {} of {limit}", peak(found));
        }
    }

    #[test]
    fn an_example_that_does_not_fit_is_an_error_that_says_what_to_do() {
        let search = Search { smallest: 500, most: 9000, limit: Some(1000), before: 10 };
        let error = most_tokens(search, |tokens| Ok(Trial::Peak(10 + 4 * tokens as u64))).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("500 tokens") && text.contains("1000 bytes") && text.contains("cutoff_len"),
            "{text}"
        );
    }

    #[test]
    fn a_device_that_counts_no_bytes_is_filled_until_it_refuses() {
        let search = Search { smallest: 100, most: 100_000, limit: None, before: 0 };
        let mut tried = Vec::new();
        let found = most_tokens(search, |tokens| {
            tried.push(tokens);
            Ok(if tokens > 1000 { Trial::TooMuch } else { Trial::Unknown })
        });
        assert_eq!((found.unwrap(), tried), (400, vec![100, 200, 400, 800, 1600]));
    }
}
