//! Lists of HTML: bulleted, numbered, and of definitions.

use scraper::{ElementRef, Node};

use super::super::builder::Item;
use super::super::clean;
use super::{MOST_DEPTH, Walker, flat_text, is_block};

impl Walker<'_> {
    /// Adds the items of a list; gives the tables found within, which follow the list.
    pub(super) fn list<'a>(
        &self,
        list: ElementRef<'a>,
        depth: usize,
        items: &mut Vec<Item>,
    ) -> Vec<ElementRef<'a>> {
        let mut tables = Vec::new();
        let mut number = list.value().attr("start").and_then(|s| s.parse::<i64>().ok()).unwrap_or(1);
        let ordered = list.value().name() == "ol";
        for child in list.child_elements().filter(|e| !self.skipped(*e)) {
            let name = child.value().name();
            if matches!(name, "ul" | "ol") {
                if depth < MOST_DEPTH {
                    tables.extend(self.list(child, depth + 1, items));
                }
                continue;
            }
            let marker = if ordered { format!("{number}.") } else { "-".to_owned() };
            number = number.saturating_add(1);
            let mut text = String::new();
            let mut nested = Vec::new();
            self.item(child, &mut text, &mut nested, &mut tables);
            items.push(Item { depth, marker, text: clean::inline(&text) });
            for inner in nested {
                if depth < MOST_DEPTH {
                    tables.extend(self.list(inner, depth + 1, items));
                }
            }
        }
        tables
    }

    /// Splits a list item into its text, the lists and the tables within.
    fn item<'a>(
        &self,
        element: ElementRef<'a>,
        text: &mut String,
        lists: &mut Vec<ElementRef<'a>>,
        tables: &mut Vec<ElementRef<'a>>,
    ) {
        let mut open: Vec<_> = element.children().rev().collect();
        while let Some(node) = open.pop() {
            match node.value() {
                Node::Text(t) => text.push_str(t),
                Node::Element(_) => {
                    let Some(element) = ElementRef::wrap(node).filter(|e| !self.skipped(*e)) else {
                        continue;
                    };
                    match element.value().name() {
                        "ul" | "ol" => lists.push(element),
                        "table" => tables.push(element),
                        name => {
                            if is_block(name) || name == "br" {
                                text.push(' ');
                            }
                            open.extend(node.children().rev());
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// `dt` and `dd`: an item per term, its definition behind a colon.
    pub(super) fn definitions(&mut self, list: ElementRef<'_>) {
        let mut items: Vec<Item> = Vec::new();
        let mut after_term = false;
        for element in list.descendent_elements() {
            match element.value().name() {
                "dt" => {
                    items.push(Item {
                        depth: 0,
                        marker: "-".into(),
                        text: clean::inline(&flat_text(element)),
                    });
                    after_term = true;
                }
                "dd" => {
                    let text = clean::inline(&flat_text(element));
                    match items.last_mut() {
                        Some(item) => {
                            let colon =
                                if !after_term || item.text.ends_with([':', '：']) { " " } else { ": " };
                            item.text.push_str(colon);
                            item.text.push_str(&text);
                        }
                        None => items.push(Item { depth: 0, marker: "-".into(), text }),
                    }
                    after_term = false;
                }
                _ => {}
            }
        }
        self.builder.list(&items);
    }
}
