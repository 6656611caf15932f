//! Whether serving would accept an example's answer if the model wrote it.

use std::collections::BTreeSet;

use crate::cite::CitationParser;
use crate::error::Result;
use crate::ground::{Grounding, Judgement};
use crate::pack::Packed;
use crate::statements::{Statements, Step};

/// Checks answers over the passages of one prompt, as [`crate::write`] does.
pub(super) struct Checker<'a> {
    packed: &'a Packed,
    grounding: Grounding,
}

impl<'a> Checker<'a> {
    /// A checker with `grounding` over the passages of `packed`.
    pub fn new(grounding: Grounding, packed: &'a Packed) -> Self {
        Self { packed, grounding }
    }

    /// Whether each statement of `answer` is supported, by passages of `right` alone.
    pub async fn accepts(&self, answer: &str, right: &BTreeSet<u32>) -> Result<bool> {
        let mut parser = CitationParser::new(self.packed.passages.len() as u32);
        let (mut pieces, mut steps) = (Vec::new(), Vec::new());
        parser.push(answer, &mut pieces);
        parser.finish(&mut pieces);
        let mut statements = Statements::default();
        pieces.into_iter().for_each(|piece| statements.push(piece, &mut steps));
        statements.finish(&mut steps);
        let mut any = false;
        for step in steps {
            let Step::Statement(statement) = step else { continue };
            match self.grounding.judge(&statement).await? {
                Judgement::Supported(supports) => {
                    any = true;
                    if !supports.iter().all(|support| right.contains(&(support.passage as u32 + 1))) {
                        return Ok(false);
                    }
                }
                Judgement::Empty => {}
                Judgement::NothingFound | Judgement::Unsupported(_) => return Ok(false),
            }
        }
        Ok(any)
    }
}
