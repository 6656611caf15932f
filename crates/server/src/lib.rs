//! lore-server
