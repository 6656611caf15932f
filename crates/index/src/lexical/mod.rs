//! Word search with tantivy.
