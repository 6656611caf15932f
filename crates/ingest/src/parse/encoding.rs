//! From bytes to text: byte order marks, declared charsets, detection.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, GB18030, GBK, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Text of `bytes`: by byte order mark, else as UTF-8 where valid, else as `declared`, else by detection.
pub(crate) fn decode(bytes: &[u8], declared: Option<&str>) -> String {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let encoding = declared
        .and_then(|label| Encoding::for_label(label.as_bytes()))
        .filter(|e| *e != UTF_8)
        .unwrap_or_else(|| guess(bytes));
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    if let Some(wide) = utf16_without_mark(bytes) {
        return wide;
    }
    // A file that is UTF-8 but for a few damaged places, or cut within a character, is still UTF-8.
    let lossy = String::from_utf8_lossy(&bytes[..bytes.len().min(1 << 20)]);
    let damaged = lossy.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
    let foreign = lossy.chars().filter(|c| !c.is_ascii()).count();
    if damaged * 20 <= foreign {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&bytes[..bytes.len().min(1 << 20)], true);
    let found = detector.guess(None, Utf8Detection::Deny);
    // GB18030 reads all that GBK does, and more.
    if found == GBK {
        GB18030
    } else if found.is_single_byte() && bytes.len() < 16 {
        WINDOWS_1252
    } else {
        found
    }
}

/// Mostly Latin UTF-16 shows by its zero bytes.
fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(4096) & !1];
    if head.len() < 4 {
        return None;
    }
    let zeros = |offset: usize| head.iter().skip(offset).step_by(2).filter(|b| **b == 0).count();
    let half = head.len() / 2;
    if zeros(1) * 10 > half * 7 && zeros(0) == 0 {
        return Some(UTF_16LE);
    }
    if zeros(0) * 10 > half * 7 && zeros(1) == 0 {
        return Some(UTF_16BE);
    }
    None
}

/// Whether `bytes` can be text: few control bytes, or UTF-16.
pub(crate) fn looks_like_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(16 << 10)];
    if Encoding::for_bom(head).is_some() || utf16_without_mark(head).is_some() {
        return true;
    }
    let odd = head.iter().filter(|b| matches!(b, 0..=8 | 14..=26 | 28..=31 | 127)).count();
    odd * 50 <= head.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn encodings() {
        let chinese = "员工手册：年假为三十天，需要提前两周申请。";
        assert_eq!(decode(&GB18030.encode(chinese).0, None), chinese);
        let german = "Die Prüfung der Geräte erfolgt jährlich; Kosten trägt die Gesellschaft für Öl.";
        assert_eq!(decode(&WINDOWS_1252.encode(german).0, None), german);
        let wide: Vec<u8> =
            [0xFF, 0xFE].into_iter().chain("héllo".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(decode(&wide, None), "héllo");
        let cut = &"Prüfung und Öl und Ärger".as_bytes()[..23];
        assert!(decode(&cut[..4], None).starts_with("Prü"));
        assert!(!looks_like_text(&[0, 1, 2, 3, 0, 0, 5, 255]));
        assert!(looks_like_text(german.as_bytes()));
    }
}
