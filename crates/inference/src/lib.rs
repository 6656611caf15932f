//! lore-inference
