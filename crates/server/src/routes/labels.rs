//! Names, groups and tags as clients give them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lore_core::Format;

use crate::error::ApiError;

/// Longest name of a document, in bytes.
const NAME_BYTES: usize = 512;
/// Longest group name, tag key or tag value, in bytes.
const LABEL_BYTES: usize = 128;
/// Most groups or tags of a document.
const LABELS: usize = 64;

/// A document's name and format from a file's name.
pub(super) fn named(file: &str) -> Result<(String, Format), ApiError> {
    let name = check_name(file)?;
    let extension = Path::new(&name).extension().and_then(|e| e.to_str()).unwrap_or_default();
    match Format::from_extension(extension) {
        Some(format) => Ok((name, format)),
        None => {
            let supported: Vec<&str> = Format::ALL.iter().map(|format| format.extension()).collect();
            Err(ApiError::unsupported(format!(
                "`{name}` has no format that can be read; supported are {}",
                supported.join(", ")
            )))
        }
    }
}

/// A name as it is kept: forward slashes, no way out of a folder, nothing that a terminal would obey.
pub(super) fn check_name(name: &str) -> Result<String, ApiError> {
    let bad = |why: &str| ApiError::invalid("bad_name", format!("the document's name {why}"));
    let name = name.trim().replace('\\', "/");
    if name.is_empty() {
        return Err(bad("is missing"));
    }
    if name.len() > NAME_BYTES {
        return Err(bad(&format!("is longer than {NAME_BYTES} bytes")));
    }
    if name.chars().any(char::is_control) {
        return Err(bad("has control characters"));
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(bad("must be a relative path without . and .."));
    }
    Ok(name)
}

/// Adds groups to an access list.
pub(super) fn add_groups<'a>(
    groups: &mut BTreeSet<String>,
    given: impl Iterator<Item = &'a str>,
) -> Result<(), ApiError> {
    // An empty list in an upload is more likely a variable that was not set than a wish to show it to everyone.
    let mut any = false;
    for group in given {
        let group = group.trim();
        check_group(group)?;
        groups.insert(group.to_owned());
        any = true;
    }
    if !any {
        return Err(ApiError::invalid(
            "bad_acl",
            "acl is empty; leave it out for a document that everyone may read",
        ));
    }
    if groups.len() > LABELS {
        return Err(ApiError::invalid("bad_acl", format!("a document takes at most {LABELS} groups")));
    }
    Ok(())
}

/// Adds a tag.
pub(super) fn add_tag(
    tags: &mut BTreeMap<String, String>,
    key: String,
    value: String,
) -> Result<(), ApiError> {
    let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
    check_tag(&key, &value)?;
    tags.insert(key, value);
    if tags.len() > LABELS {
        return Err(ApiError::invalid("bad_tag", format!("a document takes at most {LABELS} tags")));
    }
    Ok(())
}

/// Refuses what cannot be a group's name.
pub(super) fn check_group(group: &str) -> Result<(), ApiError> {
    if is_label(group) && !group.contains(',') {
        Ok(())
    } else {
        Err(ApiError::invalid(
            "bad_acl",
            format!("a group's name has 1 to {LABEL_BYTES} bytes, and no commas"),
        ))
    }
}

/// Refuses what cannot be a tag.
pub(super) fn check_tag(key: &str, value: &str) -> Result<(), ApiError> {
    if is_label(key) && is_label(value) && !key.contains('=') {
        Ok(())
    } else {
        Err(ApiError::invalid("bad_tag", format!("a tag's key and value have 1 to {LABEL_BYTES} bytes each")))
    }
}

fn is_label(text: &str) -> bool {
    (1..=LABEL_BYTES).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use axum::http::StatusCode;

    #[test]
    fn names_stay_inside() {
        assert_eq!(check_name("a/b.md").unwrap(), "a/b.md");
        assert_eq!(check_name("folder\\手册.md").unwrap(), "folder/手册.md");
        for bad in
            ["", "  ", "../a.md", "/etc/passwd.md", "a/../b.md", "a//b.md", "./a.md", "a\u{7}.md", "..\\a.md"]
        {
            assert_eq!(check_name(bad).unwrap_err().code(), "bad_name", "{bad:?}");
        }
        assert!(check_name(&format!("{}.md", "x".repeat(600))).is_err());
    }

    #[test]
    fn formats_are_told_by_the_extension() {
        assert_eq!(named("A.PDF").unwrap().1, Format::Pdf);
        for bad in ["a.exe", "noextension", "archive.zip"] {
            let error = named(bad).unwrap_err();
            assert_eq!(error.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert!(error.message().contains("md, txt, html, pdf"), "{}", error.message());
        }
    }

    #[test]
    fn an_empty_access_list_is_refused() {
        let mut groups = BTreeSet::new();
        assert!(add_groups(&mut groups, "".split(',')).is_err());
        assert!(add_groups(&mut groups, std::iter::empty()).is_err());
        assert!(add_groups(&mut groups, "people,".split(',')).is_err());
        add_groups(&mut groups, "people, board".split(',')).unwrap();
        assert!(groups.contains("board"));
    }
}
