//! 8-bit weights with one scale for each row (Dettmers et al. 2022, "LLM.int8()", section 2, vector-wise quantisation).

use candle_core::Result;

use super::bytes::Bytes;

/// A matrix `[rows, columns]` of 8-bit whole numbers: value `i` of row `r` is `codes[r][i] * scales[r]`.
#[derive(Clone, PartialEq)]
pub struct Int8Matrix {
    rows: usize,
    columns: usize,
    codes: Bytes,
    scales: Vec<f32>,
}

impl std::fmt::Debug for Int8Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Int8Matrix([{}, {}])", self.rows, self.columns)
    }
}

impl Int8Matrix {
    /// Quantises row-major values: the largest of a row becomes 127.
    ///
    /// # Errors
    /// When there are not `rows * columns` values, or one is not finite.
    pub fn quantise(values: &[f32], rows: usize, columns: usize) -> Result<Self> {
        if rows.checked_mul(columns) != Some(values.len()) || values.is_empty() {
            candle_core::bail!("{} values are no matrix of {rows} by {columns}", values.len());
        }
        if values.iter().any(|value| !value.is_finite()) {
            candle_core::bail!("a weight that is not finite has no place in 8 bits");
        }
        let (mut codes, mut scales) = (Vec::with_capacity(values.len()), Vec::with_capacity(rows));
        for row in values.chunks_exact(columns) {
            let most = row.iter().fold(0f32, |most, value| most.max(value.abs()));
            let scale = most / 127.0;
            scales.push(scale);
            // Rounded as bitsandbytes rounds it, since half of a row's largest value, of which bf16 has many, is a tie.
            let inverse = most.recip() * 127.0;
            codes.extend(row.iter().map(|value| {
                let code = if scale > 0.0 { (value * inverse).round_ties_even() } else { 0.0 };
                (code.clamp(-127.0, 127.0) as i8).cast_unsigned()
            }));
        }
        Ok(Self { rows, columns, codes: Bytes::Owned(codes), scales })
    }

    /// From the whole numbers, row-major, and the scale of each row.
    ///
    /// # Errors
    /// When the lengths do not fit each other.
    pub(crate) fn from_stored(rows: usize, columns: usize, codes: Bytes, scales: Vec<f32>) -> Result<Self> {
        if codes.is_empty() || rows.checked_mul(columns) != Some(codes.len()) || scales.len() != rows {
            candle_core::bail!("the parts of an 8-bit matrix do not make one of {rows} by {columns}");
        }
        Ok(Self { rows, columns, codes, scales })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The whole numbers as bytes, row-major.
    pub(crate) fn stored(&self) -> &[u8] {
        &self.codes
    }

    /// The whole numbers, row-major, and the scale of each row.
    pub(crate) fn parts(&self) -> (&[i8], &[f32]) {
        (self.codes.signed(), &self.scales)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.codes.len() + self.scales.len() * size_of::<f32>()
    }

    /// Writes the values from `start` on (row-major) into `out`.
    ///
    /// # Panics
    /// When there are fewer values than `out` holds.
    pub fn dequantise(&self, start: usize, out: &mut [f32]) {
        let codes = &self.codes.signed()[start..start + out.len()];
        for (index, (out, code)) in out.iter_mut().zip(codes).enumerate() {
            *out = f32::from(*code) * self.scales[(start + index) / self.columns];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_within_half_a_step() {
        let values: Vec<f32> = (0..60).map(|i| ((i * 37 % 61) as f32 - 30.0) / (1 + i / 20) as f32).collect();
        let matrix = Int8Matrix::quantise(&values, 3, 20).expect("fits");
        let mut back = vec![0.0; 60];
        matrix.dequantise(0, &mut back);
        for (row, (own, back)) in values.chunks(20).zip(back.chunks(20)).enumerate() {
            let most = own.iter().fold(0f32, |most, v| most.max(v.abs()));
            assert!(own.iter().zip(back).all(|(a, b)| (a - b).abs() <= most / 254.0 * 1.001), "row {row}");
        }
        let mut part = vec![0.0; 5];
        matrix.dequantise(18, &mut part);
        assert_eq!(part, back[18..23]);
        assert!(Int8Matrix::quantise(&[f32::NAN], 1, 1).is_err());
        assert!(Int8Matrix::quantise(&[0.0, 0.0], 1, 2).is_ok());
    }
}
