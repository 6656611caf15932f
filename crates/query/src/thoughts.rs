//! What a model thinks aloud before it answers.

/// Leaves out what a model thinks aloud before it answers: `<think>...</think>` at the start of its text.
#[derive(Debug, Default)]
pub(crate) struct Thoughts {
    held: String,
    state: Thinking,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Thinking {
    #[default]
    Unknown,
    Thinks,
    /// Between thoughts and answer.
    Ended,
    Answers,
}

const THINK: (&str, &str) = ("<think>", "</think>");

impl Thoughts {
    /// What of the next piece is not thought; what may become a tag is held back.
    pub fn without(&mut self, text: &str) -> String {
        if self.state == Thinking::Answers {
            return text.to_owned();
        }
        self.held.push_str(text);
        if self.state == Thinking::Unknown {
            let start = self.held.trim_start();
            if let Some(after) = start.strip_prefix(THINK.0) {
                (self.held, self.state) = (after.to_owned(), Thinking::Thinks);
            } else if THINK.0.starts_with(start) {
                return String::new();
            } else {
                self.state = Thinking::Ended;
            }
        }
        if self.state == Thinking::Thinks {
            match self.held.split_once(THINK.1) {
                Some((_, after)) => (self.held, self.state) = (after.to_owned(), Thinking::Ended),
                None => {
                    // What may become the closing tag stays.
                    let mut keep = self.held.len().saturating_sub(THINK.1.len() - 1);
                    while !self.held.is_char_boundary(keep) {
                        keep -= 1;
                    }
                    self.held.drain(..keep);
                    return String::new();
                }
            }
        }
        let text = std::mem::take(&mut self.held);
        let text = text.trim_start();
        if !text.is_empty() {
            self.state = Thinking::Answers;
        }
        text.to_owned()
    }

    /// What is left at the end: nothing of a thought that never ended.
    pub fn rest(&mut self) -> String {
        if self.state == Thinking::Unknown { std::mem::take(&mut self.held) } else { String::new() }
    }
}
