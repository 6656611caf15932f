//! lore-core
