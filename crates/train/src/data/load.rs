//! From settings to examples.

use std::collections::HashSet;
use std::ops::ControlFlow;

use lore_core::ids::hex;
use lore_models::text::GeneratorText;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::documents::{self, Frame};
use super::read::{self, Line};
use super::record::{Body, Hash};
use super::render::{Refused, Rendered, Renderer};
use super::report::{LoadReport, SetReport, Totals};
use super::{DataSettings, DatasetSpec, Example, mix};
use crate::config::Stage;
use crate::error::TrainError;

/// Lines that are rendered side by side.
const TOGETHER: usize = 1024;

/// What a training learns from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// What is trained on, in the order of its files and of how they are mixed; batches shuffle it.
    pub train: Vec<Example>,
    /// What is evaluated on.
    pub eval: Vec<Example>,
    /// What was found.
    pub report: LoadReport,
}

/// A line that can be learned from.
struct Unit {
    id: String,
    documents: Vec<String>,
    digest: Hash,
    /// What it has in common with others that were made of the same, such as the question.
    stem: Option<String>,
    parts: Vec<Rendered>,
}

/// Reads all data sets and turns them into examples.
///
/// # Errors
/// When a file cannot be read, when a line is not valid and `skip_bad_lines` is not set (all files are read first, so that
/// the error names the bad lines of all), when nothing is left to train on, or when a setting cannot be.
pub fn load(settings: &DataSettings, stage: Stage, text: &GeneratorText) -> Result<Loaded, TrainError> {
    check(settings, stage, text)?;
    let mut loader = Loader {
        settings,
        stage,
        text,
        frame: Frame::new(text)?,
        report: LoadReport::default(),
        ends: false,
    };
    let read = |loader: &mut Loader<'_>, specs: &[DatasetSpec], eval| {
        specs.iter().map(|spec| loader.set(spec, eval)).collect::<Result<Vec<_>, _>>()
    };
    let mut train = read(&mut loader, &settings.train, false)?;
    let mut eval = read(&mut loader, &settings.eval, true)?;
    let Loader { frame, mut report, ends, .. } = loader;
    if report.bad.count > 0 && !settings.skip_bad_lines {
        return Err(TrainError::BadLines(Box::new(report.bad)));
    }
    let kin: Vec<mix::Kin<'_>> = train
        .iter()
        .enumerate()
        .flat_map(|(set, units)| units.iter().map(move |unit| (set, unit)))
        .map(|(set, unit)| (unit.digest, unit.stem.as_deref().map(|stem| (set, stem))))
        .collect();
    if kin.is_empty() {
        let names: Vec<&str> = settings.train.iter().map(|spec| spec.name.as_str()).collect();
        let message = format!("{} gave no example to train on; {report}", names.join(", "));
        return Err(TrainError::Settings { key: "dataset", message });
    }
    let groups = mix::groups(&kin);
    drop(kin);
    let held = mix::held_out(&groups, settings.val_size, settings.seed)?;
    let mut groups = groups.into_iter();
    for set in &mut train {
        let units = std::mem::take(set);
        let (out, kept): (Vec<_>, Vec<_>) =
            units.into_iter().partition(|_| groups.next().is_some_and(|group| held.contains(&group)));
        *set = kept;
        eval.push(out);
    }
    let order = order(settings, &train)?;
    let eval: Vec<Unit> = eval.into_iter().flatten().collect();
    let seen: HashSet<Hash> = train.iter().flatten().map(|unit| unit.digest).collect();
    let both = eval.iter().filter(|unit| seen.contains(&unit.digest)).count();
    if both > 0 {
        report.notes.push(format!(
            "{both} evaluation examples are trained on as well, so that the evaluation's loss is too good; take them out"
        ));
    }
    let train = in_order(train, &order);
    let mut hash = Sha256::new();
    for (part, units) in [(b"train", &train), (b"eval.", &eval)] {
        hash.update(part);
        units.iter().for_each(|unit| hash.update(unit.digest));
    }
    report.hash = hex(&hash.finalize());
    if stage == Stage::Sft && !ends {
        report.notes.push(
            "no answer ends in one of the model's end tokens: it would not learn to stop; name a chat_template that \
             writes one after each answer"
                .to_owned(),
        );
    }
    if stage == Stage::Pt && !frame.ends() {
        report
            .notes
            .push("the tokenizer names no end token, so that documents run into each other".to_owned());
    }
    let finish = |units: Vec<Unit>| match stage {
        Stage::Sft => units.into_iter().flat_map(Unit::examples).collect(),
        Stage::Pt => {
            let tokens = units.into_iter().map(Unit::document);
            documents::pieces(tokens, settings.cutoff_len, settings.packing)
        }
    };
    let (train, eval): (Vec<Example>, Vec<Example>) = (finish(train), finish(eval));
    (report.train, report.eval) = (Totals::of(&train), Totals::of(&eval));
    Ok(Loaded { train, eval, report })
}

fn check(settings: &DataSettings, stage: Stage, text: &GeneratorText) -> Result<(), TrainError> {
    let wrong = |key, message: &str| Err(TrainError::Settings { key, message: message.to_owned() });
    if settings.train.is_empty() {
        return wrong("dataset", "there is none; name one");
    }
    if settings.cutoff_len < 2 {
        return wrong("cutoff_len", "it must be 2 at least: a token and what follows it");
    }
    if !settings.val_size.is_finite() || settings.val_size < 0.0 {
        return wrong("val_size", "it must be a share below 1 or a number of examples");
    }
    if settings.train_on_prompt && settings.mask_history {
        return wrong(
            "mask_history",
            "it cannot go with train_on_prompt, which learns all of the history; choose one",
        );
    }
    if stage == Stage::Sft && !text.has_chat_template() {
        return wrong(
            "template",
            "the model has no chat template; set template: default for a plain one, or chat_template: FILE for your own, \
             and serve the model with the same",
        );
    }
    Ok(())
}

/// What turns data sets into units.
struct Loader<'a> {
    settings: &'a DataSettings,
    stage: Stage,
    text: &'a GeneratorText,
    frame: Frame<'a>,
    report: LoadReport,
    /// Whether a learned answer has an end token.
    ends: bool,
}

impl Loader<'_> {
    fn set(&mut self, spec: &DatasetSpec, eval: bool) -> Result<Vec<Unit>, TrainError> {
        let most = self.settings.max_samples.unwrap_or(usize::MAX);
        let stage = self.stage;
        let mut units = Vec::new();
        let mut waiting = Vec::new();
        let format = read::read(spec, stage, &mut |line| {
            waiting.push(line);
            if waiting.len() >= TOGETHER.min(most - units.len()) {
                self.render(std::mem::take(&mut waiting), &mut units);
            }
            Ok(if units.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        self.render(waiting, &mut units);
        let set = SetReport {
            name: spec.name.clone(),
            path: spec.path.clone(),
            format,
            eval,
            records: units.len(),
        };
        tracing::debug!(set = set.name, records = set.records, "data set read");
        self.report.sets.push(set);
        Ok(units)
    }

    fn render(&mut self, lines: Vec<Line>, units: &mut Vec<Unit>) {
        let (settings, text, frame) = (self.settings, self.text, &self.frame);
        let one = |Line { path, line, id, record }: Line| {
            let done = record.map_err(Refused::Bad).and_then(|record| {
                let digest = record.body.digest();
                let parts = match &record.body {
                    Body::Chat(turns) => Renderer::new(settings, text).chat(turns)?,
                    Body::Text(body) => {
                        vec![Rendered { tokens: frame.encode(body)?, ..Rendered::default() }]
                    }
                };
                let stem = record.id.as_deref().map(|id| stem(id).to_owned());
                Ok(Unit { id: record.id.unwrap_or(id), documents: record.documents, digest, stem, parts })
            });
            (path, line, done)
        };
        let done: Vec<_> = lines.into_par_iter().map(one).collect();
        for (path, line, done) in done {
            match done {
                Ok(unit) => {
                    self.report.truncated += usize::from(unit.parts.iter().any(|part| part.shortened));
                    self.report.split += usize::from(unit.parts.len() > 1);
                    self.ends = self.ends || unit.parts.iter().any(|part| part.learns(self.text.ends()));
                    units.push(unit);
                }
                Err(Refused::Bad(what)) => self.report.bad.push(&path, line, what),
                Err(Refused::TooLong(what)) => self.report.dropped.push(&path, line, what),
            }
        }
    }
}

/// What ends the id of a question that is asked without the passages that answer it.
const WITHOUT_SOURCE: &str = ":without-source";

/// An id without what tells apart examples that were made of the same: `q7:without-source` and `q7`, `talk#2` and `talk#1`.
fn stem(id: &str) -> &str {
    let id = id.strip_suffix(WITHOUT_SOURCE).unwrap_or(id);
    match id.rsplit_once('#') {
        Some((stem, piece)) if !piece.is_empty() && piece.bytes().all(|byte| byte.is_ascii_digit()) => stem,
        _ => id,
    }
}

impl Rendered {
    /// Whether one of these tokens is learned.
    fn learns(&self, ends: &[u32]) -> bool {
        self.tokens.iter().zip(&self.labelled).any(|(id, labelled)| *labelled && ends.contains(id))
    }
}

impl Unit {
    fn examples(self) -> impl Iterator<Item = Example> {
        let Self { id, documents, parts, .. } = self;
        let several = parts.len() > 1;
        parts.into_iter().zip(1..).map(move |(part, nth)| Example {
            id: if several { format!("{id}#{nth}") } else { id.clone() },
            tokens: part.tokens,
            labelled: part.labelled,
            documents: documents.clone(),
        })
    }

    fn document(mut self) -> documents::Tokens {
        let tokens = self.parts.pop().unwrap_or_default().tokens;
        documents::Tokens { id: self.id, documents: self.documents, tokens }
    }
}

/// The order in which units are taken, as (data set, place in it): sampled, then mixed.
fn order(settings: &DataSettings, sets: &[Vec<Unit>]) -> Result<Vec<(usize, usize)>, TrainError> {
    let seed = settings.seed;
    let sampled: Vec<Option<Vec<usize>>> = settings
        .train
        .iter()
        .zip(sets)
        .enumerate()
        .map(|(at, (spec, set))| spec.samples.map(|count| mix::sample(set.len(), count, seed, at)))
        .collect();
    let sizes: Vec<usize> =
        sampled.iter().zip(sets).map(|(sample, set)| sample.as_ref().map_or(set.len(), Vec::len)).collect();
    let mixed = mix::mixed(&sizes, &settings.mix, seed)?;
    let place = |(set, at): (usize, usize)| (set, sampled[set].as_ref().map_or(at, |sample| sample[at]));
    Ok(mixed.into_iter().map(place).collect())
}

/// The units in this order; one that is taken several times is copied.
fn in_order(sets: Vec<Vec<Unit>>, order: &[(usize, usize)]) -> Vec<Unit> {
    let mut left: Vec<Vec<usize>> = sets.iter().map(|set| vec![0; set.len()]).collect();
    for (set, at) in order {
        left[*set][*at] += 1;
    }
    let mut sets: Vec<Vec<Option<Unit>>> =
        sets.into_iter().map(|set| set.into_iter().map(Some).collect()).collect();
    let mut units = Vec::with_capacity(order.len());
    for (set, at) in order {
        left[*set][*at] -= 1;
        let slot = &mut sets[*set][*at];
        let unit = if left[*set][*at] == 0 { slot.take() } else { slot.as_ref().map(Unit::copy) };
        units.extend(unit);
    }
    units
}

impl Unit {
    fn copy(&self) -> Self {
        let Self { id, documents, digest, stem, parts } = self;
        Self {
            id: id.clone(),
            documents: documents.clone(),
            digest: *digest,
            stem: stem.clone(),
            parts: parts.clone(),
        }
    }
}
