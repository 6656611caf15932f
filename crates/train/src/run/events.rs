//! TensorBoard's event files: protocol buffers in TensorFlow's record format.
//!
//! A record is the content's length (u64), that number's checksum, the content, its checksum (`tensorflow/core/lib/io/
//! record_writer.h`). The messages are `Event` and `Summary` of TensorFlow's `event.proto` and `summary.proto`.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::folder::{Disk, append, failed};
use super::metrics::Line;
use crate::error::TrainError;

/// An event file, to which scalars are added.
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// A new file in `folder`. What other files there say of later steps than `done` counts no more.
    pub fn begin(disk: &Disk, folder: &Path, done: usize) -> Result<Self, TrainError> {
        fs::create_dir_all(folder).map_err(|e| failed(folder, 0, e))?;
        let (seconds, process) = (now(), std::process::id());
        let free = |path: &PathBuf| !path.exists();
        let name = |n: usize| folder.join(format!("events.out.tfevents.{seconds:.0}.lore.{process}.{n}"));
        let path = (0..).map(name).find(free).unwrap_or_else(|| name(0));
        let file =
            OpenOptions::new().create(true).append(true).open(&path).map_err(|e| failed(&path, 0, e))?;
        let mut events = Self { path, file };
        let version = event(seconds, 0, Field::Bytes(3, b"brain.Event:2"));
        events.add_record(disk, &version)?;
        if done > 0 {
            // A session that starts at a step takes the place of whatever came after it.
            let start = message(&[Field::Number(1, 1)]);
            events.add_record(disk, &event(seconds, done as u64 + 1, Field::Bytes(7, &start)))?;
        }
        Ok(events)
    }

    /// Adds the figures of a line.
    pub fn add(&mut self, disk: &Disk, line: &Line) -> Result<(), TrainError> {
        let (step, scalars) = scalars(line);
        let values: Vec<Vec<u8>> = scalars
            .iter()
            .map(|(tag, value)| message(&[Field::Bytes(1, tag.as_bytes()), Field::Float(2, *value)]))
            .collect();
        let fields: Vec<_> = values.iter().map(|value| Field::Bytes(1, value)).collect();
        let summary = message(&fields);
        self.add_record(disk, &event(now(), step as u64, Field::Bytes(5, &summary)))
    }

    fn add_record(&mut self, disk: &Disk, content: &[u8]) -> Result<(), TrainError> {
        append(disk, &self.path, &mut self.file, &record(content))
    }
}

/// What TensorBoard shows of a line.
fn scalars(line: &Line) -> (usize, Vec<(&'static str, f32)>) {
    match line {
        Line::Step(step) => {
            let mut scalars = vec![
                ("train/loss", step.loss as f32),
                ("train/learning_rate", step.learning_rate as f32),
                ("train/tokens_per_s", step.tokens_per_s as f32),
                ("train/epoch", step.epoch as f32),
            ];
            scalars.extend(step.grad_norm.map(|norm| ("train/grad_norm", norm as f32)));
            scalars.extend(step.loss_scale.map(|scale| ("train/loss_scale", scale as f32)));
            (step.step, scalars)
        }
        Line::Eval(eval) => {
            let loss = ("eval/loss", eval.eval_loss as f32);
            (eval.step, vec![loss, ("eval/perplexity", eval.eval_perplexity as f32)])
        }
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// A field of a message: its number, and a value of one of protobuf's wire types.
enum Field<'a> {
    Number(u32, u64),
    Double(u32, f64),
    Float(u32, f32),
    Bytes(u32, &'a [u8]),
}

fn event(seconds: f64, step: u64, what: Field<'_>) -> Vec<u8> {
    message(&[Field::Double(1, seconds), Field::Number(2, step), what])
}

fn message(fields: &[Field<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        match *field {
            Field::Number(number, value) => {
                varint(&mut out, u64::from(number) << 3);
                varint(&mut out, value);
            }
            Field::Double(number, value) => {
                varint(&mut out, (u64::from(number) << 3) | 1);
                out.extend(value.to_le_bytes());
            }
            Field::Bytes(number, value) => {
                varint(&mut out, (u64::from(number) << 3) | 2);
                varint(&mut out, value.len() as u64);
                out.extend(value);
            }
            Field::Float(number, value) => {
                varint(&mut out, (u64::from(number) << 3) | 5);
                out.extend(value.to_le_bytes());
            }
        }
    }
    out
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(content.len() + 16);
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(content);
    out.extend(masked(content).to_le_bytes());
    out
}

/// A checksum that stays one where it is itself part of what is checked.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Castagnoli's CRC-32 (RFC 3720, section 12.1), bit by bit: records are short.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::run::EvalMetrics;

    /// The examples of RFC 3720, appendix B.4.
    #[test]
    fn checksums_are_castagnolis() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// Contents of the records of a file whose checksums are right.
    fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(12);
            let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
            assert_eq!(head[8..], masked(&head[..8]).to_le_bytes());
            let (content, rest) = rest.split_at(length);
            assert_eq!(rest[..4], masked(content).to_le_bytes());
            records.push(content.to_vec());
            bytes = &rest[4..];
        }
        records
    }

    #[test]
    fn a_file_holds_its_version_the_session_and_the_scalars() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let mut events = EventFile::begin(&disk, folder.path(), 299).unwrap();
        let line = Line::Eval(EvalMetrics {
            step: 300,
            epoch: 1.0,
            eval_loss: 0.5,
            eval_perplexity: 2.0,
            eval_examples: 1,
            eval_labels: 1,
            eval_seconds: 1.0,
        });
        events.add(&disk, &line).unwrap();
        let records = records(&fs::read(&events.path).unwrap());
        // Nine bytes of time come first.
        assert_eq!(records[0][9..], *b"\x10\x00\x1a\x0dbrain.Event:2");
        assert_eq!(records[1][9..], *b"\x10\xac\x02\x3a\x02\x08\x01");
        let loss = b"\x0a\x09eval/loss\x15\x00\x00\x00\x3f";
        assert_eq!(records[2][9..14], *b"\x10\xac\x02\x2a\x2a");
        assert_eq!(records[2][14..16], [0x0a, loss.len() as u8]);
        assert_eq!(records[2][16..16 + loss.len()], *loss);
        assert_eq!(records.len(), 3);
        // A second file of the same moment is another one.
        assert_ne!(EventFile::begin(&disk, folder.path(), 0).unwrap().path, events.path);
    }
}
