//! What a user does, start to end.

use serde_json::{Value, json};

use crate::house::House;

const LEAVE: &str = "# Handbook\n\n## Leave\n\nA new employee in Munich gets 30 days of vacation a year. \
    Unused days lapse at the end of March.\n\n## Office\n\nThe office in Munich opens at 7:30.\n";

const PAY: &str = "# Pay\n\nThe pay of a senior engineer in Leeds starts at 61,000 pounds a year.\n";

fn slice(text: &str, span: &Value) -> String {
    let at = |key: &str| span[key].as_u64().unwrap() as usize;
    text.chars().skip(at("start")).take(at("end") - at("start")).collect()
}

#[test]
fn a_folder_answers_with_an_exact_citation() {
    let house = House::new();
    house.write("people/handbook.md", LEAVE);
    house.write("it/vpn.txt", "The VPN client is installed from the software centre.\n");
    house.ingest();
    let answer = house.json(&["ask", "How many vacation days does a new employee in Munich get?"]);
    assert_eq!(answer["answered"], true, "{answer}");
    assert!(answer["answer"].as_str().unwrap().contains("30 days"), "{answer}");
    let citation = &answer["citations"][0];
    assert_eq!(citation["name"], "people/handbook.md");
    assert_eq!(citation["headings"], json!(["Handbook", "Leave"]));
    assert_eq!(slice(answer["answer"].as_str().unwrap(), &citation["answer_span"]), citation["quote"]);

    // The same through a server, and the quote is the slice of the stored text.
    let server = house.serve();
    let same = server.ask(None, "How many vacation days does a new employee in Munich get?");
    assert_eq!(same["citations"][0]["quote"], citation["quote"]);
    let id = citation["document"].as_str().unwrap();
    let span = &citation["source_span"];
    let path = format!("/v1/documents/{id}/text?start={}&end={}", span["start"], span["end"]);
    let (status, text) = server.send("GET", &path, None, None);
    assert_eq!((status, &text["text"]), (200, &citation["quote"]));

    // Beside a running server the command line goes through it.
    let through = house.ok(&["ask", "When does the office in Munich open?"]);
    assert!(through.contains("7:30") && through.contains("people/handbook.md"), "{through}");

    // A question that nothing answers.
    let none = server.ask(None, "What is the phone number of the bakery in Lisbon?");
    assert_eq!(
        (&none["answered"], none["citations"].as_array().unwrap().len()),
        (&json!(false), 0),
        "{none}"
    );
    assert!(server.stop());
}

#[test]
fn an_upload_answers_until_it_is_deleted() {
    let house = House::new();
    house.write("handbook.md", LEAVE);
    house.ingest();
    let server = house.serve();
    let content = "# Coffee\n\nThe coffee machine in Leeds is descaled on the first Monday of each month.\n";
    let (status, queued) =
        server.send("POST", "/v1/documents", None, Some(json!({ "name": "coffee.md", "content": content })));
    assert_eq!(status, 202, "{queued}");
    let id = queued["documents"][0]["document"].as_str().unwrap().to_owned();
    let job = queued["documents"][0]["job"].as_str().unwrap().to_owned();
    let question = "When is the coffee machine in Leeds descaled?";
    server.wait("the job", |s| s.send("GET", &format!("/v1/jobs/{job}"), None, None).1["state"] == "done");
    server.wait("the answer", |s| {
        s.ask(None, question)["answer"].as_str().unwrap().contains("first Monday of each month")
    });
    let (status, _) = server.send("DELETE", &format!("/v1/documents/{id}"), None, None);
    assert_eq!(status, 204);
    let after = server.ask(None, question);
    assert!(!after.to_string().contains("first Monday"), "a deleted document answered: {after}");
    assert_eq!(server.send("GET", &format!("/v1/documents/{id}"), None, None).0, 404);
    assert!(server.stop());
    house.ok(&["check"]);
}

#[test]
fn only_its_groups_read_a_restricted_document() {
    let house = House::new();
    house.write("pay.md", PAY);
    house.write("handbook.md", LEAVE);
    house.write(".lore.yaml", "rules:\n  - path: pay.md\n    acl: [people-team]\n");
    house.ingest();
    let key = |args: &[&str]| {
        let made = house.json(&[&["keys", "create"], args].concat());
        (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    };
    let (_, plain) = key(&["--name", "plain"]);
    let (id, member) = key(&["--name", "member", "--group", "people-team"]);
    let server = house.serve();
    let question = "Where does the pay of a senior engineer in Leeds start?";
    let seen = server.ask(Some(&member), question);
    assert!(seen["answer"].as_str().unwrap().contains("61,000"), "{seen}");
    assert!(!server.ask(Some(&plain), question).to_string().contains("61,000"));
    assert_eq!(server.send("GET", "/v1/keys", Some(&plain), None).0, 403);
    let (status, error) =
        server.send("POST", "/v1/ask", Some("lore_0_wrong"), Some(json!({ "question": "x" })));
    assert_eq!((status, &error["error"]["code"]), (401, &json!("unauthorized")), "{error}");

    // The access list changes, and the answers with it, at once.
    house.write(".lore.yaml", "rules:\n  - path: pay.md\n    acl: [board]\n");
    house.ingest();
    assert!(!server.ask(Some(&member), question).to_string().contains("61,000"));
    house.ok(&["keys", "revoke", &id]);
    assert_eq!(server.send("POST", "/v1/ask", Some(&member), Some(json!({ "question": question }))).0, 401);
}

#[test]
fn a_folder_that_changes() {
    let house = House::new();
    house.write("a.md", LEAVE);
    house.write("b.md", PAY);
    house.write("broken.pdf", "not a pdf");
    let out = house.run(&["ingest", house.docs().to_str().unwrap(), "--prune", "--json"]);
    let lines: Vec<Value> =
        String::from_utf8(out.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let done = lines.iter().find(|l| l["event"] == "done").unwrap();
    assert_eq!((&done["added"], &done["failed"]), (&json!(2), &json!(1)), "{done}");
    let failed = lines.iter().find(|l| l["outcome"] == "failed").unwrap();
    assert!(failed["reason"].as_str().unwrap().contains("pdf"), "{failed}");

    // One section changes: one chunk is embedded.
    house.write("a.md", &LEAVE.replace("opens at 7:30", "opens at 6:45"));
    std::fs::remove_file(house.docs().join("b.md")).unwrap();
    let out = house.ok(&["ingest", house.docs().to_str().unwrap(), "--prune", "--json"]);
    let last: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let done = last.iter().find(|l| l["event"] == "done").unwrap();
    assert_eq!((&done["updated"], &done["removed"]), (&json!(1), &json!(1)), "{done}");
    assert!(house.ok(&["ask", "When does the office in Munich open?"]).contains("6:45"));
    assert!(!house.ok(&["ask", "What is the pay of a senior engineer in Leeds?"]).contains("61,000"));
    house.ok(&["check"]);

    // Both indexes gone: they are built again, and answer the same.
    let before = house.json(&["ask", "How long is vacation in Munich?"]);
    for index in ["lexical", "vectors"] {
        std::fs::remove_dir_all(house.data().join(index)).unwrap();
    }
    house.ok(&["reindex"]);
    let after = house.json(&["ask", "How long is vacation in Munich?"]);
    assert_eq!((&before["answer"], &before["citations"]), (&after["answer"], &after["citations"]));
    house.ok(&["check"]);
}

#[test]
fn a_followed_folder_leaves_the_indexes_to_other_commands() {
    let house = House::new();
    house.write("handbook.md", LEAVE);
    let watch = house.run_on(&["ingest", house.docs().to_str().unwrap(), "--watch", "--quiet"]);
    let question = "How many vacation days does a new employee in Munich get?";
    watch.wait("the first document", |_| {
        let out = house.run(&["ask", question]);
        String::from_utf8(out.stdout).unwrap().contains("30 days")
    });
    // A server can be started beside it and follows what it takes in.
    let server = house.serve();
    house.write("pay.md", PAY);
    server.wait("the second document", |s| {
        s.ask(None, "What is the pay of a senior engineer in Leeds?").to_string().contains("61,000")
    });
    assert!(server.stop());
    // And it takes over again when the server has gone.
    house.write("vpn.txt", "The VPN client is installed from the software centre.\n");
    watch.wait("the third document", |_| {
        let out = house.run(&["search", "VPN client"]);
        String::from_utf8(out.stdout).unwrap().contains("vpn.txt")
    });
    assert!(watch.stop());
    house.ok(&["check"]);
}

#[test]
fn a_running_server_rebuilds_and_checks_its_indexes() {
    let house = House::new();
    house.write("handbook.md", LEAVE);
    house.ingest();
    let server = house.serve();
    let done = house.json(&["reindex"]);
    assert!(done["chunks"].as_u64().unwrap() >= 1 && done["embedded"] == 0, "{done}");
    let checked = house.json(&["check"]);
    assert_eq!((&checked["documents"], &checked["differences"]), (&json!(1), &json!([])), "{checked}");
    let (_, indexes) = server.send("GET", "/v1/indexes", None, None);
    assert_eq!(indexes["rebuild"]["state"], "done", "{indexes}");
    assert!(server.ask(None, "When does the office in Munich open?").to_string().contains("7:30"));
    assert!(server.stop());
    house.ok(&["check"]);
}

#[test]
fn up_serves_at_once_and_takes_the_folder_in_meanwhile() {
    let house = House::new();
    for n in 0..20 {
        house.write(&format!("{n}.md"), &LEAVE.replace("Munich", &format!("Town{n}")));
    }
    let server = house.start(&["up", "--corpus", house.docs().to_str().unwrap()]);
    assert_eq!(server.send("GET", "/healthz", None, None).0, 200);
    let (status, answer) = server.send("POST", "/v1/ask", None, Some(json!({"question": "Who?"})));
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(status == 200 || (status == 503 && message.starts_with("not ready: ")), "{status} {answer}");
    server.wait("readiness", |server| server.is_ready());
    let answer = server.ask(None, "When does the office in Town7 open?");
    assert!(answer["answer"].as_str().unwrap().contains("Town7 opens at 7:30"), "{answer}");
    assert!(server.stop());
    house.ok(&["check"]);
}
