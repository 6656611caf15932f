//! Shortening a sequence to a number of tokens: prompts lose text before answers do.
//!
//! Text is taken out of the middle of the longest unlearned stretches between special tokens, since their beginnings say
//! what they are and their ends are nearest to the answer (a question after its passages). An answer loses its end only
//! where the prompt would otherwise keep less than a quarter of the whole, and is then not taught to end there.

/// Tokens that every stretch keeps at least.
const KEPT: usize = 32;

/// What is left.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub tokens: Vec<u32>,
    pub spans: Vec<(usize, usize)>,
}

/// A sequence of at most `cutoff` tokens; `None` where nothing would be learned.
///
/// `spans` are learned; `fixed` tokens stay; an `inner` token does not begin a character.
pub(super) fn shorten(
    tokens: &[u32],
    spans: &[(usize, usize)],
    cutoff: usize,
    fixed: &dyn Fn(u32) -> bool,
    inner: &dyn Fn(u32) -> bool,
) -> Option<Cut> {
    let mut spans = spans.to_vec();
    let mut end = spans.last().map_or(tokens.len(), |(_, end)| *end);
    let learned: usize = spans.iter().map(|(start, end)| end - start).sum();
    let prompt = end - learned;
    let room = cutoff.checked_sub(prompt.min(cutoff / 4))?;
    if learned > room {
        let last = spans.last_mut()?;
        // The end token would go first.
        let lost = learned - room;
        if last.1 - last.0 <= lost {
            return None;
        }
        last.1 -= lost;
        while last.1 > last.0 && last.1 < tokens.len() && inner(tokens[last.1]) {
            last.1 -= 1;
        }
        end = last.1;
        if last.0 == last.1 {
            return None;
        }
    }
    let surplus = end.saturating_sub(cutoff);
    let mut stretches = stretches(&tokens[..end], &spans, fixed);
    let level = level(&stretches, surplus)?;
    let mut cut = Cut { tokens: Vec::with_capacity(cutoff), spans: Vec::with_capacity(spans.len()) };
    // Of what is taken at this level, some may be more than needed.
    let mut spare = taken(&stretches, level) - surplus;
    stretches.retain(|(start, end)| end - start > level.max(KEPT));
    let mut removed = Vec::with_capacity(stretches.len());
    for (start, end) in stretches {
        let kept = level.max(KEPT);
        let back = spare.min(end - start - kept);
        spare -= back;
        let kept = kept + back;
        let (mut from, mut to) = (start + kept / 2, end - (kept - kept / 2));
        if from >= to {
            continue;
        }
        while from > start && inner(tokens[from]) {
            from -= 1;
        }
        while to < end && inner(tokens[to]) {
            to += 1;
        }
        removed.push((from, to));
    }
    let mut removed = removed.into_iter().peekable();
    let mut starts = Vec::with_capacity(end);
    for (at, token) in tokens.iter().enumerate().take(end) {
        starts.push(cut.tokens.len());
        while removed.peek().is_some_and(|(_, to)| *to <= at) {
            removed.next();
        }
        if removed.peek().is_none_or(|(from, _)| at < *from) {
            cut.tokens.push(*token);
        }
    }
    starts.push(cut.tokens.len());
    cut.spans.extend(spans.iter().map(|(start, end)| (starts[*start], starts[*end])));
    (cut.tokens.len() <= cutoff).then_some(cut)
}

/// Unlearned tokens between fixed ones.
fn stretches(tokens: &[u32], spans: &[(usize, usize)], fixed: &dyn Fn(u32) -> bool) -> Vec<(usize, usize)> {
    let mut learned = vec![false; tokens.len()];
    for (start, end) in spans {
        learned[*start..*end].fill(true);
    }
    let free = |at: usize| !learned[at] && !fixed(tokens[at]);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let start = at;
        while at < tokens.len() && free(at) {
            at += 1;
        }
        if at > start {
            found.push((start, at));
        }
        at += 1;
    }
    found
}

/// Tokens that go where every stretch keeps at most `level`, and at least [`KEPT`].
fn taken(stretches: &[(usize, usize)], level: usize) -> usize {
    stretches.iter().map(|(start, end)| (end - start).saturating_sub(level.max(KEPT))).sum()
}

/// The longest that stretches may stay for `surplus` tokens to go.
fn level(stretches: &[(usize, usize)], surplus: usize) -> Option<usize> {
    let longest = stretches.iter().map(|(start, end)| end - start).max().unwrap_or(0);
    let (mut low, mut high) = (0, longest);
    if taken(stretches, low) < surplus {
        return None;
    }
    // The greatest level that takes enough.
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if taken(stretches, middle) >= surplus {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// Special tokens are multiples of 100.
    fn fixed(id: u32) -> bool {
        id.is_multiple_of(100)
    }

    fn short(prompt: usize, answer: usize, cutoff: usize) -> Option<Cut> {
        let mut tokens = vec![100];
        tokens.extend((0u32..).map(|id| 1000 + id).filter(|id| !fixed(*id)).take(prompt));
        tokens.push(200);
        let start = tokens.len();
        tokens.extend((0u32..).map(|id| 9000 + id).filter(|id| !fixed(*id)).take(answer - 1));
        tokens.push(300);
        shorten(&tokens, &[(start, tokens.len())], cutoff, &fixed, &|_| false)
    }

    #[test]
    fn a_prompt_loses_its_middle_and_the_answer_stays() {
        let cut = short(300, 40, 142).unwrap();
        assert_eq!(cut.tokens.len(), 142);
        assert_eq!(cut.spans, [(102, 142)]);
        assert_eq!((cut.tokens[0], cut.tokens[101], cut.tokens[141]), (100, 200, 300));
        assert_eq!((cut.tokens[1], cut.tokens[50], cut.tokens[51]), (1001, 1050, 1253));
    }

    #[test]
    fn a_long_answer_loses_its_end_and_leaves_the_prompt_a_quarter() {
        let cut = short(300, 400, 200).unwrap();
        assert_eq!(cut.tokens.len(), 200);
        assert_eq!(cut.spans, [(50, 200)]);
        assert!(!cut.tokens.contains(&300), "it does not learn to end there");
        let cut = short(20, 400, 200).unwrap();
        assert_eq!(cut.spans, [(22, 200)], "a short prompt stays whole");
    }

    #[test]
    fn nothing_is_left_where_the_frame_alone_is_too_long() {
        assert_eq!(short(300, 4, 30), None);
    }

    #[test]
    fn characters_stay_whole() {
        let tokens: Vec<u32> =
            [100].into_iter().chain((1..100).cycle().take(200)).chain([200, 1, 300]).collect();
        // Every odd token goes on with the character of the one before.
        let inner = |id: u32| id % 2 == 1 && id != 1;
        for cutoff in 70..120 {
            let cut = shorten(&tokens, &[(202, 204)], cutoff, &fixed, &inner).unwrap();
            let wrong = |pair: &&[u32]| inner(pair[1]) && pair[1] != pair[0] + 1;
            assert_eq!(cut.tokens.windows(2).find(wrong), None, "{cutoff}");
            assert!(cut.tokens.len() <= cutoff && cut.tokens.len() + 2 >= cutoff);
        }
    }

    proptest! {
        #[test]
        fn what_is_left_fits_and_is_in_order(
            stretches in prop::collection::vec((0usize..300, 1usize..80), 1..6),
            cutoff in 1usize..700,
        ) {
            let (mut tokens, mut spans) = (Vec::new(), Vec::new());
            for (prompt, answer) in &stretches {
                tokens.push(100u32);
                tokens.extend(std::iter::repeat_n(1, *prompt));
                tokens.push(200);
                spans.push((tokens.len(), tokens.len() + answer));
                tokens.extend(std::iter::repeat_n(7, *answer));
            }
            if let Some(cut) = shorten(&tokens, &spans, cutoff, &fixed, &|_| false) {
                prop_assert!(cut.tokens.len() <= cutoff);
                prop_assert_eq!(cut.spans.len(), spans.len());
                let learned: usize = cut.spans.iter().map(|(start, end)| end - start).sum();
                prop_assert_eq!(learned, cut.tokens.iter().filter(|id| **id == 7).count());
                prop_assert!(learned > 0);
                prop_assert_eq!(cut.tokens.iter().filter(|id| fixed(**id)).count(), 2 * stretches.len());
                // No more is taken than needed.
                prop_assert!(cut.tokens.len() == cutoff.min(tokens.len()));
            }
        }
    }
}
