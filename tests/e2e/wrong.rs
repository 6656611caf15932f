//! What a wrong input gets: the thing named, and the next step.

use std::net::TcpListener;

use serde_json::json;

use crate::house::House;

#[test]
fn an_unknown_setting_names_its_neighbour() {
    let house = House::new();
    let file = house.docs().join("lore.yaml");
    std::fs::write(&file, "listen: 127.0.0.1:9\nretrieve:\n  candidats: 3\n").unwrap();
    let error = house.fails(&["check", "--config", file.to_str().unwrap()]);
    assert!(error.contains("candidats") && error.contains("candidates"), "{error}");
}

#[test]
fn a_port_in_use_is_named() {
    let house = House::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = house.fails(&["serve", "--listen", &address]);
    assert!(error.contains(&address) && error.contains("in use"), "{error}");
}

#[test]
fn no_open_address_without_keys() {
    let house = House::new();
    let error = house.fails(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(error.contains("lore keys create"), "{error}");
}

#[test]
fn a_second_owner_is_told_who_has_the_folder() {
    let house = House::new();
    house.write("a.md", "# A\n\nText.\n");
    house.ingest();
    let server = house.serve();
    let error = house.fails(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(error.contains("in use by") && error.contains("lore serve"), "{error}");
    assert!(server.stop());
}

#[test]
fn a_missing_model_offline_names_the_command() {
    let house = House::new();
    house.write("a.md", "# A\n\nText.\n");
    house.ingest();
    let empty = house.docs();
    let out =
        house.lore().args(["ask", "anything?", "--offline"]).env("LORE_CACHE_DIR", &empty).output().unwrap();
    let error = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success() && error.contains("lore models pull"), "{error}");
}

#[test]
fn http_errors_have_one_shape() {
    let house = House::new();
    let server = house.serve();
    let client = reqwest::blocking::Client::new();
    let post = |path: &str, body: String| {
        let response = client
            .post(format!("{}{path}", server.url))
            .header("content-type", "application/json")
            .body(body)
            .send()
            .unwrap();
        let status = response.status().as_u16();
        let json: serde_json::Value = response.json().unwrap();
        assert!(json["error"]["code"].is_string() && json["error"]["request_id"].is_string(), "{json}");
        (status, json["error"]["message"].as_str().unwrap().to_owned())
    };
    let (status, message) = post("/v1/ask", "{\"question\": ".into());
    assert_eq!(status, 400, "{message}");
    let (status, message) = post("/v1/ask", json!({ "question": "x", "colour": 1 }).to_string());
    assert!(status == 400 && message.contains("colour"), "{status} {message}");
    let (status, message) = post("/v1/ask", json!({ "question": "x".repeat(20 << 20) }).to_string());
    assert_eq!(status, 413, "{message}");
    let (status, message) = post("/v1/ask", json!({ "question": " " }).to_string());
    assert!((400..500).contains(&status), "{status} {message}");
    let (status, _) = post("/v1/nothing", "{}".into());
    assert_eq!(status, 404);
    assert!(server.stop());
}
