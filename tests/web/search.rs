//! The page of the search.

use crate::corpus::QUESTION;
use crate::world::World;

pub fn side_by_side(world: &World) {
    let browser = &world.browser;
    browser.open("/search");
    browser.see(".empty", "Why is this a hit");
    browser.enter(".bench-query", QUESTION);
    browser.see(".hit", "Leave");
    for score in ["Dense", "Lexical", "Fused"] {
        browser.see(".hit .score", score);
    }
    browser.see(".score-bar", "Meaning gives");
    browser.see(".terms", "munich");
    browser.click(".dropped-box summary", "dropped");
    browser.see(".dropped-one", "");

    browser.click("button", "Compare two settings");
    browser.see(".side-b", "Setting B");
    browser.see(".bench-results.two", "");
    // The second side by words alone.
    browser.fill(".side-b .weight-number", "0");
    browser.see(".side-b .weights-yaml", "dense_weight: 0");
    browser.until("new URLSearchParams(location.search).get('b')?.includes('\"dense_weight\":0')");
    browser.counts(".bench-results.two .results", 2);
    let firsts = "[...document.querySelectorAll('.bench-results .results')].map((side) => [...side.querySelectorAll('.score.fused .num')].map((score) => score.textContent).join())";
    browser.until(&format!("(() => {{ const [a, b] = {firsts}; return a !== b; }})()"));
    browser.see(".moved", "");
    // The address holds the bench.
    browser.reload();
    browser.see(".bench-results.two .hit", "Leave");
    browser.see(".side-b .weights-yaml", "dense_weight: 0");
    browser.click(".side-b button", "Take A's");
    browser.gone(".side-b .weights-yaml", "dense_weight: 0");
    browser.click("button", "Compare two settings");
    browser.gone(".side-b", "");

    // What is no tag is told, not left out.
    browser.open("/search?q=vacation&tags=people");
    browser.see(".field .error", "key=value");
    assert!(!browser.sees(".hit", ""), "it searches without the filter");
    browser.fill(".bench-fields input[aria-invalid=true]", "");
    browser.see(".hit", "Leave");
    browser.gone(".field .error", "");

    // A hit leads to its place in the document.
    browser.click(".hit-name", "Leave");
    browser.see(".doc-open .chunk.found", "30 days of vacation");
    browser.open("/search?q=machine%20311%20of%20the%20northern%20hall&mode=lexical");
    browser.click(".hit-name", "Machines");
    browser.see(".doc-open .chunk.found", "Machine 311");
    browser.in_sight(".chunk.found", ".doc-content");
}
