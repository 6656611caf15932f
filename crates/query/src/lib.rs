//! lore-query
