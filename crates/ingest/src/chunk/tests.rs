#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lore_core::{Block, BlockKind, Format, Heading, Limits, NewChunk, Parsed, Span, TokenCounter};
use proptest::prelude::*;

use super::*;
use crate::parse;

/// Like a word-piece tokenizer: four letters a token, any other character its own.
fn tokens(text: &str) -> usize {
    let (mut total, mut run) = (0, 0);
    for c in text.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() {
            run += 1;
            continue;
        }
        total += usize::div_ceil(run, 4) + usize::from(!c.is_whitespace());
        run = 0;
    }
    total
}

fn counter() -> TokenCounter {
    Arc::new(tokens)
}

fn markdown(text: &str) -> Parsed {
    parse::parse(Format::Md, text.as_bytes(), "a.md", &Limits::default()).unwrap()
}

fn config(max: usize) -> ChunkConfig {
    ChunkConfig { max_tokens: max, ..ChunkConfig::default() }
}

fn texts(parsed: &Parsed, config: &ChunkConfig) -> Vec<String> {
    let slice = |c: &NewChunk| c.span.slice(&parsed.text).unwrap().to_owned();
    chunk(parsed, config, &counter()).iter().map(slice).collect()
}

fn words(n: usize, word: &str) -> String {
    vec![word; n].join(" ")
}

#[test]
fn sentences_of_a_long_line_are_found_in_one_pass() {
    // 20,000 sentences on one line, marks alone at its start: each used to look at the whole line before it.
    let parsed = markdown(&format!("{}\n", "Ab. ".repeat(20_000)));
    let chunks = chunk(&parsed, &config(200), &counter());
    assert!(chunks.len() > 150 && chunks.iter().all(|c| !c.span.is_empty()));
    let parsed = markdown(&format!("... {}\n", "! ".repeat(20_000)));
    assert!(!chunk(&parsed, &config(200), &counter()).is_empty());
    // A bullet belongs to the sentence behind it.
    let list = markdown(&format!("- {}\n- {}\n", "one two. ".repeat(30), "three four. ".repeat(30)));
    assert!(texts(&list, &config(40)).iter().any(|t| t.starts_with("- three")));
}

#[test]
fn sections_do_not_mix() {
    let text = format!(
        "# Leave\n\n{}\n\n## Munich\n\n{}\n\n## Austin\n\n{}\n",
        words(60, "intro"),
        words(60, "bavaria"),
        words(60, "texas")
    );
    let parsed = markdown(&text);
    let chunks = chunk(&parsed, &config(200), &counter());
    let paths: Vec<_> = chunks.iter().map(|c| c.headings.join(" > ")).collect();
    assert_eq!(paths, ["Leave", "Leave > Munich", "Leave > Austin"]);
    assert!(texts(&parsed, &config(200))[1].starts_with("## Munich\n\nbavaria"));
}

#[test]
fn tiny_sections_join_their_sibling() {
    let text = "# FAQ\n\n## One?\n\nYes.\n\n## Two?\n\nNo.\n\n# Other\n\nDone.\n";
    let parsed = markdown(text);
    let chunks = chunk(&parsed, &config(200), &counter());
    let paths: Vec<_> = chunks.iter().map(|c| c.headings.join(" > ")).collect();
    assert_eq!(paths, ["FAQ", "Other"]);
    let none = ChunkConfig { min_tokens: 0, ..config(200) };
    let paths: Vec<_> = chunk(&parsed, &none, &counter()).iter().map(|c| c.headings.join(" > ")).collect();
    assert_eq!(paths, ["FAQ > One?", "FAQ > Two?", "Other"]);
    assert!(texts(&parsed, &none)[0].starts_with("# FAQ\n\n## One?"), "a bare heading goes to its child");
}

fn table(rows: usize) -> String {
    let rows: Vec<String> = (0..rows).map(|i| format!("| item{i} | {i} | on the shelf |")).collect();
    format!("| Name | Count | Place |\n| --- | --- | --- |\n{}", rows.join("\n"))
}

#[test]
fn a_table_that_fits_stays_whole() {
    let text = format!("# Stock\n\n{}\n\n{}\n\n{}\n", words(150, "some"), table(8), words(150, "more"));
    let parsed = markdown(&text);
    let all = texts(&parsed, &config(200));
    assert!(all.iter().any(|t| t.contains(&table(8))), "{all:?}");
}

#[test]
fn a_long_table_is_cut_between_rows_and_repeats_its_header() {
    let text = format!("# Stock\n\nWhat we have:\n\n{}\n\nAfter the table.\n", table(80));
    let parsed = markdown(&text);
    let chunks = chunk(&parsed, &config(200), &counter());
    let all = texts(&parsed, &config(200));
    assert!(chunks.len() > 4);
    assert!(all[0].contains("What we have:\n\n| Name | Count | Place |"), "{}", all[0]);
    assert_eq!(chunks[0].context, None);
    for (chunk, text) in chunks.iter().zip(&all).skip(1).filter(|(_, t)| t.starts_with('|')) {
        assert_eq!(chunk.context.as_deref(), Some("| Name | Count | Place |\n| --- | --- | --- |"));
        assert!(text.lines().all(|row| row.starts_with('|') && row.ends_with('|')), "{text}");
        assert!(tokens(&chunk.embed_text("Stock", text)) <= 254);
    }
    assert_eq!(
        chunks.iter().filter(|c| c.context.is_some()).count(),
        all.iter().skip(1).filter(|t| t.starts_with('|')).count()
    );
}

#[test]
fn cuts_fall_between_sentences() {
    let english = "Dr. Keller pays 3.50 EUR for each of the meals that are eaten abroad. ".repeat(40);
    for text in texts(&markdown(&english), &config(100)) {
        assert!(text.starts_with("Dr. Keller") && text.ends_with("abroad."), "{text}");
    }
    let chinese = "员工每年享有十五天带薪年假，须提前三周申请。试用期为三个月！满三年后可以增加吗？可以；满八年后再增加。".repeat(20);
    for text in texts(&markdown(&chinese), &config(100)) {
        assert!(text.ends_with(['。', '！', '？', '；']), "{text}");
    }
}

#[test]
fn a_sentence_over_the_budget_is_cut_between_clauses_or_words() {
    let clauses = "甲方应当按照约定支付全部款项，".repeat(30);
    for text in texts(&markdown(&clauses), &config(100)) {
        assert!(text.ends_with('，') && tokens(&text) <= 100, "{text}");
    }
    let long = words(300, "word");
    let parts = texts(&markdown(&long), &config(100));
    assert!(parts.len() == 3 && parts.iter().all(|t| tokens(t) == 100 && t.starts_with("word")), "{parts:?}");
    let endless = "x".repeat(20_000);
    assert!(texts(&markdown(&endless), &config(100)).iter().all(|t| tokens(t) <= 100));
}

#[test]
fn list_items_stay_together() {
    let list: Vec<String> =
        (0..40).map(|i| format!("- Item {i}: take it, then put it back. Twice.")).collect();
    let parsed = markdown(&format!("Steps:\n\n{}", list.join("\n")));
    for (i, text) in texts(&parsed, &config(100)).iter().enumerate() {
        assert!(i == 0 || text.starts_with("- Item "), "{text}");
        assert!(text.ends_with("Twice."), "{text}");
    }
}

#[test]
fn an_edit_leaves_distant_chunks_alone() {
    let paragraph = |i: usize| format!("Paragraph {i} says this. {}", words(20 + (i * 7) % 60, "text"));
    let build = |edit: Option<usize>| {
        let all: Vec<String> = (0..120)
            .map(|i| if edit == Some(i) { format!("Something new. {}", paragraph(i)) } else { paragraph(i) })
            .collect();
        texts(&markdown(&all.join("\n\n")), &config(200))
    };
    let (old, new) = (build(None), build(Some(60)));
    let changed = new.iter().filter(|t| !old.contains(t)).count();
    assert!(changed <= 6, "{changed} of {}", new.len());
}

#[test]
fn overlap_repeats_whole_sentences() {
    let text: String =
        (0..60).map(|i| format!("Sentence number {i} has nine words in it, really. ")).collect();
    let parsed = markdown(&text);
    let overlapping = ChunkConfig { overlap_tokens: 20, ..config(100) };
    let chunks = chunk(&parsed, &overlapping, &counter());
    assert!(chunks.windows(2).all(|w| w[1].span.start < w[0].span.end));
    assert!(texts(&parsed, &overlapping).iter().all(|t| t.starts_with("Sentence") && tokens(t) <= 100));
}

#[test]
fn long_headings_leave_room_for_text() {
    let text = format!("# {}\n\n{}", words(300, "heading"), words(300, "text"));
    let parsed = markdown(&text);
    assert!(texts(&parsed, &config(200)).iter().all(|t| tokens(t) <= 200));
}

#[test]
fn text_is_counted_a_few_times_at_most() {
    let counted = Arc::new(AtomicUsize::new(0));
    let inner = counted.clone();
    let count: TokenCounter = Arc::new(move |text: &str| {
        inner.fetch_add(text.len(), Ordering::Relaxed);
        tokens(text)
    });
    let english = "Each of the many different employees gets thirty days of paid leave, as agreed. ";
    let mixed = format!(
        "{}\n\n{}\n\n{}",
        english.repeat(400),
        "所有员工每年都有三十天的带薪年假。".repeat(600),
        "长".repeat(6_000)
    );
    for text in [mixed, table(2_000), "a b ".repeat(10_000)] {
        counted.store(0, Ordering::Relaxed);
        let parsed = Parsed { text, ..Parsed::default() };
        assert!(chunk(&parsed, &config(200), &count).len() > 100);
        let times = counted.load(Ordering::Relaxed) / parsed.text.len();
        assert!(times <= 12, "each byte was counted {times} times");
    }
}

/// What must hold for every text and configuration.
fn check(parsed: &Parsed, config: &ChunkConfig) -> Result<(), TestCaseError> {
    let chunks = chunk(parsed, config, &counter());
    let chars: Vec<char> = parsed.text.chars().collect();
    let mut covered = vec![false; chars.len()];
    let mut last = Span::default();
    for chunk in &chunks {
        let Span { start, end } = chunk.span;
        prop_assert!(start < end && end <= chars.len());
        prop_assert!(!chars[start].is_whitespace() && !chars[end - 1].is_whitespace());
        if config.overlap_tokens == 0 {
            prop_assert!(start >= last.end, "{:?} after {:?}", chunk.span, last);
        }
        prop_assert!(end > last.end);
        last = chunk.span;
        covered[start..end].fill(true);
        let text = chunk.span.slice(&parsed.text).unwrap_or_default();
        let title = parsed.title.as_deref().unwrap_or_default();
        let bare = NewChunk { context: None, ..chunk.clone() };
        let prefix = tokens(&bare.embed_text(title, "")) + if title.is_empty() { UNTITLED_TOKENS } else { 0 };
        let context = chunk.context.as_deref().map_or(0, tokens);
        prop_assert!(
            tokens(text) + context <= config.budget(prefix),
            "{} + {} tokens, {} allowed",
            tokens(text),
            context,
            config.budget(prefix)
        );
    }
    for (at, c) in chars.iter().enumerate() {
        prop_assert!(covered[at] || c.is_whitespace(), "{c:?} at {at} is in no chunk");
    }
    Ok(())
}

fn configs() -> impl Strategy<Value = ChunkConfig> {
    (8usize..120, 0usize..60, prop_oneof![Just(0), 1usize..30], 40usize..300).prop_map(
        |(max_tokens, min_tokens, overlap_tokens, window)| ChunkConfig {
            max_tokens,
            min_tokens,
            overlap_tokens,
            window: Window(window),
        },
    )
}

fn markdown_text() -> impl Strategy<Value = String> {
    let sentence = "([a-z]{1,9}[ ,，]){0,30}[a-z]{1,6}[.。!?；]( |\n)?";
    let row = "\\|( [a-z0-9]{0,12} \\|){2,4}\n";
    let block = prop_oneof![
        (1usize..5, "[A-Za-z漢字]{1,12}").prop_map(|(n, t)| format!("{} {t}", "#".repeat(n))),
        prop::collection::vec(sentence, 1..8).prop_map(|s| s.concat()),
        prop::collection::vec(sentence, 1..8)
            .prop_map(|s| s.iter().map(|s| format!("- {}\n", s.trim())).collect()),
        (row, prop::collection::vec(row, 0..40))
            .prop_map(|(head, rows)| format!("{head}| --- | --- |\n{}", rows.concat())),
        "```\n([a-z ={}]{0,40}\n){0,12}```",
        "[\\PC]{0,80}",
    ];
    prop::collection::vec(block, 1..12).prop_map(|blocks| blocks.join("\n\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn generated_markdown(text in markdown_text(), config in configs()) {
        if let Ok(parsed) = parse::parse(Format::Md, text.as_bytes(), "a.md", &Limits::default()) {
            check(&parsed, &config)?;
        }
    }

    #[test]
    fn any_text_with_any_blocks(
        text in "(\\PC|[ \n|#-]|[a-z]{1,9}){0,300}",
        cuts in prop::collection::vec((0usize..300, 0usize..60, 0usize..5), 0..8),
        title in prop::option::of("[a-z ]{0,30}"),
        config in configs(),
    ) {
        let total = text.chars().count();
        let mut parsed = Parsed { text, title, ..Parsed::default() };
        let mut at = 0;
        for (gap, len, kind) in cuts {
            let start = (at + gap % 40).min(total);
            let span = Span::new(start, (start + len).min(total));
            let kind = [BlockKind::Heading, BlockKind::Paragraph, BlockKind::List, BlockKind::Table, BlockKind::Code][kind];
            if kind == BlockKind::Heading {
                parsed.headings.push(Heading { level: 1 + (len % 3) as u8, title: "h".repeat(len % 9 + 1), at: start });
            }
            parsed.blocks.push(Block { kind, span });
            at = span.end;
        }
        check(&parsed, &config)?;
    }
}
