//! Percent-encoding, for addresses and headers.

/// `text` with every byte encoded but ASCII letters, digits and those of `keep`.
pub(crate) fn encoded(text: &str, keep: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from(DIGITS[usize::from(digit)]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn all_but_letters_digits_and_what_is_kept_is_encoded() {
        assert_eq!(encoded("/c/1?a=b&c=é", b"/"), "/c/1%3Fa%3Db%26c%3D%C3%A9");
        assert_eq!(encoded("/c/1", b""), "%2Fc%2F1");
    }
}
