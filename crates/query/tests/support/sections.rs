//! Documents of tests: a text whose lines are headings and paragraphs, cut by its sections.

use lore_core::{Block, BlockKind, Heading, NewChunk, Parsed, Span};

/// The text with its blocks: each line a heading or a paragraph.
pub fn parsed(text: &str) -> Parsed {
    let (mut blocks, mut headings) = (Vec::new(), Vec::new());
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let span = Span::new(at, at + line.trim_end().chars().count());
        let kind = match line.strip_prefix("# ") {
            Some(title) => {
                headings.push(Heading { level: 1, title: title.trim().to_owned(), at });
                BlockKind::Heading
            }
            None => BlockKind::Paragraph,
        };
        if !span.is_empty() {
            blocks.push(Block { kind, span });
        }
        at += line.chars().count();
    }
    let title = headings.first().map(|heading| heading.title.clone());
    Parsed {
        title,
        text: text.to_owned(),
        blocks,
        headings,
        language: Some("en".into()),
        ..Parsed::default()
    }
}

/// A chunk for each section.
pub fn chunks(text: &str) -> Vec<NewChunk> {
    let parsed = parsed(text);
    let end = text.chars().count();
    let starts: Vec<usize> = match parsed.headings.as_slice() {
        [] => vec![0],
        headings => headings.iter().map(|heading| heading.at).collect(),
    };
    let ends = starts.iter().skip(1).copied().chain([end]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| NewChunk {
            span: Span::new(start, end),
            pages: None,
            headings: parsed.heading_path(start),
            context: None,
        })
        .collect()
}
