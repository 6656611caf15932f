//! Searches explained, and with weights of their own.

use lore_index::MetaChange;
use serde_json::{Value, json};

use crate::support::{Reply, World, keyed_options, open_options, request};

const VACATION: &str = "# Vacation\n\nEvery employee gets 30 vacation days per year.";
const LUNCH: &str = "# Lunch\n\nThe canteen opens at noon, and vacation photos hang there.";

async fn two() -> World {
    let world = World::with_engine(open_options()).await;
    world.publish("vacation.md", VACATION, &[]).await;
    world.publish("lunch.md", LUNCH, &[]).await;
    world
}

fn explained(query: &str, more: &Value) -> Value {
    let mut body = json!({"query": query, "explain": true});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn search(world: &World, body: &Value) -> Value {
    world.json("POST", "/v1/search", body).await.expect(200).json()
}

/// Reason and name of what was dropped.
fn dropped(found: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = found["explanation"]["dropped"].as_array().unwrap();
    list.iter().map(|dropped| (text(&dropped["reason"]), text(&dropped["hit"]["name"]))).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(reason, name)| ((*reason).to_owned(), (*name).to_owned())).collect()
}

#[tokio::test]
async fn a_hit_tells_where_its_score_comes_from() {
    let world = two().await;
    let found = search(&world, &explained("vacation days per year", &json!({}))).await;
    for hit in found["hits"].as_array().unwrap() {
        let why = &hit["why"];
        let sum = why["dense_part"].as_f64().unwrap() + why["lexical_part"].as_f64().unwrap();
        assert!((sum - hit["fused"].as_f64().unwrap()).abs() < 1e-6, "{hit}");
        assert_eq!(why["factor"], 1.0);
    }
    let first = &found["hits"][0];
    assert_eq!((&first["name"], &first["why"]["fused"]), (&json!("vacation.md"), &json!(1)));
    assert_eq!((&first["why"]["dense"], &first["why"]["lexical"]), (&json!(1), &json!(1)));
    let told = &found["explanation"];
    let weight = told["weights"]["fusion"]["convex"]["dense_weight"].as_f64().unwrap();
    assert!((weight - 0.55).abs() < 1e-6);
    assert_eq!(told["examined"], told["candidates"]);
    assert!(told["terms"].as_array().unwrap().iter().any(|term| term["weight"].as_f64() > Some(0.0)));

    let plain = search(&world, &json!({"query": "vacation days per year"})).await;
    assert!(plain.get("explanation").is_none() && plain["hits"][0].get("why").is_none());
    let scores = |found: &Value| -> Vec<Value> {
        found["hits"].as_array().unwrap().iter().map(|hit| hit["score"].clone()).collect()
    };
    assert_eq!(scores(&plain), scores(&found), "an explanation changes nothing");
}

#[tokio::test]
async fn a_search_may_have_weights_of_its_own() {
    let world = two().await;
    let settings = world.get("/v1/search/settings").await.expect(200).json();
    assert_eq!(settings["bounds"]["dense_weight"], json!({"least": 0.0, "most": 1.0, "step": 0.05}));
    assert_eq!(settings["weights"]["candidates"], 300);
    assert_eq!(settings["reranker"], Value::Null);

    let words = json!({"weights": {"fusion": {"convex": {"dense_weight": 0.0}}, "title_boost": 5.0}});
    let found = search(&world, &explained("canteen", &words)).await;
    assert_eq!(found["hits"][0]["name"], "lunch.md");
    assert!(found["hits"].as_array().unwrap().iter().all(|hit| hit["why"]["dense_part"] == 0.0));
    assert_eq!(found["explanation"]["weights"]["title_boost"], 5.0);
    // All that is told can be sent.
    let again = json!({"weights": settings["weights"]});
    let (same, plain) = (
        search(&world, &explained("canteen", &again)).await,
        search(&world, &explained("canteen", &json!({}))).await,
    );
    assert_eq!(same["hits"], plain["hits"]);

    for (weights, code) in [
        (json!({"fusion": {"convex": {"dense_weight": 2}}}), (422, "bad_weights")),
        (json!({"candidates": 1_000_000}), (422, "bad_weights")),
        (json!({"dense": 1}), (400, "unknown_field")),
    ] {
        let reply = world.json("POST", "/v1/search", &json!({"query": "x", "weights": weights})).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), code, "{weights}");
    }
}

#[tokio::test]
async fn what_the_limit_leaves_out_is_told() {
    let world = two().await;
    let found = search(&world, &explained("vacation days per year", &json!({"limit": 1}))).await;
    assert_eq!(dropped(&found), pairs(&[("below_limit", "lunch.md")]));
    assert_eq!(found["explanation"]["counts"], json!({"below_limit": 1}));
}

#[tokio::test]
async fn what_says_the_same_is_told() {
    let world = two().await;
    world.publish("copy.md", VACATION, &[]).await;
    let found = search(&world, &explained("vacation days per year", &json!({}))).await;
    let told = &found["explanation"]["dropped"][0];
    assert_eq!((&told["reason"], &told["into"]), (&json!("folded"), &found["hits"][0]["chunk"]));
    let unfolded = json!({"weights": {"fold_similarity": 1.05}});
    let found = search(&world, &explained("vacation days per year", &unfolded)).await;
    assert_eq!((found["hits"].as_array().unwrap().len(), dropped(&found)), (3, vec![]));
}

#[tokio::test]
async fn what_is_superseded_is_told() {
    let world = World::with_engine(open_options()).await;
    let old = world.publish("old.md", "# Vacation\n\nEvery employee gets 28 vacation days.", &[]).await;
    world
        .publish("new.md", "# Leave\n\nSince spring every employee gets 30 days of leave, not vacation.", &[])
        .await;
    let query = explained("vacation days employee", &json!({"limit": 1}));
    assert_eq!(search(&world, &query).await["hits"][0]["name"], "old.md");
    let change = MetaChange { superseded_by: Some(Some("new.md".into())), ..MetaChange::default() };
    world.catalog.change_meta(old, &change).unwrap();
    world.follow().await;
    let strong = json!({"limit": 1, "weights": {"superseded_factor": 0.1}});
    let found = search(&world, &explained("vacation days employee", &strong)).await;
    assert_eq!(found["hits"][0]["name"], "new.md");
    assert_eq!(dropped(&found), pairs(&[("superseded", "old.md")]));
    let factor = found["explanation"]["dropped"][0]["why"]["factor"].as_f64().unwrap();
    assert!((factor - 0.1).abs() < 1e-6);
}

#[tokio::test]
async fn what_the_filter_leaves_out_is_told_to_whoever_may_read_it() {
    let world = World::with_engine(keyed_options()).await;
    world.publish("vacation.md", VACATION, &[]).await;
    world.publish("board.md", "# Vacation\n\nThe board gets 60 vacation days per year.", &["board"]).await;
    let (_, member) = world.key(&["sales"], false);
    let (_, board) = world.key(&["board"], false);
    let query = explained("vacation days per year", &json!({"filter": {"tags": {"department": ["people"]}}}));
    let found = world.json_as(&member, "POST", "/v1/search", &query).await.expect(200);
    assert_eq!(dropped(&found.json()), pairs(&[("filtered", "vacation.md")]));
    assert!(!found.text().contains("board"), "{}", found.text());
    let found = world.json_as(&board, "POST", "/v1/search", &query).await.expect(200).json();
    assert_eq!(found["explanation"]["counts"], json!({"filtered": 2}));
}

async fn as_group(world: &World, admin: &str, group: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {admin}");
    let headers =
        [("content-type", "application/json"), ("authorization", bearer.as_str()), ("x-lore-groups", group)];
    world.send(request("POST", "/v1/search", &headers, body.to_string().into())).await.expect(200)
}

#[tokio::test]
async fn what_a_group_may_not_read_is_told_to_administrators_alone() {
    let world = World::with_engine(keyed_options()).await;
    world.publish("vacation.md", VACATION, &[]).await;
    let closed = world
        .publish("board.md", "# Vacation\n\nThe board gets 60 vacation days per year.", &["board"])
        .await;
    let (_, admin) = world.key(&[], true);
    let (_, member) = world.key(&["sales"], false);
    let query = explained("vacation days per year", &json!({}));
    let found = as_group(&world, &admin, "sales", &query).await.json();
    assert_eq!(found["hits"].as_array().unwrap().len(), 1);
    assert_eq!(dropped(&found), pairs(&[("not_allowed", "board.md")]));
    assert!(!found["explanation"]["terms"].as_array().unwrap().is_empty());

    let text = world.json_as(&member, "POST", "/v1/search", &query).await.expect(200).text();
    for secret in ["board", "not_allowed", &closed.to_string(), "60 vacation"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&found["explanation"]["counts"], &found["explanation"]["terms"]), (&json!({}), &json!([])));
    assert_eq!(found["explanation"]["candidates"], 1);
}

#[tokio::test]
async fn what_is_gone_is_counted_and_named_to_administrators_by_its_id_alone() {
    let world = World::with_engine(keyed_options()).await;
    world.publish("vacation.md", VACATION, &[]).await;
    let gone = world.publish("gone.md", "# Vacation\n\nGone with 99 vacation days per year.", &[]).await;
    let (_, admin) = world.key(&[], true);
    let (_, member) = world.key(&["sales"], false);
    // The indexes do not follow.
    world.catalog.delete(gone).unwrap();
    let query = explained("vacation days per year", &json!({}));
    let found = world.json_as(&admin, "POST", "/v1/search", &query).await.expect(200).json();
    assert_eq!(dropped(&found), pairs(&[("not_live", "")]));
    assert_eq!(found["explanation"]["dropped"][0]["hit"], Value::Null);
    let found = world.json_as(&member, "POST", "/v1/search", &query).await.expect(200);
    assert_eq!(found.json()["explanation"]["counts"], json!({"gone": 1}));
    assert_eq!(dropped(&found.json()), vec![]);
}
