//! The fields of the lexical index.

use tantivy::schema::{
    FAST, Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};

/// The fields of the lexical index; nothing is stored, text lives in the catalog.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub schema: Schema,
    /// Chunk id, upper and lower half.
    pub id: [Field; 2],
    /// Keyword fields of the payload, by name.
    pub document: Field,
    pub access: Field,
    pub tags: Field,
    pub language: Field,
    /// yyyymmdd.
    pub date: Field,
    /// Digest of everything that was indexed of the chunk.
    pub fingerprint: Field,
    /// Title, headings, body (context included).
    pub text: [Field; 3],
    /// Number of terms in each of them.
    pub length: [Field; 3],
}

/// Names of the text fields' lengths.
pub(super) const LENGTHS: [&str; 3] = ["title_terms", "headings_terms", "body_terms"];
/// Names of the halves of the chunk id.
pub(super) const ID: [&str; 2] = ["id_high", "id_low"];
/// Name of the date field.
pub(super) const DATE: &str = "date";
/// Name of the fingerprint field.
pub(super) const FINGERPRINT: &str = "fingerprint";

impl Fields {
    pub(super) fn new() -> Self {
        let indexed = |option| {
            let indexing = TextFieldIndexing::default().set_tokenizer("raw").set_fieldnorms(false);
            TextOptions::default().set_indexing_options(indexing.set_index_option(option))
        };
        let keyword = indexed(IndexRecordOption::Basic);
        let words = indexed(IndexRecordOption::WithFreqs);
        let number = NumericOptions::from(FAST);
        let mut schema = Schema::builder();
        let id = ID.map(|name| schema.add_u64_field(name, number.clone()));
        let document = schema.add_text_field("document", keyword.clone());
        let access = schema.add_text_field("access", keyword.clone());
        let tags = schema.add_text_field("tags", keyword.clone());
        let language = schema.add_text_field("language", keyword);
        let date = schema.add_i64_field(DATE, number.clone());
        let fingerprint = schema.add_u64_field(FINGERPRINT, number.clone());
        let text = ["title", "headings", "body"].map(|name| schema.add_text_field(name, words.clone()));
        let length = LENGTHS.map(|name| schema.add_u64_field(name, number.clone()));
        let schema = schema.build();
        Self { schema, id, document, access, tags, language, date, fingerprint, text, length }
    }

    /// The keyword field that a condition names.
    pub(super) fn keyword(&self, name: &str) -> Field {
        match name {
            "document" => self.document,
            "access" => self.access,
            "tags" => self.tags,
            _ => self.language,
        }
    }
}
