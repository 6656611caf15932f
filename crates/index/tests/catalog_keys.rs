//! API keys and feedback.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use lore_index::{IndexError, NewFeedback, NewKey, Rating};
use support::*;

fn new_key(name: &str) -> NewKey {
    NewKey { name: name.into(), groups: ["hr".to_owned()].into(), admin: false }
}

#[test]
fn a_key_is_known_until_it_is_revoked() {
    let (folder, catalog) = open();
    let (key, secret) = catalog.create_key(&new_key("chat bot")).unwrap();
    assert!(secret.starts_with(&format!("lore_{}_", key.id)));
    assert_eq!((key.id.len(), secret.len()), (8, 5 + 8 + 1 + 43));
    let found = catalog.authenticate(&secret).unwrap().unwrap();
    assert_eq!((&found.id, &found.groups, found.admin), (&key.id, &key.groups, false));
    assert!(catalog.keys().unwrap()[0].last_used_at.is_some());
    let used = catalog.keys().unwrap();
    catalog.authenticate(&secret).unwrap().unwrap();
    assert_eq!(catalog.keys().unwrap(), used, "the time of use is written once a minute");

    let (_, another) = catalog.create_key(&new_key("another")).unwrap();
    let mixed = format!("lore_{}_{}", key.id, &another[14..]);
    let longer = format!("{secret}A");
    for wrong in ["", "lore_", "lore__", "lore_00000000_x", &secret[..secret.len() - 1], &longer, &mixed] {
        assert_eq!(catalog.authenticate(wrong).unwrap(), None, "{wrong}");
    }
    assert!(!catalog.revoke_key("00000000").unwrap());
    assert!(catalog.revoke_key(&key.id).unwrap());
    assert_eq!(catalog.authenticate(&secret).unwrap(), None);
    assert!(catalog.authenticate(&another).unwrap().is_some());
    let listed = catalog.keys().unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed[0].revoked_at.is_some() && listed[1].revoked_at.is_none());
    assert!(matches!(catalog.create_key(&NewKey::default()), Err(IndexError::Invalid(_))));

    catalog.vacuum().unwrap();
    let random = &secret.as_bytes()[14..];
    let stored = std::fs::read(folder.path().join("catalog.db")).unwrap();
    assert!(!stored.windows(random.len()).any(|window| window == random), "the secret is stored");
}

#[test]
fn feedback_comes_back_newest_first() {
    let (_folder, catalog) = open();
    let mut feedback = NewFeedback {
        question: "how many days off?".into(),
        answer: "30".into(),
        rating: Rating::Down,
        reason: Some("old".into()),
        better_answer: Some("31".into()),
        citations: vec![serde_json::json!({"marker": 1, "quote": "30 days"})],
    };
    let first = catalog.add_feedback("local", &feedback, 2).unwrap();
    feedback.rating = Rating::Up;
    feedback.citations.clear();
    let second = catalog.add_feedback("key", &feedback, 2).unwrap();
    assert_eq!(catalog.feedback(10).unwrap(), [second.clone(), first]);
    assert_eq!(catalog.feedback(1).unwrap(), [second]);
    let full = catalog.add_feedback("key", &feedback, 2);
    assert!(matches!(full, Err(IndexError::FeedbackFull { most: 2 })));
}
