//! A model whose logits depend on every token before them, read through the block tables, and its text side.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use lore_core::{FinishReason, GenerateEvent, Generation, Generator, GeneratorInfo, Prompt};
use lore_models::decoder::{BLOCK_TOKENS, Stretch, Want};
use tokio::sync::mpsc::Receiver;

use super::super::model::{Model, Rows, Text};
use super::super::run::Engine;
use super::super::sampler::Scratch;
use super::super::writer::{Next, Writer};
use super::super::{Front, GeneratorOptions, engine};

pub const END: u32 = 0;
/// What the tokens say: the end, letters, parts of markers, halves of a character, words of several letters.
pub const PIECES: [&[u8]; 24] = [
    b"",
    b"a",
    b"b",
    b" c",
    b"[",
    b"]",
    b"1",
    b"2",
    b"0",
    b"[1",
    b"[12",
    b"] [3]",
    b"](",
    b"\xc3",
    b"\xa9",
    "é".as_bytes(),
    b"ST",
    b"OP",
    b"xSTO",
    b"P",
    b"\n\n",
    b"3]",
    b" the",
    b"[0",
];

fn mix(a: u64, b: u64) -> u64 {
    let bits = (a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    bits ^ bits >> 29
}

/// The key of a token after what stands before it.
fn key(before: u64, token: u32, at: usize) -> u64 {
    mix(mix(before, u64::from(token) + 1), at as u64 + 1)
}

fn logits(seen: u64) -> impl Iterator<Item = f32> {
    (0..PIECES.len() as u64).map(move |id| {
        let logit = (mix(mix(seen, id + 77), 5) >> 40) as f32 / (1 << 22) as f32;
        if id == u64::from(END) { logit - 2.0 } else { logit }
    })
}

/// What happened in a step: each stretch's first position, length, and whether its logits were wanted.
pub type Steps = Arc<Mutex<Vec<Vec<(usize, usize, bool)>>>>;

/// The model; `faults` says how its next steps fail.
pub struct Fake {
    memory: Vec<[u64; BLOCK_TOKENS]>,
    pub steps: Steps,
    pub faults: VecDeque<Fault>,
}

#[derive(Clone, Copy)]
pub enum Fault {
    None,
    Error,
    Panic,
    NoNumbers,
}

impl Rows for Vec<Vec<f32>> {
    fn count(&self) -> usize {
        self.len()
    }

    fn row(&self, index: usize) -> &[f32] {
        &self[index]
    }
}

impl Model for Fake {
    type Rows = Vec<Vec<f32>>;
    type Error = String;

    fn vocabulary(&self) -> usize {
        PIECES.len()
    }

    fn forward(&mut self, step: &[Stretch<'_>]) -> Result<Vec<Vec<f32>>, String> {
        self.steps
            .lock()
            .unwrap()
            .push(step.iter().map(|of| (of.start, of.tokens.len(), of.want == Want::Last)).collect());
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        let mut rows: Vec<Vec<f32>> = Vec::new();
        for stretch in step {
            let place = |at: usize| (stretch.blocks[at / BLOCK_TOKENS] as usize, at % BLOCK_TOKENS);
            for (at, &token) in (stretch.start..).zip(stretch.tokens) {
                let before =
                    at.checked_sub(1).map_or(0, |before| self.memory[place(before).0][place(before).1]);
                self.memory[place(at).0][place(at).1] = key(before, token, at);
            }
            if stretch.want == Want::Last {
                let end = stretch.start + stretch.tokens.len();
                let seen = (0..end).fold(0, |seen, at| mix(seen, self.memory[place(at).0][place(at).1]));
                rows.push(logits(seen).collect());
            }
        }
        match fault {
            Fault::None => Ok(rows),
            Fault::Error => Err("a bad step".into()),
            Fault::Panic => panic!("a panic in a step"),
            Fault::NoNumbers => Ok(vec![vec![f32::NAN; PIECES.len()]; rows.len()]),
        }
    }
}

/// The bytes of [`PIECES`] as text, whole characters at a time.
#[derive(Clone, Copy)]
pub struct Pieces;

impl Text for Pieces {
    type Stream = Vec<u8>;

    fn stream(&self) -> Vec<u8> {
        Vec::new()
    }

    fn push(&self, held: &mut Vec<u8>, token: u32) -> String {
        held.extend_from_slice(PIECES[token as usize]);
        let half = held.ends_with(b"\xc3");
        let text = String::from_utf8_lossy(&held[..held.len() - usize::from(half)]).into_owned();
        *held = if half { vec![0xc3] } else { Vec::new() };
        text
    }

    fn finish(&self, held: &mut Vec<u8>) -> String {
        String::from_utf8_lossy(&std::mem::take(held)).into_owned()
    }

    fn is_end(&self, token: u32) -> bool {
        token == END
    }
}

/// A handle and an engine that the test drives, of `blocks` blocks.
pub fn rig(blocks: usize, options: &GeneratorOptions) -> (Generator, Engine<Fake, Pieces>, Steps) {
    faulty(blocks, options, &[])
}

/// As [`rig`], with steps that fail.
pub fn faulty(
    blocks: usize,
    options: &GeneratorOptions,
    faults: &[Fault],
) -> (Generator, Engine<Fake, Pieces>, Steps) {
    let steps = Steps::default();
    // What was in memory before must not matter.
    let memory = (0..blocks as u64).map(|block| [mix(block, 0xbad); BLOCK_TOKENS]).collect();
    let model = Fake { memory, steps: steps.clone(), faults: faults.iter().copied().collect() };
    let front = Front {
        info: GeneratorInfo {
            id: "fake@0".into(),
            context_tokens: 4096,
            answer_style: lore_core::AnswerStyle::default(),
        },
        count: Arc::new(|text| text.len()),
        chat: Arc::new(|_, _| Ok(Vec::new())),
    };
    let (generator, engine) = engine(front, model, Pieces, blocks, options);
    (generator, engine, steps)
}

/// The text and its end, as a plain loop over the whole text writes it; `most` tokens at most.
pub fn alone(prompt: &Prompt, most: usize) -> (String, FinishReason) {
    let mut tokens = prompt.tokens.clone();
    let limit = most.min(if prompt.max_tokens == 0 { most } else { tokens.len() + prompt.max_tokens });
    let (mut text, mut scratch) = (String::new(), Scratch::default());
    let mut writer = Writer::new(Pieces.stream(), &mut prompt.clone());
    loop {
        let (_, seen) = tokens.iter().enumerate().fold((0, 0), |(before, seen), (at, &token)| {
            let own = key(before, token, at);
            (own, mix(seen, own))
        });
        let row: Vec<f32> = logits(seen).collect();
        let place = tokens.len() - prompt.tokens.len();
        match writer.next(&Pieces, &row, &mut scratch, place).unwrap() {
            Next::Token(token, shown) => {
                tokens.push(token);
                text.push_str(&shown);
            }
            Next::Last(_, shown) | Next::Nothing(shown) => return (text + &shown, FinishReason::Stop),
        }
        if tokens.len() >= limit {
            return (text + &writer.finish(&Pieces), FinishReason::Length);
        }
    }
}

/// What has come so far, and the end if it has come.
pub fn read(events: &mut Receiver<GenerateEvent>) -> (String, Option<Result<Generation, String>>) {
    let mut text = String::new();
    while let Ok(event) = events.try_recv() {
        match event {
            GenerateEvent::Text(piece) => text.push_str(&piece),
            GenerateEvent::Done(generation) => return (text, Some(Ok(generation))),
            GenerateEvent::Failed(error) => return (text, Some(Err(error.to_string()))),
        }
    }
    (text, None)
}

/// Runs steps until the text has ended.
pub fn finish(
    engine: &mut Engine<Fake, Pieces>,
    events: &mut Receiver<GenerateEvent>,
) -> (String, Generation) {
    let mut text = String::new();
    for _ in 0..10_000 {
        engine.turn();
        let (piece, end) = read(events);
        text.push_str(&piece);
        if let Some(end) = end {
            return (text, end.unwrap());
        }
    }
    panic!("the text does not end");
}
