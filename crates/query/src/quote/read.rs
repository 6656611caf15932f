//! From what the model wrote to the sentences that it points at.

use lore_core::Quotes;

/// A sentence that is pointed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointed {
    /// Its index among the sentences shown.
    pub sentence: usize,
    /// Words of it that answer; empty where it was not said which.
    pub words: String,
}

/// The sentences that `text` points at among `sentences`, in its order, each once; none where it refuses. Words that are not
/// in their sentence, which an answer that was cut short may end with, are left out.
pub fn read(text: &str, sentences: &[String]) -> Vec<Pointed> {
    let mut out: Vec<Pointed> = Vec::new();
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once('[') {
        rest = behind;
        let Some((tag, after)) = behind.split_once(']') else { break };
        let number = tag.strip_prefix('s').and_then(|number| number.parse::<usize>().ok());
        let Some(sentence) = number.and_then(|number| number.checked_sub(1)) else { continue };
        let exact = |_: &&String| Quotes::tag(sentence + 1) == format!("[{tag}]");
        let Some(whole) = sentences.get(sentence).filter(exact) else { continue };
        let words = after.split('[').next().unwrap_or_default().trim();
        let words = if Quotes::is_part(whole, words) { words.to_owned() } else { String::new() };
        if out.iter().all(|pointed| pointed.sentence != sentence) {
            out.push(Pointed { sentence, words });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_with_and_without_words() {
        let sentences = ["Up to EUR 800.".to_owned(), "年假为 15 天。".to_owned()];
        let told = |text| -> Vec<(usize, String)> {
            read(text, &sentences).into_iter().map(|pointed| (pointed.sentence, pointed.words)).collect()
        };
        assert_eq!(told("[s2][s1] EUR 800"), [(1, String::new()), (0, "EUR 800".to_owned())]);
        assert_eq!(told("[s1] EUR 900[s1][s2"), [(0, String::new())]);
        assert_eq!(told("[none]"), []);
        assert_eq!(told("[s3] [s0] [s01] [s001] [s+01] [x] s1]"), []);
        // Cut short.
        assert_eq!(told("[s1] EUR 80"), [(0, String::new())]);
    }
}
