//! Vector search with Qdrant, in process or on a server.
