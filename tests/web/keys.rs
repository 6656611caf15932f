//! Signing in, keys, and the settings.

use fantoccini::key::Key;

use crate::browser::Browser;
use crate::world::World;

fn sign_in(browser: &Browser, key: &str) {
    browser.fill("#key", key);
    browser.click("#signin button[type=submit]", "");
}

fn sign_out(browser: &Browser) {
    browser.click("#sign-out", "");
    browser.see("#signin", "");
}

/// The status of a request that brings these cookies.
fn status_with(world: &World, cookies: &[(String, String)]) -> u16 {
    let all: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let client = reqwest::blocking::Client::new();
    let request = client.get(format!("{}/web/me", world.server.url)).header("Cookie", all.join("; "));
    request.send().unwrap().status().as_u16()
}

pub fn made_used_revoked(world: &World) {
    let browser = &world.browser;
    let admin = world.house.json(&["keys", "create", "--name", "root", "--admin"]);
    let admin = admin["secret"].as_str().unwrap();

    // Whoever has no session is led to the sign-in page and back.
    browser.open("/documents?q=leave");
    browser.see("#signin", "");
    assert!(browser.path().starts_with("/signin?next="), "{}", browser.path());
    sign_in(browser, "lore_nonsense");
    browser.see("#key-error", "unknown");
    sign_in(browser, admin);
    browser.see(".doc-row", "Leave");
    assert_eq!(browser.path(), "/documents?q=leave");
    assert!(
        !browser.js("return document.cookie").as_str().unwrap().contains("lore_session"),
        "scripts see the session"
    );
    assert!(browser.cookies().iter().any(|(name, _)| name == "lore_session"));
    // The cookie alone changes nothing: another site's form has it, too.
    let forged = "return fetch('/v1/keys', {method: 'POST', headers: {'Content-Type': 'application/json'}, \
        body: '{\"name\": \"forged\", \"groups\": [], \"admin\": true}'}).then((answer) => answer.status)";
    assert_eq!(browser.js(forged), 403);

    browser.open("/settings#keys");
    browser.click("button", "New key");
    browser.type_into("dialog input[name=name]", "Reader");
    browser.type_into("dialog input[name=groups]", "people, board");
    browser.click("dialog button[type=submit]", "Make the key");
    browser.see("dialog", "will not be shown again");
    let secret = browser.js("return document.querySelector('dialog .secret').value");
    let secret = secret.as_str().unwrap();
    assert!(secret.starts_with("lore_"), "{secret}");
    // A careless key does not throw it away.
    browser.press(Key::Escape);
    assert!(browser.sees("dialog", "will not be shown again"));
    browser.click("dialog button", "I have kept it");
    browser.see(".key", "Reader");
    browser.reload();
    browser.see(".key", "board");
    let page = browser.js("return document.documentElement.outerHTML");
    assert!(!page.as_str().unwrap().contains(secret), "the key is shown again");

    sign_out(browser);
    sign_in(browser, secret);
    browser.see(".composer-input", "");
    assert!(!browser.sees(".nav a", "Training"));
    browser.open("/documents");
    browser.see(".doc-row", "Leave");
    assert!(!browser.sees("button", "Upload files"));
    browser.open("/settings");
    browser.see(".notice", "for administrators");
    let session = browser.cookies();
    assert_eq!(status_with(world, &session), 200);

    browser.forget();
    browser.open("/signin?next=https://elsewhere.invalid/");
    sign_in(browser, admin);
    browser.see(".composer-input", "");
    assert_eq!(browser.path(), "/", "a foreign address is none to go to");
    browser.open("/settings#keys");
    browser.click(".key button", "Revoke Reader");
    browser.see("dialog", "cannot be undone");
    browser.click("dialog button.danger", "Revoke");
    browser.see(".toast", "is revoked");
    browser.gone(".key", "Reader");
    browser.click("label", "Show 1 revoked key");
    browser.see(".key.revoked", "Reader");
    assert_eq!(status_with(world, &session), 401, "the session outlives its key");
    sign_out(browser);
    sign_in(browser, secret);
    browser.see("#key-error", "revoked");
    sign_in(browser, admin);
    browser.see(".composer-input", "");
    // With the button that signs out, the narrow header has its two lines, and the box is all in the window.
    browser.size(360, 640);
    browser.see("#sign-out", "");
    browser.until("document.querySelector('.state-words').textContent");
    browser.until("document.querySelector('.header').getBoundingClientRect().height <= 88");
    browser.until("document.querySelector('.composer-send').getBoundingClientRect().bottom <= innerHeight");
    crate::frame::no_wider_than(browser, 360);
    browser.size(1280, 800);
}

pub fn settings(world: &World) {
    let browser = &world.browser;
    browser.open("/settings");
    browser.see(".tile", "Questions");
    browser.counts(".charts svg[role=img]", 6);
    browser.until("[...document.querySelectorAll('.charts svg[role=img]')].every((svg) => svg.querySelector('title') && svg.querySelector('desc'))");
    browser.click(".chip", "24 h");
    browser.see(".chip[aria-pressed=true]", "24 h");
    browser.click("[role=tab]", "Health");
    browser.see(".notice.good", "Questions are answered");
    browser.click("[role=tab]", "Groups");
    browser.see(".facts", "Keys that read everything");
    browser.see(".facts", "root");
    browser.click("[role=tab]", "Configuration");
    browser.see("pre.configuration", "require_keys: true");
    browser.type_into("input[type=search]", "require_keys");
    browser.see("[role=status]", "1 line");
}
