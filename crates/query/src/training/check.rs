//! Whether serving would accept an example's answer if the model wrote it.

use std::collections::BTreeSet;

use crate::answer::Answerer;
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
    /// A checker of answers to what is asked in `known`.
    pub async fn new(answerer: &Answerer, known: &str, packed: &'a Packed) -> Result<Self> {
        let (retriever, extractor) = (&answerer.retriever, &answerer.extractor);
        let config = &answerer.config.generate;
        let grounding = Grounding::new(retriever, extractor, known, &packed.passages, config).await?;
        Ok(Self { packed, grounding })
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
