//! Who may do what.

use axum::body::Body;
use serde_json::json;

use crate::support::{World, acl, keyed_options, open_options, request};

#[tokio::test]
async fn without_a_key_only_where_none_is_required() {
    let open = World::without_engine(open_options());
    open.get("/v1/documents").await.expect(200);
    let keyed = World::without_engine(keyed_options());
    let refused = keyed.get("/v1/documents").await.expect(401);
    assert_eq!(refused.code(), "unauthorized");
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    for path in ["/signin", "/api", "/healthz", "/openapi.json"] {
        keyed.get(path).await.expect(200);
    }
    keyed.get("/metrics").await.expect(401);
}

#[tokio::test]
async fn behind_a_proxy_on_this_machine_the_settings_can_require_keys() {
    let http = lore_server::HttpConfig { require_keys: true, ..Default::default() };
    let world = World::without_engine(lore_server::Options { http, ..open_options() });
    // What nginx sends where its configuration has no more than proxy_pass.
    world.get("/v1/documents").await.expect(401);
    world.get_as("local-secret", "/v1/documents").await.expect(200);
    let (_, secret) = world.key(&[], false);
    world.get_as(&secret, "/v1/documents").await.expect(200);
    world.get("/healthz").await.expect(200);
}

#[tokio::test]
async fn a_wrong_key_is_refused_on_loopback_too() {
    for world in [World::without_engine(open_options()), World::without_engine(keyed_options())] {
        for secret in ["lore_nobody_nothing", "local-secreT", "local-secret1", "x"] {
            world.get_as(secret, "/v1/documents").await.expect(401);
        }
        let basic = [("authorization", "Basic bG9yZTpsb3Jl")];
        world.send(request("GET", "/v1/documents", &basic, Body::empty())).await.expect(401);
        let other = [("x-api-key", "lore_nobody_nothing")];
        world.send(request("GET", "/v1/documents", &other, Body::empty())).await.expect(401);
        // The key is looked at before the body.
        world.json_as("lore_nobody_nothing", "POST", "/v1/ask", &json!({"nonsense": 1})).await.expect(401);
    }
}

#[tokio::test]
async fn the_local_token_is_the_owner() {
    let world = World::without_engine(keyed_options());
    world.get_as("local-secret", "/v1/keys").await.expect(200);
    // From wherever it comes: who has it can read the owner's files anyway.
    let headers = [("authorization", "Bearer local-secret"), ("host", "lore.example")];
    world.send(request("GET", "/v1/keys", &headers, Body::empty())).await.expect(200);
    let nobody =
        World::without_engine(lore_server::Options { local_token: Some(String::new()), ..keyed_options() });
    nobody.get_as("", "/v1/keys").await.expect(401);
}

#[tokio::test]
async fn a_key_is_made_used_and_revoked() {
    let world = World::without_engine(keyed_options());
    let new = json!({"name": "intranet", "groups": ["people"], "admin": false});
    let made = world.json_as("local-secret", "POST", "/v1/keys", &new).await.expect(201).json();
    let (id, secret) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    world.get_as(secret, "/v1/documents").await.expect(200);
    let listed = world.get_as("local-secret", "/v1/keys").await.expect(200);
    assert_eq!(listed.json()["keys"][0]["id"], id);
    assert!(!listed.text().contains(secret), "a secret is shown once only");

    let revoke = |id: &str| {
        request(
            "DELETE",
            &format!("/v1/keys/{id}"),
            &[("authorization", "Bearer local-secret")],
            Body::empty(),
        )
    };
    world.send(revoke(id)).await.expect(204);
    world.get_as(secret, "/v1/documents").await.expect(401);
    world.send(revoke("nobody")).await.expect(404);
}

#[tokio::test]
async fn managing_needs_the_admin_right() {
    let world = World::without_engine(keyed_options());
    let id = world.publish("a.md", "# A\n\nText.", &[]).await;
    let (_, reader) = world.key(&["people"], false);
    let (_, admin) = world.key(&[], true);
    let bearer = format!("Bearer {reader}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let paths = [
        ("POST", "/v1/documents".to_owned()),
        ("PATCH", format!("/v1/documents/{id}")),
        ("DELETE", format!("/v1/documents/{id}")),
        ("GET", "/v1/jobs/1".to_owned()),
        ("GET", "/v1/keys".to_owned()),
        ("POST", "/v1/keys".to_owned()),
        ("DELETE", "/v1/keys/1".to_owned()),
    ];
    for (method, path) in paths {
        let refused = world.send(request(method, &path, &headers, Body::from("{}"))).await.expect(403);
        assert_eq!(refused.code(), "forbidden", "{method} {path}");
    }
    world.get_as(&admin, "/v1/keys").await.expect(200);
    world.get_as(&reader, &format!("/v1/documents/{id}")).await.expect(200);
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_is_refused() {
    let world = World::without_engine(open_options());
    for host in ["evil.example", "evil.example:8787", "127.0.0.1.evil.example", "10.0.0.1:8787"] {
        let rebound = request("GET", "/v1/documents", &[("host", host)], Body::empty());
        assert_eq!(world.send(rebound).await.expect(403).code(), "forbidden_host", "{host}");
    }
    let (_, secret) = world.key(&[], false);
    let bearer = format!("Bearer {secret}");
    let with_key = [("host", "lore.example"), ("authorization", bearer.as_str())];
    world.send(request("GET", "/v1/documents", &with_key, Body::empty())).await.expect(200);
}

#[tokio::test]
async fn a_page_of_another_site_is_refused() {
    let world = World::without_engine(open_options());
    for origin in ["https://evil.example", "http://localhost:3000", "null"] {
        // A form of a foreign page can be sent without asking the server first.
        let headers = [("origin", origin), ("content-type", "multipart/form-data; boundary=x")];
        let foreign = request("POST", "/v1/documents", &headers, Body::from("--x--\r\n"));
        assert_eq!(world.send(foreign).await.expect(403).code(), "cross_site", "{origin}");
    }
    let own = request("GET", "/v1/documents", &[("origin", "http://127.0.0.1:8787")], Body::empty());
    world.send(own).await.expect(200);
}

#[tokio::test]
async fn access_lists_hold_on_every_reading_route() {
    let world = World::without_engine(keyed_options());
    let open = world.publish("open.md", "# Open\n\nFor everyone.", &[]).await;
    let secret = world.publish("board.md", "# Board\n\nThe merger.", &["board"]).await;
    let (_, member) = world.key(&["board", "people"], false);
    let (_, other) = world.key(&["people"], false);
    let (_, nobody) = world.key(&[], false);
    let (_, admin) = world.key(&[], true);
    for part in ["", "/content", "/text", "/content?version=1", "/text?version=1"] {
        let path = format!("/v1/documents/{secret}{part}");
        for outsider in [&other, &nobody] {
            let hidden = world.get_as(outsider, &path).await.expect(404);
            assert!(!hidden.text().contains("board"), "{}", hidden.text());
            // What may not be known of looks like what is not there.
            let absent = format!("/v1/documents/{}{part}", lore_core::DocumentId::from_source("nothing"));
            assert_eq!(hidden.body, world.get_as(outsider, &absent).await.expect(404).body, "{part}");
            world.get_as(outsider, &format!("/v1/documents/{open}{part}")).await.expect(200);
        }
        for insider in [&member, &admin] {
            world.get_as(insider, &path).await.expect(200);
        }
    }
    for (key, total) in [(&member, 2), (&other, 1), (&nobody, 1), (&admin, 2)] {
        let listed = world.get_as(key, "/v1/documents").await.expect(200).json();
        assert_eq!(
            (listed["total"].as_u64(), listed["documents"].as_array().map(Vec::len)),
            (Some(total), Some(total as usize))
        );
        let found = world.get_as(key, "/v1/documents?q=board").await.expect(200).json();
        assert_eq!(found["total"], total - 1);
    }
}

#[tokio::test]
async fn a_group_that_lost_its_right_reads_no_more() {
    let world = World::without_engine(keyed_options());
    let id = world.publish("plan.md", "# Plan\n\nGrow.", &["people"]).await;
    let (_, reader) = world.key(&["people"], false);
    let path = format!("/v1/documents/{id}");
    world.get_as(&reader, &path).await.expect(200);
    let changed = world.json_as("local-secret", "PATCH", &path, &json!({"acl": ["board"]})).await.expect(200);
    assert_eq!(changed.json()["acl"], json!(["board"]));
    for part in ["", "/content", "/text"] {
        world.get_as(&reader, &format!("{path}{part}")).await.expect(404);
    }
    assert_eq!(world.catalog.document(id).unwrap().unwrap().meta.acl, acl(&["board"]));
}
