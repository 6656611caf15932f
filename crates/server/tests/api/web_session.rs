//! Signing in with a key in a browser, what a session is good for, and what it is not.

use axum::body::Body;
use serde_json::{Value, json};

use crate::support::{Reply, World, keyed_options, open_options, request};

const HERE: &str = "http://127.0.0.1:8787";

/// A browser that has signed in, or not.
struct Browser<'a> {
    world: &'a World,
    cookie: String,
}

impl Browser<'_> {
    /// A call as a page of this server makes it.
    async fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.send(method, path, &[("x-lore-web", "1"), ("origin", HERE)], body).await
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let mut all = vec![("cookie", self.cookie.as_str()), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.world.send(request(method, path, &all, Body::from(body.to_string()))).await
    }

    async fn sign_in(&mut self, key: &str) -> Reply {
        let reply = self.call("POST", "/session", &json!({ "key": key })).await;
        if reply.status.is_success() {
            let set = reply.headers["set-cookie"].to_str().unwrap();
            self.cookie = set.split(';').next().unwrap().to_owned();
        }
        reply
    }
}

fn browser(world: &World) -> Browser<'_> {
    Browser { world, cookie: "lore_lang=en".to_owned() }
}

const NOTHING: Value = Value::Null;

#[tokio::test]
async fn a_person_signs_in_works_and_signs_out() {
    let world = World::without_engine(keyed_options());
    let (_, secret) = world.key(&["people"], false);
    let mut person = browser(&world);
    let away = person.send("GET", "/c/1?a=b&c=d", &[], &NOTHING).await.expect(303);
    assert_eq!(away.headers["location"], "/signin?next=/c/1%3Fa%3Db%26c%3Dd");
    person.send("GET", "/signin", &[], &NOTHING).await.expect(200);
    person.call("GET", "/web/me", &NOTHING).await.expect(401);
    let refused = person.sign_in("lore_nobody_nothing").await.expect(401);
    assert!(!refused.headers.contains_key("set-cookie"));

    let signed_in = person.sign_in(&secret).await.expect(204);
    let set = signed_in.headers["set-cookie"].to_str().unwrap();
    for part in ["lore_session=", "; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age="] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains(&secret), "{set}");
    let page = person.send("GET", "/", &[], &NOTHING).await.expect(200).text();
    assert!(page.contains("id=\"sign-out\"") && page.contains("data-admin=\"false\""), "{page}");
    assert!(!page.contains("href=\"/training\""), "what a reader cannot do is not offered");
    let me = person.call("GET", "/web/me", &NOTHING).await.expect(200).json();
    assert_eq!(
        (&me["signed_in"], &me["admin"], &me["keys_required"]),
        (&json!(true), &json!(false), &json!(true))
    );
    assert_eq!((&me["key_name"], &me["groups"]), (&json!("test"), &json!(["people"])));
    assert_eq!(me["model"]["state"], "starting");
    person.call("GET", "/v1/documents", &NOTHING).await.expect(200);
    person
        .call("POST", "/v1/feedback", &json!({"question": "q", "answer": "a", "rating": "up"}))
        .await
        .expect(201);
    person.call("GET", "/v1/keys", &NOTHING).await.expect(403);

    let out = person.call("DELETE", "/session", &NOTHING).await.expect(204);
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("lore_session=; Max-Age=0"));
    // The cookie is worth nothing, also for who kept it.
    person.call("GET", "/v1/documents", &NOTHING).await.expect(401);
}

#[tokio::test]
async fn behind_tls_the_cookie_is_for_tls_alone() {
    let world = World::without_engine(keyed_options());
    let (_, secret) = world.key(&[], true);
    let headers = [
        ("x-lore-web", "1"),
        ("origin", "https://lore.example"),
        ("host", "lore.example"),
        ("x-forwarded-proto", "https"),
    ];
    let reply =
        browser(&world).send("POST", "/session", &headers, &json!({ "key": secret })).await.expect(204);
    assert!(reply.headers["set-cookie"].to_str().unwrap().ends_with("; Secure"));
}

#[tokio::test]
async fn a_revoked_key_ends_its_sessions() {
    let world = World::without_engine(keyed_options());
    let (id, secret) = world.key(&[], true);
    let mut person = browser(&world);
    person.sign_in(&secret).await.expect(204);
    person.call("GET", "/v1/keys", &NOTHING).await.expect(200);
    world.catalog.revoke_key(&id).unwrap();
    person.call("GET", "/v1/keys", &NOTHING).await.expect(401);
    person.send("GET", "/", &[], &NOTHING).await.expect(303);
    person.sign_in(&secret).await.expect(401);
}

#[tokio::test]
async fn another_sites_page_can_do_nothing_with_a_session() {
    let world = World::without_engine(keyed_options());
    let (_, secret) = world.key(&[], true);
    let mut person = browser(&world);
    person.sign_in(&secret).await.expect(204);
    let new = json!({"name": "stolen", "groups": [], "admin": true});
    let web = ("x-lore-web", "1");
    let attempts: [&[(&str, &str)]; 8] = [
        &[],
        &[web],
        &[("origin", HERE)],
        &[("sec-fetch-site", "same-origin")],
        &[web, ("origin", "https://evil.example")],
        &[web, ("origin", "null")],
        &[web, ("sec-fetch-site", "cross-site"), ("origin", HERE)],
        &[web, ("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:3000")],
    ];
    for headers in attempts {
        for (method, path) in [("POST", "/v1/keys"), ("DELETE", "/v1/keys/1"), ("PATCH", "/v1/documents/1")] {
            let refused = person.send(method, path, headers, &new).await.expect(403);
            assert_eq!(refused.code(), "cross_site", "{method} {path} {headers:?}");
        }
        person.send("POST", "/session", headers, &json!({ "key": secret })).await.expect(403);
        person.send("DELETE", "/session", headers, &NOTHING).await.expect(403);
    }
    assert_eq!(world.catalog.keys().unwrap().len(), 1);
    // Nor read with it, but a link to a page can be followed.
    let elsewhere = ("sec-fetch-site", "same-site");
    person.send("GET", "/v1/keys", &[elsewhere], &NOTHING).await.expect(403);
    person.send("GET", "/", &[elsewhere, ("sec-fetch-mode", "navigate")], &NOTHING).await.expect(200);
    // A key needs none of this.
    let bearer = format!("Bearer {secret}");
    person.send("GET", "/v1/keys", &[("authorization", &bearer)], &NOTHING).await.expect(200);
}

#[tokio::test]
async fn where_no_key_is_needed_nobody_has_to_sign_in_but_may() {
    let world = World::without_engine(open_options());
    let mut person = browser(&world);
    let me = person.call("GET", "/web/me", &NOTHING).await.expect(200).json();
    assert_eq!((&me["signed_in"], &me["admin"], &me["key_name"]), (&json!(false), &json!(true), &NOTHING));
    let page = person.send("GET", "/", &[], &NOTHING).await.expect(200).text();
    assert!(!page.contains("id=\"sign-out\"") && page.contains("href=\"/training\""), "{page}");
    // A cookie of another server on this machine, or of a session that ended.
    person.cookie = "lore_session=x".to_owned();
    person.call("GET", "/v1/keys", &NOTHING).await.expect(200);
    // Somebody who looks at what a reader sees.
    let (_, secret) = world.key(&["people"], false);
    person.sign_in(&secret).await.expect(204);
    person.call("GET", "/v1/keys", &NOTHING).await.expect(403);
}

#[tokio::test]
async fn signing_in_anew_ends_the_session_before() {
    let world = World::without_engine(keyed_options());
    let (_, first) = world.key(&[], false);
    let (_, second) = world.key(&[], true);
    let mut person = browser(&world);
    person.sign_in(&first).await.expect(204);
    let old = person.cookie.clone();
    // A mistake ends nothing.
    person.sign_in("lore_nobody_nothing").await.expect(401);
    person.call("GET", "/v1/documents", &NOTHING).await.expect(200);
    person.sign_in(&second).await.expect(204);
    assert_ne!(old, person.cookie);
    person.call("GET", "/v1/keys", &NOTHING).await.expect(200);
    person.cookie = old;
    person.call("GET", "/v1/documents", &NOTHING).await.expect(401);
}
