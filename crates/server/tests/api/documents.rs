//! Listing, showing, reading, changing and deleting documents.

use axum::body::Body;
use serde_json::{Value, json};

use crate::support::{World, keyed_options, open_options, request};

#[tokio::test]
async fn pages_follow_one_another() {
    let world = World::without_engine(open_options());
    for name in ["c.md", "a.md", "b.md", "sub/d.md", "sub/e.md"] {
        world.publish(name, &format!("# {name}\n\nText."), &[]).await;
    }
    let mut names = Vec::new();
    let mut path = "/v1/documents?limit=2".to_owned();
    loop {
        let page = world.get(&path).await.expect(200).json();
        assert_eq!(page["total"], 5);
        names.extend(
            page["documents"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/documents?limit=2&after={next}");
    }
    assert_eq!(names, ["a.md", "b.md", "c.md", "sub/d.md", "sub/e.md"]);
    assert_eq!(world.get("/v1/documents?prefix=sub/").await.json()["total"], 2);
    assert_eq!(world.get("/v1/documents?q=B.MD").await.json()["total"], 1);
    assert_eq!(world.get("/v1/documents?state=pending").await.json()["total"], 0);
}

#[tokio::test]
async fn a_document_shows_its_versions() {
    let world = World::without_engine(open_options());
    let id = world.publish("a.md", "# First\n\nOne.", &[]).await;
    world.publish("a.md", "# Second\n\nTwo.", &[]).await;
    let shown = world.get(&format!("/v1/documents/{id}")).await.expect(200).json();
    assert_eq!(
        (&shown["title"], &shown["version"], &shown["state"]),
        (&json!("Second"), &json!(2), &json!("live"))
    );
    let numbers: Vec<&Value> = shown["versions"].as_array().unwrap().iter().map(|v| &v["version"]).collect();
    assert!(numbers.contains(&&json!(1)) && numbers.contains(&&json!(2)), "{numbers:?}");
    let old = world.get(&format!("/v1/documents/{id}/content?version=1")).await.expect(200);
    assert_eq!(old.text(), "# First\n\nOne.");
    let old = world.get(&format!("/v1/documents/{id}/text?version=1")).await.expect(200).json();
    assert_eq!(old["text"], "# First\n\nOne.");
    world.get(&format!("/v1/documents/{id}/text?version=9")).await.expect(404);
    world.get(&format!("/v1/documents/{id}/content?version=9")).await.expect(404);
}

#[tokio::test]
async fn where_files_lie_is_for_administrators() {
    let world = World::without_engine(keyed_options());
    let document = lore_index::NewDocument {
        source: "file:///srv/private/a.md".into(),
        name: "a.md".into(),
        format: lore_core::Format::Md,
        meta: lore_core::DocumentMeta::default(),
        acl: lore_index::AclChoice::Keep,
    };
    let id = world.catalog.commit_failure(&document, None, "unreadable", "").unwrap();
    let (_, reader) = world.key(&[], false);
    for path in [format!("/v1/documents/{id}"), "/v1/documents".into()] {
        assert!(!world.get_as(&reader, &path).await.expect(200).text().contains("/srv"));
        assert!(world.get_as("local-secret", &path).await.expect(200).text().contains("file:///srv/private"));
    }
}

#[tokio::test]
async fn text_is_cut_in_code_points() {
    let world = World::without_engine(open_options());
    let text = "# 手册\n\nDie Prämie beträgt 500 €. 😀 End.";
    let id = world.publish("handbuch.md", text, &[]).await;
    let total = text.chars().count();
    for (start, end) in [(0, total), (6, 20), (8, 9), (total, total), (10, total + 50)] {
        let part =
            world.get(&format!("/v1/documents/{id}/text?start={start}&end={end}")).await.expect(200).json();
        let end = end.min(total);
        let expected: String = text.chars().skip(start).take(end - start).collect();
        assert_eq!(part["text"], expected);
        assert_eq!(
            (&part["start"], &part["end"], &part["total"]),
            (&json!(start), &json!(end), &json!(total))
        );
        assert_eq!(part["headings"], json!(["手册"]));
        assert_eq!(part["version"], 1);
    }
    for bad in ["start=5&end=4", &format!("start={}", total + 1)] {
        assert_eq!(world.get(&format!("/v1/documents/{id}/text?{bad}")).await.expect(422).code(), "bad_span");
    }
    for bad in ["start=-1", "start=x", "from=1"] {
        assert_eq!(
            world.get(&format!("/v1/documents/{id}/text?{bad}")).await.expect(400).code(),
            "bad_query"
        );
    }
}

#[tokio::test]
async fn originals_come_back_byte_for_byte() {
    let world = World::without_engine(open_options());
    let long = "Ein Satz über Prämien.\n".repeat(20_000);
    for (name, text, media) in [
        ("a.md", "# A", "text/markdown; charset=utf-8"),
        ("long.txt", long.as_str(), "text/plain; charset=utf-8"),
        ("p.html", "<p>Hi</p><script>alert(1)</script>", "text/html; charset=utf-8"),
        ("t.csv", "a,b\n1,2", "text/csv; charset=utf-8"),
        ("scan.pdf", "%PDF-1.4", "application/pdf"),
    ] {
        let id = world.publish(name, text, &[]).await;
        let reply = world.get(&format!("/v1/documents/{id}/content")).await.expect(200);
        assert_eq!(reply.text(), text);
        assert_eq!(reply.headers["content-type"], media);
        assert_eq!(reply.headers["content-length"], text.len().to_string());
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        let policy = reply.headers.get("content-security-policy").map(|v| v.to_str().unwrap());
        assert_eq!(policy.is_some_and(|p| p.starts_with("sandbox")), name == "p.html", "{name}");
    }
}

#[tokio::test]
async fn names_in_every_script_survive_the_header() {
    let world = World::without_engine(open_options());
    let id = world.publish("人事/员工 \"手册\".md", "# 手册", &[]).await;
    let reply = world.get(&format!("/v1/documents/{id}/content")).await.expect(200);
    assert_eq!(
        reply.headers["content-disposition"],
        "inline; filename=\"__ ____.md\"; \
         filename*=UTF-8''%E5%91%98%E5%B7%A5%20%22%E6%89%8B%E5%86%8C%22.md"
    );
}

#[tokio::test]
async fn a_change_takes_what_is_given_and_keeps_the_rest() {
    let world = World::without_engine(open_options());
    let id = world.publish("a.md", "# A\n\nText.", &["people"]).await;
    let path = format!("/v1/documents/{id}");
    let first = json!({"tags": {"team": "hr"}, "date": "2025-01-31", "superseded_by": "b.md"});
    let changed = world.json("PATCH", &path, &first).await.expect(200).json();
    assert_eq!((&changed["acl"], &changed["date"]), (&json!(["people"]), &json!("2025-01-31")));
    let changed = world.json("PATCH", &path, &json!({"date": null, "acl": []})).await.expect(200).json();
    assert_eq!((&changed["acl"], &changed["date"]), (&json!([]), &Value::Null));
    assert_eq!((&changed["tags"], &changed["superseded_by"]), (&json!({"team": "hr"}), &json!("b.md")));
    assert_eq!(world.json("PATCH", &path, &json!({"acl": ["a,b"]})).await.expect(422).code(), "bad_acl");
    assert_eq!(world.json("PATCH", &path, &json!({"acls": []})).await.expect(400).code(), "unknown_field");
    let absent = format!("/v1/documents/{}", lore_core::DocumentId::from_source("nothing"));
    world.json("PATCH", &absent, &json!({})).await.expect(404);
}

#[tokio::test]
async fn a_deleted_document_is_gone_at_once() {
    let world = World::without_engine(open_options());
    let id = world.publish("a.md", "# A\n\nText.", &[]).await;
    let path = format!("/v1/documents/{id}");
    let delete = || request("DELETE", &path, &[], Body::empty());
    let reply = world.send(delete()).await.expect(204);
    assert!(reply.body.is_empty());
    for part in ["", "/content", "/text", "/content?version=1", "/text?version=1"] {
        world.get(&format!("{path}{part}")).await.expect(404);
    }
    assert_eq!(world.get("/v1/documents").await.json()["total"], 0);
    world.send(delete()).await.expect(404);
}

#[tokio::test]
async fn a_replaced_version_stays_closed() {
    let world = World::without_engine(keyed_options());
    let id = world.publish("a.md", "# A\n\nWith salaries.", &["board"]).await;
    world.publish("a.md", "# A\n\nWithout.", &[]).await;
    let (_, reader) = world.key(&["staff"], false);
    let (_, board) = world.key(&["board"], false);
    for part in ["content", "text"] {
        let path = format!("/v1/documents/{id}/{part}");
        world.get_as(&reader, &path).await.expect(200);
        world.get_as(&reader, &format!("{path}?version=2")).await.expect(200);
        world.get_as(&reader, &format!("{path}?version=1")).await.expect(404);
        world.get_as(&board, &format!("{path}?version=1")).await.expect(200);
    }
    let shown = world.get_as(&reader, &format!("/v1/documents/{id}")).await.expect(200).json();
    assert_eq!(shown["versions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn names_of_closed_documents_and_other_groups_are_for_administrators() {
    let world = World::without_engine(keyed_options());
    let id = world.publish("old.md", "# Old\n\nText.", &["staff", "takeover-team"]).await;
    world.publish("takeover-2026.md", "# New\n\nText.", &["board"]).await;
    let (_, admin) = world.key(&[], true);
    let (_, reader) = world.key(&["staff"], false);
    let path = format!("/v1/documents/{id}");
    let successor = json!({"superseded_by": "takeover-2026.md"});
    world.json_as(&admin, "PATCH", &path, &successor).await.expect(200);
    for path in [path.as_str(), "/v1/documents"] {
        let shown = world.get_as(&reader, path).await.expect(200).text();
        assert!(shown.contains("staff") && !shown.contains("takeover"), "{shown}");
        assert!(world.get_as(&admin, path).await.expect(200).text().contains("takeover-2026.md"));
    }
    world.publish("takeover-2026.md", "# New\n\nText.", &[]).await;
    let shown = world.get_as(&reader, &path).await.expect(200).json();
    assert_eq!((&shown["superseded_by"], &shown["acl"]), (&json!("takeover-2026.md"), &json!(["staff"])));
}

#[tokio::test]
async fn a_change_holds_for_an_upload_that_waits() {
    let world = World::without_engine(open_options());
    let id = world.publish("a.md", "# A\n\nOpen.", &[]).await;
    let upload = json!({"name": "a.md", "content": "# A\n\nClosed.", "acl": ["board"]});
    world.json("POST", "/v1/documents", &upload).await.expect(202);
    let path = format!("/v1/documents/{id}");
    world.json("PATCH", &path, &json!({"tags": {"team": "hr"}})).await.expect(200);
    let (_, waiting) = world.catalog.lease_job("w", 60).unwrap().unwrap();
    assert_eq!(waiting.acl, lore_index::AclChoice::Set(crate::support::acl(&["board"])));
    assert_eq!(waiting.meta.tags["team"], "hr");
}
