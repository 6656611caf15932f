//! What every parser does to characters: controls go, white space is one space, wrapped lines are joined.

/// Whether `c` is written without spaces between words: Han, kana, and their punctuation (Hangul has spaces).
pub(crate) fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{2E80}'..='\u{303F}' | '\u{3041}'..='\u{30FF}' | '\u{3100}'..='\u{312F}' | '\u{31A0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{FE30}'..='\u{FE4F}'
        | '\u{FF00}'..='\u{FF65}' | '\u{20000}'..='\u{3134F}')
}

/// Whether `c` is a Han character.
pub(crate) fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3134F}')
}

/// What stands between the two characters where a line was wrapped.
pub(crate) fn joint(before: Option<char>, after: Option<char>) -> &'static str {
    match (before, after) {
        (Some(a), Some(b)) if is_cjk(a) && is_cjk(b) => "",
        (Some(_), Some(_)) => " ",
        _ => "",
    }
}

/// Appends `next` to `text` as the continuation of a wrapped line.
pub(crate) fn join(text: &mut String, next: &str) {
    let next = next.trim();
    text.truncate(text.trim_end().len());
    text.push_str(joint(text.chars().next_back(), next.chars().next()));
    text.push_str(next);
}

/// Line ends as `\n`; NUL, byte order marks and control characters (but tab) dropped.
///
/// Form feeds, vertical tabs, NEL and Unicode's line separators become line ends.
pub(crate) fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\n' | '\t' => out.push(c),
            '\u{0B}' | '\u{85}' | '\u{2028}' => out.push('\n'),
            '\u{0C}' | '\u{2029}' => out.push_str("\n\n"),
            '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Inline text: each run of white space is one space (a lone ideographic space stays), controls, soft hyphens and
/// zero-width spaces go, ends are trimmed.
pub(crate) fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut space: Option<char> = None;
    for c in text.chars() {
        if c.is_whitespace() {
            space = Some(if space.is_none() && c == '\u{3000}' { c } else { ' ' });
        } else if c.is_control() || matches!(c, '\u{FEFF}' | '\u{AD}' | '\u{200B}' | '\u{FFFE}' | '\u{FFFF}')
        {
        } else {
            if let Some(s) = space.take()
                && !out.is_empty()
            {
                out.push(s);
            }
            out.push(c);
        }
    }
    out
}

/// A table cell: inline text whose `|` are escaped.
pub(crate) fn cell(text: &str) -> String {
    let text = inline(text);
    if !text.contains('|') {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 4);
    let mut escaped = false;
    for c in text.chars() {
        if c == '|' && !escaped {
            out.push('\\');
        }
        escaped = c == '\\' && !escaped;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joints() {
        let join_all = |parts: &[&str]| {
            let mut text = String::new();
            for part in parts {
                join(&mut text, part);
            }
            text
        };
        assert_eq!(join_all(&["one ", " two"]), "one two");
        assert_eq!(join_all(&["员工每年", "享有年假。"]), "员工每年享有年假。");
        assert_eq!(join_all(&["使用", "VPN 登录"]), "使用 VPN 登录");
    }

    #[test]
    fn characters() {
        assert_eq!(normalise("\u{FEFF}a\r\nb\rc\0\u{1}\td"), "a\nb\nc\td");
        assert_eq!(inline("  a\u{A0}\n b\u{AD}c \u{3000}"), "a bc");
        assert_eq!(inline("甲\u{3000}乙"), "甲\u{3000}乙");
        assert_eq!(cell("a|b\\|c"), "a\\|b\\|c");
    }
}
