//! Lists of documents: filters, orders, pages, and what there is to filter by.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use lore_core::{Access, DocumentId};
use lore_index::{DocumentOrder, DocumentQuery, GroupFilter, IndexError, MetaChange};
use support::*;

fn names(page: &lore_index::DocumentPage) -> Vec<&str> {
    page.documents.iter().map(|document| document.name.as_str()).collect()
}

#[test]
fn lists_are_filtered_and_ordered() {
    let (_folder, catalog) = open();
    for (name, text, groups) in [
        ("a.md", "one", &[][..]),
        ("b.md", "one\ntwo\nthree", &["hr", "it"]),
        ("c.md", "one\ntwo", &["board"]),
        ("d.md", "four\nfive", &[]),
    ] {
        catalog.store_original(text.as_bytes()).unwrap();
        catalog.commit_version(&document_for(name, groups), &version(text)).unwrap();
    }
    let tagged = DocumentId::from_source("upload:c.md");
    let tags = [("team".to_owned(), "a=b".to_owned())];
    let change = MetaChange { tags: Some(tags.clone().into()), ..MetaChange::default() };
    catalog.change_meta(tagged, &change).unwrap();
    let list = |query: DocumentQuery| catalog.documents(&query).unwrap();
    let group = |group| list(DocumentQuery { group: Some(group), ..DocumentQuery::default() });
    assert_eq!(names(&group(GroupFilter::Named("it".into()))), ["b.md"]);
    assert_eq!(names(&group(GroupFilter::Everyone)), ["a.md", "d.md"]);
    let [tag] = tags;
    assert_eq!(names(&list(DocumentQuery { tag: Some(tag), ..DocumentQuery::default() })), ["c.md"]);
    let none = DocumentQuery { format: Some(lore_core::Format::Pdf), ..DocumentQuery::default() };
    assert_eq!(list(none).total, 0);

    for (order, descending, expected) in [
        (DocumentOrder::Name, true, ["d.md", "c.md", "b.md", "a.md"]),
        (DocumentOrder::Size, false, ["a.md", "c.md", "d.md", "b.md"]),
        (DocumentOrder::Chunks, true, ["b.md", "", "", "a.md"]),
        (DocumentOrder::Updated, true, ["c.md", "d.md", "b.md", "a.md"]),
        (DocumentOrder::Pages, false, ["", "", "", ""]),
    ] {
        // Page by page, and by places, each comes once and in the same order.
        let all = list(DocumentQuery { order, descending, ..DocumentQuery::default() });
        let (mut paged, mut after) = (Vec::new(), None);
        for skip in 0..4 {
            let query = DocumentQuery { order, descending, limit: 1, after, ..DocumentQuery::default() };
            let page = list(query.clone());
            let placed = list(DocumentQuery { after: None, skip, ..query });
            assert_eq!(page.documents, placed.documents);
            paged.extend(page.documents);
            after = page.next;
        }
        assert!(after.is_none());
        assert_eq!(paged, all.documents, "{order:?}");
        for (name, expected) in names(&all).iter().zip(expected) {
            assert!(expected.is_empty() || *name == expected, "{order:?}: {:?}", names(&all));
        }
    }
    let first = list(DocumentQuery { limit: 1, ..DocumentQuery::default() });
    let other = DocumentQuery { order: DocumentOrder::Size, after: first.next, ..DocumentQuery::default() };
    assert!(matches!(catalog.documents(&other), Err(IndexError::Invalid(_))));
}

#[test]
fn facets_count_what_the_caller_may_read() {
    let (_folder, catalog) = open();
    for (name, groups) in [("a.md", &[][..]), ("b.md", &["hr", "it"]), ("c.md", &["board"])] {
        catalog.commit_version(&document_for(name, groups), &version("one\ntwo")).unwrap();
    }
    let all = catalog.facets(&Access::All).unwrap();
    assert_eq!((all.documents, all.chunks, all.open, all.groups.len()), (3, 6, 1, 3));
    assert_eq!((all.states["live"], all.formats["md"]), (3, 3));
    let hr = catalog.facets(&Access::Groups(["hr".to_owned()].into())).unwrap();
    // That others may read it too is nothing for its readers to know.
    assert_eq!((hr.documents, hr.groups.into_iter().collect::<Vec<_>>()), (2, vec![("hr".to_owned(), 1)]));
}

#[test]
fn places_of_chunks_come_by_range() {
    let (_folder, catalog) = open();
    let id = commit(&catalog, "a.md", "one\ntwo\nthree\nfour").document;
    let places = |start, end, limit| {
        let (version, places) = catalog.chunk_places(id, start, end, limit).unwrap();
        assert_eq!(version, 1);
        places.into_iter().map(|place| (place.ordinal, place.place.span.start)).collect::<Vec<_>>()
    };
    assert_eq!(places(0, 100, 100), [(0, 0), (1, 4), (2, 8), (3, 14)]);
    assert_eq!(places(5, 9, 100), [(1, 4), (2, 8)]);
    assert_eq!(places(0, 100, 2).len(), 2);
    assert!(places(3, 4, 100).is_empty(), "between two chunks there is none");
}
