//! Grounding: does a passage support a statement, and which of its sentences does?
//!
//! A quote of one or two sentences supports a statement where it holds the statement's numbers and codes, enough of
//! its words (weighted by rarity, in the sentences or in the headings, title and table header above them), and is near
//! enough in meaning. Numbers must stand in a sentence that does not speak of something else, and a near copy that
//! denies what the statement says supports nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use lore_core::Span;

use crate::asked::Asked;
use crate::claim::{self, Definite, Kind};
use crate::config::GenerateConfig;
use crate::error::Result;
use crate::extract::{CONTEXT_SHARE, Extractor, dot};
use crate::grounds::{Ground, Grounds, Said, first_word};
use crate::judgement::parts;
pub use crate::judgement::{Evidence, Judgement, Support};
use crate::measure::{has, is_figure, measures};
use crate::passages::FoundPassage;
use crate::retrieve::Retriever;
use crate::statements::Statement;
use crate::text;
use crate::units::term_set;

/// Most sentences of a quote.
const LONGEST_QUOTE: usize = 2;
/// What a further sentence of a quote must bring, as a share of the statement's words.
const WORTH: f32 = 0.08;
/// Quotes of a passage that are compared in meaning.
const COMPARED: usize = 3;
/// Share of a statement's words from which on a quote is a near copy.
const COPY: f32 = 0.75;
/// A sentence with a number of the statement holds at least this share of what the best sentence of the quote holds.
const SAME_MATTER: f32 = 0.6;
/// Least share of a statement's words that one of several passages must hold to be cited with the others.
const PART: f32 = 0.15;

/// Checks statements against passages; clones share them.
#[derive(Clone, Debug)]
pub struct Grounding {
    retriever: Retriever,
    extractor: Extractor,
    question: Arc<str>,
    passages: Arc<Vec<Grounds>>,
    /// Names and codes of all passages.
    known: Arc<BTreeSet<String>>,
    lexical: f32,
    cosine: f32,
}

/// A possible quote.
#[derive(Clone, Debug)]
struct Quote {
    passage: usize,
    units: std::ops::Range<usize>,
    /// Share of the statement's words in the sentences.
    own: f32,
    /// The same, with what stands around (discounted).
    covered: f32,
    /// Whether numbers and codes are there, and nothing is denied.
    agrees: bool,
    /// Whether it is a near copy that denies what the statement says, or the other way round.
    denied: bool,
    /// Whether it does so and speaks of the same things.
    opposed: bool,
    /// Whether statement and quote are in scripts that share no words.
    foreign: bool,
    cosine: Option<f32>,
}

impl Grounding {
    /// Takes `passages` apart for checking answers to `question`.
    ///
    /// # Errors
    /// Fails where the work is cancelled.
    pub async fn new(
        retriever: &Retriever,
        extractor: &Extractor,
        question: &str,
        passages: &[FoundPassage],
        config: &GenerateConfig,
    ) -> Result<Self> {
        let (index, found) = (retriever.index().clone(), passages.to_vec());
        let grounds = tokio::task::spawn_blocking(move || {
            let mut grounds: Vec<Grounds> = found.iter().map(|found| Grounds::of(&index, found)).collect();
            let known = grounds.iter().flat_map(|g| &g.units).flat_map(|u| u.entities.clone()).collect();
            grounds.iter_mut().flat_map(|g| &mut g.units).for_each(|ground| ground.add_known(&known));
            (grounds, known)
        });
        let (passages, known) = grounds.await?;
        Ok(Self {
            retriever: retriever.clone(),
            extractor: extractor.clone(),
            question: question.into(),
            passages: Arc::new(passages),
            known: Arc::new(known),
            lexical: config.support_lexical,
            cosine: config.support_cosine,
        })
    }

    /// Judges a statement; a passage that it does not name may support it too. Of a list item each sentence must be
    /// supported.
    ///
    /// # Errors
    /// Fails where the lexical index fails.
    pub async fn judge(&self, statement: &Statement) -> Result<Judgement> {
        let parts = parts(statement);
        if parts.len() < 2 {
            return self.judge_one(statement).await;
        }
        let mut whole = Judgement::Empty;
        for part in &parts {
            whole = whole.and(self.judge_one(part).await?);
        }
        Ok(whole)
    }

    async fn judge_one(&self, statement: &Statement) -> Result<Judgement> {
        let cited: Vec<usize> =
            statement.cited.iter().map(|n| *n as usize - 1).filter(|p| *p < self.passages.len()).collect();
        let (this, drafting) = (self.clone(), statement.clone());
        let drafted = tokio::task::spawn_blocking(move || this.draft(&drafting)).await??;
        let (said, mut quotes) = match drafted {
            Drafted::Judged(judgement) => return Ok(judgement),
            Drafted::Quotes(said, quotes) => (said, quotes),
        };
        self.add_cosines(&statement.text, &mut quotes).await;

        let best = |passage: usize| {
            let of = quotes.iter().filter(move |q| q.passage == passage);
            of.max_by(|a, b| {
                let key = |q: &Quote| (self.supports(q, &said), self.score(q));
                let ((a, x), (b, y)) = (key(a), key(b));
                a.cmp(&b).then(x.total_cmp(&y))
            })
        };
        let named: Vec<&Quote> = cited.iter().filter_map(|p| best(*p)).collect();
        let good: Vec<&Quote> = named.iter().copied().filter(|q| self.supports(q, &said)).collect();
        if !good.is_empty() {
            return Ok(Judgement::Supported(good.into_iter().map(|q| self.support(q)).collect()));
        }
        if let Some(together) = self.together(&named, &said) {
            return Ok(Judgement::Supported(together));
        }
        let other = (0..self.passages.len())
            .filter(|p| !cited.contains(p))
            .filter_map(best)
            .filter(|q| self.supports(q, &said))
            .max_by(|a, b| self.score(a).total_cmp(&self.score(b)).then(b.passage.cmp(&a.passage)));
        Ok(match other {
            Some(quote) => Judgement::Supported(vec![self.support(quote)]),
            None => Judgement::Unsupported(named.into_iter().map(|q| self.support(q)).collect()),
        })
    }

    /// What speaks for the possible quotes of a statement that hold its numbers, codes and names; none where it claims
    /// nothing.
    ///
    /// # Errors
    /// As [`Grounding::judge`].
    pub(crate) async fn evidence(&self, statement: &Statement) -> Result<Vec<Evidence>> {
        let (this, drafting) = (self.clone(), statement.clone());
        let drafted = tokio::task::spawn_blocking(move || this.draft(&drafting)).await??;
        let Drafted::Quotes(said, mut quotes) = drafted else { return Ok(Vec::new()) };
        self.add_cosines(&statement.text, &mut quotes).await;
        Ok(quotes.iter().filter(|quote| quote.agrees).map(|quote| quote.evidence(&said)).collect())
    }

    /// The possible quotes of all passages. Reads postings: blocks.
    fn draft(&self, statement: &Statement) -> Result<Drafted> {
        let (index, text) = (self.retriever.index(), statement.text.as_str());
        let bare = claim::without_label(text);
        let mut definite = Definite::of(text, &self.question);
        let measures = measures(bare);
        let tells = definite.numbers.iter().any(|number| is_figure(number, measures.get(number)));
        if statement.header && !tells {
            return Ok(Drafted::Judged(Judgement::Empty));
        }
        match claim::kind(text, &term_set(index, bare), tells) {
            Kind::Empty => return Ok(Drafted::Judged(Judgement::Empty)),
            Kind::NothingFound => return Ok(Drafted::Judged(Judgement::NothingFound)),
            Kind::Claim => {}
        }
        // A name at the head of a sentence is told from another word by having been met elsewhere.
        definite.names.extend(first_word(bare).filter(|word| self.known.contains(word)));
        let said = Said {
            asked: Asked::new(index, bare)?,
            entities: definite.codes.iter().chain(&definite.names).cloned().collect(),
            squeezed: claim::squeeze(&bare.to_lowercase()),
            definite,
            measures,
            denies: claim::denies(bare),
            chinese: text::language(bare) == "zh",
        };
        let mut out: Vec<Quote> = Vec::new();
        let mut opposed = 0.0f32;
        for (number, grounds) in self.passages.iter().enumerate() {
            let named = said.definite.names.iter().all(|name| {
                grounds.haystack.contains(&claim::squeeze(name))
                    || index.analyze(name).iter().all(|term| grounds.terms.contains(term))
            });
            let mut quotes: Vec<Quote> = Vec::new();
            for first in 0..grounds.units.len() {
                let (mut shorter, mut agreed) = (-WORTH, false);
                for length in 1..=LONGEST_QUOTE.min(grounds.units.len() - first) {
                    let quote = quote(&said, number, grounds, first..first + length, named);
                    // Longer only for what it brings.
                    if quote.covered >= shorter + WORTH || (quote.agrees && !agreed) {
                        (shorter, agreed) = (quote.covered, quote.agrees || agreed);
                        quotes.push(quote);
                    }
                }
            }
            opposed = quotes.iter().filter(|q| q.opposed).map(|q| q.own).fold(opposed, f32::max);
            quotes.sort_by(|a, b| {
                let key = |q: &Quote| q.covered - WORTH * (q.units.len() - 1) as f32;
                b.agrees.cmp(&a.agrees).then(key(b).total_cmp(&key(a)))
            });
            quotes.truncate(COMPARED);
            out.extend(quotes);
        }
        // What is nearer than a quote and says the opposite outweighs it.
        out.iter_mut().filter(|quote| quote.own < opposed).for_each(|quote| quote.agrees = false);
        Ok(Drafted::Quotes(Box::new(said), out))
    }

    /// Compares the quotes with the statement in meaning, where the embedder understands it.
    async fn add_cosines(&self, statement: &str, quotes: &mut [Quote]) {
        if quotes.is_empty() || !self.retriever.dense_understands(statement) {
            return;
        }
        let mut texts = vec![statement.to_owned()];
        for quote in quotes.iter() {
            texts.extend(self.units_of(quote).iter().map(|ground| ground.unit.embed_text.clone()));
        }
        let embedder = self.retriever.index().embedder();
        let vectors: HashMap<String, Arc<[f32]>> = match self.extractor.vectors(embedder, texts).await {
            Ok(vectors) => vectors,
            Err(error) => {
                // The words alone are better than an answer that breaks off.
                tracing::warn!(%error, "a statement is checked by its words alone");
                return;
            }
        };
        let Some(own) = vectors.get(statement) else { return };
        for quote in quotes {
            let near = self.units_of(quote).iter().filter_map(|g| vectors.get(&g.unit.embed_text));
            quote.cosine = near.map(|vector| dot(own, vector)).reduce(f32::max);
        }
    }

    fn units_of(&self, quote: &Quote) -> &[Ground] {
        let units = self.passages.get(quote.passage).and_then(|p| p.units.get(quote.units.clone()));
        units.unwrap_or_default()
    }

    fn supports(&self, quote: &Quote, said: &Said) -> bool {
        quote.agrees && quote.evidence(said).is_enough(self.lexical, self.cosine)
    }

    fn score(&self, quote: &Quote) -> f32 {
        let words = quote.covered - WORTH / 2.0 * (quote.units.len() - 1) as f32;
        let score = match (quote.cosine, quote.foreign) {
            (Some(cosine), true) => cosine,
            (Some(cosine), false) => f32::midpoint(words, cosine),
            (None, true) => 0.5,
            (None, false) => words,
        };
        score.clamp(0.0, 1.0)
    }

    fn support(&self, quote: &Quote) -> Support {
        let units = self.units_of(quote);
        let start = units.first().map_or(0, |ground| ground.unit.span.start);
        let end = units.last().map_or(start, |ground| ground.unit.span.end);
        Support { passage: quote.passage, span: Span::new(start, end), score: self.score(quote) }
    }

    /// The named quotes that support a statement together, where none does alone.
    fn together(&self, named: &[&Quote], said: &Said) -> Option<Vec<Support>> {
        let fits = |q: &&Quote| q.own >= PART && !q.foreign && !q.denied;
        let parts: Vec<&Quote> = named.iter().copied().filter(fits).collect();
        if parts.len() < 2 {
            return None;
        }
        let all: Vec<&Ground> = parts.iter().flat_map(|q| self.units_of(q)).collect();
        let share = |context: f32| {
            said.asked.share(|term| all.iter().map(|g| g.unit.holds(term, context)).fold(0.0, f32::max))
        };
        let near = parts.iter().filter_map(|q| q.cosine).reduce(f32::max);
        let enough = agrees(said, &all)
            && said
                .definite
                .names
                .iter()
                .all(|n| all.iter().any(|g| g.squeezed.contains(&claim::squeeze(n))))
            && share(CONTEXT_SHARE) >= self.lexical
            && near.is_none_or(|cosine| cosine >= self.cosine);
        enough.then(|| parts.into_iter().map(|q| self.support(q)).collect())
    }
}

impl Quote {
    fn evidence(&self, said: &Said) -> Evidence {
        let &Quote { own, covered, cosine, foreign, .. } = self;
        let definite = !(said.definite.numbers.is_empty() && said.definite.codes.is_empty());
        Evidence { own, covered, cosine, foreign, definite }
    }
}

enum Drafted {
    Judged(Judgement),
    Quotes(Box<Said>, Vec<Quote>),
}

fn quote(
    said: &Said,
    passage: usize,
    grounds: &Grounds,
    range: std::ops::Range<usize>,
    named: bool,
) -> Quote {
    let units: Vec<&Ground> = grounds.units.get(range.clone()).unwrap_or_default().iter().collect();
    let share = |context: f32| {
        said.asked.share(|term| units.iter().map(|g| g.unit.holds(term, context)).fold(0.0, f32::max))
    };
    let (own, covered) = (share(0.0), share(CONTEXT_SHARE));
    let nearest = units.iter().max_by(|a, b| {
        let of = |ground: &Ground| said.asked.share(|term| ground.unit.holds(term, 0.0));
        of(a).total_cmp(&of(b))
    });
    let denied = own >= COPY && nearest.is_some_and(|ground| ground.denies != said.denies);
    let foreign = units.iter().any(|ground| ground.chinese) != said.chinese;
    let agrees = agrees(said, &units);
    let same = nearest.is_some_and(|ground| !ground.differs(said));
    Quote {
        passage,
        units: range,
        own,
        covered,
        agrees: (named || foreign) && !denied && agrees,
        denied,
        opposed: denied && named && agrees && same,
        foreign,
        cosine: None,
    }
}

/// Whether the numbers and codes of a statement are in `units`, each number in one that speaks of the same thing: it names
/// nothing else, and holds not much less of the statement than the others.
fn agrees(said: &Said, units: &[&Ground]) -> bool {
    let codes =
        said.definite.codes.iter().all(|code| units.iter().any(|g| claim::has_code(&g.unit.haystack, code)));
    if !codes || said.definite.numbers.is_empty() {
        return codes;
    }
    let share = |ground: &Ground| said.asked.share(|term| ground.unit.holds(term, CONTEXT_SHARE));
    let most = units.iter().map(|ground| share(ground)).fold(0.0, f32::max);
    let near: Vec<&&Ground> =
        units.iter().filter(|g| !g.differs(said) && share(g) >= SAME_MATTER * most).collect();
    said.definite.numbers.iter().all(|number| {
        let units = said.measures.get(number);
        near.iter().any(|ground| has(&ground.measures, number, units))
    })
}
