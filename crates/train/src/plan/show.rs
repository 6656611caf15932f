//! A plan as a person reads it.

use std::fmt;

use super::Plan;

/// A number with its thousands apart.
pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number to three digits or so.
fn about(number: usize) -> String {
    match number {
        0..10_000 => count(number),
        10_000..1_000_000 => format!("{:.0} k", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{:.2} G", number as f64 / 1e9),
    }
}

/// Bytes to three digits or so.
fn bytes(number: u64) -> String {
    match number {
        0..1_000_000 => format!("{:.0} kB", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", number as f64 / 1e6),
        _ => format!("{:.1} GB", number as f64 / 1e9),
    }
}

/// A count with the word for one or many.
fn many(number: usize, one: &str, several: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { several })
}

impl fmt::Display for Plan {
    /// Some lines without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, data, batches, memory, .. } = self;
        let from = if base.random { "random weights in the shape of " } else { "" };
        writeln!(
            f,
            "base      {from}{}: {}, {}, {} values",
            base.name,
            base.architecture,
            many(base.layers, "layer", "layers"),
            about(base.values)
        )?;
        writeln!(f, "method    {}", self.method)?;
        let share = 100.0 * self.trained as f64 / self.values.max(1) as f64;
        let places = if share < 10.0 { 2 } else { 0 };
        writeln!(
            f,
            "trained   {} of {} values ({share:.places$} %)",
            about(self.trained),
            about(self.values)
        )?;
        let held_out = match data.held_out {
            0 => String::new(),
            held_out => format!(", {} held out", count(held_out)),
        };
        writeln!(
            f,
            "examples  {}{held_out}; {} tokens, {} of them learned, {} in the longest",
            count(data.examples),
            about(data.tokens),
            about(data.labels),
            count(data.longest)
        )?;
        let found = if batches.found_at_start { " (found at the start; this is an estimate)" } else { "" };
        writeln!(
            f,
            "batches   {} an epoch, of {}{found}; the largest has {} tokens",
            count(batches.per_epoch),
            batches.of,
            count(batches.largest)
        )?;
        let each = match batches.per_step {
            1 => "one batch each".to_owned(),
            per_step => format!("{per_step} batches each"),
        };
        let warmup = match self.warmup_steps {
            0 => String::new(),
            warmup => format!(", {} of them warm-up", count(warmup)),
        };
        writeln!(f, "steps     {}, {each}{warmup}", count(self.steps))?;
        writeln!(f, "memory    about {}, beside what the program takes itself", bytes(memory.total()))?;
        if memory.weights > 0 {
            writeln!(f, "  {:>8}  frozen weights, {}", bytes(memory.weights), base.kind)?;
        }
        let trained = memory.values + memory.gradients + memory.moments;
        writeln!(f, "  {:>8}  trained values, gradients and moments", bytes(trained))?;
        let other = match memory.activations == memory.activations_checkpointed {
            true => format!("{} without gradient_checkpointing", bytes(memory.activations_kept)),
            false => format!("{} with gradient_checkpointing", bytes(memory.activations_checkpointed)),
        };
        writeln!(f, "  {:>8}  activations of the largest batch ({other})", bytes(memory.activations))?;
        writeln!(f, "  {:>8}  logits", bytes(memory.logits))?;
        write!(f, "output    {}", self.output_dir.display())?;
        if let Some(checkpoint) = &self.resumes_from {
            write!(f, "\nresumes   from {}", checkpoint.display())?;
        }
        if self.in_the_way {
            write!(
                f,
                "\n          is not empty, so that nothing would start: go on with what is there (--resume), set \
                 overwrite_output_dir: true, or name another output_dir"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 999, 1000, 1234567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [9_999, 12_345, 12_345_678, 1_234_567_890].map(about),
            ["9,999", "12 k", "12.3 M", "1.23 G"]
        );
        assert_eq!([12_345, 12_345_678, 1_234_567_890].map(bytes), ["12 kB", "12 MB", "1.2 GB"]);
    }
}
