//! lore-ingest
