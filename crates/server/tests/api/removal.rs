//! What the documents' page asks for: filters, chunk borders, changes, deletion with undo, another try.

use axum::body::Body;
use lore_server::{HttpConfig, Options};
use serde_json::{Value, json};

use crate::support::{World, hash, keyed_options, open_options, request};

fn names(list: &Value) -> Vec<&str> {
    list["documents"].as_array().unwrap().iter().map(|document| document["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lists_are_filtered_and_ordered() {
    let world = World::without_engine(keyed_options());
    let (_, hr) = world.key(&["hr"], false);
    let admin = "local-secret";
    world.publish("a.md", "# A\n\nShort.", &[]).await;
    let id = world.publish("b.txt", "# B\n\nA much longer text than that of the other.", &["hr", "it"]).await;
    world.publish("c.md", "# C\n\nClosed.", &["board"]).await;
    let tags = json!({"tags": {"team": "a=b"}});
    world.json_as(admin, "PATCH", &format!("/v1/documents/{id}"), &tags).await.expect(200);
    for (secret, query, expected) in [
        (admin, "sort=size&descending=true&limit=1", &["b.txt"][..]),
        (admin, "sort=name&descending=true", &["c.md", "b.txt", "a.md"]),
        (admin, "offset=1&limit=1", &["b.txt"]),
        (admin, "format=txt", &["b.txt"]),
        (admin, "tag=team%3Da%3Db", &["b.txt"]),
        (admin, "group=it", &["b.txt"]),
        (admin, "group=", &["a.md"]),
        (hr.as_str(), "", &["a.md", "b.txt"]),
        (&hr, "group=hr", &["b.txt"]),
        // That its document is for others too is nothing for a reader to find out.
        (&hr, "group=it", &[]),
    ] {
        let list = world.get_as(secret, &format!("/v1/documents?{query}")).await.expect(200).json();
        assert_eq!(names(&list), expected, "{query}");
    }
    for (query, status, code) in [
        ("tag=team", 422, "bad_tag"),
        ("after=x&offset=1", 422, "bad_offset"),
        ("after=x", 422, "invalid"),
        (&format!("q={}", "a+".repeat(1500)), 422, "too_many_words"),
        ("sort=colour", 400, "bad_query"),
        ("format=exe", 400, "bad_query"),
    ] {
        let reply = world.get_as(admin, &format!("/v1/documents?{query}")).await.expect(status);
        assert_eq!(reply.code(), code, "{query}");
    }
    let facets = world.get_as(&hr, "/v1/documents/facets").await.expect(200).json();
    assert_eq!((&facets["documents"], &facets["groups"]), (&json!(2), &json!({"hr": 1})));
    assert_eq!(facets["tags"], json!({"team=a=b": 1}));
}

#[tokio::test]
async fn chunks_and_changes_are_for_who_may_read_them() {
    let world = World::without_engine(keyed_options());
    let (_, reader) = world.key(&["staff"], false);
    let admin = "local-secret";
    let old = "# Leave\n\nYou have 28 days.\n\n# Trips\n\nAsk first.";
    let new = "# Leave\n\nYou have 30 days.\n\n# Trips\n\nAsk first.";
    let id = world.publish("a.md", old, &["board"]).await;
    world.publish("a.md", new, &["staff"]).await;
    let at = format!("/v1/documents/{id}");
    let chunks = world.get_as(&reader, &format!("{at}/chunks")).await.expect(200).json();
    let parts = chunks["chunks"].as_array().unwrap();
    assert_eq!((parts.len(), &chunks["version"], &chunks["more"]), (2, &json!(2), &json!(false)));
    for part in parts {
        let place = format!("{at}/text?start={}&end={}", part["start"], part["end"]);
        let text =
            world.get_as(&reader, &place).await.expect(200).json()["text"].as_str().unwrap().to_owned();
        assert!(text.contains(part["headings"][0].as_str().unwrap()), "{text}");
    }
    let first = world.get_as(&reader, &format!("{at}/chunks?end=5")).await.expect(200).json();
    assert_eq!(first["chunks"].as_array().unwrap().len(), 1);

    let changes = world.get_as(admin, &format!("{at}/changes")).await.expect(200).json();
    assert_eq!((&changes["from"], &changes["to"], &changes["added"]), (&json!(1), &json!(2), &json!(18)));
    let kinds: Vec<&Value> =
        changes["hunks"][0]["parts"].as_array().unwrap().iter().map(|part| &part["kind"]).collect();
    assert_eq!(kinds, ["same", "removed", "added", "same"]);
    // The version before was for others.
    world.get_as(&reader, &format!("{at}/changes")).await.expect(404);
    world.get_as(&reader, &format!("{at}/changes?from=1&to=2")).await.expect(404);
    let (_, stranger) = world.key(&[], false);
    world.get_as(&stranger, &format!("{at}/chunks")).await.expect(404);
}

#[tokio::test]
async fn a_deleted_document_can_be_brought_back() {
    let world = World::with_engine(open_options()).await;
    let id = world.publish("a.md", "# Leave\n\nYou have thirty days of leave.", &[]).await;
    let path = format!("/v1/documents/{id}");
    let search = async || {
        let body = json!({"query": "days of leave"});
        let found = world.json("POST", "/v1/search", &body).await.expect(200).json();
        found["hits"].as_array().unwrap().len()
    };
    assert_eq!(search().await, 1);
    let deleted = world.send(request("DELETE", &format!("{path}?undo=true"), &[], Body::empty())).await;
    let deleted = deleted.expect(200).json();
    assert_eq!(deleted["document"], json!(id));
    // The indexes have not followed yet.
    assert_eq!(search().await, 0);
    world.follow().await;
    world.get(&path).await.expect(404);
    world.get(&format!("{path}/text")).await.expect(404);

    let restored = world.json("POST", &format!("{path}/restore"), &json!({})).await.expect(200).json();
    assert_eq!((&restored["id"], &restored["version"]), (&json!(id), &json!(1)));
    world.follow().await;
    assert_eq!(search().await, 1);
    let again = world.json("POST", &format!("{path}/restore"), &json!({})).await.expect(404);
    assert_eq!(again.code(), "not_found");
    world.send(request("DELETE", &path, &[], Body::empty())).await.expect(204);
    world.json("POST", &format!("{path}/restore"), &json!({})).await.expect(404);
    assert_eq!(world.catalog.original(&hash("# Leave\n\nYou have thirty days of leave.")).unwrap(), None);
}

#[tokio::test]
async fn where_nothing_can_be_brought_back_that_is_said_before() {
    let http = HttpConfig { undo_seconds: 0, ..HttpConfig::default() };
    let world = World::without_engine(Options { http, ..open_options() });
    let id = world.publish("a.md", "# A\n\nText.", &[]).await;
    let delete = |query: &str| request("DELETE", &format!("/v1/documents/{id}{query}"), &[], Body::empty());
    assert_eq!(world.send(delete("?undo=true")).await.expect(422).code(), "no_undo");
    world.get(&format!("/v1/documents/{id}")).await.expect(200);
    world.send(delete("")).await.expect(204);
    assert_eq!(world.catalog.original(&hash("# A\n\nText.")).unwrap(), None);
}

#[tokio::test]
async fn what_failed_is_tried_again_and_jobs_are_listed() {
    let world = World::without_engine(keyed_options());
    let admin = "local-secret";
    let (_, reader) = world.key(&[], false);
    let upload = json!({"name": "a.md", "content": "# A"});
    let accepted = world.json_as(admin, "POST", "/v1/documents", &upload).await.expect(202).json();
    let (id, job) = (&accepted["documents"][0]["document"], &accepted["documents"][0]["job"]);
    let (id, job) = (id.as_str().unwrap(), job.as_str().unwrap());
    let retry = format!("/v1/documents/{id}/retry");
    assert_eq!(world.json_as(admin, "POST", &retry, &json!({})).await.expect(422).code(), "invalid");
    world.catalog.lease_job("w", 60).unwrap().unwrap();
    world.catalog.fail_job(job, "w", "unreadable").unwrap();
    for (path, method) in [(retry.as_str(), "POST"), (&format!("/v1/documents/{id}/restore"), "POST")] {
        world.json_as(&reader, method, path, &json!({})).await.expect(403);
    }
    let again = world.json_as(admin, "POST", &retry, &json!({})).await.expect(202).json();
    let list = format!("/v1/jobs?ids={job},{},unknown", again["id"].as_str().unwrap());
    let jobs = world.get_as(admin, &list).await.expect(200).json();
    let states: Vec<&Value> = jobs["jobs"].as_array().unwrap().iter().map(|job| &job["state"]).collect();
    assert_eq!(states, ["failed", "queued"]);
    assert_eq!((&jobs["queued"], &jobs["running"]), (&json!(1), &json!(0)));
    world.get_as(&reader, &list).await.expect(403);
    let many = format!("/v1/jobs?ids={}", vec!["x"; 201].join(","));
    assert_eq!(world.get_as(admin, &many).await.expect(422).code(), "too_many_jobs");
}
