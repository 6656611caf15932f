#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// The text without markers, and each marker as `numbers@place`.
fn read(text: &str) -> (String, Vec<String>) {
    let (clean, markers) = parse(text, 9);
    let told = markers.iter().map(|m| {
        let numbers: Vec<String> = m.numbers.iter().map(u32::to_string).collect();
        format!("{}@{}", numbers.join("+"), m.at)
    });
    (clean, told.collect())
}

#[track_caller]
fn reads(text: &str, clean: &str, markers: &[&str]) {
    let (found, told) = read(text);
    assert_eq!((found.as_str(), told), (clean, markers.iter().map(|m| (*m).to_owned()).collect::<Vec<_>>()));
}

#[test]
fn markers_before_and_after_the_full_stop() {
    reads("Thirty days [1]. More [2].", "Thirty days. More.", &["1@11", "2@17"]);
    reads("Thirty days. [1] More.[2]", "Thirty days. More.", &["1@12", "2@18"]);
    reads("30 天。【1】更多[2]。", "30 天。更多。", &["1@5", "2@7"]);
    reads("Thirty days [1][3], or [2] more.", "Thirty days, or more.", &["1@11", "3@11", "2@15"]);
    reads("Thirty days [1] [3].", "Thirty days.", &["1@11", "3@11"]);
    reads("Thirty days.\n[1]\n\nMore.", "Thirty days.\n\n\nMore.", &["1@13"]);
}

#[test]
fn several_numbers_in_one_marker() {
    reads("A [1, 2].", "A.", &["1+2@1"]);
    reads("A [1，3、2].", "A.", &["1+3+2@1"]);
    reads("A [2-4].", "A.", &["2+3+4@1"]);
    reads("A [[1]] b [[1],[2]].", "A b [,].", &["1@1", "1@5", "2@6"]);
    reads("A ［ 1 ］.", "A.", &["1@1"]);
}

#[test]
fn at_the_start_of_a_line_the_space_after_goes_too() {
    reads("[1] Thirty days.\n - [2] More", "Thirty days.\n - More", &["1@0", "2@15"]);
    reads("[1][2] Thirty.", "Thirty.", &["1@0", "2@0"]);
}

#[test]
fn unknown_numbers_are_dropped() {
    reads("A [12]. B [0]. C [2024]. D [1, 30].", "A. B [0]. C [2024]. D.", &["1@21"]);
}

#[test]
fn what_is_no_marker_stays() {
    for text in [
        "[text](url) and [1](url) and [x] and [ ] todo",
        "[1]: https://example.org",
        "values[0], [a], [1 2], [1.5], [-1], [], [1,], [01]",
        "in `a[1]` and ``b ` [2]`` code",
        "```\na[1] = b[2]\n```\n",
        "~~~sh\necho [1]\n~~~",
        "escaped \\[1] bracket",
        "an open [1",
        "an open [[1]",
    ] {
        let (clean, markers) = read(text);
        assert_eq!((clean.as_str(), markers), (text, vec![]), "{text}");
    }
    reads(
        "`a[1]` is so [2].\n```\n[1]\n```\nAfter [3]",
        "`a[1]` is so.\n```\n[1]\n```\nAfter",
        &["2@12", "3@31"],
    );
    reads("one ` alone\nthen [1].", "one ` alone\nthen.", &["1@16"]);
}

/// Markers by a search from left to right, for texts without code and backslashes: written apart from the parser.
fn by_search(text: &str) -> (String, Vec<(Vec<u32>, usize)>) {
    let marker = regex::Regex::new(r"^\[ *[1-9][0-9]{0,2} *(?:[,;-] *[1-9][0-9]{0,2} *)*\]").unwrap();
    let (mut clean, mut found, mut at) = (String::new(), Vec::new(), 0);
    while at < text.len() {
        let rest = &text[at..];
        let line = clean.rsplit('\n').next().unwrap_or_default();
        let blank = line.trim_matches([' ', '\t']).is_empty();
        if let Some(hit) = marker.find(rest) {
            let marked =
                found.last().is_some_and(|(_, place): &(Vec<u32>, usize)| *place == clean.chars().count());
            let after = rest[hit.end()..].chars().next();
            if after != Some('(') && !(after == Some(':') && blank && !(marked && line.is_empty())) {
                let spaced = clean.len() - clean.trim_end_matches([' ', '\t']).len();
                clean.truncate(clean.len() - spaced);
                let mut numbers: Vec<u32> = Vec::new();
                for part in hit.as_str().trim_matches(['[', ']']).split([',', ';']) {
                    let ends: Vec<u32> = part.split('-').map(|n| n.trim().parse().unwrap()).collect();
                    for pair in ends.windows(2) {
                        for n in [pair[0]].into_iter().chain(pair[0].min(pair[1])..=pair[1]) {
                            if !numbers.contains(&n) {
                                numbers.push(n);
                            }
                        }
                    }
                    if !numbers.contains(&ends[0]) {
                        numbers.push(ends[0]);
                    }
                }
                numbers.truncate(16);
                found.push((numbers, clean.chars().count()));
                at += hit.end();
                if blank {
                    at += text[at..].len() - text[at..].trim_start_matches([' ', '\t']).len();
                }
                continue;
            }
            clean.push_str(hit.as_str());
            at += hit.end();
            continue;
        }
        let c = rest.chars().next().unwrap();
        clean.push(c);
        at += c.len_utf8();
    }
    (clean, found)
}

fn told(pieces: Vec<Piece>) -> (String, Vec<Marker>) {
    let (mut clean, mut markers) = (String::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Text(text) => clean.push_str(&text),
            Piece::Marker(marker) => {
                assert_eq!(marker.at, clean.chars().count(), "a marker comes where it stands");
                markers.push(marker);
            }
        }
    }
    (clean, markers)
}

proptest! {
    #[test]
    fn pieces_are_read_like_the_whole(
        text in "([a-c. 漢。é\n`~\\\\(:]|\\[[1-9]\\]|\\[|\\]|【|】|[0-9,-]|\\[1, 2\\]|```){0,40}",
        cuts in proptest::collection::vec(0usize..120, 0..12),
    ) {
        let chars: Vec<char> = text.chars().collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(chars.len())).collect();
        cuts.extend([0, chars.len()]);
        cuts.sort_unstable();
        let mut parser = CitationParser::new(7);
        let mut pieces = Vec::new();
        for pair in cuts.windows(2) {
            let piece: String = chars[pair[0]..pair[1]].iter().collect();
            parser.push(&piece, &mut pieces);
        }
        parser.finish(&mut pieces);
        prop_assert_eq!(told(pieces), parse(&text, 7));
    }

    #[test]
    fn the_parser_finds_what_a_search_finds(
        text in "([a-c. 漢\n(]|\\[[1-9]\\]|\\[[1-3], ?[4-6]\\]|\\[[1-3]-[4-6]\\]|x\\[a|y\\]|[0-9]){0,24}",
    ) {
        let (clean, markers) = parse(&text, 999);
        let markers: Vec<(Vec<u32>, usize)> = markers.into_iter().map(|m| (m.numbers, m.at)).collect();
        prop_assert_eq!((clean, markers), by_search(&text));
    }

    #[test]
    fn little_is_held_back(text in "([a-z \\[\\]0-9,]|\\[[0-9]){0,200}") {
        let mut parser = CitationParser::new(9);
        let mut out = Vec::new();
        for c in text.chars() {
            parser.push(&c.to_string(), &mut out);
            prop_assert!(parser.held.chars().count() <= 2 * LONGEST);
        }
    }
}
