//! The web pages: frames, assets, what a page may do, and what a text may not.

use std::collections::BTreeSet;
use std::io::Read as _;

use axum::body::Body;
use serde_json::json;

use crate::support::{Reply, World, keyed_options, open_options, request};

/// Most that a page may bring with its first load, compressed.
const FIRST_LOAD: usize = 120 << 10;

const PAGES: [&str; 10] = [
    "/",
    "/c/01890000-0000-7000-8000-000000000000",
    "/documents",
    "/documents/1",
    "/search",
    "/training",
    "/training/1",
    "/settings",
    "/signin",
    "/api",
];

/// The addresses in a page that are loaded with it.
fn loaded(page: &str) -> BTreeSet<String> {
    let parts = page.split(['"']).filter(|part| part.starts_with("/assets/"));
    parts.filter(|part| !part.ends_with('/')).map(str::to_owned).collect()
}

async fn with(world: &World, path: &str, headers: &[(&str, &str)]) -> Reply {
    world.send(request("GET", path, headers, Body::empty())).await
}

#[tokio::test]
async fn every_page_has_its_frame_and_may_do_little() {
    let world = World::without_engine(open_options());
    for path in PAGES {
        let reply = world.get(path).await.expect(200);
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        for rule in ["default-src 'self'", "script-src 'self'", "object-src 'none'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        assert_eq!(reply.headers["referrer-policy"], "same-origin");
        assert_eq!(reply.headers["cross-origin-opener-policy"], "same-origin");
        let page = reply.text();
        for part in
            ["<html lang=\"en\" data-lang=\"en\" data-theme=\"auto\"", "<main", "<noscript>", "<title>"]
        {
            assert!(page.contains(part), "{path} has no {part}");
        }
        for tag in page.split('<').filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
            assert!(!tag.contains(" style=") && !tag.contains(" on"), "{path}: {tag}");
            assert!(!tag.starts_with("style") && !tag.contains("://"), "{path}: {tag}");
            assert!(!tag.starts_with("script") || tag.contains(" src=\"/assets/"), "{path}: {tag}");
        }
        let assets = loaded(&page);
        assert!(assets.len() > 5, "{path}");
        for asset in assets {
            with(&world, &asset, &[]).await.expect(200);
        }
    }
}

#[tokio::test]
async fn the_first_load_of_a_page_is_small() {
    let world = World::without_engine(open_options());
    for path in PAGES {
        for language in ["en", "zh"] {
            let page = with(&world, path, &[("accept-language", language)]).await.expect(200);
            let mut bytes = page.body.len();
            let assets = loaded(&page.text());
            for asset in &assets {
                bytes += with(&world, asset, &[("accept-encoding", "gzip, br")]).await.expect(200).body.len();
            }
            eprintln!("{path} in {language}: {bytes} bytes in {} requests", assets.len() + 1);
            assert!(bytes <= FIRST_LOAD, "{path}: {bytes} bytes");
        }
    }
}

#[tokio::test]
async fn assets_are_compressed_cached_and_bound_to_their_build() {
    let world = World::without_engine(keyed_options());
    let page = world.get("/signin").await.expect(200).text();
    let sheet = loaded(&page).into_iter().find(|path| path.ends_with("/css/base.css")).unwrap();
    let plain = with(&world, &sheet, &[]).await.expect(200);
    assert_eq!(plain.headers["content-type"], "text/css; charset=utf-8");
    assert_eq!(plain.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(plain.headers["vary"], "Accept-Encoding");
    assert!(!plain.headers.contains_key("content-encoding"));

    let packed = with(&world, &sheet, &[("accept-encoding", "gzip, deflate, br")]).await.expect(200);
    assert_eq!(packed.headers["content-encoding"], "br");
    let mut text = Vec::new();
    brotli::Decompressor::new(packed.body.as_slice(), 4096).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain.body);

    let packed = with(&world, &sheet, &[("accept-encoding", "gzip;q=0.8, br;q=0")]).await.expect(200);
    assert_eq!(packed.headers["content-encoding"], "gzip");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain.body);

    let tag = plain.headers["etag"].to_str().unwrap();
    assert_ne!(tag, packed.headers["etag"]);
    let known = with(&world, &sheet, &[("if-none-match", tag)]).await.expect(304);
    assert!(known.body.is_empty());

    let hash = sheet.split('/').nth(2).unwrap();
    for path in [
        sheet.replace(hash, "0000000000000000"),
        sheet.replace("base.css", "nothing.css"),
        format!("/assets/{hash}/../Cargo.toml"),
        format!("/assets/{hash}/"),
    ] {
        with(&world, &path, &[]).await.expect(404);
    }
}

#[tokio::test]
async fn pages_speak_the_persons_language_and_wear_their_theme() {
    let world = World::without_engine(open_options());
    let asked =
        with(&world, "/documents", &[("accept-language", "zh-CN,zh;q=0.9,en;q=0.8")]).await.expect(200);
    let page = asked.text();
    assert!(page.contains("<html lang=\"zh-CN\" data-lang=\"zh\"") && page.contains("文档"), "{page}");
    let chosen = [("accept-language", "zh"), ("cookie", "lore_lang=en; lore_theme=dark")];
    let page = with(&world, "/documents", &chosen).await.expect(200).text();
    assert!(page.contains("data-lang=\"en\" data-theme=\"dark\"") && page.contains("Documents"), "{page}");
    let hostile = [("cookie", "lore_lang=\"><script>; lore_theme=\"><script>")];
    let page = with(&world, "/documents", &hostile).await.expect(200).text();
    assert!(page.contains("data-lang=\"en\" data-theme=\"auto\"") && !page.contains("><script>"), "{page}");
}

#[tokio::test]
async fn what_is_not_there_is_a_page_for_people_and_an_error_for_programs() {
    let world = World::without_engine(open_options());
    let page = with(&world, "/no/such", &[("accept", "text/html,*/*")]).await.expect(404);
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.text().contains("There is no such page"));
    assert_eq!(with(&world, "/no/such", &[]).await.expect(404).code(), "not_found");
    assert_eq!(with(&world, "/v1/nothing", &[("accept", "text/html")]).await.expect(404).code(), "not_found");
    // The page of a caller who is not let in says why.
    let foreign = with(&world, "/", &[("host", "evil.example")]).await.expect(403);
    assert!(foreign.text().contains("loopback name"), "{}", foreign.text());
}

#[tokio::test]
async fn rendered_texts_cannot_run() {
    let world = World::without_engine(open_options());
    let text = "**30 days.** <script>alert(1)</script> [x](javascript:alert(1)) 三十天。";
    let body = json!({"text": text, "citations": [{"start": 0, "end": 12, "number": 1}]});
    let html = world.json("POST", "/web/render", &body).await.expect(200).json()["html"].clone();
    let html = html.as_str().unwrap();
    let mark =
        "<strong>30 days.</strong><button type=\"button\" class=\"cite\" data-citation=\"1\">1</button>";
    assert!(html.contains(mark), "{html}");
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script") && !html.contains("href"), "{html}");
    for body in [
        json!({"text": "x".repeat((256 << 10) + 1)}),
        json!({"text": "x", "citations": vec![json!({"start": 0, "end": 1, "number": 1}); 2001]}),
    ] {
        assert_eq!(world.json("POST", "/web/render", &body).await.expect(422).code(), "too_long");
    }
    world.json("POST", "/web/render", &json!({"text": 1})).await.expect(400);
    let far = json!({"text": "x", "citations": [{"start": 7, "end": u64::MAX, "number": 1}]});
    world.json("POST", "/web/render", &far).await.expect(200);
    let keyed = World::without_engine(keyed_options());
    keyed.json("POST", "/web/render", &json!({"text": "x"})).await.expect(401);
}
