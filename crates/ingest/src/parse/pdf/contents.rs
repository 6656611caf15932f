//! The content streams of pages and forms, decoded.

use std::collections::HashMap;
use std::rc::Rc;

use lopdf::{Document, Object, ObjectId, Stream};

use super::ParseError;
use super::streams::Budget;

/// Bytes of forms that are kept because pages use them again.
const MOST_KEPT: usize = 32 << 20;

/// Decodes what pages show, within a budget that all pages share; forms that are used again are kept.
pub(super) struct Contents {
    budget: Budget,
    forms: HashMap<ObjectId, Rc<[u8]>>,
    kept: usize,
    /// Set where the budget was spent.
    over: Option<ParseError>,
}

impl Contents {
    pub(super) fn new(limit: u64) -> Self {
        Self { budget: Budget::new(limit), forms: HashMap::new(), kept: 0, over: None }
    }

    /// Whether the budget was spent.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// The error of a spent budget.
    pub(super) fn over(&mut self) -> Option<ParseError> {
        self.over.take()
    }

    /// The content streams of a page, one after the other, each as often as it is named.
    pub(super) fn page(&mut self, document: &Document, page: ObjectId) -> Vec<u8> {
        let mut content = Vec::new();
        for id in document.get_page_contents(page) {
            if let Ok(stream) = document.get_object(id).and_then(Object::as_stream) {
                content.extend(self.decode(stream));
                content.push(b'\n');
            }
            if self.over.is_some() {
                break;
            }
        }
        content
    }

    /// The content of a form; `id` where it is an object of its own.
    pub(super) fn form(&mut self, id: Option<ObjectId>, form: &Stream) -> Rc<[u8]> {
        if let Some(known) = id.and_then(|id| self.forms.get(&id)) {
            return known.clone();
        }
        let content: Rc<[u8]> = self.decode(form).into();
        if let Some(id) = id
            && content.len() < MOST_KEPT
        {
            if self.kept + content.len() > MOST_KEPT {
                self.forms.clear();
                self.kept = 0;
            }
            self.kept += content.len();
            self.forms.insert(id, content.clone());
        }
        content
    }

    fn decode(&mut self, stream: &Stream) -> Vec<u8> {
        let decoded = match self.budget.decode(stream) {
            Ok(Some(content)) => Ok(content),
            // As it is, where a filter is unknown.
            Ok(None) => self.budget.spend(stream.content.len()).map(|()| stream.content.clone()),
            Err(error) => Err(error),
        };
        decoded.unwrap_or_else(|error| {
            self.over.get_or_insert(error);
            Vec::new()
        })
    }
}
