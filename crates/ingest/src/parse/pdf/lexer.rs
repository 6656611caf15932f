//! The tokens of a content stream (ISO 32000-1, 7.2, 7.3 and 7.8.2); damage is skipped.

/// Arrays within arrays and the like are data of images at most.
const MOST_DEPTH: usize = 12;

/// Most operands that an operator is given; further ones push out the first.
const MOST_OPERANDS: usize = 512;

/// An operand.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Name(Vec<u8>),
    String(Vec<u8>),
    Array(Vec<Value>),
    /// Keys and values in turn.
    Dictionary(Vec<Value>),
    /// `true`, `false`, `null`.
    Other,
}

impl Value {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Value::Number(n) => Some(*n),
            _ => None,
        }
    }
}

/// Reads operators one after the other.
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    most_operands: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, most_operands: MOST_OPERANDS }
    }

    /// As [`Lexer::new`], every operand kept: tables of a CMap are operands of the word that ends them.
    pub(super) fn of_map(bytes: &'a [u8]) -> Self {
        Self { most_operands: usize::MAX, ..Self::new(bytes) }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next operator; `operands` become its operands. Inline images are passed over.
    pub(super) fn operator(&mut self, operands: &mut Vec<Value>) -> Option<&'a [u8]> {
        operands.clear();
        loop {
            self.blanks();
            let byte = *self.bytes.get(self.at)?;
            if is_regular(byte) && !is_number_start(byte) {
                let word = self.word();
                match word {
                    b"true" | b"false" | b"null" => operands.push(Value::Other),
                    b"BI" => {
                        self.image();
                        operands.clear();
                    }
                    _ => return Some(word),
                }
            } else if let Some(value) = self.value(0) {
                if operands.len() >= self.most_operands {
                    operands.remove(0);
                }
                operands.push(value);
            }
        }
    }

    fn blanks(&mut self) {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'%' => {
                    let line =
                        self.bytes[self.at..].iter().take_while(|b| !matches!(b, b'\r' | b'\n')).count();
                    self.at += line;
                }
                b if is_blank(*b) => self.at += 1,
                _ => return,
            }
        }
    }

    fn word(&mut self) -> &'a [u8] {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(|b| is_regular(*b)) {
            self.at += 1;
        }
        &self.bytes[start..self.at]
    }

    /// The value here; `None` (and one byte passed) where none starts.
    fn value(&mut self, depth: usize) -> Option<Value> {
        let byte = *self.bytes.get(self.at)?;
        let next = self.bytes.get(self.at + 1).copied();
        match byte {
            b'/' => {
                self.at += 1;
                Some(Value::Name(unescaped(self.word())))
            }
            b'(' => {
                self.at += 1;
                Some(Value::String(self.literal()))
            }
            b'<' if next == Some(b'<') => {
                self.at += 2;
                Some(Value::Dictionary(self.until(
                    depth,
                    |lexer| lexer.bytes[lexer.at..].starts_with(b">>"),
                    2,
                )))
            }
            b'<' => {
                self.at += 1;
                Some(Value::String(self.hexadecimal()))
            }
            b'[' => {
                self.at += 1;
                Some(Value::Array(self.until(depth, |lexer| lexer.bytes[lexer.at] == b']', 1)))
            }
            b if is_number_start(b) => {
                let word = self.word();
                Some(number(word).map_or(Value::Other, Value::Number))
            }
            b if is_regular(b) => {
                self.word();
                Some(Value::Other)
            }
            _ => {
                self.at += 1;
                None
            }
        }
    }

    /// Values up to a closing mark of `width` bytes.
    fn until(&mut self, depth: usize, closes: impl Fn(&Self) -> bool, width: usize) -> Vec<Value> {
        let mut values = Vec::new();
        loop {
            self.blanks();
            if self.at >= self.bytes.len() {
                return values;
            }
            if closes(self) {
                self.at += width;
                return values;
            }
            if depth >= MOST_DEPTH {
                self.at += 1;
            } else {
                values.extend(self.value(depth + 1));
            }
        }
    }

    /// A string in brackets, its escapes resolved (7.3.4.2).
    fn literal(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut open = 1;
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'(' => open += 1,
                b')' => {
                    open -= 1;
                    if open == 0 {
                        break;
                    }
                }
                b'\\' => {
                    let Some(&escaped) = self.bytes.get(self.at) else { break };
                    self.at += 1;
                    match escaped {
                        b'n' => out.push(b'\n'),
                        b'r' => out.push(b'\r'),
                        b't' => out.push(b'\t'),
                        b'b' => out.push(8),
                        b'f' => out.push(12),
                        b'\n' => {}
                        b'\r' => {
                            if self.bytes.get(self.at) == Some(&b'\n') {
                                self.at += 1;
                            }
                        }
                        b'0'..=b'7' => {
                            let mut code = u32::from(escaped - b'0');
                            for _ in 0..2 {
                                match self.bytes.get(self.at) {
                                    Some(&digit @ b'0'..=b'7') => {
                                        code = code * 8 + u32::from(digit - b'0');
                                        self.at += 1;
                                    }
                                    _ => break,
                                }
                            }
                            out.push(code as u8);
                        }
                        other => out.push(other),
                    }
                    continue;
                }
                _ => {}
            }
            out.push(byte);
        }
        out
    }

    fn hexadecimal(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut half: Option<u8> = None;
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            if byte == b'>' {
                break;
            }
            let Some(digit) = char::from(byte).to_digit(16) else { continue };
            match half.take() {
                Some(high) => out.push(high << 4 | digit as u8),
                None => half = Some(digit as u8),
            }
        }
        out.extend(half.map(|high| high << 4));
        out
    }

    /// Passes over an inline image's entries and data, up to `EI` between blanks.
    fn image(&mut self) {
        let rest = &self.bytes[self.at..];
        let Some(data) = rest.windows(3).position(|w| w[0..2] == *b"ID" && is_blank(w[2])) else {
            self.at = self.bytes.len();
            return;
        };
        let ends = |w: &[u8]| is_blank(w[0]) && w[1..3] == *b"EI" && is_blank(w[3]);
        let end = rest[data..].windows(4).position(ends).map(|i| data + i + 3);
        self.at += end.unwrap_or(rest.len());
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, 0 | 9 | 10 | 12 | 13 | 32)
}

/// Neither blank nor a delimiter.
fn is_regular(byte: u8) -> bool {
    !is_blank(byte) && !matches!(byte, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}

fn is_number_start(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.')
}

/// A number; what some writers put out, such as `--3` or `1.2.3`, is read as far as it makes sense.
fn number(word: &[u8]) -> Option<f64> {
    let negative = word.starts_with(b"-");
    let digits: Vec<u8> = word.iter().copied().skip_while(|b| matches!(b, b'+' | b'-')).collect();
    let mut seen_point = false;
    let (mut value, mut scale) = (0.0f64, 1.0f64);
    for byte in &digits {
        match byte {
            b'0'..=b'9' if seen_point => {
                scale /= 10.0;
                value += f64::from(byte - b'0') * scale;
            }
            b'0'..=b'9' => value = value * 10.0 + f64::from(byte - b'0'),
            b'.' if !seen_point => seen_point = true,
            _ => break,
        }
    }
    let any = digits.first().is_some_and(|b| b.is_ascii_digit() || *b == b'.');
    (any && value.is_finite()).then_some(if negative { -value } else { value })
}

/// A name with its `#20` resolved.
fn unescaped(word: &[u8]) -> Vec<u8> {
    if !word.contains(&b'#') {
        return word.to_vec();
    }
    let mut out = Vec::with_capacity(word.len());
    let mut at = 0;
    while at < word.len() {
        let code =
            word.get(at + 1..at + 3).and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        match code {
            Some(code) if word[at] == b'#' => {
                out.push(code);
                at += 3;
            }
            _ => {
                out.push(word[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let source = b"q 1 0 0 -.5 +3 4. cm % note\n/F#201 12 Tf [(a\\(\\051\\n(b)) -250 <414>] TJ \
                       BI /W 1 ID x EI y EI Q /Span <</MCID 0>> BDC true (cut";
        let mut lexer = Lexer::new(source);
        let mut operands = Vec::new();
        let mut found = Vec::new();
        while let Some(operator) = lexer.operator(&mut operands) {
            found.push((String::from_utf8_lossy(operator).into_owned(), operands.clone()));
        }
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["q", "cm", "Tf", "TJ", "y", "EI", "Q", "BDC"]);
        let numbers: Vec<f64> = found[1].1.iter().filter_map(Value::number).collect();
        assert_eq!(numbers, [1.0, 0.0, 0.0, -0.5, 3.0, 4.0]);
        assert_eq!(found[2].1[0], Value::Name(b"F 1".to_vec()));
        assert_eq!(
            found[3].1[0],
            Value::Array(vec![
                Value::String(b"a()\n(b)".to_vec()),
                Value::Number(-250.0),
                Value::String(b"A@".to_vec())
            ])
        );
        assert_eq!(
            found[7].1,
            [
                Value::Name(b"Span".to_vec()),
                Value::Dictionary(vec![Value::Name(b"MCID".to_vec()), Value::Number(0.0)])
            ]
        );
    }
}
