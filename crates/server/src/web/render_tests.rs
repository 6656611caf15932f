#![allow(clippy::unwrap_used, reason = "tests")]
use std::time::{Duration, Instant};

use super::*;
use crate::web::marks::SpanKind;

fn notes() -> Notes {
    Notes { table: "table cut".into(), text: "text cut".into() }
}

fn html(text: &str) -> String {
    safe(text, Marks::new(text, &[], &[]), &notes())
}

fn cited(text: &str, ends: &[usize]) -> String {
    let citations: Vec<CitationMark> = ends
        .iter()
        .enumerate()
        .map(|(n, end)| CitationMark { start: 0, end: *end, number: n as u32 + 1 })
        .collect();
    let html = safe(text, Marks::new(text, &citations, &[]), &notes());
    for n in 1..=ends.len() {
        html.find(&format!("data-citation=\"{n}\"")).unwrap_or_else(|| panic!("{n} is not in {html}"));
    }
    html.replace(" type=\"button\" class=\"cite\"", "")
}

fn button(n: u32) -> String {
    format!("<button data-citation=\"{n}\">{n}</button>")
}

#[test]
fn markdown_becomes_html() {
    assert_eq!(
        html("# A\n\nOne *two* **three** `x<y`."),
        "<h3>A</h3>\n<p>One <em>two</em> <strong>three</strong> <code>x&lt;y</code>.</p>\n"
    );
    assert_eq!(html("- a\n- [x] b"), "<ul>\n<li>a</li>\n<li>☑ b</li>\n</ul>\n");
    assert_eq!(html("3. c\n4. d"), "<ol start=\"3\">\n<li>c</li>\n<li>d</li>\n</ol>\n");
    let table = html("| a | b |\n|---|--:|\n| 1 | 2<br>3 |");
    assert!(table.starts_with("<div class=\"table-box\" tabindex=\"0\"><table>"), "{table}");
    assert!(table.contains("<td class=\"right\">2<br>3</td>"), "{table}");
    assert_eq!(
        html("```rust\nlet a = 1 < 2;\n```"),
        "<pre tabindex=\"0\"><code>let a = 1 &lt; 2;\n</code></pre>\n"
    );
}

#[test]
fn nothing_of_a_hostile_text_runs() {
    for text in [
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "<svg/onload=alert(1)>",
        "<iframe src=\"https://evil.example\"></iframe>",
        "<style>body{display:none}</style>",
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1))",
        "[a](java&#10;script:alert(1))",
        "[a](\tjavascript:alert(1))",
        "[a](data:text/html,<script>alert(1)</script>)",
        "[a](vbscript:x)",
        "[a](//evil.example)",
        "[a](/session)",
        "[a](#main)",
        "<javascript:alert(1)>",
        "![a](javascript:alert(1))",
        "![a](https://evil.example/pixel.png)",
        "[a]: javascript:alert(1)\n\n[a]",
        "[a](https://x.example \"\\\" onmouseover=alert(1)\")",
        "<!-- --><button class=\"cite\" data-citation=\"1\" onclick=alert(1)>1</button>",
        "```\"><script>alert(1)</script>\nx\n```",
        "<math><mi xlink:href=\"javascript:alert(1)\">x",
        "</div></main><form action=https://evil.example><input name=key>",
        "\u{0}<scr\u{0}ipt>alert(1)</scr\u{0}ipt>",
    ] {
        let html = html(text);
        let low = html.to_lowercase();
        for bad in ["<script", "<img", "<svg", "<iframe", "<style", "<form", "<input", "<math", "<button"] {
            assert!(!low.contains(bad), "{text:?} became {html}");
        }
        for tag in low.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
            assert!(!tag.contains(" on") && !tag.contains("style="), "{text:?} became {html}");
            let link = tag.split_once("href=\"").map(|(_, link)| link);
            assert!(link.is_none_or(|link| link.starts_with("http")), "{text:?} became {html}");
        }
    }
}

#[test]
fn links_lead_out_without_a_trace() {
    let link = html("[a](https://x.example/?a=1&b=2)");
    for part in [
        "href=\"https://x.example/?a=1&amp;b=2\"",
        "target=\"_blank\"",
        "rel=\"noopener noreferrer nofollow\"",
    ] {
        assert!(link.contains(part), "{link}");
    }
    assert!(html("<a@b.example>").contains("href=\"mailto:a@b.example\""));
}

#[test]
fn citations_stand_at_their_ends() {
    let (one, two) = (button(1), button(2));
    assert_eq!(cited("One. Two.", &[4, 9]), format!("<p>One.{one} Two.{two}</p>\n"));
    // Code points, not bytes.
    assert_eq!(cited("三十天。五天。", &[4, 7]), format!("<p>三十天。{one}五天。{two}</p>\n"));
    assert_eq!(cited("**30 days.** More", &[12]), format!("<p><strong>30 days.</strong>{one} More</p>\n"));
    assert_eq!(cited("- a\n- b", &[3, 7]), format!("<ul>\n<li>a{one}</li>\n<li>b{two}</li>\n</ul>\n"));
    assert_eq!(cited("A\n\nB", &[1, 99]), format!("<p>A{one}</p>\n<p>B{two}</p>\n"));
    assert_eq!(cited("a `b` c", &[4]), format!("<p>a <code>b</code>{one} c</p>\n"));
    assert_eq!(cited("a &amp; b", &[9]), format!("<p>a &amp; b{one}</p>\n"));
    let link = cited("[ab](https://x.example)", &[2]);
    assert!(link.ends_with(&format!("</a>{one}</p>\n")), "{link}");
    let code = cited("```\nx\n```", &[5]);
    assert!(code.ends_with(&format!("</pre>\n<p>{one}</p>\n")), "{code}");
    let table = cited("| a |\n|---|\n| b |", &[15]);
    assert!(table.contains(&format!("<td>b{one}</td>")), "{table}");
    assert_eq!(cited("", &[3]), format!("<p>{one}</p>\n"));
}

#[test]
fn marked_statements_are_spans() {
    let text = "Good. *Bad* one. Good.";
    let span = |start, end| SpanMark { start, end, kind: SpanKind::Unsupported };
    let marks =
        Marks::new(text, &[CitationMark { start: 6, end: 16, number: 7 }], &[span(6, 16), span(10, 12)]);
    let html = safe(text, marks, &notes());
    let open = "<span class=\"unsupported\" data-span=\"0\">";
    let mark = "<button type=\"button\" class=\"cite\" data-citation=\"7\">7</button>";
    assert_eq!(html, format!("<p>Good. <em>{open}Bad</span></em>{open} one.</span>{mark} Good.</p>\n"));
}

#[test]
fn what_is_huge_or_deep_is_bounded_and_quick() {
    let deep = 100_000;
    let wide = format!("|{}\n|{}\n{}", "a|".repeat(500), "-|".repeat(500), "|x|\n".repeat(5000));
    let texts = [
        ">".repeat(deep),
        "> ".repeat(deep),
        format!("{}a", "- ".repeat(deep)),
        "1. ".repeat(deep / 2),
        "*".repeat(deep),
        "**a ".repeat(deep / 4),
        "_a *b ".repeat(deep / 6),
        "[".repeat(deep),
        "![".repeat(deep),
        "[a](".repeat(deep / 4),
        "<".repeat(deep),
        "<div>".repeat(deep / 5),
        "`".repeat(deep),
        "&".repeat(deep),
        "&\n".repeat(deep),
        "§".repeat(deep),
        format!("[a](https://x.example/?{})", "&".repeat(deep)),
        "\\".repeat(deep),
        "#".repeat(deep),
        "~~a ".repeat(deep / 4),
        "a\n".repeat(deep),
        "x".repeat(TEXT_BYTES),
        "<!--".repeat(deep / 4),
        "|".repeat(deep),
        "> - ".repeat(deep / 4),
        "- > 1. ".repeat(deep / 7),
        "*_".repeat(deep / 2),
        "a*b_c**d__".repeat(deep / 10),
        "[a]: b\n".repeat(deep / 7),
        format!("[a]: https://x.example/{}\n\n{}", "y".repeat(1000), "[a] ".repeat(deep / 4)),
        "[a][".repeat(deep / 4),
        "](".repeat(deep / 2),
        "<a b='".repeat(deep / 6),
        "<?".repeat(deep / 2),
        "<![CDATA[".repeat(deep / 9),
        "``` `` ` ".repeat(deep / 9),
        "- a\n\n".repeat(deep / 5),
        "|a|\n|-|\n|`".repeat(deep / 10),
        "a\n=\n".repeat(deep / 4),
        wide,
    ];
    for text in texts {
        let started = Instant::now();
        let html = html(&text);
        let took = started.elapsed();
        let head: String = text.chars().take(12).collect();
        assert!(took < Duration::from_secs(10), "{head}: {took:?}");
        assert!(html.len() <= HTML_MOST, "{head}: {} bytes", html.len());
        let mut depth = 0_i64;
        for part in html.split('<').skip(1) {
            match part.as_bytes().first() {
                Some(b'/') => depth -= 1,
                _ if part.starts_with("br") || part.starts_with("hr") => {}
                _ => depth += 1,
            }
            assert!(depth < 64, "{head} is nested too deep");
        }
    }
}

/// What the writer's own bound comes to at most, with what stands open there.
const HTML_MOST: usize = 5 << 20;

#[test]
fn long_tables_say_that_they_go_on() {
    let wide = format!("|{}\n|{}\n|{}\n", "a|".repeat(60), "-|".repeat(60), "b|".repeat(60));
    let html_of = html(&wide);
    assert_eq!(html_of.matches("<th>").count(), 40);
    assert!(html_of.ends_with("<p class=\"cut\">table cut</p>\n"), "{html_of}");
    let long = html(&format!("|a|\n|-|\n{}", "|b|\n".repeat(1000)));
    assert_eq!(long.matches("<td>").count(), 400);
    assert!(long.ends_with("<p class=\"cut\">table cut</p>\n"));
}
