//! Metrics, each with the source of its definition.

use std::collections::{BTreeMap, HashMap};

use crate::text::is_cjk;

/// Normalised discounted cumulative gain of the first `k` (Järvelin and Kekäläinen 2002, with linear gains and
/// `log2(rank + 1)` discounts, as trec_eval's `ndcg_cut` and BEIR compute it).
pub fn ndcg(ranking: &[String], gains: &BTreeMap<String, u32>, k: usize) -> f64 {
    let discount = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
    let dcg: f64 = ranking
        .iter()
        .take(k)
        .enumerate()
        .map(|(rank, id)| f64::from(gains.get(id).copied().unwrap_or(0)) * discount(rank))
        .sum();
    let mut ideal: Vec<u32> = gains.values().copied().collect();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    let best: f64 =
        ideal.iter().take(k).enumerate().map(|(rank, gain)| f64::from(*gain) * discount(rank)).sum();
    if best > 0.0 { dcg / best } else { 0.0 }
}

/// Reciprocal rank of the first relevant document among the first `k` (Voorhees 1999); 0 where there is none.
pub fn reciprocal_rank(ranking: &[String], gains: &BTreeMap<String, u32>, k: usize) -> f64 {
    ranking
        .iter()
        .take(k)
        .position(|id| gains.get(id).is_some_and(|gain| *gain > 0))
        .map_or(0.0, |rank| 1.0 / (rank + 1) as f64)
}

/// Share of the relevant documents among the first `k` (trec_eval's `recall`).
pub fn recall(ranking: &[String], gains: &BTreeMap<String, u32>, k: usize) -> f64 {
    let relevant = gains.values().filter(|gain| **gain > 0).count();
    let found = ranking.iter().take(k).filter(|id| gains.get(*id).is_some_and(|gain| *gain > 0)).count();
    if relevant > 0 { found as f64 / relevant as f64 } else { 0.0 }
}

/// SQuAD's normalisation (Rajpurkar et al. 2016, official script): lower case, punctuation and the articles a, an, the
/// dropped, white space unified; CJK characters are tokens of their own (as MLQA's script does for Chinese; Lewis et al.
/// 2020).
pub fn normalized_tokens(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut current = String::new();
    let flush = |current: &mut String, out: &mut Vec<String>| {
        if !current.is_empty() {
            let word = std::mem::take(current);
            if !matches!(word.as_str(), "a" | "an" | "the") {
                out.push(word);
            }
        }
    };
    for c in text.chars() {
        if is_cjk(c) {
            flush(&mut current, &mut out);
            out.push(c.to_string());
        } else if c.is_alphanumeric() {
            current.extend(c.to_lowercase());
        } else if c.is_whitespace() || is_wide_punctuation(c) {
            flush(&mut current, &mut out);
        }
        // Other punctuation vanishes within a word, as in SQuAD's script: `1,250` is `1250`.
    }
    flush(&mut current, &mut out);
    out
}

fn is_wide_punctuation(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '|' | '—' | '–')
}

/// Token F1 of an answer against one right answer (Rajpurkar et al. 2016, section 6.1).
pub fn token_f1(answer: &str, gold: &str) -> f64 {
    let (answer, gold) = (normalized_tokens(answer), normalized_tokens(gold));
    if answer.is_empty() || gold.is_empty() {
        return f64::from(u8::from(answer == gold));
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for token in &gold {
        *counts.entry(token).or_default() += 1;
    }
    let mut common = 0usize;
    for token in &answer {
        if let Some(left) = counts.get_mut(token.as_str()).filter(|left| **left > 0) {
            *left -= 1;
            common += 1;
        }
    }
    if common == 0 {
        return 0.0;
    }
    let precision = common as f64 / answer.len() as f64;
    let recall = common as f64 / gold.len() as f64;
    2.0 * precision * recall / (precision + recall)
}

/// Whether the normalised answers are equal (Rajpurkar et al. 2016, section 6.1).
pub fn exact_match(answer: &str, gold: &str) -> bool {
    normalized_tokens(answer) == normalized_tokens(gold)
}

/// Whether the normalised right answer stands within the normalised answer, at token borders (the "span-EM" of Asai
/// et al. 2023 and others for answers that are sentences).
pub fn contains(answer: &str, gold: &str) -> bool {
    let (answer, gold) = (normalized_tokens(answer), normalized_tokens(gold));
    !gold.is_empty() && answer.windows(gold.len()).any(|window| window == gold)
}

/// The value below which the share `q` of `sorted` (ascending) lies, by the nearest-rank method; 0 for none.
pub fn percentile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).or(sorted.last()).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn ndcg_by_hand() {
        let gains: BTreeMap<String, u32> = [("a".to_owned(), 1), ("b".to_owned(), 1)].into();
        // Relevant at ranks 1 and 3: (1 + 1/2) / (1 + 1/log2(3)).
        let got = ndcg(&ids(&["a", "x", "b"]), &gains, 10);
        assert!((got - 1.5 / (1.0 + 1.0 / 3f64.log2())).abs() < 1e-12, "{got}");
        assert_eq!(reciprocal_rank(&ids(&["x", "b"]), &gains, 10), 0.5);
        assert_eq!(recall(&ids(&["x", "b"]), &gains, 10), 0.5);
        assert_eq!(recall(&ids(&["x", "b"]), &gains, 1), 0.0);
    }

    #[test]
    fn answers_by_hand() {
        assert!(exact_match("The 30 days.", "30 days"));
        assert!((token_f1("it is 30 days", "30 days") - 2.0 * 0.5 / 1.5).abs() < 1e-12);
        assert!(contains("New employees get 30 days of vacation.", "30 Days"));
        assert!(!contains("New employees get 130 days of vacation.", "30 days"));
        assert!(contains("年假为 15 天。", "15 天"));
        assert!(contains("| K110 | EUR 1,250 |", "1,250"));
        assert_eq!(token_f1("", "x"), 0.0);
    }

    #[test]
    fn percentiles() {
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.95), 4.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
