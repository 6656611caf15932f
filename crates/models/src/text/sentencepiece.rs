//! SentencePiece's BPE: neighbours are merged by the score of what they make, the best first.
//!
//! Kudo and Richardson 2018 (SentencePiece), `bpe_model.cc`; llama.cpp's `llm_tokenizer_spm` does the same.

use std::collections::{BinaryHeap, HashMap};

use super::split::Splitter;

/// What stands for a space.
pub(super) const SPACE: char = '\u{2581}';

/// A vocabulary with scores.
pub(super) struct SentencePiece {
    /// Texts that may arise by merging, with the mark for spaces; neither control nor byte tokens.
    pub(super) pieces: HashMap<String, (u32, f32)>,
    /// The tokens of the 256 bytes, where the vocabulary has them.
    pub(super) bytes: Vec<Option<u32>>,
    /// The token for what has none.
    pub(super) unknown: Option<u32>,
    /// Whether a text gets a space in front.
    pub(super) lead: bool,
    /// Tokens that always stand alone, whatever their neighbours.
    pub(super) whole: Splitter,
}

/// Two neighbours that make a token.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Length of both, to know a pair whose parts have since been merged with others.
    bytes: usize,
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Pair {}
impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Pair {
    /// The highest score first, then the leftmost.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

/// A stretch of the text that is one token so far; empty once it went into its left neighbour.
struct Part {
    start: usize,
    bytes: usize,
    before: Option<usize>,
    after: Option<usize>,
}

impl SentencePiece {
    /// Tokens of a text.
    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        for (range, id) in self.whole.split(text) {
            match id {
                Some(id) => ids.push(id),
                None => self.merge(&text[range], &mut ids),
            }
        }
        ids
    }

    fn merge(&self, text: &str, ids: &mut Vec<u32>) {
        let mut marked = String::with_capacity(text.len() + text.len() / 2);
        if self.lead {
            marked.push(SPACE);
        }
        marked.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
        let mut parts: Vec<Part> = Vec::with_capacity(marked.len());
        for (at, c) in marked.char_indices() {
            let here = parts.len();
            if let Some(last) = parts.last_mut() {
                last.after = Some(here);
            }
            parts.push(Part { start: at, bytes: c.len_utf8(), before: here.checked_sub(1), after: None });
        }
        let mut pairs = BinaryHeap::new();
        for right in 1..parts.len() {
            pairs.extend(self.pair(&marked, &parts, right - 1, right));
        }
        while let Some(Pair { left, right, bytes, .. }) = pairs.pop() {
            if parts[left].bytes == 0
                || parts[right].bytes == 0
                || parts[left].bytes + parts[right].bytes != bytes
            {
                continue;
            }
            parts[left].bytes = bytes;
            parts[right].bytes = 0;
            parts[left].after = parts[right].after;
            if let Some(after) = parts[right].after {
                parts[after].before = Some(left);
                pairs.extend(self.pair(&marked, &parts, left, after));
            }
            if let Some(before) = parts[left].before {
                pairs.extend(self.pair(&marked, &parts, before, left));
            }
        }
        for part in parts.iter().filter(|part| part.bytes > 0) {
            let piece = &marked[part.start..part.start + part.bytes];
            match self.pieces.get(piece) {
                Some((id, _)) => ids.push(*id),
                None => ids.extend(piece.bytes().filter_map(|byte| {
                    self.bytes.get(usize::from(byte)).copied().flatten().or(self.unknown)
                })),
            }
        }
    }

    fn pair(&self, text: &str, parts: &[Part], left: usize, right: usize) -> Option<Pair> {
        let (start, bytes) = (parts[left].start, parts[left].bytes + parts[right].bytes);
        let (_, score) = self.pieces.get(&text[start..start + bytes])?;
        Some(Pair { score: *score, left, right, bytes })
    }
}
