//! E-mails: subject, sender, receivers and date, the body, and attachments that have a parser.

use lore_core::{Format, Limits, Parsed};
use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::builder::Builder;
use super::{ParseError, clean, html, reflow, sniff};

/// Attachments read of one mail; others are named.
const MOST_ATTACHMENTS: usize = 50;

/// Parses an e-mail.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    let message = MessageParser::default()
        .parse(bytes)
        .filter(|m| !m.headers().is_empty())
        .ok_or_else(|| ParseError::corrupt(Format::Eml, "it has no mail headers"))?;
    let mut builder = Builder::new(limits);
    let subject = message.subject().map(clean::inline).filter(|s| !s.is_empty());
    if let Some(subject) = &subject {
        builder.heading(1, subject);
    }
    let mut left = MOST_ATTACHMENTS;
    write(&message, 0, &mut left, &mut builder, limits);
    builder.finish(subject)
}

/// All of a message but its subject; one that is attached is `depth` 1.
fn write(message: &Message<'_>, depth: usize, left: &mut usize, builder: &mut Builder, limits: &Limits) {
    for (label, address) in [("From", message.from()), ("To", message.to()), ("Cc", message.cc())] {
        let people = address.map(people).unwrap_or_default();
        if !people.is_empty() {
            builder.paragraph(&format!("{label}: {people}"));
        }
    }
    if let Some(date) = message.date() {
        builder.paragraph(&format!("Date: {}", date.to_rfc3339()));
    }
    body(message, builder);
    for part in message.attachments() {
        attachment(part, depth, left, builder, limits);
    }
}

fn people(address: &Address<'_>) -> String {
    let one = |a: &mail_parser::Addr<'_>| match (a.name.as_deref(), a.address.as_deref()) {
        (Some(name), Some(address)) if name != address => format!("{name} <{address}>"),
        (_, Some(address)) => address.to_owned(),
        (Some(name), None) => name.to_owned(),
        (None, None) => String::new(),
    };
    address.iter().take(100).map(one).filter(|s| !s.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Each part of the body in turn, by its own type: a page of HTML may have a footer of plain text.
fn body(message: &Message<'_>, builder: &mut Builder) {
    // Where both are offered, these are the plain ones; the others stand here too where there is no choice.
    let mut parts: Vec<&MessagePart<'_>> = message.text_bodies().collect();
    if parts.is_empty() {
        parts = message.html_bodies().collect();
    }
    for part in parts {
        match &part.body {
            PartType::Text(text) => {
                let flowed = part
                    .content_type()
                    .and_then(|t| t.attribute("format"))
                    .is_some_and(|f| f.eq_ignore_ascii_case("flowed"));
                plain_body(&clean::normalise(text), flowed, builder);
            }
            PartType::Html(text) => {
                html::page(builder, text);
            }
            _ => {}
        }
    }
}

/// Plain text: the marks of quoted replies go, their words stay.
fn plain_body(text: &str, flowed: bool, builder: &mut Builder) {
    let mut lines: Vec<String> = Vec::new();
    let mut depth_before = 0;
    for line in text.lines() {
        let (depth, rest) = unquoted(line);
        if depth != depth_before && !lines.last().is_none_or(|l| l.trim().is_empty()) {
            lines.push(String::new());
        }
        depth_before = depth;
        // "-- " starts the signature.
        let rest = if rest == "-- " || rest == "--" { "" } else { rest };
        match lines.last_mut() {
            // RFC 3676: a line that ends with a space goes on.
            Some(last) if flowed && last.ends_with(' ') && !rest.is_empty() => last.push_str(rest),
            _ => lines.push(rest.to_owned()),
        }
    }
    let blank_free: Vec<&str> =
        lines.iter().map(|l| if l.trim().is_empty() { "" } else { l.as_str() }).collect();
    reflow::paragraphs(builder, &blank_free.join("\n"));
}

/// The quoting depth of a line, and the line without the marks.
fn unquoted(line: &str) -> (usize, &str) {
    let mut rest = line;
    let mut depth = 0;
    while let Some(inner) = rest.trim_start().strip_prefix('>') {
        depth += 1;
        rest = inner.strip_prefix(' ').unwrap_or(inner);
    }
    (depth, rest)
}

/// An attachment: its text under a heading where it has a parser, else its name and why not.
fn attachment(
    part: &MessagePart<'_>,
    depth: usize,
    left: &mut usize,
    builder: &mut Builder,
    limits: &Limits,
) {
    let name = part.attachment_name().map(clean::inline).filter(|n| !n.is_empty());
    let level = 2 + depth;
    let taken = left.checked_sub(1);
    *left = taken.unwrap_or(0);
    if let PartType::Message(inner) = &part.body {
        let subject = inner.subject().map(clean::inline).filter(|s| !s.is_empty());
        let title = format!("Attachment: {}", subject.or(name).unwrap_or_default());
        // A message within a message within a message is named only.
        if depth > 0 || taken.is_none() {
            builder.paragraph(&title);
            return;
        }
        builder.heading(level, &title);
        write(inner, depth + 1, left, builder, limits);
        return;
    }
    let inline_picture = part.content_id().is_some() && is_type(part, "image");
    let Some(name) = name else { return };
    if inline_picture || builder.stopped() {
        return;
    }
    let bytes = part.contents();
    let parsed = if taken.is_none() {
        Err(ParseError::too_large("the number of attachments", MOST_ATTACHMENTS as u64, "save them as files"))
    } else {
        sniff::detect(&name, bytes).and_then(|format| match format {
            // A mail as a plain file, not as a message: named only.
            Format::Eml => Err(ParseError::Unsupported { extension: "eml".into() }),
            format => super::read(format, bytes, &name, limits),
        })
    };
    match parsed {
        Ok(parsed) => {
            builder.heading(level, &format!("Attachment: {name}"));
            builder.append(&parsed, level);
        }
        Err(error) => {
            tracing::debug!(attachment = name, %error, "attachment named only");
            builder.paragraph(&format!("Attachment: {name}"));
        }
    }
}

fn is_type(part: &MessagePart<'_>, kind: &str) -> bool {
    part.content_type().is_some_and(|t| t.ctype().eq_ignore_ascii_case(kind))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn replies_and_attachments() {
        let mail = b"From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: =?utf-8?q?Pr=C3=BCfung?=\r\n\
            Date: Tue, 3 Mar 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
            Hello Bob,\r\n\r\nyes.\r\n\r\nOn Monday Bob wrote:\r\n> Is it\r\n> true?\r\n\r\n-- \r\nAnn\r\n\
            --b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=p.csv\r\n\r\na,b\r\n1,2\r\n\
            --b\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename=p.png\r\n\r\nxx\r\n--b--\r\n";
        let parsed = parse(mail, &Limits::default()).unwrap();
        assert_eq!(
            parsed.text,
            "# Prüfung\n\nFrom: Ann <ann@example.com>\n\nTo: bob@example.com\n\nDate: 2026-03-03T10:00:00+01:00\n\n\
             Hello Bob,\n\nyes.\n\nOn Monday Bob wrote:\n\nIs it true?\n\nAnn\n\n## Attachment: p.csv\n\n\
             | a | b |\n| --- | --- |\n| 1 | 2 |\n\nAttachment: p.png"
        );
        assert_eq!(parsed.title.as_deref(), Some("Prüfung"));
    }

    #[test]
    fn a_plain_footer_does_not_hide_an_html_body() {
        let mail = b"From: a@example.com\r\nSubject: S\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n\
            <p>The <b>offer</b></p>\r\n--b\r\nContent-Type: text/plain\r\n\r\nSent by the list\r\n--b--\r\n";
        let parsed = parse(mail, &Limits::default()).unwrap();
        assert_eq!(parsed.text, "# S\n\nFrom: a@example.com\n\nThe offer\n\nSent by the list");
        // Where both say the same, the plain one alone.
        let mail = b"From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
            --c\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\
            Plain\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>Rich</p>\r\n--b--\r\n\
            --c\r\nContent-Type: text/plain\r\n\r\nFooter\r\n--c--\r\n";
        assert_eq!(parse(mail, &Limits::default()).unwrap().text, "From: a@example.com\n\nPlain\n\nFooter");
    }

    #[test]
    fn forwarded_messages_keep_sender_date_and_attachments() {
        let mail = b"From: bob@example.com\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n\
            --b\r\nContent-Type: message/rfc822\r\n\r\n\
            From: Ann <ann@example.com>\r\nSubject: Prices\r\nDate: Tue, 3 Mar 2026 10:00:00 +0100\r\n\
            MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n\
            --i\r\nContent-Type: text/plain\r\n\r\nHere they are.\r\n\
            --i\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=p.csv\r\n\r\na,b\r\n1,2\r\n\
            --i\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename=p.png\r\n\r\nxx\r\n--i--\r\n\
            --b--\r\n";
        assert_eq!(
            parse(mail, &Limits::default()).unwrap().text,
            "# Fwd\n\nFrom: bob@example.com\n\nSee below.\n\n## Attachment: Prices\n\n\
             From: Ann <ann@example.com>\n\nDate: 2026-03-03T10:00:00+01:00\n\nHere they are.\n\n\
             ### Attachment: p.csv\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\nAttachment: p.png"
        );
    }
}
