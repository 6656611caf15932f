//! lore-models
